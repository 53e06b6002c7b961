"""What the chain does at one level, on features: measure, find the maps, apply them, decode.

Of a whole picture at once, or of its bands: moments of bands add up, and a map is one for all.

`masks` are regions with styles of their own, `(regions, #batch, height, width)`, in pixels; `cells`
are the same masks averaged over the features' cells. Without regions both are None.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._at_hand import with_room
from ._border import NO_ROOM, Size
from ._by_name import find_transform
from ._layers import stride
from ._masks import steady
from ._moments import Moments, moments
from ._padding import coverage
from ._program import program
from ._recipe import Ridge, Strength
from ._reuse import leave
from ._transform import AffineMap, add_ridge

Features = Float[Array, "batch height width channels"]
Cells = Float[Array, "regions #batch height width"]
Content = tuple[Moments, Moments | None]
"""Moments of a picture, and of its regions, if it has any, along a leading axis."""


@partial(program, static_argnames="level")
def average(
    masks: Float[Array, "regions #batch height width"], level: int
) -> Float[Array, "regions #batch _ _"]:
    """Average masks over the cells of a level's features."""
    *sets, height, width = masks.shape
    cell = stride(level)
    cells = masks.reshape(*sets, height // cell, cell, width // cell, cell)
    return cells.mean((-3, -1))


@program
def measure(
    features: Features, inside: Float[Array, "#batch height width"], cells: Cells | None
) -> Content:
    """Measure the moments of features and of their regions.

    Args:
        features: Features of one level.
        inside: How much of each cell counts, 0 … 1.
        cells: Share of each region in each cell, all together at most 1.
    """
    whole = moments(features, inside)
    if cells is None:
        return whole, None
    return whole, _stack([moments(features, inside * cell) for cell in cells])


@partial(program, static_argnames="level")
def measure_picture(features: Features, size: Size, level: int, cells: Cells | None) -> Content:
    """Measure the moments of a level's features of a picture on its canvas, and of its regions.

    Args:
        features: The features.
        size: The picture's height and width, in pixels.
        level: The level.
        cells: As in `measure`.
    """
    return measure(features, coverage(features, size, level), cells)


@program
def as_style(content: Content) -> Moments:
    """Return the moments of a style's picture, of its only region if it has one.

    Without residues, as no style is ever whitened; of one picture, without the axis of the batch.
    """
    whole, parts = content
    found = whole if parts is None else steady(_take(parts, 0), whole)
    return _take(replace(found, residue=None), 0)


@program
def of_first(content: Moments) -> Moments:
    """Return the moments of the first picture of a batch, without the batch's axis."""
    return _take(content, 0)


@partial(program, static_argnames="count")
def for_each(content: Moments, count: int) -> Moments:
    """Return moments for so many pictures, along a leading axis."""
    return jax.tree.map(lambda value: jnp.broadcast_to(value, (count, *value.shape)), content)


@partial(program, light=True, static_argnames=("transform", "solver"))
def find_maps(
    content: Content,
    style: Moments,
    strength: Strength,
    ridge: Ridge,
    transform: str,
    solver: str | None,
) -> list[AffineMap]:
    """Find the map of a picture's features; or one for each of its regions, if it has any.

    Args:
        content: The picture's moments.
        style: The style's, with the content's leading axis, or each region's style along it.
        strength: How much of the style, 0 … 1, for all images of the batch or for each.
        ridge: See `Recipe`.
        transform: A transform's name.
        solver: A solver's name, or None, as in `Recipe`.
    """

    def find_map(content: Moments, style: Moments) -> AffineMap:
        affine = find_transform(transform, solver)(add_ridge(content, ridge), style)
        return affine.blend(strength)

    whole, parts = content
    if parts is None:
        return [find_map(whole, style)]
    regions = range(len(parts.mean))
    return [
        find_map(steady(_take(parts, i), whole), _take(style, slice(i, i + 1))) for i in regions
    ]


def restyle(
    features: Features, maps: list[AffineMap], cells: Cells | None
) -> tuple[Features, AffineMap | None]:
    """Apply to each region its own map; what no mask covers stays as it is.

    Without regions features stay as they are: their map is returned, for the decoder to begin with.
    """
    if cells is None:
        [affine] = maps
        return features, affine
    result = _uncovered(features, cells)
    for region, affine in enumerate(maps):
        mapped = with_room(features, NO_ROOM, affine)
        result = _cover(result, mapped, cells, region)
        leave(mapped)
    return result, None


@program
def give_back_detail(
    result: Float[Array, "batch _ _ 3"],
    canvas: Float[Array, "batch _ _ 3"],
    decoded: Float[Array, "batch _ _ 3"],
    masks: Float[Array, "regions #batch _ _"] | None,
    replaced: Strength,
) -> Float[Array, "batch _ _ 3"]:
    """Add to a result of what the picture itself lost when it was decoded."""
    # Without masks as with one all over: an array, that the sum below is the same to the last bit.
    restyled = jnp.ones_like(canvas[:1, ..., :1]) if masks is None else masks.sum(0)[..., None]
    share = 1 - restyled * replaced.reshape(-1, 1, 1, 1)
    return result + share * (canvas - decoded)


@program
def _uncovered(features: Features, cells: Cells) -> Features:
    return (1 - cells.sum(0))[..., None] * features


@partial(program, donate_argnames="result")
def _cover(
    result: Features, mapped: Features, cells: Cells, region: int | Int[Array, ""]
) -> Features:
    return result + cells[region, ..., None] * mapped


def _take(tree, index):
    return jax.tree.map(lambda value: value[index], tree)


def _stack(trees):
    return jax.tree.map(lambda *values: jnp.stack(values), *trees)
