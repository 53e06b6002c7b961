"""One call: any picture, any style, and back the kind that was given."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from ._color import check_colors, match_colors, with_chroma_of
from ._errors import WctError
from ._image import (
    ImageLike,
    Picture,
    fit,
    read_image,
    read_size,
    resize,
    shrink_to,
    strips,
    to_bytes,
    to_floats,
)
from ._layers import LEVELS
from ._memory import DEFAULT_MEMORY, HELD, MASK, RESIZED, choose_tile, read_memory, telling
from ._scratch import Scratch
from ._strips import read_strips, write_strips
from ._write import find_format, refuse_existing, write_image

if TYPE_CHECKING:  # they import jax, which takes seconds: `wct --help` must not wait for it
    from ._masks import MaskLike
    from ._recipe import Recipe
    from ._style import Style
    from ._stylizer import Patches, Stylizer

    StyleLike = ImageLike | Style


def stylize(
    content: ImageLike,
    style: StyleLike | Sequence[StyleLike],
    alpha: float | Sequence[float] | None = None,
    *,
    preset: str = "balanced",
    weights: Sequence[float | Sequence[float]] | None = None,
    levels: Sequence[int] | None = None,
    detail: float | Sequence[float] | None = None,
    transform: str | None = None,
    ridge: float | None = None,
    solver: str | None = None,
    swap: Sequence[int] | None = None,
    colors: str = "style",
    masks: Sequence[MaskLike] | None = None,
    style_masks: Sequence[MaskLike | None] | None = None,
    feather: float = 0.0,
    refine: int = 0,
    size: int | None = None,
    style_size: int = 512,
    tile: int | None = None,
    memory: str | float = DEFAULT_MEMORY,
    scratch: str | os.PathLike[str] | None = None,
    allow_large: bool = False,
    model: str | os.PathLike[str] | Stylizer = "vgg19-lite",
    progress: Callable[[float], object] | None = None,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Image.Image | np.ndarray | None:
    """Repaint a picture in the style of another one.

    Args:
        content: The picture to repaint. A path, a binary stream, a Pillow image, or an array
            `(height, width, 3)` of uint8 or of floats in [0, 1].
        style: The picture whose style to take. The same kinds, a `Style` that was read before, or
            the path of one, a `.safetensors` file. A list of several is mixed.
        alpha: Strength of the style, from 0 (the content itself) to 1. One for all levels, or
            one for each of `levels`. The preset's by default.
        preset: The recipe that decides what is not given: balanced, faithful, strong or paper.
        weights: How much of each of several styles, in their order, 1 in all; a number each, or
            five, for the levels 5 to 1. Equal shares by default.
        levels: The levels of VGG-19 to run, coarse (5) to fine (1). Any of them, in any order;
            the preset's, all five, by default.
        detail: Share of the content's fine detail that is kept whatever the strength, from 0 to 1.
            One for all levels, or one for each of `levels`. The preset's by default.
        transform: How features are given the style's moments: wct, ot, adain or mean, or as a
            published implementation does it. The preset's by default. See `whiten_and_color`,
            `optimal_transport`, `match_deviations` and `match_means`.
        ridge: What is added to the content's variances before they are whitened, relative to their
            mean: 0 or, against noise and flicker, say 0.01. The preset's by default.
        solver: How square roots of covariances are taken: eigh or, for wct and ot,
            newton-schulz. The preset's by default.
        swap: Levels at which each patch of the content becomes the nearest patch of the style
            instead: style-swap. It takes one style, as a picture, and no masks.
        colors: Whose colours the result has: style, luminance or matched. With luminance it has
            the content's, and only lightness changes; with matched, the style is recoloured like
            the content first.
        masks: Where each of several styles goes, in place of `weights`: a mask for each, of the
            content's proportions, as a path, a Pillow image or an array `(height, width)`; white
            or 1 where the style is wanted. What no mask covers stays as it is.
        style_masks: Which part of each style's picture to take; None for all of it.
        feather: Width of the masks' soft borders, in pixels.
        refine: Steps of optimisation of the result itself, on Gatys et al.'s losses, at the end.
            Slow and good: some tens bring it much nearer to the style.
        size: Resize the content to this longer side first, in pixels. Its own size by default.
        style_size: Reduce the style to this longer side if it is larger, in pixels. The larger,
            the broader the strokes of the result.
        tile: Work on tiles of this side, in pixels; a multiple of 16. The result is that of the
            whole picture. By default tiles are used, as large as fit, if the whole would need more
            than `memory`.
        memory: How much memory to use at most, such as 3GB, 800MB or a number of bytes.
        scratch: A directory for the pictures between levels, of a picture in tiles. What was done
            of it stays there if it is interrupted, and the same call goes on from there.
        allow_large: Read files of more than `PIL.Image.MAX_IMAGE_PIXELS` pixels: a small file can
            hold so many that they fill the memory. Only such that you trust.
        model: The networks: a model's name or directory. Or a `Stylizer` that was loaded before.
        progress: Called now and then with the share of the work that is done, up to 1.
        output: A file to write the result to, as `write_image` does. Of a picture that is done in
            tiles, neither the content's file nor this one is ever held in memory.
        overwrite: Replace that file if it exists.

    Returns:
        The repainted picture, of the content's kind and size. A path, a stream or a Pillow image
        gives a Pillow image, with the content's transparency; an array gives an array of its dtype
        (floats become float32). Nothing, if there is an output.

    Raises:
        ImageError: A picture cannot be read or written, or an array is not one.
        WeightsError: There is no such model, or it is incomplete or damaged.
        WctError: Another argument is out of range, or there is too little memory.

    References:
        Y. Li, C. Fang, J. Yang, Z. Wang, X. Lu, M.-H. Yang, "Universal Style Transfer via Feature
        Transforms", NeurIPS 2017.
    """
    from ._large import repaint_large
    from ._masks import count_styles, feathered, read_mask
    from ._mixing import stack_styles
    from ._recipe import find_recipe, vary

    if refine < 0:
        raise WctError(f"refine must be at least 0 steps, not {refine}")
    if refine and masks is not None:
        raise WctError("refinement is towards one style: give masks or refine, not both")
    if not 0 <= feather < float("inf"):
        raise WctError(f"feather must be at least 0 pixels, not {feather}")
    if size is not None and size < 1:
        raise WctError(f"size must be at least 1 pixel, not {size}")
    check_colors(colors)
    if output is not None:
        find_format(output)
        if not overwrite:
            refuse_existing(Path(output))
    recipe = vary(
        find_recipe(preset), alpha=alpha, levels=levels, detail=detail, transform=transform,
        ridge=ridge, solver=solver,
    )  # fmt: skip
    budget = read_memory(memory)
    stylizer = find_stylizer(model)
    files = Scratch()
    shape, read = _open_content(content, allow_large)
    shape = shape if size is None else fit(shape, size)
    held = HELD[output is None] + RESIZED * (size is not None) + MASK * len(masks or ())
    side = choose_tile(shape, stylizer.encoder.widths, recipe.levels, budget, tile, held)
    if side is not None and (swap is not None or refine):
        raise WctError(
            f"{'refinement' if refine else 'style-swap'} works on whole pictures: give a smaller "
            "size, no tile, or more memory"
        )
    picture = read(None if side is None else files)
    pixels = resize(picture.stored, shape) if size is not None else picture.stored
    if colors == "matched":
        style = [_recolor(each, pixels, style_size) for each in _listed(style)]
    patches = None
    if swap is not None:
        style = _read_only_picture(style, style_size)
        patches = stylizer.read_patches(style, swap)
    if masks is None:
        regions = None
        found = mix_pictures(
            style, weights, style_size=style_size, model=stylizer, masks=style_masks, budget=budget
        )
    else:
        if weights is not None:
            raise WctError("give masks or weights, not both")
        styles = read_styles(
            style, style_size=style_size, model=stylizer, masks=style_masks, budget=budget
        )
        count_styles(masks, styles)
        regions = [feathered(read_mask(mask, shape), float(feather)) for mask in masks]
        found = stack_styles(styles)
    if output is None or side is None:
        repainted = np.empty((*shape, 3), np.float32 if picture.kind == "float" else np.uint8)
    else:
        repainted = files.new((*shape, 3), np.uint8)

    def paste(result: np.ndarray, area: slice | tuple[slice, slice]) -> None:
        result = result.clip(0, 1)
        if colors == "luminance":
            result = with_chroma_of(to_floats(pixels[area]), result)
        repainted[area] = result if repainted.dtype == np.float32 else to_bytes(result)

    with telling():
        if side is None:
            result = _repaint_whole(
                stylizer, pixels, found, recipe, regions, patches, refine, progress or _ignore
            )
            for rows in strips(len(result)):
                paste(result[rows], rows)
        else:
            repaint_large(
                stylizer, pixels, found, recipe, regions,
                tile=side, files=files, scratch=scratch, paste=paste, progress=progress,
            )  # fmt: skip
    if output is None:
        return picture.like(repainted)
    if side is None:
        write_image(picture.like(repainted), output, overwrite=overwrite)
    else:
        write_strips(picture, repainted, Path(output), overwrite=overwrite)
    return None


def _open_content(
    content: ImageLike, allow_large: bool
) -> tuple[tuple[int, int], Callable[[Scratch | None], Picture]]:
    """Return a picture's size, and what reads it: into files, if there are some and it is one."""
    if not isinstance(content, str | os.PathLike):
        picture = read_image(content, allow_large=allow_large)
        return picture.stored.shape[:2], lambda _: picture

    def read(files: Scratch | None) -> Picture:
        found = None if files is None else read_strips(content, files)
        return found or read_image(content, allow_large=allow_large)

    return read_size(content, allow_large=allow_large), read


def _repaint_whole(
    stylizer: Stylizer,
    pixels: np.ndarray,
    style: Style,
    recipe: Recipe,
    masks: Sequence[np.ndarray] | None,
    patches: Patches | None,
    refine: int,
    progress: Callable[[float], object],
) -> np.ndarray:
    import jax

    from ._refine import refine as refine_picture

    content = jax.numpy.asarray(to_floats(pixels))
    result = content[None]
    regions = None if masks is None else jax.numpy.stack(masks)
    count = len(recipe.levels) + refine
    steps = stylizer.steps(result, style, recipe, masks=regions, patches=patches)
    for done, result in enumerate(steps, start=1):
        jax.block_until_ready(result)
        progress(done / count)
    if refine > 0:
        refined = refine_picture(stylizer.encoder, result[0].clip(0, 1), content, style, refine)
        for done, (picture, _) in enumerate(refined, start=len(recipe.levels) + 1):
            result = picture[None]
            progress(done / count)
    return np.asarray(result[0])


def _ignore(_: float) -> None:
    pass


def read_style(
    *pictures: StyleLike,
    style_size: int = 512,
    memory: str | float = DEFAULT_MEMORY,
    model: str | os.PathLike[str] | Stylizer = "vgg19-lite",
) -> Style:
    """Measure the style of a picture, or of several as if they were one.

    Args:
        *pictures: Paths, binary streams, Pillow images, arrays, or styles that were read before
            and the paths of their files.
        style_size: Reduce each picture to this longer side if it is larger, in pixels. The larger,
            the broader the strokes of the result.
        memory: How much memory to use at most, such as 3GB, 800MB or a number of bytes. Pictures
            that would need more are measured in tiles, with the same result.
        model: The networks: a model's name or directory. Or a `Stylizer` that was loaded before.

    Raises:
        ImageError: A picture cannot be read, or an array is not one.
        WeightsError: There is no such model, or it is incomplete or damaged.
        WctError: There are no pictures, or a style is of another model.
    """
    from ._mixing import pool_styles

    budget = read_memory(memory)
    styles = read_styles(pictures, style_size=style_size, model=find_stylizer(model), budget=budget)
    return styles[0] if len(styles) == 1 else pool_styles(styles)


def mix_pictures(
    style: StyleLike | Sequence[StyleLike],
    weights: Sequence[float | Sequence[float]] | None,
    *,
    style_size: int,
    model: Stylizer,
    budget: float,
    masks: Sequence[MaskLike | None] | None = None,
) -> Style:
    """Read one or several styles, and mix them."""
    from ._mixing import mix_styles

    styles = read_styles(style, style_size=style_size, model=model, budget=budget, masks=masks)
    return mix_styles(styles, weights)


def read_styles(
    style: StyleLike | Sequence[StyleLike],
    *,
    style_size: int,
    model: Stylizer,
    budget: float,
    masks: Sequence[MaskLike | None] | None = None,
) -> list[Style]:
    """Read one or several styles, each from the part of its picture that its mask selects."""
    from ._masks import count_styles
    from ._style import Style

    if style_size < 1:
        raise WctError(f"style_size must be at least 1 pixel, not {style_size}")
    pictures = _listed(style)
    selected = [None] * len(pictures) if masks is None else masks
    count_styles(selected, pictures)
    styles = []
    for picture, mask in zip(pictures, selected, strict=True):
        if _is_measured(picture):
            if mask is not None:
                raise WctError("a style's mask selects a part of its picture: give that, no Style")
            found = picture if isinstance(picture, Style) else Style.load(cast("str", picture))
        else:
            found = measure_picture(model, _read_pixels(picture, style_size), mask, budget)
        styles.append(found)
    return styles


def measure_picture(
    model: Stylizer, pixels: np.ndarray, mask: MaskLike | None, budget: float
) -> Style:
    """Measure a style's picture, or the part of it that a mask selects, within so many bytes."""
    from ._masks import read_mask
    from ._tiled import measure_tiles

    tile = choose_tile(pixels.shape[:2], model.encoder.widths, LEVELS, budget, None)
    if tile is None:
        return model.read_style(pixels, mask)
    weights = None if mask is None else read_mask(mask, pixels.shape[:2])
    return measure_tiles(model, pixels, weights, tile=tile)


def _listed(style: StyleLike | Sequence[StyleLike]) -> Sequence[StyleLike]:
    several = isinstance(style, Sequence) and not isinstance(style, str)
    return cast("Sequence[StyleLike]", style if several else [style])


def _read_only_picture(style: StyleLike | Sequence[StyleLike], style_size: int) -> np.ndarray:
    styles = _listed(style)
    if len(styles) != 1 or _is_measured(styles[0]):
        raise WctError("style-swap looks at a style's picture: give one, and no Style")
    return _read_pixels(styles[0], style_size)


def _recolor(style: StyleLike, content: np.ndarray, style_size: int) -> np.ndarray:
    if _is_measured(style):
        raise WctError("colors='matched' recolours the style's picture: give that, not a Style")
    return match_colors(to_floats(_read_pixels(style, style_size)), content)


def _read_pixels(style: StyleLike, style_size: int) -> np.ndarray:
    pixels = read_image(cast("ImageLike", style)).stored
    return pixels if max(pixels.shape) <= style_size else shrink_to(pixels, style_size)


def _is_measured(style: StyleLike) -> bool:
    """Whether it is a style that was read before, or the path of one, and not a picture."""
    from ._style import Style

    is_file = isinstance(style, str | os.PathLike) and Path(style).suffix == ".safetensors"
    return is_file or isinstance(style, Style)


def find_stylizer(model: str | os.PathLike[str] | Stylizer) -> Stylizer:
    from ._compiled import keep_programs
    from ._models import find_model
    from ._stylizer import Stylizer

    if isinstance(model, Stylizer):
        return model
    keep_programs()
    return _load(find_model(model).resolve())


@functools.lru_cache(maxsize=2)
def _load(model: Path) -> Stylizer:
    from ._stylizer import Stylizer

    return Stylizer.from_pretrained(model)
