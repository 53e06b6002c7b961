"""From moments to the affine map that gives features another picture's moments."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ._moments import Moments

_product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)

_RIDGE = 1e-7
"""What is added to a covariance's eigenvalues before their inverse is taken, relative to the
largest: what float32 rounds a covariance by."""

_NOISE = 1e-5
"""Standard deviation, relative to the mean vector's root mean square, that counts as none."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AffineMap:
    """The map f ↦ A f + b of feature vectors.

    Attributes:
        matrix: A.
        offset: b.
    """

    matrix: Float[Array, "*sets channels channels"]
    offset: Float[Array, "*sets channels"]

    def __call__(
        self, features: Float[Array, "*sets height width channels"]
    ) -> Float[Array, "*sets height width channels"]:
        """Map each feature vector."""
        *sets, height, width, channels = features.shape
        vectors = features.reshape(*sets, height * width, channels)
        mapped = _product(vectors, jnp.swapaxes(self.matrix, -1, -2))
        return (mapped + self.offset[..., None, :]).reshape(features.shape)

    def blend(self, strength: Float[Array, ""]) -> "AffineMap":
        """Return f ↦ α (A f + b) + (1 − α) f, for the strength α in [0, 1]."""
        identity = jnp.eye(self.matrix.shape[-1], dtype=self.matrix.dtype)
        identity = jnp.broadcast_to(identity, self.matrix.shape)
        return AffineMap(strength * self.matrix + (1 - strength) * identity, strength * self.offset)


def whitening(
    covariance: Float[Array, "*sets channels channels"],
    floor: Float[Array, "*sets"] | float = 0.0,
) -> Float[Array, "*sets channels channels"]:
    """Return Σ^(−1/2) = E D^(−1/2) Eᵀ, the map that gives centred features unit covariance.

    A ridge of 1e-7 of the largest eigenvalue keeps it finite where Σ is singular, as it is
    whenever a picture has fewer features than channels; directions in which the features do not
    vary stay as they are, at about zero.

    Args:
        covariance: Symmetric positive semidefinite Σ = E D Eᵀ.
        floor: A variance, in units of Σ, to add to the ridge.

    Returns:
        A symmetric matrix; zero where Σ and the floor are.

    References:
        Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017, equation 2.
    """
    return _power(covariance, -0.5, _RIDGE, jnp.broadcast_to(floor, covariance.shape[:-2]))


def coloring(
    covariance: Float[Array, "*sets channels channels"],
) -> Float[Array, "*sets channels channels"]:
    """Return Σ^(1/2) = E D^(1/2) Eᵀ, the map that gives white features the covariance Σ.

    Args:
        covariance: Symmetric positive semidefinite Σ = E D Eᵀ.

    Returns:
        A symmetric matrix.

    References:
        Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017, equation 3.
    """
    return _power(covariance, 0.5, 0.0, jnp.zeros(covariance.shape[:-2], covariance.dtype))


def whiten_and_color(content: Moments, style: Moments) -> AffineMap:
    """Return the whitening–coloring transform from the content's moments to the style's.

    f ↦ Σ_s^(1/2) Σ_c^(−1/2) (f − m_c) + m_s

    Args:
        content: Moments of the features that the map is for.
        style: Moments that the mapped features are to have.

    Returns:
        The map. For a content without variation it is constant: everything becomes m_s.

    References:
        Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017, section 3.2.
    """
    floor = _NOISE**2 * jnp.mean(content.mean**2, axis=-1)
    matrix = _product(coloring(style.covariance), whitening(content.covariance, floor))
    offset = style.mean - _product(matrix, content.mean[..., None])[..., 0]
    return AffineMap(matrix, offset)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _power(
    covariance: Float[Array, "*sets channels channels"],
    exponent: float,
    ridge: float,
    floor: Float[Array, "*sets"],
) -> Float[Array, "*sets channels channels"]:
    vectors, roots = _eigen(covariance, ridge, floor)
    return _compose(vectors, _invert(roots) if exponent < 0 else roots)


@_power.defjvp
def _power_jvp(exponent, ridge, primals, tangents):
    """Daleckii–Krein: in the eigenbasis each entry of dΣ is scaled by a divided difference.

    For the square root that is 1 / (√λᵢ + √λⱼ), for its inverse −1 / (√λᵢ √λⱼ (√λᵢ + √λⱼ)):
    finite for equal eigenvalues, where differentiating the eigenvectors is not. The ridge and the
    floor are held constant.
    """
    covariance, floor = primals
    vectors, roots = _eigen(covariance, ridge, floor)
    left, right = roots[..., :, None], roots[..., None, :]
    if exponent < 0:
        values, differences = _invert(roots), -_invert(left * right * (left + right))
    else:
        values, differences = roots, _invert(left + right)
    transposed = jnp.swapaxes(vectors, -1, -2)
    tangent = (tangents[0] + jnp.swapaxes(tangents[0], -1, -2)) / 2  # `eigh` sees no more of it
    inner = _product(transposed, _product(tangent, vectors)) * differences
    return _compose(vectors, values), _product(vectors, _product(inner, transposed))


def _eigen(
    covariance: Float[Array, "*sets channels channels"], ridge: float, floor: Float[Array, "*sets"]
) -> tuple[Float[Array, "*sets channels channels"], Float[Array, "*sets channels"]]:
    """Eigenvectors, and square roots of the regularised eigenvalues.

    Decomposed in float64: float32 would get small eigenvalues wrong by far more than the
    covariance's own rounding errors, and they are what whitening divides by.
    """
    with jax.enable_x64(True):
        values, vectors = jnp.linalg.eigh(lax.convert_element_type(covariance, jnp.float64))
        values = lax.convert_element_type(values, covariance.dtype)
        vectors = lax.convert_element_type(vectors, covariance.dtype)
    values = jnp.maximum(values, 0)
    values = values + ridge * values[..., -1:] + floor[..., None]
    return vectors, jnp.sqrt(values)


def _compose(
    vectors: Float[Array, "*sets channels channels"], values: Float[Array, "*sets channels"]
) -> Float[Array, "*sets channels channels"]:
    return _product(vectors * values[..., None, :], jnp.swapaxes(vectors, -1, -2))


def _invert(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """One over each value, and zero where the value is zero."""
    positive = values > 0
    return jnp.where(positive, 1 / jnp.where(positive, values, 1), 0)
