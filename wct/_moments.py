"""Moments: weight, mean and covariance of feature vectors — all that is ever known of a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ._errors import WctError

Wide = Callable[[Array], Array]
Parts = tuple[Array, Array, Array, Array]

_BLOCK = 4096
"""Vectors that are measured at once."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Moments:
    """First and second moments of a set of weighted feature vectors.

    Leading axes, if there are any, hold independent sets, such as the images of a batch.

    Attributes:
        weight: Total weight W of the vectors, their number when all weigh one.
        mean: Mean vector m.
        covariance: Covariance matrix Σ, with the divisor W − 1 (one, when W is less than two).
        residue: What rounding to float32 left off Σ, if known. Whitening divides by the smallest
            eigenvalues, which may be in there.
        root: Σ^(1/2), if it was taken before, so that colouring need not.
    """

    weight: Float[Array, "*sets"]
    mean: Float[Array, "*sets channels"]
    covariance: Float[Array, "*sets channels channels"]
    residue: Float[Array, "*sets channels channels"] | None = None
    root: Float[Array, "*sets channels channels"] | None = None


def moments(
    features: Float[Array | np.ndarray, "*sets height width channels"],
    weights: Float[Array | np.ndarray, "#*sets height width"] | None = None,
) -> Moments:
    """Measure the moments of features over height and width.

    m = Σᵢ wᵢ fᵢ / W and Σ = Σᵢ wᵢ (fᵢ − m)(fᵢ − m)ᵀ / (W − 1), with W = Σᵢ wᵢ.

    Args:
        features: Feature vectors f in the last axis.
        weights: How much each vector counts, at least 0: a mask, say. All count one by default.

    Returns:
        One set of moments for each index of the leading axes. Of no weight at all, they are zero.

    Raises:
        WctError: The features are no floats, or there are none.
    """
    features = jnp.asarray(features)
    shaped = features.ndim >= 3 and 0 not in features.shape[-3:]
    if not jnp.issubdtype(features.dtype, jnp.floating) or not shaped:
        raise WctError(
            "features must be floats of shape (…, height, width, channels), none of them zero, not "
            f"{features.dtype} of {features.shape}"
        )
    if weights is None:
        weights = jnp.ones(features.shape[-3:-1], features.dtype)
    return Moments(*_moments(features, jnp.broadcast_to(weights, features.shape[:-1])))


def merge_moments(first: Moments, second: Moments) -> Moments:
    """Merge the moments of two sets of vectors into those of their union, exactly.

    Args:
        first: Moments of one set.
        second: Moments of another set, of the same number of channels.

    Returns:
        What `moments` would have measured of both sets together.

    References:
        T. Chan, G. Golub, R. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
        Sample Variances", 1979, equation 1.5.
    """
    return Moments(*_merge(_parts(first), _parts(second)))


def map_moments(of: Moments, matrix: Float[Array, "*sets channels channels"]) -> Moments:
    """Return the moments of mapped vectors A f: those of mean A m and covariance A Σ Aᵀ.

    Args:
        of: Moments of the vectors f.
        matrix: A.
    """
    return Moments(*_map(_parts(of), matrix))


def scale_moments(of: Moments, factor: Float[Array, "*sets"]) -> Moments:
    """Return the moments with their covariance times a factor, rounded only once.

    Args:
        of: Moments.
        factor: The factor, at least 0.
    """
    return Moments(*_scale(_parts(of), factor))


def _in_float64(
    function: Callable[..., tuple[Array, Array, Array]],
) -> Callable[..., tuple[Array, Array, Array, Array]]:
    """Evaluate moments in float64, round them, and tell what rounding left off the covariance.

    The function is given a function that makes arrays float64, and its arguments.

    Derivatives are taken in the arguments' own precision: outside of its 64-bit mode JAX cannot
    transpose float64 operations.
    """

    @jax.custom_jvp
    def evaluate(*arguments: Any) -> tuple[Array, Array, Array, Array]:
        dtype = jax.tree.leaves(arguments)[0].dtype
        with jax.enable_x64(True):
            exact = function(partial(lax.convert_element_type, new_dtype=jnp.float64), *arguments)
            weight, mean, covariance = (lax.convert_element_type(part, dtype) for part in exact)
            residue = exact[2] - lax.convert_element_type(covariance, jnp.float64)
            return weight, mean, covariance, lax.convert_element_type(residue, dtype)

    @evaluate.defjvp
    def _(primals, tangents):
        dtype = jax.tree.leaves(primals)[0].dtype
        as_they_are = partial(lax.convert_element_type, new_dtype=dtype)
        _, changes = jax.jvp(partial(function, as_they_are), primals, tangents)
        return evaluate(*primals), (*changes, jnp.zeros_like(changes[2]))

    return evaluate


@_in_float64
def _moments(wide: Wide, features: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Σ w (f − s)(f − s)ᵀ and Σ w (f − s) in one product a block; s is the first vector."""
    *sets, height, width, channels = features.shape
    count = _rows_at_once(height, width)
    blocks = height // count
    features = features.reshape(*sets, blocks, count * width, channels)
    weights = weights.reshape(*sets, blocks, count * width, 1)

    def scatter_of(start: Array | int, number: int) -> Array:
        vectors, weigh = (
            wide(lax.dynamic_slice_in_dim(each, start, number, axis=-3))
            for each in (features, weights)
        )
        vectors = jnp.concatenate([vectors - shift, jnp.ones_like(weigh)], -1)
        *axes, over, _ = range(vectors.ndim)
        pairs = ([over], [over]), (axes, axes)
        return lax.dot_general(weigh * vectors, vectors, pairs, lax.Precision.HIGHEST).sum(-3)

    shift = lax.stop_gradient(wide(features[..., :1, :1, :]))
    if _in_turn():
        # Not zeros alone: within `shard_map` it must vary over the mesh as features do.
        start = jnp.broadcast_to(0 * shift[..., 0, :, :1], (*sets, channels + 1, channels + 1))
        total = lax.fori_loop(0, blocks, lambda index, so_far: so_far + scatter_of(index, 1), start)
    else:
        total = scatter_of(0, blocks)
    weight, sums, scatter = total[..., -1, -1], total[..., -1, :-1], total[..., :-1, :-1]
    offset = sums / jnp.where(weight == 0, 1, weight)[..., None]
    scatter = scatter - sums[..., :, None] * offset[..., None, :]
    scatter = (scatter + jnp.swapaxes(scatter, -1, -2)) / 2
    mean = jnp.where(weight[..., None] == 0, 0, shift[..., 0, 0, :] + offset)
    return weight, mean, scatter / _divisor(weight)


def _in_turn() -> bool:
    """Tell whether blocks are done one after the other: not where one keeps few cores busy."""
    return jax.default_backend() == "cpu"


def _rows_at_once(height: int, width: int) -> int:
    """Rows of a block: so few that it fits into a core's cache, and a divisor of all of them."""
    most = max(1, _BLOCK // width)
    return max(rows for rows in range(1, min(most, height) + 1) if height % rows == 0)


@_in_float64
def _merge(wide: Wide, first: Parts, second: Parts) -> tuple[Array, Array, Array]:
    first_weight, first_mean, first_covariance, first_residue = map(wide, first)
    second_weight, second_mean, second_covariance, second_residue = map(wide, second)
    weight = first_weight + second_weight
    share = second_weight / jnp.where(weight == 0, 1, weight)
    difference = second_mean - first_mean
    mean = first_mean + share[..., None] * difference
    between = difference[..., :, None] * difference[..., None, :]
    scatter = (
        (first_covariance + first_residue) * _divisor(first_weight)
        + (second_covariance + second_residue) * _divisor(second_weight)
        + (first_weight * share)[..., None, None] * between
    )
    return weight, mean, scatter / _divisor(weight)


@_in_float64
def _map(wide: Wide, of: Parts, matrix: Array) -> tuple[Array, Array, Array]:
    weight, mean, covariance, residue = map(wide, of)
    matrix = wide(matrix)
    mapped = _product(matrix, _product(covariance + residue, jnp.swapaxes(matrix, -1, -2)))
    mapped = (mapped + jnp.swapaxes(mapped, -1, -2)) / 2
    return weight, _product(matrix, mean[..., None])[..., 0], mapped


@_in_float64
def _scale(wide: Wide, of: Parts, factor: Array) -> tuple[Array, Array, Array]:
    weight, mean, covariance, residue = map(wide, of)
    return weight, mean, wide(factor)[..., None, None] * (covariance + residue)


def _product(left: Array, right: Array) -> Array:
    """The matrix product; not by `@`, whose request for float64 `jax.vmap` does not repeat."""
    sets = jnp.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = (jnp.broadcast_to(each, (*sets, *each.shape[-2:])) for each in (left, right))
    return lax.batch_matmul(left, right, lax.Precision.HIGHEST)


def _parts(moments: Moments) -> Parts:
    residue = moments.residue
    residue = jnp.zeros_like(moments.covariance) if residue is None else residue
    return moments.weight, moments.mean, moments.covariance, residue


def _divisor(weight: Float[Array, "*sets"]) -> Float[Array, "*sets 1 1"]:
    return jnp.maximum(weight - 1, 1)[..., None, None]
