"""Pictures: reading them, and giving results back as their kind.

Inside the library a picture is a float32 array `(height, width, 3)` of sRGB values in [0, 1]. This
file turns whatever the user has into one (`read_image`) and gives the result back as the kind of
thing it came from (`Picture.like`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from ._about import orientation, read_about
from ._decode import decode, to_unit, upright
from ._errors import ImageError
from ._opened import Readable, opened, reading
from ._pixels import resize, to_bytes, to_floats


@runtime_checkable
class SupportsArray(Protocol):
    """What NumPy can look into: a JAX array, a tensor, an array of another library."""

    def __array__(self) -> np.ndarray: ...


ImageLike = str | os.PathLike[str] | Readable | Image.Image | np.ndarray | SupportsArray
"""A picture as users have it: a path, a binary stream, a Pillow image, or an array
`(height, width, 3)` of uint8 or of floats in [0, 1] (NumPy's, JAX's or any with `__array__`)."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that was read, and what its result is to be given back as.

    Attributes:
        stored: Its pixels, `(height, width, 3)`, sRGB: uint8 if it came so, else float32 in [0, 1].
        stored_alpha: Its opacity, `(height, width)`, likewise; None of an opaque picture.
        kind: What the picture was: a file or Pillow image, or an array of floats or of uint8.
        about: What is known of it besides, as Pillow has it: EXIF, XMP and resolution; and its
            colour `profile`, in which `write_image` writes what was made of it.
    """

    stored: np.ndarray
    stored_alpha: np.ndarray | None
    kind: Literal["pillow", "float", "uint8"]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pixels(self) -> np.ndarray:
        """float32 `(height, width, 3)`, sRGB in [0, 1]."""
        return to_floats(self.stored)

    @property
    def alpha(self) -> np.ndarray | None:
        """float32 `(height, width)` opacity in [0, 1], or None for an opaque picture."""
        return None if self.stored_alpha is None else to_floats(self.stored_alpha)

    def like(self, pixels: np.ndarray) -> Image.Image | np.ndarray:
        """Give `pixels` back as the kind of thing this picture was.

        Args:
            pixels: `(height, width, 3)`, sRGB: floats, clipped to [0, 1], or uint8. Of any size.

        Returns:
            A Pillow image (mode RGB, or RGBA with this picture's alpha, resized where the sizes
            differ), a float32 array or a uint8 array (rounded) of the shape of `pixels`.
        """
        if self.kind == "float":
            return np.clip(to_floats(np.asarray(pixels)), 0, 1)
        rounded = to_bytes(np.asarray(pixels))
        if self.kind == "uint8":
            return rounded
        if self.stored_alpha is not None:
            rounded = np.dstack([rounded, self.alpha_bytes(rounded.shape[:2])])
        image = Image.fromarray(rounded)
        image.info.update(self.about)
        return image

    def alpha_bytes(self, size: tuple[int, int]) -> np.ndarray:
        """Return the opacity as uint8 `(height, width)`, resampled to this size."""
        assert self.stored_alpha is not None
        return to_bytes(resize(self.stored_alpha, size))


def read_image(source: ImageLike, *, allow_large: bool = False) -> Picture:
    """Read a picture from a file, a binary stream, a Pillow image or an array.

    Of files and Pillow images the EXIF orientation and the embedded colour profile are applied (a
    profile that is broken or made for other channels is ignored), transparency is kept apart as
    `alpha`, and of an animation the first frame is taken. Grey of more than 8 bits keeps its
    depth: integers are divided by 65535, floats are taken as they are.

    Args:
        source: The picture; see `ImageLike`. A stream is left open.
        allow_large: Read it even if it has more than `PIL.Image.MAX_IMAGE_PIXELS` pixels: a small
            file can hold so many that they fill the memory.

    Returns:
        The picture, with pixels float32 `(height, width, 3)`, sRGB in [0, 1].

    Raises:
        ImageError: If there is no such file, if it is no image, damaged, or larger than
            `PIL.Image.MAX_IMAGE_PIXELS`, or if an array has another shape, dtype or range.
    """
    with reading(source):
        if isinstance(source, str | os.PathLike | Image.Image | Readable):
            return _from_pillow(source, allow_large)
        if isinstance(source, SupportsArray):
            return _from_array(_as_array(source))
        raise ImageError("give a path, a binary stream, a Pillow image or an array")


def read_size(source: str | os.PathLike[str], *, allow_large: bool = False) -> tuple[int, int]:
    """Return height and width of the picture in a file, upright, without reading its pixels.

    Raises:
        ImageError: As `read_image`.
    """
    with reading(source), opened(source, allow_large) as image:
        width, height = image.size
        # Of a TIFF file Pillow has turned the size already.
        turned = image.format != "TIFF" and orientation(image) in (5, 6, 7, 8)
        return (width, height) if turned else (height, width)


class Header(NamedTuple):
    """What a file says of its picture.

    Attributes:
        format: Its format, by Pillow's name.
        mode: The kind of its pixels, likewise.
        orientation: Which way up they are stored, 1 … 8.
        about: As in `Picture`.
    """

    format: str | None
    mode: str
    orientation: int
    about: Mapping[str, Any]


def read_header(source: str | os.PathLike[str]) -> Header:
    """Read what a file says of its picture, of any size; for some PNGs Pillow reads all of it."""
    with reading(source), opened(source, True) as image:
        return Header(image.format, image.mode, orientation(image), read_about(image))


def _from_pillow(
    source: str | os.PathLike[str] | Readable | Image.Image, allow_large: bool
) -> Picture:
    with opened(source, allow_large) as image:
        image.load()
        return Picture(*decode(upright(image)), kind="pillow", about=read_about(image))


def _as_array(source: SupportsArray) -> np.ndarray:
    try:
        return np.asarray(source)
    except Exception as error:  # of a tensor with a gradient, say
        raise ImageError(f"NumPy cannot look into it: {error}") from error


def _from_array(array: np.ndarray) -> Picture:
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ImageError("the shape must be (height, width, 3)")
    if array.dtype == np.uint8:
        return Picture(array, None, kind="uint8")
    if np.issubdtype(array.dtype, np.floating):
        return Picture(to_unit(array, 1), None, kind="float")
    raise ImageError("the type must be uint8 (0 to 255) or float16, 32 or 64 (0 to 1); convert it")
