"""One call: any picture, any style, and back the kind that was given."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ._errors import WctError
from ._image import ImageLike, fit, read_image, resize, shrink_to

if TYPE_CHECKING:  # they import jax, which takes seconds: `wct --help` must not wait for it
    from ._style import Style
    from ._stylizer import Stylizer


def stylize(
    content: ImageLike,
    style: ImageLike | Style,
    alpha: float | Sequence[float] = 0.6,
    *,
    levels: Sequence[int] = (5, 4, 3, 2, 1),
    size: int | None = None,
    style_size: int = 512,
    model: str | os.PathLike[str] | Stylizer = "vgg19-lite",
    progress: Callable[[int], object] | None = None,
) -> Image.Image | np.ndarray:
    """Repaint a picture in the style of another one.

    Args:
        content: The picture to repaint. A path, a binary stream, a Pillow image, or an array
            `(height, width, 3)` of uint8 or of floats in [0, 1].
        style: The picture whose style to take. The same kinds, or a `Style` that was read before.
        alpha: Strength of the style, from 0 (the content itself) to 1. One for all levels, or
            one for each of `levels`.
        levels: The levels of VGG-19 to run, coarse (5) to fine (1). Any of them, in any order.
        size: Resize the content to this longer side first, in pixels. Its own size by default.
        style_size: Reduce the style to this longer side if it is larger, in pixels. The larger,
            the broader the strokes of the result.
        model: The networks: a model's name or directory. Or a `Stylizer` that was loaded before.
        progress: Called with the level's number when a level is done.

    Returns:
        The repainted picture, of the content's kind and size. A path, a stream or a Pillow image
        gives a Pillow image, with the content's transparency; an array gives an array of its dtype
        (floats become float32).

    Raises:
        ImageError: A picture cannot be read, or an array is not one.
        WeightsError: There is no such model, or it is incomplete or damaged.
        WctError: Another argument is out of range.

    References:
        Y. Li, C. Fang, J. Yang, Z. Wang, X. Lu, M.-H. Yang, "Universal Style Transfer via Feature
        Transforms", NeurIPS 2017.
    """
    import jax

    from ._style import Style
    from ._stylizer import Stylizer
    from ._weights import find_model

    for name, side in (("size", size), ("style_size", style_size)):
        if side is not None and side < 1:
            raise WctError(f"{name} must be at least 1 pixel, not {side}")
    stylizer = model if isinstance(model, Stylizer) else _load(find_model(model).resolve())
    picture = read_image(content)
    pixels = picture.pixels
    if size is not None:
        pixels = resize(pixels, fit(pixels.shape[:2], size))
    if not isinstance(style, Style):
        style = stylizer.read_style(shrink_to(read_image(style).pixels, style_size))
    result = pixels[None]
    steps = stylizer.steps(jax.numpy.asarray(result), style, alpha, levels=levels)
    for level, result in zip(levels, steps, strict=True):
        if progress is not None:
            jax.block_until_ready(result)
            progress(level)
    return picture.like(np.asarray(result[0]))


@functools.lru_cache(maxsize=2)
def _load(model: Path) -> Stylizer:
    from ._stylizer import Stylizer

    return Stylizer.from_pretrained(model)
