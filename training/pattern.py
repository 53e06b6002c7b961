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


def repeated(images: Images, period: int) -> Float[Array, ""]:
    """Share of the fine detail of images that repeats with a period, in pixels.

    Fine detail is what differs from the mean over a triangle of twice the period, which has none
    of the period. In squares of four periods a side it is averaged over the periods, and neighbours
    are multiplied: chance makes as many of these products negative as positive.
    """
    fine = images - _average(images, lambda distance: np.maximum(period - distance, 0))
    side, edge = _CELLS * period, period - 1  # at the edge triangles are cut off
    rows, columns = ((length - 2 * edge) // side for length in images.shape[1:3])
    fine = fine[:, edge : edge + rows * side, edge : edge + columns * side]
    folded = fine.reshape(-1, rows, _CELLS, period, columns, _CELLS, period, images.shape[3])
    folded = folded.mean((2, 5))
    below, beside = folded[:, 1:] * folded[:, :-1], folded[:, :, :, 1:] * folded[:, :, :, :-1]
    return (below.mean() + beside.mean()) / 2 / jnp.mean(fine**2)


def _average(images: Images, weight: Callable[[np.ndarray], np.ndarray]) -> Images:
    """Average images over both axes, with weights that depend on the distance, in pixels."""
    for axis in (1, 2):
        place = np.arange(images.shape[axis])
        weights = weight(abs(place[:, None] - place))
        weights = jnp.asarray(weights / weights.sum(1, keepdims=True), images.dtype)
        images = jnp.moveaxis(jnp.tensordot(weights, images, (1, axis)), 0, axis)
    return images
