"""One call: any picture, any style, and back the kind that was given."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack, overload

import numpy as np
from PIL import Image

from ._color import check_colors, with_chroma_of
from ._errors import WctError, check_counts
from ._files import check_target
from ._image import ImageLike, Picture, SupportsArray, read_image, read_size
from ._loaded import find_stylizer
from ._memory import (
    DEFAULT_MEMORY,
    GIVEN_BACK,
    RESIZED,
    WRITTEN,
    choose_tile,
    left_by,
    read_memory,
    telling,
)
from ._opened import Readable
from ._pixels import fit, resize, strips, to_bytes, to_floats
from ._scratch import Scratch
from ._strips import read_strips, write_strips
from ._styles import StyleReader
from ._write import check_size, find_format, write_image

if TYPE_CHECKING:  # they import jax, which takes seconds: `wct --help` must not wait for it
    from ._chain import Patches
    from ._masks import MaskLike
    from ._recipe import Recipe
    from ._style import Style
    from ._styles import StyleLike
    from ._stylizer import Stylizer


class Options(TypedDict, total=False):
    """What `stylize` takes by name, but for `output`, on which the type of its result depends."""

    preset: str
    weights: Sequence[float | Sequence[float]] | None
    levels: Sequence[int] | None
    detail: float | Sequence[float] | None
    transform: str | None
    ridge: float | None
    solver: str | None
    swap: Sequence[int] | None
    colors: str
    masks: Sequence[MaskLike] | None
    style_masks: Sequence[MaskLike | None] | None
    feather: float
    refine: int
    size: int | None
    style_size: int
    tile: int | None
    memory: str | float
    scratch: str | os.PathLike[str] | None
    allow_large: bool
    model: str | os.PathLike[str] | Stylizer
    progress: Callable[[float], object] | None
    overwrite: bool


@overload
def stylize(
    content: str | os.PathLike[str] | Readable | Image.Image,
    style: StyleLike | Sequence[StyleLike],
    alpha: float | Sequence[float] | None = None,
    *,
    output: None = None,
    **options: Unpack[Options],
) -> Image.Image: ...


@overload
def stylize(
    content: np.ndarray | SupportsArray,
    style: StyleLike | Sequence[StyleLike],
    alpha: float | Sequence[float] | None = None,
    *,
    output: None = None,
    **options: Unpack[Options],
) -> np.ndarray: ...


@overload
def stylize(
    content: ImageLike,
    style: StyleLike | Sequence[StyleLike],
    alpha: float | Sequence[float] | None = None,
    *,
    output: str | os.PathLike[str],
    **options: Unpack[Options],
) -> None: ...


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
        levels: The levels of VGG-19 to run, coarse (5) to fine (1). Any of them, run in the order
            given; the preset's, all five, by default.
        detail: Share of the content's fine detail that is kept whatever the strength, from 0 to 1.
            One for all levels, or one for each of `levels`. The preset's by default.
        transform: How features are given the style's moments: wct, ot, adain or mean, or as a
            published implementation does it. The preset's by default. See `whiten_and_color`,
            `optimal_transport`, `match_deviations` and `match_means`.
        ridge: What is added to the content's variances before they are whitened, relative to their
            mean: 0 or, against noise and flicker, say 0.01. The preset's by default.
        solver: How square roots of covariances are taken: eigh or, for wct and ot,
            newton-schulz. By default eigh on CPUs, and elsewhere the latter where it can be.
        swap: Levels at which each patch of the content becomes the nearest patch of the style
            instead: style-swap. It takes one style, as a picture, and no masks.
        colors: Whose colours the result has: style, luminance or matched. With luminance it has
            the content's, and only lightness changes; with matched, the style is recoloured like
            the content first.
        masks: Where each of several styles goes, in place of `weights`: a mask for each, of the
            content's proportions, as a path, a binary stream, a Pillow image or an array
            `(height, width)`; white where the style is wanted, which is 255 of bytes and 1 of
            floats or bools. What no mask covers stays as it is, but for a soft transition.
        style_masks: Which part of each style's picture to take; None for all of it.
        feather: Width of the masks' soft borders, in pixels.
        refine: Steps of optimisation of the result itself, on Gatys et al.'s losses, at the end.
            Slow and good: some tens bring it much nearer to the style.
        size: Resize the content to this longer side first, in pixels. Its own size by default.
        style_size: Reduce the style to this longer side if it is larger, in pixels. The larger,
            the broader the strokes of the result.
        tile: Work in bands of as many pixels as a square of this side has. The result is that of
            the whole picture. By default that is done if the whole would need more than `memory`.
        memory: How much memory to use at most, such as 3GB, 800MB or a number of bytes.
        scratch: A directory for checkpoints of a picture in bands, from which the same call goes on
            if it was interrupted.
        allow_large: Read files of more than `PIL.Image.MAX_IMAGE_PIXELS` pixels: a small file can
            hold so many that they fill the memory. Only such that you trust.
        model: The networks: a model's name or directory. Or a `Stylizer` that was loaded before.
        progress: Called now and then with the share of the work that is done, up to 1.
        output: A file to write the result to, as `write_image` does. Of a picture that is done in
            bands, neither the content's file nor this one is ever held in memory.
        overwrite: Replace that file if it exists.

    Returns:
        The repainted picture, of the content's kind and, without `size`, of its size. A path, a
        stream or a Pillow image gives a Pillow image, with the content's transparency; an array
        gives an array of its dtype (floats become float32). Nothing, if there is an output.

    Raises:
        ImageError: A picture cannot be read or written, or an array is not one.
        WeightsError: There is no such model, or it is incomplete or damaged.
        WctError: Another argument is out of range, or there is too little memory.

    References:
        Y. Li, C. Fang, J. Yang, Z. Wang, X. Lu, M.-H. Yang, "Universal Style Transfer via Feature
        Transforms", NeurIPS 2017.
    """
    from ._large import repaint_large
    from ._recipe import Recipe

    if size is not None:
        check_counts(size=size)
    check_colors(colors)
    if output is not None:
        check_target(Path(output), overwrite=overwrite)
        find_format(output)
    recipe = Recipe.preset(
        preset, alpha=alpha, levels=levels, detail=detail, transform=transform, ridge=ridge,
        solver=solver,
    )  # fmt: skip
    _check_masks(masks, weights, feather, swap, refine)
    _check_swap(swap, recipe)
    budget = read_memory(memory)
    stylizer = find_stylizer(model)
    files = Scratch()
    shape, read = _open_content(content, allow_large)
    shape = shape if size is None else fit(shape, size)
    if output is not None:
        check_size(output, shape)
    held = GIVEN_BACK if output is None else WRITTEN
    held += 0 if size is None else RESIZED
    count = 0 if masks is None else len(masks)
    side = choose_tile(shape, stylizer.encoder.widths, recipe.levels, budget, tile, held, count)
    left = left_by(shape, budget, tile, held, count)
    reader = StyleReader(stylizer, style_size, left, allow_large)
    if side is not None and (swap or refine):
        raise WctError(
            f"{'refinement' if refine else 'style-swap'} works on whole pictures: give a smaller "
            "size, no tile, or more memory"
        )
    picture = read(None if side is None else files)
    pixels = resize(picture.stored, shape) if size is not None else picture.stored
    files.release()
    if colors == "matched":
        style = reader.recolor(style, pixels)
    patches = None
    if swap:
        style = reader.only_picture(style)
        patches = stylizer.read_patches(style, swap)
    if masks is None:
        regions, found = None, reader.mix(style, weights, style_masks)
    else:
        regions, found = _read_regions(reader, style, style_masks, masks, shape, feather)
    if output is None or side is None:
        repainted = np.empty((*shape, 3), np.float32 if picture.kind == "float" else np.uint8)
    else:
        repainted = files.new((*shape, 3), np.uint8)

    def paste(result: np.ndarray, area: slice | tuple[slice, slice]) -> None:
        result = result.clip(0, 1)
        if colors == "luminance":
            result = with_chroma_of(to_floats(pixels[area]), result)
        repainted[area] = result if repainted.dtype == np.float32 else to_bytes(result)

    def write() -> None:
        if output is None:
            return
        if side is None:
            write_image(picture.like(repainted), output, overwrite=overwrite)
        else:
            write_strips(picture, repainted, Path(output), overwrite=overwrite)

    with telling():
        if side is None:
            progress = progress or (lambda _: None)
            result = _repaint_whole(
                stylizer, pixels, found, recipe, regions, patches, refine, progress
            )
            for rows in strips(len(result)):
                paste(result[rows], rows)
            write()
        else:
            repaint_large(
                stylizer, pixels, found, recipe, regions,
                tile=side, files=files, scratch=scratch, paste=paste, finish=write,
                progress=progress,
            )  # fmt: skip
    return picture.like(repainted) if output is None else None


def _check_masks(
    masks: Sequence[MaskLike] | None,
    weights: Sequence[float | Sequence[float]] | None,
    feather: float,
    swap: Sequence[int] | None,
    refine: int,
) -> None:
    """Raise a `WctError` if masks do not go with what else is wanted, or a number is too low."""
    check_counts(0, refine=refine)
    if not 0 <= feather < float("inf"):
        raise WctError(f"feather must be at least 0 pixels, not {feather}")
    if masks is None:
        if feather:
            raise WctError("feather is for masks: give masks too")
        return
    if weights is not None:
        raise WctError("give masks or weights, not both")
    if refine:
        raise WctError("refinement is towards one style: give masks or refine, not both")
    if swap:
        raise WctError("style-swap knows no masks: give masks or swap, not both")


def _check_swap(swap: Sequence[int] | None, recipe: Recipe) -> None:
    """Raise a `WctError` if patches are to be swapped at a level that does not run."""
    from ._recipe import check_levels

    check_levels(swap or ())
    if not set(swap or ()) <= set(recipe.levels):
        raise WctError(f"swap {list(swap or ())} is for levels that run: {list(recipe.levels)}")


def _read_regions(
    reader: StyleReader,
    style: StyleLike | Sequence[StyleLike],
    style_masks: Sequence[MaskLike | None] | None,
    masks: Sequence[MaskLike],
    shape: tuple[int, int],
    feather: float,
) -> tuple[list[np.ndarray], Style]:
    """Return the masks, and their styles side by side."""
    from ._masks import count_styles, feathered, read_mask
    from ._mixing import stack_styles

    styles = reader.read(style, style_masks)
    count_styles("masks", masks, styles)
    read = (read_mask(mask, shape, allow_large=reader.allow_large) for mask in masks)
    return [feathered(mask, float(feather)) for mask in read], stack_styles(styles)


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

    content = result = jax.device_put(to_floats(pixels)[None])
    regions = None if masks is None else jax.device_put(np.stack(masks))
    count = len(recipe.levels) + refine
    steps = stylizer.steps(result, style, recipe, masks=regions, patches=patches)
    for done, result in enumerate(steps, start=1):
        jax.block_until_ready(result)
        progress(done / count)
    if refine > 0:
        start = result[0].clip(0, 1)
        refined = refine_picture(stylizer.encoder, start, content[0], style, refine)
        for done, (picture, _) in enumerate(refined, start=len(recipe.levels) + 1):
            result = picture[None]
            progress(done / count)
    return np.asarray(result)[0]
