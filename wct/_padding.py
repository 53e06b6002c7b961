"""Pictures of any size on canvases of few sizes: filled by reflection, left out of moments.

Of arrays at hand on a CPU, NumPy puts pictures on canvases and cuts them out: JAX would compile
that for each size of a picture.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._border import Size
from ._buckets import reflected, to_bucket, to_cells
from ._layers import LEVELS, stride
from ._onednn import is_usable
from ._program import program


def to_canvas(images: Float[Array, "batch _ _ *_"]) -> Float[Array, "batch _ _ *_"]:
    """Extend images to the right and below to multiples of 16, which every level can encode."""
    return _extend(images, *map(to_cells, images.shape[1:3]))


def to_common_canvas(images: Float[Array, "batch _ _ *_"]) -> Float[Array, "batch _ _ *_"]:
    """Extend images to one of the few sizes that programs are compiled for."""
    return _extend(images, *map(to_bucket, images.shape[1:3]))


def as_picture(
    canvas: Float[Array, "batch _ _ channels"], size: tuple[int, int]
) -> Float[Array, "batch height width channels"]:
    """Return the part of a canvas that is the picture, in [0, 1]."""
    if is_usable(canvas):
        return jax.device_put(_part(np.asarray(canvas), size).clip(0, 1))
    return _as_picture(canvas, size)


def copy_picture(
    canvas: Float[Array, "batch _ _ channels"], size: tuple[int, int]
) -> Float[Array, "batch height width channels"]:
    """Return a copy of the part of a canvas that is the picture, as it is."""
    if is_usable(canvas):
        return jax.device_put(_part(np.asarray(canvas), size).copy())
    return jnp.array(_part(canvas, size))  # of the whole canvas, the part is the canvas


def in_cells(size: Size, level: int) -> Size:
    """Return how many rows and columns of a level's features are the picture's."""
    deepest = max(LEVELS)
    height, width = (-(-length // stride(deepest)) * stride(deepest - level + 1) for length in size)
    return height, width


@jax.jit
def mirror(
    canvas: Float[Array, "batch height width channels"], size: Size
) -> Float[Array, "batch height width channels"]:
    """Fill the canvas beyond the picture with the picture's reflection."""
    for axis, length in enumerate(size, start=1):
        source = reflected(jnp.arange(canvas.shape[axis]), length, jnp.maximum)
        canvas = jnp.take(canvas, source, axis=axis)
    return canvas


def coverage(
    features: Float[Array, "batch height width _"], size: Size, level: int
) -> Float[Array, "1 height width"]:
    """Share of the picture in each feature's cell: one inside, zero in the padding."""
    rows, columns = (
        jnp.clip((length - stride(level) * jnp.arange(cells)) / stride(level), 0, 1)
        for length, cells in zip(size, features.shape[1:3], strict=True)
    )
    return (rows[:, None] * columns[None])[None].astype(features.dtype)


@partial(jax.jit, static_argnames="level")
def repeat_last(
    features: Float[Array, "batch height width channels"], size: Size, level: int
) -> Float[Array, "batch height width channels"]:
    """Fill a level's cells that are wholly beyond the picture with the nearest others.

    They have no part in the moments; so a map could make anything of them, and decoders see them.
    """
    for axis, length in enumerate(size, start=1):
        last = -(-length // stride(level)) - 1
        nearest = jnp.minimum(jnp.arange(features.shape[axis]), last)
        features = jnp.take(features, nearest, axis=axis)
    return features


def _extend(
    images: Float[Array, "batch _ _ *channels"], height: int, width: int
) -> Float[Array, "batch height width *channels"]:
    batch, rows, columns, *channels = images.shape
    below, right = height - rows, width - columns
    if not below and not right:
        return images
    if is_usable(images):
        canvas = np.zeros((batch, height, width, *channels), images.dtype)
        _part(canvas, (rows, columns))[:] = images
        return jax.device_put(canvas)
    return jnp.pad(images, ((0, 0), (0, below), (0, right), *[(0, 0)] * len(channels)))


@partial(program, static_argnames="size")
def _as_picture(canvas: Array, size: tuple[int, int]) -> Array:
    return jnp.clip(_part(canvas, size), 0, 1)


def _part(canvas, size: tuple[int, int]):
    height, width = size
    return canvas[:, :height, :width]
