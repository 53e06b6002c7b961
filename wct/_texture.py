"""Textures: noise, repainted in a style until nothing but the style is left."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ._errors import WctError, check_counts
from ._layers import CELL
from ._loaded import find_stylizer
from ._memory import DEFAULT_MEMORY, choose_tile, read_memory, telling
from ._pixels import strips, to_bytes
from ._styles import StyleReader
from ._tiles import full_halo

if TYPE_CHECKING:  # they import jax, which takes seconds
    from ._recipe import Recipe
    from ._style import Style
    from ._styles import StyleLike
    from ._stylizer import Stylizer

_HELD = 28
"""Bytes held for each pixel in bands: the noise and what becomes of it, as floats."""


def texture(
    style: StyleLike | Sequence[StyleLike],
    size: tuple[int, int] = (512, 512),
    *,
    seed: int = 0,
    weights: Sequence[float | Sequence[float]] | None = None,
    passes: int = 3,
    seamless: bool = False,
    levels: Sequence[int] = (5, 4, 3, 2, 1),
    transform: str = "wct",
    style_size: int = 512,
    memory: str | float = DEFAULT_MEMORY,
    model: str | os.PathLike[str] | Stylizer = "vgg19-lite",
    progress: Callable[[float], object] | None = None,
) -> Image.Image:
    """Synthesize a texture of any size from a style or a mixture of styles.

    Args:
        style: A picture, a `Style` or the path of one, or a list of several, which are mixed.
        size: Height and width of the texture, in pixels.
        seed: Of the noise that it starts from. Other seeds give other textures.
        weights: How much of each of several styles, as in `stylize`.
        passes: How often the chain is run.
        seamless: Make a texture that continues itself when it is laid side by side, as a tile.
            Its sides must be multiples of 16.
        levels: The levels to run in each pass, coarse (5) to fine (1).
        transform: How features are given the style's moments: wct, ot, adain or mean, or as a
            published implementation does it.
        style_size: Reduce each style to this longer side if it is larger, in pixels.
        memory: How much memory to use at most, such as 3GB, 800MB or a number of bytes. What would
            need more is done in bands, with the same result.
        model: The networks: a model's name or directory. Or a `Stylizer` that was loaded before.
        progress: Called after each pass with the share of the work that is done, up to 1.

    Returns:
        The texture, a Pillow image of mode RGB.

    Raises:
        ImageError: A picture cannot be read, or an array is not one.
        WeightsError: There is no such model, or it is incomplete or damaged.
        WctError: Another argument is out of range, or there is too little memory.

    References:
        Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017, section 4.3.
    """
    from ._recipe import Recipe, check_levels

    height, width = size
    check_counts(height=height, width=width, passes=passes)
    check_counts(0, seed=seed)
    if seamless and (height % CELL or width % CELL):
        raise WctError(
            f"sides of a seamless texture are multiples of {CELL}, but {height} × {width} are not"
        )
    check_levels(levels)
    stylizer = find_stylizer(model)
    budget = read_memory(memory)
    recipe = Recipe(1.0, levels=tuple(levels), transform=transform)
    margin = sum(map(full_halo, levels)) if seamless else 0
    whole = height + 2 * margin, width + 2 * margin
    tile = choose_tile(whole, stylizer.encoder.widths, recipe.levels, budget, None, _HELD)
    mixed = StyleReader(stylizer, style_size, budget).mix(style, weights)
    pixels = _noise(height, width, seed)
    for number in range(passes):
        if margin:
            pixels = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="wrap")
        with telling():
            pixels = _repaint(stylizer, pixels, mixed, recipe, tile)
        pixels = pixels[margin : margin + height, margin : margin + width]
        if progress is not None:
            progress((number + 1) / passes)
    return Image.fromarray(to_bytes(pixels))


def _noise(height: int, width: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    pixels = np.empty((height, width, 3), np.float32)
    for rows in strips(height):
        pixels[rows] = generator.uniform(size=pixels[rows].shape)
    return pixels


def _repaint(
    stylizer: Stylizer, pixels: np.ndarray, style: Style, recipe: Recipe, tile: int | None
) -> np.ndarray:
    import jax

    from ._tiled import repaint_into

    if tile is None:
        return np.asarray(stylizer(jax.device_put(pixels[None]), style, recipe))[0]
    result = np.empty_like(pixels)
    repaint_into(result, stylizer, pixels, style, recipe, tile=tile)
    return result
