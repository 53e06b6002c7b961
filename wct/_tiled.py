"""The chain on a picture that is too large for memory: part by part, as if it were whole.

At each level twice over the picture, in bands from top to bottom: first the moments, which add up
to the picture's; then, with the map that these give, the decoder. The features are kept between,
but for level 1's, which are one convolution and more than the picture itself.
"""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from ._buckets import to_cells
from ._in_place import repeat_beyond
from ._layers import LEVELS, stride
from ._level import as_style, find_maps
from ._networks import Encoder
from ._passes import measure_bands, paint_bands
from ._pixels import to_bytes
from ._recipe import Recipe
from ._scratch import Scratch
from ._style import Style
from ._stylizer import Stylizer
from ._tiles import Area
from ._walk import Walk


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
        [content] = measure_bands(
            walk, encoder, result, masks, [step.level], keep=keep, advance=lambda: advance(1)
        )
        if features is not None:
            repeat_beyond(features[None], walk.size, step.level)
        maps = find_maps(content, wanted, step.alpha, recipe.ridge, recipe.transform, recipe.solver)
        networks = encoder, walk.copy(decoder), walk.copy(maps)
        replaced = jax.device_put(step.given_back(masks is not None))
        paint_bands(
            walk, *networks, result, features, masks, replaced, put=put, advance=lambda: advance(2)
        )
        if painted is not None:
            scratch.keep(_name(count + 1))
            result = painted
            scratch.drop(_name(count))


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
    found = measure_bands(walk, walk.copy(stylizer.encoder), picture, masks, levels)
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
