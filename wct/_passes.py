"""The two passes that a level makes over a picture in bands: to measure it, and to paint it.

Each band is one compiled call, for as many columns as there are devices.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import chain, pairwise
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ._bands import Rows, run_band
from ._border import Length, Size
from ._layers import layer_names, stride
from ._level import Content, average, give_back_detail, measure, restyle
from ._malloc import give_back
from ._masks import share_out
from ._moments import merge_moments
from ._networks import Decoder, Encoder
from ._onednn import compiled_elsewhere
from ._program import program
from ._recipe import Strength
from ._reuse import reusing
from ._tiles import Area, reach
from ._transform import AffineMap
from ._walk import Band, Walk

Parts = Float[Array, "devices height width 3"]
Masks = Float[Array, "devices height width regions"]
Features = Float[Array, "devices _ _ _"]
Weights = Float[Array, "devices _ _"]

Result = TypeVar("Result")


def measure_bands(
    walk: Walk,
    encoder: Encoder,
    picture: np.ndarray,
    masks: np.ndarray | None,
    levels: Sequence[int],
    *,
    keep: Callable[[np.ndarray, Area], object] | None = None,
    advance: Callable[[], object] = lambda: None,
) -> list[Content]:
    """Measure the moments of a picture, and of its regions, at some levels.

    Features of the last of them can be kept: part by part, with their places, in cells.
    """
    give_back()
    total = None
    depth = max(levels)
    measuring = _measuring(walk, encoder, picture, masks, levels)
    with reusing([]):
        for place, found, features in _ahead(measuring):
            total = found if total is None else _merge(total, found)
            if keep is not None:
                for part, area in walk.own(place, features, depth):
                    keep(part, area)
            advance()
    assert total is not None
    return [total[level] for level in levels]


def paint_bands(
    walk: Walk,
    encoder: Encoder,
    decoder: Decoder,
    maps: list[AffineMap],
    picture: np.ndarray,
    features: np.ndarray | None,
    masks: np.ndarray | None,
    replaced: Strength | None,
    *,
    put: Callable[[np.ndarray, Area], object],
    advance: Callable[[], object],
) -> None:
    """Repaint a picture at the decoder's level.

    Args:
        walk: The way over it.
        encoder: The encoder.
        decoder: The decoder.
        maps: The map of its features, or of each region's.
        picture: The picture.
        features: Its features, in cells, if they were kept.
        masks: The regions.
        replaced: The share of what the decoder loses that is not given back, if anything is.
        put: Called with each part of the result, not clipped, and where it belongs.
        advance: Called after each band.
    """
    give_back()
    painting = _painting(walk, encoder, decoder, maps, picture, features, masks, replaced)
    with reusing([]):
        for place, made in _ahead(painting):
            for part, area in walk.own(place, made):
                put(part, area)
            advance()


def _measuring(
    walk: Walk,
    encoder: Encoder,
    picture: np.ndarray,
    masks: np.ndarray | None,
    levels: Sequence[int],
) -> Iterator[tuple[Band, dict[int, Content], Features]]:
    """Yield what is measured of each band; and the deepest level's features, and where they are."""
    depth = max(levels)
    layers = encoder.plan(depth)
    for bands in walk.measured(depth):
        columns = bands[0].columns
        kept = walk.no_rows(layers, columns, 1)
        for band in bands:
            places = {level: band.above(reach(level), walk.size[0]) for level in levels}
            found, features, kept = _measure(
                encoder,
                kept,
                walk.cut(picture, band),
                {level: walk.cut(masks, place) for level, place in places.items()},
                {level: walk.own_cells(place, level) for level, place in places.items()},
                band.rows.start,
                walk.inside(columns, 1),
            )
            yield places[depth], found, features


def _painting(
    walk: Walk,
    encoder: Encoder,
    decoder: Decoder,
    maps: list[AffineMap],
    picture: np.ndarray,
    features: np.ndarray | None,
    masks: np.ndarray | None,
    replaced: Strength | None,
) -> Iterator[tuple[Band, Parts]]:
    """Yield the bands of the repainted picture, and where they belong."""
    level, height = decoder.level, walk.size[0]
    for bands in walk.painted(level):
        columns = bands[0].columns
        kept = _Kept(
            walk.no_rows(encoder.plan(level), columns, 1) if features is None else None,
            walk.no_rows(decoder.plan(), columns, level),
            walk.no_rows(decoder.plan(), columns, level),
        )
        for band in bands:
            mapped = band.above(reach(level), height) if features is None else band
            made = mapped.above(reach(level), height)
            parts, kept = _paint(
                encoder,
                decoder,
                maps,
                kept,
                walk.cut(picture if features is None else features, band, level),
                walk.cut(masks, mapped),
                None
                if replaced is None
                else (walk.cut(picture, made), walk.cut(masks, made), replaced),
                band.rows.start // stride(level),
                walk.inside(columns, level),
            )
            yield made, parts


def _ahead(results: Iterator[Result]) -> Iterator[Result]:
    """Yield results when they are there, the devices being at work on the next one by then."""
    for result, _ in pairwise(chain(results, [None])):
        yield jax.block_until_ready(result)


@compiled_elsewhere
def _measure(
    encoder: Encoder,
    kept: list[Rows],
    parts: Parts,
    masks: dict[int, Masks | None],
    inside: dict[int, Weights],
    start: Length,
    size: Size,
) -> tuple[dict[int, Content], Features, list[Rows]]:
    """Measure the moments of these parts together, and return the deepest features."""
    depth = max(inside)
    levels = sorted(inside)
    wanted = [len(layer_names(level)) - 1 for level in levels]
    features, kept = run_band(parts, kept, encoder.plan(depth), start, size, wanted)
    found = {}
    for level, values in zip(levels, features, strict=True):
        regions = _regions(masks[level])
        cells = None if regions is None else average(regions, level)
        whole, of_regions = measure(values, inside[level], cells)
        found[level] = _sum(whole, 0), None if of_regions is None else _sum(of_regions, 1)
    return found, features[-1], kept


class _Kept(NamedTuple):
    """What layers keep for the next band: the decoder's for features in the style and as they are.

    And the encoder's at level 1.
    """

    encoder: list[Rows] | None
    restyled: list[Rows]
    plain: list[Rows]


@compiled_elsewhere
def _paint(
    encoder: Encoder,
    decoder: Decoder,
    maps: list[AffineMap],
    kept: _Kept,
    given: Features,
    masks: Masks | None,
    beneath: tuple[Parts, Masks | None, Strength] | None,
    start: Length,
    size: Size,
) -> tuple[Parts, _Kept]:
    """Repaint parts, of which the features are given, or else, at level 1, the pixels.

    `beneath` is what to give back of the picture: where the result will be, that and the masks; and
    the share that is replaced.
    """
    encoding, restyled, plain = kept
    if encoding is None:
        features = given
    else:
        [features], encoding = run_band(given, encoding, encoder.plan(decoder.level), start, size)
        start = start - 1
    regions = _regions(masks)
    cells = None if regions is None else average(regions, decoder.level)
    mapped, affine = restyle(features, maps, cells)
    [result], restyled = run_band(mapped, restyled, decoder.plan(), start, size, affine=affine)
    if beneath is not None:
        [decoded], plain = run_band(features, plain, decoder.plan(), start, size)
        canvas, masks, replaced = beneath
        result = give_back_detail(result, canvas, decoded, _regions(masks), replaced)
    return result, _Kept(encoding, restyled, plain)


def _regions(
    masks: Float[Array, "devices height width regions"] | None,
) -> Float[Array, "regions devices height width"] | None:
    return None if masks is None else share_out(jnp.moveaxis(masks, -1, 0))


def _sum(moments, axis: int):
    """Merge sets of moments along an axis, which is kept with a length of one."""
    count = moments.weight.shape[axis]
    sets = [
        jax.tree.map(lambda value, i=i: lax.slice_in_dim(value, i, i + 1, axis=axis), moments)
        for i in range(count)
    ]
    return reduce(merge_moments, sets)


@program
def _merge(first: dict[int, Content], second: dict[int, Content]) -> dict[int, Content]:
    return jax.tree.map(merge_moments, first, second, is_leaf=lambda each: hasattr(each, "mean"))
