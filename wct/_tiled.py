"""The chain on a picture that is too large for memory: part by part, as if it were whole.

At each level twice over the picture, in bands from top to bottom: first the moments, which add up
to the picture's; then, with the map that these give, the decoder. The features are kept between,
but for level 1's, which are one convolution and more than the picture itself.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from itertools import chain, pairwise
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ._bands import Rows, run_band
from ._border import Length, Size
from ._buckets import to_cells
from ._in_place import repeat_beyond
from ._layers import LEVELS, layer_names, stride
from ._level import Content, as_style, average, find_maps, give_back_detail, measure, restyle
from ._malloc import give_back
from ._masks import share_out
from ._moments import merge_moments
from ._networks import Decoder, Encoder
from ._onednn import compiled_elsewhere
from ._pixels import to_bytes
from ._program import program
from ._recipe import Recipe, Strength
from ._reuse import reusing
from ._scratch import Scratch
from ._style import Style
from ._stylizer import Stylizer
from ._tiles import Area, reach
from ._transform import AffineMap
from ._walk import Band, Walk

Parts = Float[Array, "devices height width 3"]
Masks = Float[Array, "devices height width regions"]
Features = Float[Array, "devices _ _ _"]
Weights = Float[Array, "devices _ _"]

Result = TypeVar("Result")


def repaint_tiles(
    stylizer: Stylizer,
    picture: np.ndarray,
    style: Style,
    recipe: Recipe,
    *,
    tile: int,
    scratch: Scratch,
    paste: Callable[[np.ndarray, Area], object],
    masks: np.ndarray | None = None,
    progress: Callable[[float], object] | None = None,
) -> None:
    """Repaint a picture part by part, on all devices of this process.

    Args:
        stylizer: The networks.
        picture: `(height, width, 3)`, uint8 or floats in [0, 1].
        style: The style, or with masks each region's along a leading axis of its moments.
        recipe: How to.
        tile: Side of a square of as many pixels as a device is to work on at a time.
        scratch: Where the pictures between levels are. If an earlier run left some, it goes on.
        paste: Called with each part of the result, `(height, width, 3)` floats as decoded, not
            clipped; and where it belongs.
        masks: `(height, width, regions)`, else as in `Stylizer`.
        progress: Called with the share of the work that is done.

    Raises:
        WctError: As `Stylizer`, or there is no room for a picture.
        WeightsError: The model has no decoder for a level.
    """
    work = stylizer.plan(style, recipe, None if masks is None else masks.shape[2])
    walk = Walk(picture.shape[:2], tile)
    encoder = walk.copy(stylizer.encoder)
    # To paint a band takes about twice as long as to measure it.
    costs = [
        sum(map(len, walk.measured(step.level))) + 2 * sum(map(len, walk.painted(step.level)))
        for _, _, step in work
    ]
    shape = (*walk.size, 3)  # of 32-bit floats: 16-bit ones, whitened, are off by up to 0.009
    start, result = _latest(scratch, len(work), picture)
    done = sum(costs[:start])

    def advance(cost: int) -> None:
        nonlocal done
        done += cost
        scratch.release()
        if progress is not None:
            progress(done / sum(costs))

    for count, (decoder, wanted, step) in enumerate(work[start:], start):
        last = count + 1 == len(work)
        painted = None if last else scratch.new(shape, np.float32, _name(count + 1))
        put = paste if painted is None else partial(scratch.write, painted)
        features = _room_for_features(scratch, walk, encoder, step.level)
        keep = None if features is None else partial(scratch.write, features)
        [content] = _measure_all(
            walk, encoder, result, masks, [step.level], keep=keep, advance=lambda: advance(1)
        )
        if features is not None:
            repeat_beyond(features[None], walk.size, step.level)
        maps = find_maps(content, wanted, step.alpha, recipe.ridge, recipe.transform, recipe.solver)
        networks = encoder, walk.copy(decoder), walk.copy(maps)
        replaced = jax.device_put(step.given_back(masks is not None))
        give_back()
        painting = _painting(walk, *networks, result, features, masks, replaced)
        with reusing([]):
            for place, made in _ahead(painting):
                for part, area in walk.own(place, made):
                    put(part, area)
                advance(2)
        if painted is not None:
            scratch.keep(_name(count + 1))
            scratch.drop(_name(count))
            result = painted


def repaint_into(
    result: np.ndarray,
    stylizer: Stylizer,
    picture: np.ndarray,
    style: Style,
    recipe: Recipe,
    *,
    tile: int,
) -> None:
    """Repaint a picture part by part into an array of its size: of uint8, or of floats in [0, 1].

    Takes and raises what `repaint_tiles` does.
    """

    def paste(part: np.ndarray, area: Area) -> None:
        result[area] = to_bytes(part) if result.dtype == np.uint8 else part.clip(0, 1)

    repaint_tiles(stylizer, picture, style, recipe, tile=tile, scratch=Scratch(), paste=paste)


def measure_tiles(
    stylizer: Stylizer, picture: np.ndarray, mask: np.ndarray | None, *, tile: int
) -> Style:
    """Measure a style's picture part by part; see `Stylizer.read_style`.

    Args:
        stylizer: The networks.
        picture: `(height, width, 3)`, uint8 or floats in [0, 1].
        mask: `(height, width)`: how much each pixel counts, 0 … 1.
        tile: As in `repaint_tiles`.
    """
    walk = Walk(picture.shape[:2], tile)
    masks = None if mask is None else mask[..., None]
    levels = sorted(LEVELS)
    found = _measure_all(walk, walk.copy(stylizer.encoder), picture, masks, levels)
    return Style(tuple(map(as_style, found)), stylizer.mark)


def _room_for_features(
    scratch: Scratch, walk: Walk, encoder: Encoder, level: int
) -> np.ndarray | None:
    """Return an array for a picture's features, in cells, if they are to be kept."""
    if level == 1:
        return None
    height, width = (to_cells(side) // stride(level) for side in walk.size)
    return scratch.new((height, width, encoder.widths[level - 1]), np.float32)


def _name(count: int) -> str:
    """Name the picture after so many levels."""
    return f"picture-{count}"


def _latest(scratch: Scratch, levels: int, picture: np.ndarray) -> tuple[int, np.ndarray]:
    """Return how many levels an earlier run has done, and the picture after them."""
    for count in range(levels - 1, 0, -1):
        found = scratch.find(_name(count), picture.shape, np.float32)
        if found is not None:
            return count, found
    return 0, picture


def _measure_all(
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
