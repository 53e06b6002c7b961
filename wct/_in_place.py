"""The border of features at hand on a CPU: NumPy writes it in place, and nothing is compiled.

The arrays that are written to must be of the caller's own making, and not yet be in use.
"""

from types import SimpleNamespace

import numpy as np
from jaxtyping import Array, Float

from ._border import Size, edges
from ._buckets import reflected
from ._layers import stride


def renew(
    bordered: Float[Array, "batch rows columns channels"],
    size: Size,
    distance: int,
    first: int = -1,
) -> Float[Array, "batch rows columns channels"]:
    """Overwrite the border of features that have one; else as `surround`.

    Args:
        bordered: Features with a column more at each end, and a row.
        size: As in `surround`.
        distance: As in `surround`.
        first: As in `go_on`.
    """
    memory = _memory(bordered)
    for axis, source, target in edges(size, distance, first, min):
        lines = memory.swapaxes(0, axis)
        if 0 <= target < len(lines):
            lines[target] = lines[min(max(source, 0), len(lines) - 1)]
    return bordered


def go_on(
    roomy: Float[Array, "batch rows columns channels"],
    kept: Float[Array | np.ndarray, "batch 2 columns channels"],
    start: int,
    size: Size,
    distance: int,
) -> Float[Array, "batch rows columns channels"]:
    """Put rows above a band, and continue the picture, as `_border.go_on` does."""
    _memory(roomy)[:, :2] = kept
    return renew(roomy, size, distance, start - 2)


def mirror(
    canvas: Float[Array, "batch height width channels"], size: Size
) -> Float[Array, "batch height width channels"]:
    """Fill a canvas beyond the picture as `_padding.mirror` does."""
    memory = _memory(canvas)
    for axis, length in enumerate(size, start=1):
        lines = memory.swapaxes(0, axis)
        beyond = np.arange(len(lines)) >= length
        lines[beyond] = lines[reflected(np.flatnonzero(beyond), length)]
    return canvas


def repeat_last(
    features: Float[Array, "batch height width channels"], size: Size, level: int
) -> Float[Array, "batch height width channels"]:
    """Fill cells as `_padding.repeat_last` does."""
    repeat_beyond(_memory(features), size, level)
    return features


def repeat_beyond(
    features: Float[np.ndarray, "batch height width channels"], size: Size, level: int
) -> None:
    """Write over the cells that are wholly beyond the picture."""
    for axis, length in enumerate(size, start=1):
        lines = features.swapaxes(0, axis)
        count = -(-length // stride(level))
        lines[count:] = lines[count - 1 : count]


def last_rows(
    bordered: Float[Array, "batch rows columns channels"],
) -> Float[np.ndarray, "batch 2 columns channels"]:
    """Return a copy of the last two rows."""
    return _memory(bordered)[:, -2:].copy()


def _memory(array: Array) -> np.ndarray:
    """Return what an array is kept in, to be written to."""
    pointer = array.block_until_ready().unsafe_buffer_pointer()
    description = {
        "data": (pointer, False),
        "shape": array.shape,
        "typestr": array.dtype.str,
        "version": 3,
    }
    return np.asarray(SimpleNamespace(__array_interface__=description))
