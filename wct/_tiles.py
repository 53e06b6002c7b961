"""Where the parts of a picture are: columns, and in each of them bands of rows.

A pixel of a level's result is influenced by pixels of its input up to some distance, the halo. Each
column is that much wider at both sides than the part of the result that it is for, its own, unless
it lies at the picture's edge, where convolutions continue it just as they continue the picture. Its
bands follow each other without a halo; what comes of one lies higher than it does.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ._buckets import reflected, to_cells
from ._layers import CELL, layer_names, stride
from ._pixels import to_floats


class Span(NamedTuple):
    """A part along one axis, in pixels: it covers start … stop, and its own are first … last."""

    start: int
    stop: int
    first: int
    last: int


Place = tuple[Span, Span]
"""Where a part is: its rows and its columns."""

Area = tuple[slice, slice]


def halo(level: int) -> int:
    """Pixels, a multiple of 16, from which a level's features can be influenced, or are decoded.

    At level 1 that suffices for both together.
    """
    return to_cells(reach(level))


def full_halo(level: int) -> int:
    """Pixels, a multiple of 16, from which encoder and decoder together can be."""
    return to_cells(2 * reach(level) + stride(level) - 1)


def smallest_tile(level: int) -> int:
    """The least side of a tile that has pixels of its own."""
    return 2 * halo(level) + CELL


def smallest_cover(length: int, most: int, halo: int) -> int:
    """Return the length of the smallest tiles that cover an axis with as few as those of `most`."""
    count = len(spans(length, most, halo))
    needed = -(-(to_cells(length) + 2 * halo * (count - 1)) // count)
    return min(to_cells(needed), most)


def spans(length: int, tile: int, halo: int) -> list[Span]:
    """Cover an axis with parts of one length, which overlap.

    Args:
        length: The axis's length, pixels.
        tile: The parts' length, a multiple of 16 that is larger than two halos. The length itself,
            rounded up to 16, if that is not larger.
        halo: Pixels at each end of a part that are not its own, a multiple of 16.
    """
    canvas = to_cells(length)
    tile = min(tile, canvas)
    room = canvas - tile
    count = 1 - (-room // (tile - 2 * halo)) if room else 1
    starts = [room * index // max(count - 1, 1) // CELL * CELL for index in range(count)]
    borders = [0, *(start + halo for start in starts[1:]), canvas]
    return [
        Span(start, start + tile, *own)
        for start, own in zip(starts, pairwise(borders), strict=True)
    ]


def bands(length: int, rows: int, first: int, behind: int) -> list[Span]:
    """Cover an axis with bands of rows whose results lie higher than they do.

    Args:
        length: The axis's length, pixels.
        rows: Rows of a band, a multiple of 16.
        first: Where the first band starts, 0 or less.
        behind: How much higher, in pixels.
    """
    last = to_cells(length) + behind
    return [band_at(start, rows, length) for start in range(first, last, rows)]


def band_at(start: int, rows: int, length: int) -> Span:
    """Return the place of a band: its own are the rows that are the picture's."""
    own = (min(max(edge, start), start + rows) for edge in (0, to_cells(length)))
    return Span(start, start + rows, *own)


def lead(level: int) -> int:
    """Where the first band starts, so that a level's features lie whole cells higher."""
    return reach(level) - halo(level)


def place_in_cells(place: Place, level: int) -> Place:
    """Return where a part's features are, in cells."""
    rows, columns = (Span(*(edge // stride(level) for edge in span)) for span in place)
    return rows, columns


def own_part(place: Place, values: np.ndarray) -> tuple[np.ndarray, Area]:
    """Return what is a part's own of its values, `(height, width, channels)`, and its place."""
    rows, columns = place
    own = values[
        rows.first - rows.start : rows.last - rows.start,
        columns.first - columns.start : columns.last - columns.start,
    ]
    return own, (slice(rows.first, rows.last), slice(columns.first, columns.last))


def cut(picture: np.ndarray, rows: Span, columns: Span) -> np.ndarray:
    """Cut a part out of a picture, which is continued by reflection beyond its edges.

    Args:
        picture: `(height, width, channels)`, uint8 or floats in [0, 1].
        rows: Where.
        columns: Where.

    Returns:
        float32 `(height, width, channels)`, which may share memory with the picture.
    """
    part = picture
    for axis, span in enumerate((rows, columns)):
        length = picture.shape[axis]
        if span.start >= 0 and span.stop <= length:
            part = part[(slice(None),) * axis + (slice(span.start, span.stop),)]
        else:
            part = part.take(reflected(np.arange(span.start, span.stop), length), axis)
    return to_floats(part)


def own_cells(rows: Span, columns: Span, size: tuple[int, int], level: int) -> np.ndarray:
    """How much each cell of a part counts: its share in the picture if it is its own, else zero.

    Args:
        rows: Where the part is.
        columns: Where the part is.
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


def reach(level: int) -> int:
    """Pixels from which a level's features can be influenced, or are decoded."""
    return sum(stride(int(name[4])) for name in layer_names(level))
