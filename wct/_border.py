"""The border of features: one row and column all round, by which a convolution continues them."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ._reuse import compiled_to_reuse

Length = int | Int[Array, ""]
Size = tuple[Length, Length]
"""Height and width of a picture on its canvas, or of its features on theirs."""

Room = tuple[tuple[int, int], tuple[int, int]]
"""How many rows before and after features there is room for, and how many columns."""

NO_ROOM: Room = (0, 0), (0, 0)
AROUND: Room = (1, 1), (1, 1)
ABOVE: Room = (2, 0), (1, 1)
"""For two rows that came before."""


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


@partial(jax.jit, static_argnames="distance", donate_argnames="roomy")
def go_on(
    roomy: Float[Array, "batch rows columns channels"],
    kept: Float[Array, "batch 2 columns channels"],
    start: Length,
    size: Size,
    distance: int,
) -> Float[Array, "batch rows columns channels"]:
    """Put the rows that were kept above a band, and continue the picture at its edges, in place.

    Args:
        roomy: The band, with room `ABOVE`.
        kept: The last two rows of the band before.
        start: Which of the picture's rows the band's first one is. An edge that is not among them
            is left as it is.
        size: As in `surround`, of the whole picture.
        distance: As in `surround`.
    """
    bordered = lax.dynamic_update_slice_in_dim(roomy, kept, 0, 1)
    for axis, *places in edges(size, distance, start - 2, jnp.minimum):
        is_there = (places[1] >= 0) & (places[1] < bordered.shape[axis])
        source, target = (jnp.where(is_there, place, 0) for place in places)
        values = lax.dynamic_slice_in_dim(bordered, source, 1, axis)
        bordered = lax.dynamic_update_slice_in_dim(bordered, values, target, axis)
    return bordered


def edges(
    size: Size, distance: int, first: Length, minimum: Callable[[Length, Length], Length]
) -> Iterator[tuple[int, Length, Length]]:
    """Yield for each edge of a picture its axis, where the values are found, and where they go.

    Args:
        size: As in `surround`.
        distance: As in `surround`.
        first: Which of the picture's rows comes first.
        minimum: What returns the lesser of two numbers, which may be traced.
    """
    for axis, length, start in ((1, size[0], first), (2, size[1], -1)):
        away = minimum(distance, length - 1)
        for found, edge in ((away, -1), (length - 1 - away, length)):
            yield axis, found - start, edge - start


@jax.jit  # of its own: as a second result of `go_on` it would have all of it copied
def last_rows(
    bordered: Float[Array, "batch rows columns channels"],
) -> Float[Array, "batch 2 columns channels"]:
    """Return the last two rows."""
    return bordered[:, -2:]


@partial(compiled_to_reuse, static_argnames="room")
def make_room(
    features: Float[Array, "batch height width channels"], room: Room
) -> Float[Array, "batch _ _ channels"]:
    """Return features with room around them."""
    return jnp.pad(features, ((0, 0), *room, (0, 0)))


def cut_off(
    bordered: Float[Array, "batch height width channels"], room: Room
) -> Float[Array, "batch _ _ channels"]:
    """Return features without the room around them."""
    (above, below), (left, right) = room
    _, height, width, _ = bordered.shape
    return bordered[:, above : height - below, left : width - right]


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
