"""The demonstration: one picture in several styles, all of them at hand without a network."""

import os
from collections.abc import Callable

import numpy as np
from PIL import Image

from ._drawn import draw_style
from ._image import read_image
from ._pixels import fit, resize, to_bytes
from ._scene import draw_scene
from ._stylize import stylize

STYLES = ("strokes", "mosaic", "marbling", "hatching", "stained-glass")

_SIDE = 512
_COLUMNS = 3
_GAP = 8


def draw_sheet(
    *,
    alpha: float | None = None,
    model: str | os.PathLike[str] = "vgg19-lite",
    progress: Callable[[float], object] | None = None,
) -> Image.Image:
    """Stylize the demonstration's picture in each of `STYLES`.

    Args:
        alpha: Strength of the styles, 0 … 1; the preset's by default.
        model: A model's name or directory.
        progress: Called after each picture with the share of them that is done.

    Returns:
        A sheet: the picture itself, then its versions, each with its style in the corner.
    """
    content = _content()
    cells = [content]
    for count, name in enumerate(STYLES, start=1):
        style = draw_style(name, _SIDE)
        cell = np.array(stylize(content, style, alpha, model=model))
        inset = np.pad(resize(style, (_SIDE // 4, _SIDE // 4)), ((_GAP, 0), (0, _GAP), (0, 0)),
                       constant_values=1)  # fmt: skip
        cell[-len(inset) :, : len(inset)] = inset
        cells.append(cell)
        if progress is not None:
            progress(count / len(STYLES))
    framed = [np.pad(cell, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=1) for cell in cells]
    rows = [
        np.concatenate(framed[first : first + _COLUMNS], axis=1)
        for first in range(0, len(framed), _COLUMNS)
    ]
    sheet = np.concatenate(rows)[:-_GAP, :-_GAP]
    return Image.fromarray(to_bytes(sheet))


def _content() -> np.ndarray:
    """A real photograph, if scikit-image is installed, which has one; else a drawn scene."""
    try:
        from skimage.data import astronaut  # pyright: ignore[reportMissingImports] optional
    except ImportError:
        return draw_scene(_SIDE, _SIDE)
    pixels = read_image(astronaut()).pixels
    return resize(pixels, fit(pixels.shape[:2], _SIDE))
