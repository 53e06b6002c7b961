"""What the chain does at one level, on features: measure, find the maps, apply them, decode.

Of a whole picture at once, or of its tiles: moments of tiles add up, and a map is one for all.

`masks` are regions with styles of their own, `(regions, #batch, height, width)`, in pixels; `cells`
are the same masks averaged over the features' cells. Without regions both are None.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._border import Size
from ._by_name import find_transform
from ._layers import stride
from ._masks import steady
from ._moments import Moments, moments
from ._networks import Decoder
from ._padding import coverage
from ._recipe import Ridge, Strength
from ._transform import AffineMap, add_ridge

Features = Float[Array, "batch height width channels"]
Cells = Float[Array, "regions #batch height width"]
Content = tuple[Moments, Moments | None]
"""Moments of a picture, and of its regions, if it has any, along a leading axis."""


@partial(jax.jit, static_argnames="level")
def average(
    masks: Float[Array, "regions #batch height width"], level: int
) -> Float[Array, "regions #batch _ _"]:
    """Average masks over the cells of a level's features."""
    *sets, height, width = masks.shape
    cell = stride(level)
    cells = masks.reshape(*sets, height // cell, cell, width // cell, cell)
    return cells.mean((-3, -1))


@jax.jit
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


@partial(jax.jit, static_argnames="level")
def measure_picture(features: Features, size: Size, level: int, cells: Cells | None) -> Content:
    """Measure the moments of a level's features of a picture on its canvas, and of its regions.

    Args:
        features: The features.
        size: The picture's height and width, in pixels.
        level: The level.
        cells: As of `measure`.
    """
    return measure(features, coverage(features, size, level), cells)


@jax.jit
def as_style(content: Content) -> Moments:
    """Return the moments of a style's picture, of its only region if it has one.

    Without residues, as no style is ever whitened; of one picture, without the axis of the batch.
    """
    whole, parts = content
    found = whole if parts is None else steady(_take(parts, 0), whole)
    return _take(replace(found, residue=None), 0)


@partial(jax.jit, static_argnames=("transform", "solver"))
def find_maps(
    content: Content,
    style: Moments,
    strength: Strength,
    ridge: Ridge,
    transform: str,
    solver: str | None,
) -> AffineMap:
    """Find the map of a picture's features, or the maps of its regions', along a leading axis.

    Args:
        content: The picture's moments.
        style: The style's, with the content's leading axis, or each region's style along it.
        strength: How much of the style, 0 … 1, for all images of the batch or for each.
        ridge: See `Recipe`, as of the names of transform and solver.
        transform: A transform's name.
        solver: A solver's name, or None, as of `Recipe`.
    """

    def find_map(content: Moments, style: Moments) -> AffineMap:
        affine = find_transform(transform, solver)(add_ridge(content, ridge), style)
        return affine.blend(strength)

    whole, parts = content
    if parts is None:
        return find_map(whole, style)
    regions = range(len(parts.mean))
    return _stack(
        [find_map(steady(_take(parts, i), whole), _take(style, slice(i, i + 1))) for i in regions]
    )


@jax.jit
def restyle(features: Features, maps: AffineMap, cells: Cells | None) -> Features:
    """Apply a map to features, or to each region its own; what no mask covers stays as it is."""
    if cells is None:
        return maps(features)
    mapped = (1 - cells.sum(0))[..., None] * features
    for index, cell in enumerate(cells):
        mapped = mapped + cell[..., None] * _take(maps, index)(features)
    return mapped


@partial(jax.jit, static_argnames=("level", "transform", "solver"))
def restyle_picture(
    features: Features,
    size: Size,
    level: int,
    cells: Cells | None,
    style: Moments,
    strength: Strength,
    ridge: Ridge,
    transform: str,
    solver: str | None,
) -> Features:
    """Give a picture's features the style: measure them, find the maps and apply them, in one.

    Args:
        features: The features.
        size: The picture's height and width, in pixels.
        level: The level.
        cells: As of `measure`.
        style: As of `find_maps`, like all that follows.
        strength: How much of the style.
        ridge: See `Recipe`.
        transform: A transform's name.
        solver: A solver's name, or None.
    """
    content = measure_picture(features, size, level, cells)
    return restyle(features, find_maps(content, style, strength, ridge, transform, solver), cells)


def decode(
    decoder: Decoder,
    canvas: Float[Array, "batch _ _ 3"],
    features: Features,
    mapped: Features,
    masks: Float[Array, "regions #batch _ _"] | None,
    replaced: Strength | None,
    size: Size | None = None,
) -> Float[Array, "batch _ _ 3"]:
    """Decode mapped features, and give back of what the decoder loses of its input.

    Args:
        decoder: The level's decoder.
        canvas: The picture.
        features: Its features.
        mapped: The same, in the style.
        masks: Where the style goes; all over without any.
        replaced: Share of what the decoder loses that is not given back where the style goes; None
            if nothing is given back anywhere.
        size: How many rows and columns of the features are the picture's; all by default.
    """
    result = decoder(mapped, size=size)
    if replaced is None:
        return result
    return give_back_detail(result, canvas, decoder(features, size=size), masks, replaced)


@jax.jit
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


def _take(tree, index):
    return jax.tree.map(lambda value: value[index], tree)


def _stack(trees):
    return jax.tree.map(lambda *values: jnp.stack(values), *trees)
