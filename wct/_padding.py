"""Pictures of any size on canvases of whole cells: filled by reflection, left out of moments."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._layers import LEVELS, stride

Size = tuple[Int[Array, ""], Int[Array, ""]]
"""Height and width of a picture on its canvas."""


def size_of(height: int, width: int) -> Size:
    """A picture's size as arrays: programs are compiled for the canvas, not for the picture."""
    return jnp.asarray(np.array(height, np.int32)), jnp.asarray(np.array(width, np.int32))


def to_canvas(images: Float[Array, "batch _ _ _"]) -> Float[Array, "batch _ _ _"]:
    """Extend images to the right and below to multiples of 16, which every level can encode."""
    _, height, width, _ = images.shape
    cell = stride(max(LEVELS))
    return jnp.pad(images, ((0, 0), (0, -height % cell), (0, -width % cell), (0, 0)))


def mirror(
    canvas: Float[Array, "batch height width channels"], size: Size
) -> Float[Array, "batch height width channels"]:
    """Fill the canvas beyond the picture with the picture's reflection."""
    for axis, length in enumerate(size, start=1):
        period = jnp.maximum(2 * (length - 1), 1)
        position = jnp.arange(canvas.shape[axis]) % period
        canvas = jnp.take(canvas, jnp.minimum(position, period - position), axis=axis)
    return canvas


def coverage(
    features: Float[Array, "batch height width _"], size: Size, level: int
) -> Float[Array, "1 height width"]:
    """Share of the picture in each feature's cell: one inside, zero in the padding."""
    rows, columns = (
        jnp.clip((length - stride(level) * jnp.arange(cells)) / stride(level), 0, 1)
        for length, cells in zip(size, features.shape[1:3], strict=True)
    )
    return (rows[:, None] * columns[None])[None]
