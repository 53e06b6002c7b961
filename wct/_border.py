"""The border of features: one row and column all round, by which a convolution continues them."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

Length = int | Int[Array, ""]
Size = tuple[Length, Length]
"""Height and width of a picture on its canvas, or of its features on theirs."""


@partial(jax.jit, static_argnames="distance")
def surround(
    features: Float[Array, "batch height width channels"], size: Size | None, distance: int
) -> Float[Array, "batch _ _ channels"]:
    """Add a border of the values at a distance from the picture's edges.

    A distance of one is `numpy.pad`'s `"reflect"`, none is its `"edge"`. An axis of length one is
    continued by its only value.

    Args:
        features: Features.
        size: How many of the rows and columns are a picture's, the first ones; all by default.
        distance: How far from an edge the values are found.
    """
    for axis, length in enumerate(size or (None, None), start=1):
        features = _continue(features, axis, length, distance)
    return features


@partial(jax.jit, static_argnames="distance", donate_argnames="bordered")
def renew(
    bordered: Float[Array, "batch height width channels"], size: Size, distance: int
) -> Float[Array, "batch height width channels"]:
    """Overwrite the border of features that have one, in place; else as `surround`."""
    for axis, length in enumerate(size, start=1):
        away = jnp.minimum(distance, length - 1)
        for found, wanted in ((1 + away, 0), (length - away, length + 1)):
            values = lax.dynamic_slice_in_dim(bordered, found, 1, axis)
            bordered = lax.dynamic_update_slice_in_dim(bordered, values, wanted, axis)
    return bordered


def inside(
    bordered: Float[Array, "batch height width channels"],
) -> Float[Array, "batch _ _ channels"]:
    """Return features without their border."""
    return bordered[:, 1:-1, 1:-1]


def _continue(features: Array, axis: int, length: Length | None, distance: int) -> Array:
    whole = features.shape[axis]
    if length is None:
        distance = min(distance, whole - 1)
        before, after = (
            lax.slice_in_dim(features, index, index + 1, axis=axis)
            for index in (distance, whole - 1 - distance)
        )
        return jnp.concatenate([before, features, after], axis=axis)
    first = jnp.minimum(distance, length - 1)
    index = jnp.arange(-1, whole + 1)
    index = jnp.where(index < 0, first, index)
    index = jnp.where(index == length, length - 1 - first, index)
    return jnp.take(features, index, axis=axis, mode="clip")
