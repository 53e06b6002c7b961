"""Pictures: reading them, and giving results back as their kind.

Inside the library a picture is a float32 array `(height, width, 3)` of sRGB values in [0, 1]. This
file turns whatever the user has into one (`read_image`) and gives the result back as the kind of
thing it came from (`Picture.like`).
"""

import contextlib
import functools
import io
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from ._errors import ImageError
from ._pixels import resize, to_bytes, to_floats


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
ABOUT = ("exif", "xmp", "dpi")
_TAGS = [
    ExifTags.Base[name]
    for name in (
        *("ImageDescription", "Make", "Model", "Software", "DateTime"),
        *("Artist", "Copyright", "XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject"),
    )
]
_opening = threading.Lock()  # filters of warnings are global: one thread changes them at a time


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
        turned = image.format != "TIFF" and _orientation(image) in (5, 6, 7, 8)
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
        return Header(image.format, image.mode, _orientation(image), _about(image))


@contextlib.contextmanager
def reading(source: object) -> Iterator[None]:
    """Make of whatever goes wrong in reading a picture an `ImageError` that names it."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"cannot read {_name(source)}: {error}") from error.__cause__
    except Exception as error:  # decoders raise nearly anything for a damaged file
        raise ImageError(f"cannot read {_name(source)}: {_cause(error)}") from error


def _name(source: object) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source) or "''"
    if isinstance(source, Image.Image | Readable):
        return str(getattr(source, "filename", "") or getattr(source, "name", "") or "the image")
    dtype, shape = (getattr(source, each, None) for each in ("dtype", "shape"))
    if dtype is not None and shape is not None:
        return f"an array of {dtype} and shape {tuple(shape)}"
    return f"an object of type {type(source).__name__}"


def _cause(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "there is no such file"
        case OSError(filename=str(name)) if Path(name).is_dir():
            return "it is a directory; give an image file"
        case UnidentifiedImageError():
            hint = "" if _knows_heic() else ", or, if it is HEIC, pip install pillow-heif"
            return f"it is no image of a format known here; convert it to PNG or JPEG first{hint}"
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return (
                f"it has more than {Image.MAX_IMAGE_PIXELS} pixels (PIL.Image.MAX_IMAGE_PIXELS); "
                "make it smaller, or, for stylize or style, if you trust it, allow it "
                "(allow_large=True, --allow-large)"
            )
        case OSError(strerror=str(reason)):
            return f"{reason}"
        case _:
            return f"it is damaged or incomplete ({error!r}); get a new copy of it"


def _from_pillow(
    source: str | os.PathLike[str] | Readable | Image.Image, allow_large: bool
) -> Picture:
    with opened(source, allow_large) as image:
        image.load()
        return Picture(*_decode(upright(image)), kind="pillow", about=_about(image))


@contextlib.contextmanager
def opened(
    source: str | os.PathLike[str] | Readable | Image.Image, allow_large: bool
) -> Iterator[Image.Image]:
    """Open an image file, of which Pillow reads the header first and the pixels when asked."""
    if isinstance(source, Image.Image):
        yield source
        return
    if isinstance(source, io.TextIOBase):
        raise ImageError("it is open as text; open it as binary ('rb')")
    _knows_heic()
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        limit = Image.MAX_IMAGE_PIXELS
        try:
            Image.MAX_IMAGE_PIXELS = None if allow_large else limit
            image = Image.open(cast(IO[bytes], source))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


@functools.cache
def _knows_heic() -> bool:
    """Have Pillow read HEIC, if there is what can."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _about(image: Image.Image) -> dict[str, Any]:
    """Return what a result is to say of its origin: EXIF without its pixels' layout, and more."""
    about = {name: image.info[name] for name in ABOUT if name in image.info}
    if isinstance(xmp := image.info.get("XML:com.adobe.xmp"), str):  # of a PNG by libvips
        about.setdefault("xmp", xmp.encode("latin-1", "replace"))
    with contextlib.suppress(Exception):  # broken EXIF is left out
        about.pop("exif", None)
        found, kept = image.getexif(), Image.Exif()
        kept.update({tag: _as_stored(value) for tag, value in found.items() if tag in _TAGS})
        for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            values = {tag: _as_stored(value) for tag, value in found.get_ifd(part).items()}
            if values:
                kept.get_ifd(part).update(values)
        if kept:
            about["exif"] = kept.tobytes()
    if profile := _kept_profile(image):
        about["profile"] = profile
    if "Orientation" in str(about.get("xmp")):  # the pixels were turned
        del about["xmp"]
    return about


def _orientation(image: Image.Image) -> int:
    """Return which way up a picture's pixels are, 1 … 8, as EXIF or XMP says."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF says nothing
        return 1


def _as_stored(value: Any) -> Any:
    """Return a text beyond ASCII as the bytes that Pillow, which would replace them, made it of."""
    is_beyond = isinstance(value, str) and not value.isascii()
    return value.encode("latin-1") if is_beyond else value


def _kept_profile(image: Image.Image) -> bytes | None:
    """Return a picture's own profile, if it is one for RGB and not just sRGB."""
    icc = image.info.get("icc_profile")
    if not icc or image.mode not in ("RGB", "RGBA"):
        return None
    try:
        profile: Any = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
    except (OSError, ImageCms.PyCMSError):
        return None
    usual = "sRGB" in (profile.profile_description or "")
    return icc if profile.xcolor_space.strip() == "RGB" and not usual else None


def upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF orientation says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF says nothing of the orientation, and nothing of the pixels
        return image


def _decode(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the pixels and the alpha of an image of any of Pillow's modes."""
    if 0 in image.size:
        raise ImageError("it is empty")
    if is_deep(image):
        return _decode_deep_grey(image)
    icc = image.info.get("icc_profile")
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in _GREYS else "RGBA")
        alpha = np.asarray(image.getchannel("A"))
    if image.mode not in ("CMYK", "LAB"):
        image = image.convert("L" if image.mode in _GREYS else "RGB")
    srgb = _to_srgb(image, icc) or image.convert("RGB")
    return np.asarray(srgb), alpha


def is_deep(image: Image.Image) -> bool:
    """Tell whether an image is grey of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def _decode_deep_grey(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the pixels and the alpha of grey of 16 bits, 32 bits or floats."""
    grey = deep_grey(image)
    transparent, alpha = image.info.get("transparency"), None
    if transparent is not None:
        alpha = (np.asarray(image) != transparent).astype(np.float32)
    # Pillow converts profiles of 8 bits only; but a grey profile is a curve, and 256 points do.
    steps = np.arange(256, dtype=np.uint8)
    curve = _to_srgb(Image.fromarray(steps[None]), image.info.get("icc_profile"))
    if curve is None:
        return np.repeat(grey[..., None], 3, axis=2), alpha
    channels = [np.interp(grey * 255, steps, np.asarray(band)[0] / 255) for band in curve.split()]
    return np.dstack(channels).astype(np.float32), alpha


def deep_grey(image: Image.Image) -> np.ndarray:
    """Return the values of grey of 16 bits, 32 bits or floats, as they are, in [0, 1]."""
    return to_unit(np.asarray(image), 1 if image.mode == "F" else 65535)


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image | None:
    """Convert L, RGB, CMYK or LAB by the profile `icc`; None if that is missing or does not fit."""
    if not icc:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(image, profile, SRGB, outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return None


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


def to_unit(values: np.ndarray, white: int) -> np.ndarray:
    """Scale `values` from [0, white] to float32 in [0, 1]; raise if they lie elsewhere."""
    if not np.isfinite(values).all():
        raise ImageError(f"it holds NaN or infinite values; values must lie in 0 to {white}")
    low, high = values.min(), values.max()
    if low < -_TOLERANCE * white or high > (1 + _TOLERANCE) * white:
        hint = "divide them by 255, or pass uint8" if 2 < high <= 255 else "rescale them"
        raise ImageError(
            f"its values run from {low:g} to {high:g} and must lie in 0 to {white}; {hint}"
        )
    return np.clip(values.astype(np.float32) / np.float32(white), 0, 1)
