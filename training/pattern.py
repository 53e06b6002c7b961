"""The pattern that decoders draw where a picture is smooth: it repeats from cell to cell."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, "batch height width channels"]

_CELLS = 4
"""Cells a side of the squares in which a pattern is looked for."""


def smoothed(images: Images, sigma: float = 6.0) -> Images:
    """Return images blurred by a Gaussian of this standard deviation, in pixels."""
    return _average(images, lambda distance: np.exp(-0.5 * (distance / sigma) ** 2))


def repeated(images: Images, period: int) -> Float[Array, " batch"]:
    """Find the share of each image's fine detail that repeats with a period, in pixels.

    Fine detail is what differs from the mean over a triangle of twice the period, which has none
    of the period. In squares of four periods a side it is averaged over the periods, and what that
    gives for neighbours is multiplied: chance makes these products as often negative as positive.
    """
    fine = images - _average(images, lambda distance: np.maximum(period - distance, 0))
    side, edge = _CELLS * period, period - 1  # at the edge triangles are cut off
    batch, height, width, channels = images.shape
    rows, columns = ((length - 2 * edge) // side for length in (height, width))
    fine = fine[:, edge : edge + rows * side, edge : edge + columns * side]
    folded = fine.reshape(batch, rows, _CELLS, period, columns, _CELLS, period, channels)
    folded = folded.mean((2, 5))
    folded -= folded.mean((2, 4), keepdims=True)
    pairs = [folded[:, 1:] * folded[:, :-1], folded[:, :, :, 1:] * folded[:, :, :, :-1]]
    return sum(pair.mean((1, 2, 3, 4, 5)) for pair in pairs) / 2 / (fine**2).mean((1, 2, 3))


def _average(images: Images, weight: Callable[[np.ndarray], np.ndarray]) -> Images:
    """Average images over both axes, with weights that depend on the distance, in pixels."""
    for axis in (1, 2):
        place = np.arange(images.shape[axis])
        weights = weight(abs(place[:, None] - place))
        weights = jnp.asarray(weights / weights.sum(1, keepdims=True), images.dtype)
        images = jnp.moveaxis(jnp.tensordot(weights, images, (1, axis)), 0, axis)
    return images
