"""From moments to the affine map that gives features another picture's moments."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._errors import look_up
from ._moments import Moments, map_moments
from ._spectral import identity, inverse_root, product, root

_ROUNDING = 1e-7
"""What float32 rounds a covariance by, relative to its largest eigenvalue."""

_RESIDUAL_ROUNDING = 1e-12
"""The same, generously, of a covariance that comes with what rounding left off."""

_PRODUCT_ROUNDING = 1e-10
"""The same of S Σ S, whose eigenvalues are products: more than what a solver gets wrong."""

_NOISE = 1e-5
"""Standard deviation, relative to the mean vector's root mean square, that counts as none."""

_FLAT = 3e-5
"""The same of all channels together: a picture of one colour, whose features vary by rounding."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
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
        """Map each feature vector.

        Args:
            features: Feature vectors in the last axis.

        Returns:
            The mapped features, of the same shape.
        """
        *sets, height, width, channels = features.shape
        vectors = features.reshape(*sets, height * width, channels)
        mapped = product(vectors, jnp.swapaxes(self.matrix, -1, -2))
        return (mapped + self.offset[..., None, :]).reshape(features.shape)

    def blend(self, strength: Float[Array, "*#sets"] | float) -> "AffineMap":
        """Return f ↦ α (A f + b) + (1 − α) f.

        Args:
            strength: α, from 0 to 1; one for all sets, or one for each.

        Returns:
            The map.
        """
        shares = jnp.broadcast_to(strength, self.offset.shape[:-1])[..., None]
        kept = (1 - shares)[..., None] * identity(self.matrix)
        return AffineMap(shares[..., None] * self.matrix + kept, shares * self.offset)


def whitening(
    covariance: Float[Array, "*sets channels channels"],
    floor: Float[Array, "*sets"] | float = 0.0,
    *,
    solver: str = "eigh",
) -> Float[Array, "*sets channels channels"]:
    """Return Σ^(−1/2) = E D^(−1/2) Eᵀ, the map that gives centred features unit covariance.

    Where Σ is singular, as it is whenever a picture has fewer features than channels, this is the
    pseudoinverse, with a soft edge: y (1 − t)² (1 + 5t/2 + 35t²/8), where y = (λ + c)^(−1/2) and
    t = c y², in place of λ^(−1/2) for an eigenvalue λ. The cut c is 1e-7 of Σ's norm, what
    float32 rounds Σ by, plus the floor.

    Args:
        covariance: Symmetric positive semidefinite Σ = E D Eᵀ.
        floor: A variance, in units of Σ, that counts as none. Derivatives are by Σ alone.
        solver: `"eigh"`, the eigendecomposition, or `"newton-schulz"`, an iteration of matrix
            products, which suits GPUs.

    Returns:
        A symmetric matrix.

    Raises:
        WctError: There is no such solver.

    References:
        Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017, equation 2.
    """
    return _whitening(covariance, None, floor, solver)


def coloring(
    covariance: Float[Array, "*sets channels channels"],
    *,
    solver: str = "eigh",
) -> Float[Array, "*sets channels channels"]:
    """Return Σ^(1/2) = E D^(1/2) Eᵀ, the map that gives white features the covariance Σ.

    Args:
        covariance: Symmetric positive semidefinite Σ = E D Eᵀ.
        solver: `"eigh"` or `"newton-schulz"`, as for `whitening`.

    Returns:
        A symmetric matrix.

    Raises:
        WctError: There is no such solver.

    References:
        Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017, equation 3.
    """
    return look_up("solver", solver, root)(covariance, None, _ROUNDING)


def whiten_and_color(content: Moments, style: Moments, *, solver: str = "eigh") -> AffineMap:
    """Return the whitening–coloring transform from the content's moments to the style's.

    f ↦ Σ_s^(1/2) Σ_c^(−1/2) (f − m_c) + m_s

    Args:
        content: Moments of the features that the map is for.
        style: Moments that the mapped features are to have.
        solver: `"eigh"` or `"newton-schulz"`, as for `whitening`.

    Returns:
        The map. For a content without variation it is constant: everything becomes m_s.

    Raises:
        WctError: There is no such solver.

    References:
        Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017, section 3.2.
    """
    colored = _coloring(style, solver)
    return centred(product(colored, _whiten(content, solver)), content, style)


def whiten(content: Moments, *, solver: str = "eigh") -> AffineMap:
    """Return the map f ↦ Σ^(−1/2) (f − m) that makes features of these moments white."""
    white = _whiten(content, solver)
    return AffineMap(white, -product(white, content.mean[..., None])[..., 0])


def color(style: Moments, *, solver: str = "eigh") -> AffineMap:
    """Return the map f ↦ Σ^(1/2) f + m that gives white features these moments."""
    return AffineMap(_coloring(style, solver), style.mean)


def optimal_transport(content: Moments, style: Moments, *, solver: str = "eigh") -> AffineMap:
    """Return the map to the style's moments that moves the features least.

    f ↦ S (S Σ_c S)^(−1/2) S (f − m_c) + m_s with S = Σ_s^(1/2), the Monge–Kantorovich map between
    the normal distributions of these moments. It reaches the same moments as `whiten_and_color`,
    without turning the features, and so keeps more of the content. The inverse root has the soft
    edge of `whitening`, at a cut of 1e-10 of the norm of S Σ_c S plus what counts as noise.

    Args:
        content: Moments of the features that the map is for.
        style: Moments that the mapped features are to have.
        solver: `"eigh"` or `"newton-schulz"`, as for `whitening`.

    Returns:
        The map. For a content without variation it is constant: everything becomes m_s.

    Raises:
        WctError: There is no such solver.

    References:
        I. Olkin, F. Pukelsheim, "The Distance between Two Random Vectors with Given Dispersion
        Matrices", 1982, theorem 4. M. Lu, H. Zhao, A. Yao, F. Xu, Y. Chen, X. Lin, "A Closed-form
        Solution to Universal Style Transfer", ICCV 2019.
    """
    colored = _coloring(style, solver)
    seen = map_moments(content, colored)
    white = _whitening(seen.covariance, seen.residue, _floor(seen), solver, _PRODUCT_ROUNDING)
    matrix = _varies(content) * product(colored, product(white, colored))
    return centred(matrix, content, style)


def match_deviations(content: Moments, style: Moments) -> AffineMap:
    """Return the map that gives each channel the style's mean and standard deviation (AdaIN).

    f ↦ σ_s / σ_c (f − m_c) + m_s, with the deviations σ of each channel by itself.

    Args:
        content: Moments of the features that the map is for.
        style: Moments that each mapped channel is to have.

    Returns:
        The map, whose matrix is diagonal. For a content without variation it is constant.

    References:
        X. Huang, S. Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance
        Normalization", ICCV 2017, equation 8.
    """
    ours, theirs = (
        jnp.diagonal(moments.covariance, axis1=-2, axis2=-1) for moments in (content, style)
    )
    varies = ours > _floor(content)[..., None]
    ratio = jnp.where(varies, theirs, 0) / jnp.where(varies, ours, 1)
    positive = ratio > 0
    scale = jnp.where(positive, jnp.sqrt(jnp.where(positive, ratio, 1)), 0)
    matrix = _varies(content) * scale[..., None] * identity(content.covariance)
    return centred(matrix, content, style)


def match_means(content: Moments, style: Moments) -> AffineMap:
    """Return the map that gives features the style's mean: f ↦ f − m_c + m_s.

    Args:
        content: Moments of the features that the map is for.
        style: Moments whose mean the mapped features are to have.

    Returns:
        The map, whose matrix is the identity.
    """
    return centred(identity(content.covariance), content, style)


def add_ridge(content: Moments, ridge: Float[Array, ""] | float) -> Moments:
    """Return moments with Σ + r v I in place of Σ, where v is the mean variance of a channel.

    Whitening then amplifies no direction by more than 1 / √(r v): the result has less contrast than
    the style, and less of the content's noise.

    Args:
        content: Moments that are to be whitened.
        ridge: The factor r, at least 0.
    """
    covariance = content.covariance
    ridge = jnp.asarray(ridge, covariance.dtype)
    added = (ridge * _mean_variance(content))[..., None, None] * identity(covariance)
    total = covariance + added
    if content.residue is None:
        return replace(content, covariance=total)
    taken = total - covariance  # of what is added; the rest was rounded off (Knuth's two-sum)
    lost = (covariance - (total - taken)) + (added - taken)
    return replace(content, covariance=total, residue=content.residue + lost)


def centred(
    matrix: Float[Array, "*sets channels channels"], content: Moments, style: Moments
) -> AffineMap:
    """Return f ↦ A (f − m_c) + m_s."""
    return AffineMap(matrix, style.mean - product(matrix, content.mean[..., None])[..., 0])


def _mean_variance(content: Moments) -> Float[Array, "*sets"]:
    return jnp.mean(jnp.diagonal(content.covariance, axis1=-2, axis2=-1), axis=-1)


def _floor(content: Moments) -> Float[Array, "*sets"]:
    return _NOISE**2 * jnp.mean(content.mean**2, axis=-1)


def _varies(content: Moments) -> Float[Array, "*sets 1 1"]:
    """Return 0 for features of a picture of one colour, else 1.

    Level after level would whiten what rounding made of it, until that has all of the style.
    """
    variance = _mean_variance(content)
    varies = variance > _FLAT**2 * jnp.mean(content.mean**2, axis=-1)
    return varies.astype(variance.dtype)[..., None, None]


def _coloring(style: Moments, solver: str) -> Float[Array, "*sets channels channels"]:
    return coloring(style.covariance, solver=solver) if style.root is None else style.root


def _whiten(content: Moments, solver: str) -> Float[Array, "*sets channels channels"]:
    white = _whitening(content.covariance, content.residue, _floor(content), solver)
    return _varies(content) * white


def _whitening(
    covariance: Float[Array, "*sets channels channels"],
    residue: Float[Array, "*sets channels channels"] | None,
    floor: Float[Array, "*sets"] | float,
    solver: str,
    rounding: float | None = None,
) -> Float[Array, "*sets channels channels"]:
    if rounding is None:
        rounding = _ROUNDING if residue is None else _RESIDUAL_ROUNDING
    return look_up("solver", solver, inverse_root)(covariance, residue, rounding, floor)
