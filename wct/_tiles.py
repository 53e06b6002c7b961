"""Which tile, and which halo: tiles of one size whose results together are the whole picture's.

A pixel of a level's result is influenced by pixels of its input up to some distance, the halo. Each
tile is that much larger than the part of the result that it is for, its own, unless it lies at the
picture's edge, where the convolutions continue it just as they continue the picture.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ._image import to_floats
from ._layers import LEVELS, layer_names, stride

_CELL = stride(max(LEVELS))


class Span(NamedTuple):
    """A tile along one axis, in pixels: it covers start … stop, and its own are first … last."""

    start: int
    stop: int
    first: int
    last: int


def to_cells(length: int) -> int:
    """Return the next multiple of 16, which every level can encode."""
    return -(-length // _CELL) * _CELL


def encoder_halo(level: int) -> int:
    """Pixels, a multiple of 16, from which a feature of a level can be influenced."""
    return to_cells(_radius(level))


def halo(level: int) -> int:
    """Pixels, a multiple of 16, from which a pixel that a level's decoder made can be."""
    return to_cells(2 * _radius(level) + stride(level) - 1)


def smallest_tile(level: int) -> int:
    """The least side of a tile that has pixels of its own."""
    return 2 * halo(level) + _CELL


def spans(length: int, tile: int, halo: int) -> list[Span]:
    """Cover an axis with tiles.

    Args:
        length: The axis's length, pixels.
        tile: The tiles' length, a multiple of 16 that is larger than two halos. The length itself,
            rounded up to 16, if that is not larger.
        halo: Pixels at each end of a tile that are not its own, a multiple of 16.
    """
    canvas = to_cells(length)
    tile = min(tile, canvas)
    room = canvas - tile
    count = 1 - (-room // (tile - 2 * halo)) if room else 1
    starts = [room * index // max(count - 1, 1) // _CELL * _CELL for index in range(count)]
    borders = [0, *(start + halo for start in starts[1:]), canvas]
    return [
        Span(start, start + tile, *own)
        for start, own in zip(starts, pairwise(borders), strict=True)
    ]


def cut(picture: np.ndarray, rows: Span, columns: Span) -> np.ndarray:
    """Cut a tile out of a picture, which is continued by reflection to the right and below.

    Args:
        picture: `(height, width, channels)`, uint8 or floats in [0, 1].
        rows: Where.
        columns: Where.

    Returns:
        float32 `(height, width, channels)`.
    """
    part = picture[rows.start : rows.stop, columns.start : columns.stop]
    beyond = [
        (0, span.stop - span.start - size)
        for span, size in zip((rows, columns), part.shape[:2], strict=True)
    ]
    return to_floats(np.pad(part, (*beyond, (0, 0)), mode="reflect"))


def own_cells(rows: Span, columns: Span, size: tuple[int, int], level: int) -> np.ndarray:
    """How much each cell of a tile counts: its share in the picture if it is its own, else zero.

    Args:
        rows: Where the tile is.
        columns: Where the tile is.
        size: The picture's height and width.
        level: The level of the features.

    Returns:
        float32 `(height, width)`, in cells.
    """
    cell = stride(level)
    counts = []
    for span, length in zip((rows, columns), size, strict=True):
        starts = np.arange(span.start, span.stop, cell)
        own = (starts >= span.first) & (starts < span.last)
        counts.append(np.clip((length - starts) / cell, 0, 1) * own)
    return np.outer(*counts).astype(np.float32)


def _radius(level: int) -> int:
    return sum(stride(int(name[4])) for name in layer_names(level))
