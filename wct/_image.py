"""Pictures and pixels: reading, giving back, resizing.

Inside the library a picture is a float32 array `(height, width, 3)` of sRGB values in [0, 1]. This
file turns whatever the user has into one (`read_image`) and gives the result back as the kind of
thing it came from (`Picture.like`).
"""

import contextlib
import io
import os
import threading
import warnings
from dataclasses import dataclass
from typing import IO, Literal, Protocol, cast, runtime_checkable

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ._errors import ImageError


@runtime_checkable
class SupportsArray(Protocol):
    """What NumPy can look into: a JAX array, a tensor, an array of another library."""

    def __array__(self) -> np.ndarray: ...


# `IO[bytes]` would say the same, but a run-time checker finds no BytesIO in it.
@runtime_checkable
class Readable(Protocol):
    """A binary stream to read from."""

    def read(self, size: int = -1, /) -> bytes: ...


ImageLike = str | os.PathLike[str] | Readable | Image.Image | np.ndarray | SupportsArray
"""A picture as users have it: a path, a binary stream, a Pillow image, or an array
`(height, width, 3)` of uint8 or of floats in [0, 1] (NumPy's, JAX's or any with `__array__`)."""

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

_TOLERANCE = 1e-3  # how far beyond [0, 1] resampling and rounding may carry an honest picture
_GREYS = ("1", "L", "LA", "La")
_opening = threading.Lock()  # filters of warnings are global: one thread changes them at a time


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that was read, and what its result is to be given back as.

    Attributes:
        pixels: float32 `(height, width, 3)`, sRGB in [0, 1].
        alpha: float32 `(height, width)` opacity in [0, 1], or None for an opaque picture.
        kind: What the picture was: a file or Pillow image, or an array of floats or of uint8.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    kind: Literal["pillow", "float", "uint8"]

    def like(self, pixels: np.ndarray) -> Image.Image | np.ndarray:
        """Give `pixels` back as the kind of thing this picture was.

        Args:
            pixels: `(height, width, 3)` floats, sRGB; clipped to [0, 1]. Of any size.

        Returns:
            A Pillow image (mode RGB, or RGBA with this picture's alpha, resized where the sizes
            differ), a float32 array or a uint8 array (rounded) of the shape of `pixels`.
        """
        pixels = np.clip(np.asarray(pixels, np.float32), 0, 1)
        if self.kind == "float":
            return pixels
        if self.kind == "pillow" and self.alpha is not None:
            height, width, _ = pixels.shape
            pixels = np.dstack([pixels, resize(self.alpha, (height, width))])
        rounded = to_bytes(pixels)
        return rounded if self.kind == "uint8" else Image.fromarray(rounded)


def read_image(source: ImageLike) -> Picture:
    """Read a picture from a file, a binary stream, a Pillow image or an array.

    Of files and Pillow images the EXIF orientation and the embedded colour profile are applied (a
    profile that is broken or made for other channels is ignored), transparency is kept apart as
    `alpha`, and of an animation the first frame is taken. Grey of more than 8 bits keeps its
    depth: integers are divided by 65535, floats are taken as they are.

    Args:
        source: The picture; see `ImageLike`. A stream is left open.

    Returns:
        The picture, with pixels float32 `(height, width, 3)`, sRGB in [0, 1].

    Raises:
        ImageError: If there is no such file, if it is no image, damaged, or larger than
            `PIL.Image.MAX_IMAGE_PIXELS`, or if an array has another shape, dtype or range.
    """
    try:
        if isinstance(source, str | os.PathLike | Image.Image | Readable):
            return _from_pillow(source)
        if isinstance(source, SupportsArray):
            return _from_array(np.asarray(source))
        raise ImageError("give a path, a binary stream, a Pillow image or an array.")
    except ImageError as error:
        raise ImageError(f"Cannot read {_name(source)}: {error}") from error.__cause__


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """Round values in [0, 1] to uint8."""
    return np.rint(pixels * 255).astype(np.uint8)


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resample a picture by Lanczos' filter, widened when shrinking so that nothing aliases.

    Args:
        pixels: `(height, width, channels)` or `(height, width)` floats in [0, 1].
        size: The new `(height, width)`, both at least 1.

    Returns:
        float32, of the new height and width, clipped to [0, 1]; a picture that has the size
        already is returned as it is.
    """
    pixels = np.asarray(pixels, np.float32)
    height, width = size
    if pixels.shape[:2] == (height, width):
        return pixels
    planes = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS))
        for plane in np.moveaxis(np.atleast_3d(pixels), 2, 0)
    ]
    return np.clip(np.dstack(planes), 0, 1).reshape(height, width, *pixels.shape[2:])


def fit(shape: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return the `(height, width)` of the proportions of `shape` whose longer side is `longest`.

    No side is less than 1, whatever the proportions.
    """
    height, width = shape
    scale = longest / max(shape)
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrink_to(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Reduce `(height, width, 3)` to a longer side of at most `longest`; never enlarge."""
    height, width = pixels.shape[:2]
    return resize(pixels, fit((height, width), min(longest, max(height, width))))


def _name(source: object) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source) or "''"
    if isinstance(source, Image.Image | Readable):
        return str(getattr(source, "filename", "") or getattr(source, "name", "") or "the image")
    if isinstance(source, SupportsArray):
        array = np.asarray(source)
        return f"an array of {array.dtype} and shape {array.shape}"
    return f"an object of type {type(source).__name__}"


def _from_pillow(source: str | os.PathLike[str] | Readable | Image.Image) -> Picture:
    try:
        with _open(source) as image:
            image.load()
            return Picture(*_decode(_upright(image)), kind="pillow")
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything for a damaged file
        match error:
            case FileNotFoundError():
                cause = "there is no such file."
            case IsADirectoryError():
                cause = "it is a directory; give an image file."
            case UnidentifiedImageError():
                cause = "it is no image of a format known here; convert it to PNG or JPEG first."
            case Image.DecompressionBombError() | Image.DecompressionBombWarning():
                cause = (
                    f"it has more than {Image.MAX_IMAGE_PIXELS} pixels; make it smaller, "
                    "or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it."
                )
            case OSError(strerror=str(reason)):
                cause = f"{reason}."
            case _:
                cause = f"it is damaged or incomplete ({error!r}); get a new copy of it."
        raise ImageError(cause) from error


def _open(
    source: str | os.PathLike[str] | Readable | Image.Image,
) -> contextlib.AbstractContextManager[Image.Image]:
    if isinstance(source, Image.Image):
        return contextlib.nullcontext(source)
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(cast(IO[bytes], source))


def _upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF orientation says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF says nothing of the orientation, and nothing of the pixels
        return image


def _decode(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the pixels and the alpha of an image of any of Pillow's modes."""
    if 0 in image.size:
        raise ImageError("it is empty.")
    if image.mode == "F" or image.mode.startswith("I"):
        return _decode_deep_grey(image)
    icc = image.info.get("icc_profile")
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in _GREYS else "RGBA")
        alpha = np.asarray(image.getchannel("A"), np.float32) / 255
    if image.mode not in ("CMYK", "LAB"):
        image = image.convert("L" if image.mode in _GREYS else "RGB")
    srgb = _to_srgb(image, icc) or image.convert("RGB")
    return np.asarray(srgb, np.float32) / 255, alpha


def _decode_deep_grey(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the pixels and the alpha of grey of 16 bits, 32 bits or floats."""
    values = np.asarray(image)
    grey = _unit(values, 1 if image.mode == "F" else 65535)
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else (values != transparent).astype(np.float32)
    # Pillow converts profiles of 8 bits only; but a grey profile is a curve, and 256 points do.
    steps = np.arange(256, dtype=np.uint8)
    curve = _to_srgb(Image.fromarray(steps[None]), image.info.get("icc_profile"))
    if curve is None:
        return np.repeat(grey[..., None], 3, axis=2), alpha
    channels = [np.interp(grey * 255, steps, np.asarray(band)[0] / 255) for band in curve.split()]
    return np.dstack(channels).astype(np.float32), alpha


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image | None:
    """Convert L, RGB, CMYK or LAB by the profile `icc`; None if that is missing or does not fit."""
    if not icc:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(image, profile, SRGB, outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return None


def _from_array(array: np.ndarray) -> Picture:
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ImageError("the shape must be (height, width, 3).")
    if array.dtype == np.uint8:
        return Picture(array.astype(np.float32) / 255, None, kind="uint8")
    if np.issubdtype(array.dtype, np.floating):
        return Picture(_unit(array, 1), None, kind="float")
    raise ImageError("the type must be uint8 (0 to 255) or floating (0 to 1); convert it.")


def _unit(values: np.ndarray, white: int) -> np.ndarray:
    """Scale `values` from [0, white] to float32 in [0, 1]; raise if they lie elsewhere."""
    if not np.isfinite(values).all():
        raise ImageError(f"it holds NaN or infinite values; values must lie in 0 to {white}.")
    low, high = values.min(), values.max()
    if low < -_TOLERANCE * white or high > (1 + _TOLERANCE) * white:
        hint = "divide them by 255, or pass uint8" if 2 < high <= 255 else "rescale them"
        raise ImageError(
            f"its values run from {low:g} to {high:g} and must lie in 0 to {white}; {hint}."
        )
    return np.clip(values.astype(np.float32) / np.float32(white), 0, 1)
