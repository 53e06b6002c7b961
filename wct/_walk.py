"""The way over a picture in parts: a column for each device at a time, in it band after band."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from ._bands import no_rows
from ._border import Size
from ._buckets import to_bucket, to_cells
from ._convolution import Layer
from ._layers import CELL, stride
from ._tiles import (
    Area,
    Span,
    band_at,
    bands,
    cut,
    halo,
    lead,
    own_cells,
    own_part,
    place_in_cells,
    reach,
    smallest_cover,
    smallest_tile,
    spans,
)

_ROWS = 32
"""How many rows a band has at least, if columns can be narrower instead."""


class Band(NamedTuple):
    """Rows, and a column for each device: where the parts of one call are."""

    rows: Span
    columns: Sequence[Span]

    def above(self, distance: int, height: int) -> "Band":
        """Return what is higher by some pixels, in a picture of this height."""
        start, stop, *_ = self.rows
        return self._replace(rows=band_at(start - distance, stop - start, height))


class Walk:
    """A way over a picture of some size.

    All parts of a level have one shape, and where one column suffices those of all levels: as wide
    as the bucket of the picture's width, and of as many rows, a power of two, as there may be. So
    what is compiled for one picture serves others, of whatever height.

    Attributes:
        size: The picture's height and width.
    """

    def __init__(self, size: tuple[int, int], tile: int):
        self.size = size
        self._pixels = tile**2
        devices = jax.local_devices()
        mesh = jax.make_mesh(
            (len(devices),), ("columns",), devices=devices, axis_types=(AxisType.Auto,)
        )
        self._devices = len(devices)
        self._split = NamedSharding(mesh, PartitionSpec("columns"))
        self._copied = NamedSharding(mesh, PartitionSpec())

    def measured(self, level: int) -> list[list[Band]]:
        """Return where the bands are, column by column, of which features are made."""
        return self._places(level, lead(level), reach(level))

    def painted(self, level: int) -> list[list[Band]]:
        """Return where the bands are that are painted: of features, or at level 1 of pixels."""
        return self._places(level, 0, reach(level) * (2 if level == 1 else 1))

    def inside(self, columns: Sequence[Span], level: int) -> Size:
        """Return how many rows and columns of the features in columns are the picture's."""
        height, width = (to_cells(length) for length in self.size)
        return height // stride(level), min(width, _length(columns[0])) // stride(level)

    def cut(self, picture: np.ndarray | None, place: Band, level: int = 1) -> Any:
        """Cut parts out of a picture, or out of features of a level."""
        if picture is None:
            return None
        rows, columns = place
        return self._share([cut(picture, *place_in_cells((rows, each), level)) for each in columns])

    def own_cells(self, place: Band, level: int) -> Float[Array, "devices _ _"]:
        """Return how much each cell of these parts counts."""
        rows, columns = place
        return self._share([own_cells(rows, each, self.size, level) for each in columns])

    def own(
        self, place: Band, parts: Array, level: int | None = None
    ) -> Iterator[tuple[np.ndarray, Area]]:
        """Yield what is parts' own, and where: pixels, or a level's features in cells."""
        size = self.size if level is None else tuple(map(to_cells, self.size))
        for columns, values in zip(place.columns, np.asarray(parts), strict=True):
            rows, inside = (
                span._replace(first=min(span.first, length), last=min(span.last, length))
                for span, length in zip((place.rows, columns), size, strict=True)
            )
            part, area = own_part(place_in_cells((rows, inside), level or 1), values)
            if part.size:
                yield part, area

    def no_rows(self, layers: Sequence[Layer], columns: Sequence[Span], level: int) -> Any:
        """Return what layers keep before the first band of features of a level."""
        rows = no_rows(layers, len(columns), _length(columns[0]) // stride(level))
        return jax.device_put(rows, self._split)

    def copy(self, tree: Any) -> Any:
        """Give each device a copy of all arrays of a pytree."""
        return jax.device_put(tree, self._copied)

    def _columns(self, level: int) -> list[list[Span]]:
        """Return where columns are, a device's each; those that are missing have nothing own."""
        width, margin = self.size[1], halo(level)
        most = max(self._pixels // _ROWS // CELL * CELL, smallest_tile(level))
        if to_bucket(width) <= most and self._devices == 1:
            return [[Span(0, to_bucket(width), 0, to_cells(width))]]
        most = min(most, to_cells(-(-width // self._devices)) + 2 * margin)
        found = spans(width, smallest_cover(width, most, margin), margin)
        nothing = found[-1]._replace(last=found[-1].first)
        found += [nothing] * (-len(found) % self._devices)
        return [found[i : i + self._devices] for i in range(0, len(found), self._devices)]

    def _places(self, level: int, first: int, behind: int) -> list[list[Band]]:
        columns = self._columns(level)
        most = self._pixels // _length(columns[0][0])
        rows = bands(self.size[0], max(2 ** (most.bit_length() - 1), CELL), first, behind)
        return [[Band(each, column) for each in rows] for column in columns]

    def _share(self, arrays: list[np.ndarray]) -> Any:
        """Give each device one of some arrays."""
        stacked = np.stack(arrays) if len(arrays) > 1 else arrays[0][None]
        return jax.device_put(stacked, self._split)


def _length(span: Span) -> int:
    return span.stop - span.start
