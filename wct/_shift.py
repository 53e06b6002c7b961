"""Pictures moved by any part of a pixel."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from ._buckets import reflected
from ._program import program

_LOBES = 3
"""Pixels at each side that Lanczos' filter takes in."""

Place = Float[Array | np.ndarray, "2"]


@partial(program, static_argnames="size")
def shifted(
    pixels: Float[Array, "_ _ channels"],
    first: Float[Array | np.ndarray, "2"],
    *,
    size: tuple[int, int],
) -> Float[Array, "height width channels"]:
    """Return what a picture shows elsewhere, by Lanczos' filter, clipped to [0, 1].

    Args:
        pixels: The picture, in [0, 1]; beyond its edges it is reflected.
        first: Where in it the first pixel is, its row and column; between pixels, too.
        size: How many pixels to return, `(height, width)`.
    """
    return resample(pixels, first, size).clip(0, 1)


def resample(
    values: Float[Array, "_ _ *channels"],
    first: Float[Array | np.ndarray, "2"],
    size: tuple[int, int],
) -> Float[Array, "height width *channels"]:
    """Return values at other places, by Lanczos' filter; see `shifted`."""
    for axis, count in enumerate(size):
        places, weights = _taps(count, first[axis], values.shape[axis])
        lines = jnp.take(values, places, axis)
        parts = [lax.slice_in_dim(lines, tap, tap + count, axis=axis) for tap in range(2 * _LOBES)]
        values = jnp.stack([w * part for w, part in zip(weights, parts, strict=True)]).sum(0)
    return values


def _taps(
    count: int, first: Float[Array, ""], length: int
) -> tuple[Int[Array, " lines"], Float[Array, " taps"]]:
    """Return which lines along an axis are needed, and what those next to each other count."""
    whole = jnp.floor(first)
    away = jnp.arange(1 - _LOBES, _LOBES + 1, dtype=first.dtype) - (first - whole)
    weights = jnp.sinc(away) * jnp.sinc(away / _LOBES)
    places = whole.astype(int) + jnp.arange(1 - _LOBES, count + _LOBES)
    return reflected(places, length), weights / weights.sum()
