"""Styles as users give them: pictures or files, one or several, parts of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ._color import match_colors
from ._errors import WctError, check_counts
from ._image import ImageLike, read_image
from ._layers import LEVELS
from ._loaded import find_stylizer
from ._memory import DEFAULT_MEMORY, choose_tile, read_memory, telling
from ._pixels import shrink_to, to_floats

if TYPE_CHECKING:  # they import jax, which takes seconds: `wct --help` must not wait for it
    from ._masks import MaskLike
    from ._style import Style
    from ._stylizer import Stylizer

    StyleLike = ImageLike | Style


def read_style(
    *pictures: StyleLike,
    style_size: int = 512,
    memory: str | float = DEFAULT_MEMORY,
    allow_large: bool = False,
    model: str | os.PathLike[str] | Stylizer = "vgg19-lite",
) -> Style:
    """Measure the style of a picture, or of several as if they were one.

    Args:
        *pictures: Paths, binary streams, Pillow images, arrays, or styles that were read before
            and the paths of their files.
        style_size: Reduce each picture to this longer side if it is larger, in pixels. The larger,
            the broader the strokes of the result.
        memory: How much memory to use at most, such as 3GB, 800MB or a number of bytes. Pictures
            that would need more are measured in bands, with the same result.
        allow_large: Read files of more than `PIL.Image.MAX_IMAGE_PIXELS` pixels, as in `stylize`.
        model: The networks: a model's name or directory. Or a `Stylizer` that was loaded before.

    Returns:
        The style; of several, each counts by its number of pixels.

    Raises:
        ImageError: A picture cannot be read, or an array is not one.
        WeightsError: There is no such model, or it is incomplete or damaged.
        WctError: There are no pictures, a style is of another model or a bank, a size or the memory
            is out of range, or the memory does not suffice.
    """
    from ._mixing import pool_styles

    budget = read_memory(memory)
    styles = StyleReader(find_stylizer(model), style_size, budget, allow_large).read(pictures)
    return styles[0] if len(styles) == 1 else pool_styles(styles)


@dataclass(frozen=True)
class StyleReader:
    """Reads styles for one model.

    Attributes:
        stylizer: The model.
        style_size: Longer side that larger pictures are reduced to, in pixels.
        budget: Bytes of memory.
        allow_large: Whether files beyond Pillow's guard are read.
    """

    stylizer: Stylizer
    style_size: int
    budget: float
    allow_large: bool = False

    def read(
        self,
        style: StyleLike | Sequence[StyleLike],
        masks: Sequence[MaskLike | None] | None = None,
    ) -> list[Style]:
        """Read one or several styles, each from the part of its picture that its mask selects."""
        from ._masks import count_styles
        from ._style import Style

        pictures = _listed(style)
        selected = [None] * len(pictures) if masks is None else masks
        count_styles("style masks", selected, pictures)
        styles = []
        for picture, mask in zip(pictures, selected, strict=True):
            if not _is_measured(picture):
                found = self.measure(self._pixels(picture), mask)
            elif mask is None:
                found = picture if isinstance(picture, Style) else Style.load(cast("str", picture))
                if found.levels[0].mean.ndim > 1:
                    name = "this" if isinstance(picture, Style) else str(picture)
                    raise WctError(f"{name} is a bank of several styles: give a single one")
            else:
                raise WctError("a style's mask selects a part of its picture: give that, no Style")
            styles.append(found)
        return styles

    def mix(
        self,
        style: StyleLike | Sequence[StyleLike],
        weights: Sequence[float | Sequence[float]] | None,
        masks: Sequence[MaskLike | None] | None = None,
    ) -> Style:
        """Read one or several styles, and mix them."""
        from ._mixing import mix_styles

        return mix_styles(self.read(style, masks), weights)

    def measure(self, pixels: np.ndarray, mask: MaskLike | None = None) -> Style:
        """Measure a picture, or the part of it that a mask selects."""
        import jax

        from ._masks import read_mask
        from ._tiled import measure_tiles

        size = pixels.shape[:2]
        if mask is not None:
            mask = read_mask(mask, size, allow_large=self.allow_large)
        tile = choose_tile(size, self.stylizer.encoder.widths, LEVELS, self.budget)
        with telling():
            if tile is None:
                return jax.block_until_ready(self.stylizer.read_style(pixels, mask))
            return measure_tiles(self.stylizer, pixels, mask, tile=tile)

    def only_picture(self, style: StyleLike | Sequence[StyleLike]) -> np.ndarray:
        """Return the pixels of a style that is one picture."""
        styles = _listed(style)
        if len(styles) != 1 or _is_measured(styles[0]):
            raise WctError("style-swap takes the picture of one style: give one, and no Style")
        return self._pixels(styles[0])

    def recolor(
        self, style: StyleLike | Sequence[StyleLike], content: np.ndarray
    ) -> list[np.ndarray]:
        """Return the pixels of styles, in the content's colours."""
        styles = _listed(style)
        if any(map(_is_measured, styles)):
            raise WctError("colors='matched' recolours the style's picture: give that, not a Style")
        return [match_colors(to_floats(self._pixels(each)), content) for each in styles]

    def _pixels(self, style: StyleLike) -> np.ndarray:
        check_counts(style_size=self.style_size)
        picture = read_image(cast("ImageLike", style), allow_large=self.allow_large)
        return shrink_to(picture.stored, self.style_size)


def _listed(style: StyleLike | Sequence[StyleLike]) -> Sequence[StyleLike]:
    several = isinstance(style, Sequence) and not isinstance(style, str)
    return cast("Sequence[StyleLike]", style if several else [style])


def _is_measured(style: StyleLike) -> bool:
    """Whether it is a style that was read before, or the path of one, and not a picture."""
    from ._style import Style

    is_file = isinstance(style, str | os.PathLike) and Path(style).suffix == ".safetensors"
    return is_file or isinstance(style, Style)
