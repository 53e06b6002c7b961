"""The chain on a picture that is too large for memory: tile by tile, as if it were whole.

At each level twice over the tiles: first the moments, which add up to the picture's; then, with the
map that these give, the decoder. The features are kept between, but for level 1's, which are one
convolution and more than the picture itself.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from itertools import chain, pairwise, product
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from ._border import Size
from ._buckets import to_cells
from ._image import to_bytes
from ._layers import LEVELS, stride
from ._level import Content, as_style, average, decode, find_maps, measure, restyle
from ._malloc import give_back
from ._masks import share_out
from ._moments import merge_moments
from ._networks import Decoder, Encoder
from ._onednn import compiled_elsewhere, is_usable
from ._recipe import Recipe, Strength
from ._scratch import Scratch
from ._style import Style
from ._stylizer import Stylizer
from ._tiles import Area, Place, cut, fit, halo, in_cells, own_cells, own_part, spans
from ._transform import AffineMap

Tiles = Float[Array, "rounds devices height width 3"]
Masks = Float[Array, "rounds devices height width regions"]
Features = Float[Array, "rounds devices _ _ _"]
Weights = Float[Array, "rounds devices _ _"]

Result = TypeVar("Result")

_TOGETHER = (3, 2)
"""How many tiles a device does in one call that is one program, one after the other: they share its
memory, and to take memory anew costs time. The first is chosen that leaves least undone at the end.
"""


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
    """Repaint a picture tile by tile, on all devices of this process.

    Args:
        stylizer: The networks.
        picture: `(height, width, 3)`, uint8 or floats in [0, 1].
        style: The style, or with masks each region's along a leading axis of its moments.
        recipe: How to.
        tile: Side of the largest tiles, in pixels, halo included; a multiple of 16.
        scratch: Where the pictures between levels are. If an earlier run left some, it goes on.
        paste: Called with each part of the result, `(height, width, 3)` floats as decoded, not
            clipped; and where it belongs.
        masks: `(height, width, regions)`, else as of `Stylizer`.
        progress: Called with the share of the work that is done.

    Raises:
        WctError: As `Stylizer`, or there is no room for a picture.
        WeightsError: The model has no decoder for a level.
    """
    work = stylizer.plan(style, recipe, None if masks is None else masks.shape[2])
    walk = _Walk(picture.shape[:2], tile)
    encoder = walk.copy(stylizer.encoder)
    # To paint a tile takes about twice as long as to measure it.
    costs = [3 * len(walk.batches(step.level)) for _, _, step in work]
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
        maps = find_maps(content, wanted, step.alpha, recipe.ridge, recipe.transform, recipe.solver)
        networks = encoder, walk.copy(decoder), walk.copy(maps)
        replaced = jax.tree.map(jnp.asarray, step.given_back(masks is not None))
        batches = walk.batches(step.level)
        give_back()
        painting = (
            _paint(
                *networks,
                walk.cut(result, batch),
                walk.cut(features, batch, step.level),
                walk.cut(masks, batch),
                replaced,
            )
            for batch in batches
        )
        for batch, made in zip(batches, _ahead(painting), strict=True):
            for place, pixels in zip(batch.places, _one_by_one(made), strict=False):
                put(*walk.own(place, pixels))
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
    """Repaint a picture tile by tile into an array of its size: of uint8, or of floats in [0, 1].

    Takes and raises what `repaint_tiles` does.
    """

    def paste(part: np.ndarray, area: Area) -> None:
        result[area] = to_bytes(part) if result.dtype == np.uint8 else part.clip(0, 1)

    repaint_tiles(stylizer, picture, style, recipe, tile=tile, scratch=Scratch(), paste=paste)


def measure_tiles(
    stylizer: Stylizer, picture: np.ndarray, mask: np.ndarray | None, *, tile: int
) -> Style:
    """Measure a style's picture tile by tile; see `Stylizer.read_style`.

    Args:
        stylizer: The networks.
        picture: `(height, width, 3)`, uint8 or floats in [0, 1].
        mask: `(height, width)`: how much each pixel counts, 0 … 1.
        tile: As of `repaint_tiles`.
    """
    walk = _Walk(picture.shape[:2], tile)
    masks = None if mask is None else mask[..., None]
    levels = sorted(LEVELS)
    found = _measure_all(walk, walk.copy(stylizer.encoder), picture, masks, levels)
    return Style(tuple(map(as_style, found)), stylizer.mark)


class _Batch(NamedTuple):
    """Tiles that one call is for: as many as `size`, or the last ones."""

    places: Sequence[Place]
    size: int


class _Walk:
    """A way over the tiles of pictures of one size: at each step, some for each device."""

    def __init__(self, size: tuple[int, int], tile: int):
        self.size = size
        self._tile = tile
        devices = jax.local_devices()
        mesh = jax.make_mesh(
            (len(devices),), ("tiles",), devices=devices, axis_types=(AxisType.Auto,)
        )
        self._devices = len(devices)
        self._split = NamedSharding(mesh, PartitionSpec(None, "tiles"))
        self._copied = NamedSharding(mesh, PartitionSpec())

    def batches(self, level: int) -> list[_Batch]:
        """Return where a level's tiles are, step by step."""
        margin = halo(level)
        rows, columns = (
            spans(length, fit(length, self._tile, margin), margin) for length in self.size
        )
        places = list(product(rows, columns))
        together = (1,) if is_usable() else _TOGETHER
        sizes = [count * self._devices for count in together]
        size = min(sizes, key=lambda size: -(-len(places) // size) * size)
        return [_Batch(places[i : i + size], size) for i in range(0, len(places), size)]

    def cut(self, picture: np.ndarray | None, batch: _Batch, level: int | None = None) -> Any:
        """Cut tiles out of a picture, or features out of a picture's of a level."""
        if picture is None:
            return None
        places = batch.places if level is None else [in_cells(at, level) for at in batch.places]
        return self._share([cut(picture, *at) for at in places], batch.size)

    def own_cells(self, batch: _Batch, level: int) -> Any:
        """Return how much each cell of these tiles counts."""
        cells = [own_cells(*at, self.size, level) for at in batch.places]
        return self._share(cells, batch.size, fill=0.0)

    def own(self, place: Place, pixels: np.ndarray) -> tuple[np.ndarray, Area]:
        """Return what is a tile's own and in the picture, and where it belongs."""
        rows, columns = (
            span._replace(last=min(span.last, length))
            for span, length in zip(place, self.size, strict=True)
        )
        return own_part((rows, columns), pixels)

    def copy(self, tree: Any) -> Any:
        """Give each device a copy of all arrays of a pytree."""
        return jax.device_put(tree, self._copied)

    def _share(self, arrays: list[np.ndarray], size: int, fill: float = 1.0) -> Any:
        """Share arrays out among the devices; missing ones are the last one times `fill`."""
        missing = size - len(arrays)
        arrays = arrays + missing * [fill * arrays[-1]]
        stacked = np.stack(arrays) if size > 1 else arrays[0][None]
        stacked = stacked.reshape(-1, self._devices, *stacked.shape[1:])
        return jax.device_put(stacked, self._split)


def _room_for_features(
    scratch: Scratch, walk: _Walk, encoder: Encoder, level: int
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
    walk: _Walk,
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
    batches = walk.batches(depth)
    measuring = (
        _measure(
            encoder,
            walk.cut(picture, batch),
            walk.cut(masks, batch),
            {level: walk.own_cells(batch, level) for level in levels},
            keep is not None,
        )
        for batch in batches
    )
    for batch, (found, features) in zip(batches, _ahead(measuring), strict=True):
        total = found if total is None else _merge(total, found)
        if keep is not None and features is not None:
            for place, values in zip(batch.places, _one_by_one(features), strict=False):
                keep(*own_part(in_cells(place, depth), values))
        advance()
    assert total is not None
    return [total[level] for level in levels]


def _ahead(results: Iterator[Result]) -> Iterator[Result]:
    """Yield results when they are there, the devices being at work on the next one by then."""
    for result, _ in pairwise(chain(results, [None])):
        yield jax.block_until_ready(result)


def _one_by_one(tiles: Tiles | Features) -> np.ndarray:
    """Return what a call made, with one leading axis."""
    found = np.asarray(tiles)
    return found.reshape(-1, *found.shape[2:])


@partial(compiled_elsewhere, static_argnames="kept")
def _measure(
    encoder: Encoder,
    tiles: Tiles,
    masks: Masks | None,
    inside: dict[int, Weights],
    kept: bool,
) -> tuple[dict[int, Content], Features | None]:
    """Measure the moments of these tiles together, and return the deepest features, if kept."""

    def measure_some(some):
        tiles, masks, inside = some
        features = encoder(tiles, max(inside), size=_size(tiles))
        regions = _regions(masks)
        found = {}
        for level, weights in inside.items():
            cells = None if regions is None else average(regions, level)
            whole, parts = measure(features[level - 1], weights, cells)
            found[level] = _sum(whole, 0), None if parts is None else _sum(parts, 1)
        return found, features[-1] if kept else None

    found, features = _one_after_another(measure_some, (tiles, masks, inside))
    rounds = [jax.tree.map(lambda value, i=i: value[i], found) for i in range(len(tiles))]
    return reduce(_merge, rounds), features


@compiled_elsewhere
def _paint(
    encoder: Encoder,
    decoder: Decoder,
    maps: AffineMap,
    tiles: Tiles,
    features: Features | None,
    masks: Masks | None,
    replaced: Strength | None,
) -> Tiles:
    """Repaint these tiles, whose features may be at hand."""

    def paint_some(some):
        tiles, features, masks = some
        if features is None:
            features = encoder.encode(tiles, decoder.level, size=_size(tiles))
        regions = _regions(masks)
        cells = None if regions is None else average(regions, decoder.level)
        mapped = restyle(features, maps, cells)
        return decode(decoder, tiles, features, mapped, regions, replaced, _size(features))

    return _one_after_another(paint_some, (tiles, features, masks))


def _one_after_another(function: Callable, trees: Any) -> Any:
    """Map a function over the leading axis of all arrays, which at hand is one of length one."""
    if not is_usable(trees):
        return lax.map(function, trees)
    return _add_axis(function(_drop_axis(trees)))


@partial(jax.jit, donate_argnums=0)
def _drop_axis(trees: Any) -> Any:
    """Take the leading axis off arrays, in place."""
    return jax.tree.map(lambda array: array[0], trees)


@partial(jax.jit, donate_argnums=0)
def _add_axis(trees: Any) -> Any:
    return jax.tree.map(lambda array: array[None], trees)


def _size(tiles: Float[Array, "devices height width _"]) -> Size:
    return tiles.shape[1], tiles.shape[2]


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


@jax.jit
def _merge(first: dict[int, Content], second: dict[int, Content]) -> dict[int, Content]:
    return jax.tree.map(merge_moments, first, second, is_leaf=lambda each: hasattr(each, "mean"))
