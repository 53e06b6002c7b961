"""Writing image files: formats, and what they say besides pixels."""

import contextlib
import io
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from ._about import ABOUT
from ._decode import SRGB, is_deep
from ._errors import ImageError
from ._files import write_file
from ._image import read_image
from ._pixels import to_bytes
from ._tiff import add_exif


@runtime_checkable
class Writable(Protocol):
    """A binary stream to write to."""

    def write(self, data: bytes, /) -> object: ...


# The profile to embed; its date (bytes 24 to 35) is fixed, so that equal pictures are equal files.
SRGB_BYTES = b"".join(
    [SRGB.tobytes()[:24], bytes.fromhex("07d0 0001 0001 0000 0000 0000"), SRGB.tobytes()[36:]]
)

_JPEG_SEGMENT = 65_000
_TIFF_SIZE = 4_000_000_000
"""Bytes of pixels from which on a TIFF is a BigTIFF: what the other holds, nearly."""
_SIDES = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 32_768}
_JPEG = ("JPEG", {"quality": 95, "subsampling": "4:4:4"})
_TIFF = ("TIFF", {"compression": "tiff_deflate"})
_FORMATS = {
    "png": ("PNG", {}),
    "jpg": _JPEG,
    "jpeg": _JPEG,
    "webp": ("WEBP", {"quality": 95}),
    "avif": ("AVIF", {"quality": 95}),
    "tif": _TIFF,
    "tiff": _TIFF,
}


def write_image(
    image: Image.Image | np.ndarray,
    target: str | os.PathLike[str] | Writable,
    *,
    format: str | None = None,  # noqa: A002
    overwrite: bool = False,
) -> None:
    """Write a picture as PNG, JPEG, WebP, AVIF or TIFF, with a colour profile.

    That is sRGB's or, of what was made of a picture with another one, that one. A file appears
    under its name only when it is complete. JPEG, which knows no transparency, shows a transparent
    picture on white.

    Args:
        image: The picture, in sRGB: a Pillow image, or an array `(height, width, 3)` of uint8 or of
            floats in [0, 1].
        target: A path, or a binary stream, which is left open.
        format: `png`, `jpg`, `jpeg`, `webp`, `avif`, `tif` or `tiff`; by default the path's
            suffix, in any case. A stream needs it.
        overwrite: Replace an existing file.

    Raises:
        ImageError: If the array is no picture, if the format is unknown or does not allow for the
            picture, if the file exists and `overwrite` is not set, or if its directory is missing
            or cannot be written to.
    """
    name, options = find_format(target, format)
    if not isinstance(image, Image.Image) or is_deep(image):
        image = Image.fromarray(to_bytes(read_image(image).stored))
    try:
        data = _encode(image, name, options)
    except Exception as error:  # Pillow's encoders, like its decoders, raise nearly anything
        raise ImageError(
            f"cannot write {_describe(target)}: this format does not allow for this picture "
            f"({error}); try another one, such as png"
        ) from error
    if isinstance(target, str | os.PathLike):
        write_file(data, Path(target), overwrite=overwrite)
    else:
        target.write(data)


def find_format(
    target: str | os.PathLike[str] | Writable,
    format: str | None = None,  # noqa: A002
) -> tuple[str, dict[str, object]]:
    """Return Pillow's name and options of the format that a target is to be written in.

    Raises:
        ImageError: The suffix, or `format`, is none of a format known here, or Pillow lacks it.
    """
    named = Path(target).suffix if isinstance(target, str | os.PathLike) else ""
    suffix = (format or named).lower().removeprefix(".")
    if suffix not in _FORMATS:
        raise ImageError(
            f"cannot write {_describe(target)}: its format {suffix!r} is not one of "
            f"{', '.join(_FORMATS)}; choose another one"
        )
    name, options = _FORMATS[suffix]
    if name not in Image.SAVE:
        Image.init()
    if name not in Image.SAVE:
        raise ImageError(
            f"cannot write {_describe(target)}: Pillow was built without {name} here; choose "
            "another format, such as png"
        )
    return name, options


def check_size(path: str | os.PathLike[str], size: tuple[int, int]) -> None:
    """Find out before the work whether a format can hold a picture of some height and width.

    Raises:
        ImageError: It cannot.
    """
    name, _ = find_format(path)
    if max(size) > _SIDES.get(name, max(size)):
        raise ImageError(
            f"cannot write {_describe(path)}: a side of {max(size)} pixels is more than "
            f"{_SIDES[name]}, the most that {name} can hold; choose tiff or png"
        )


def _describe(target: object) -> str:
    if isinstance(target, str | os.PathLike):
        return os.fspath(target) or "''"
    return str(getattr(target, "name", "") or "the image")


def _encode(image: Image.Image, format: str, options: dict[str, object]) -> bytes:  # noqa: A002
    mode = "RGBA" if image.has_transparency_data else "RGB"
    image, info = image if image.mode == mode else image.convert(mode), image.info
    if format == "JPEG" and image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    buffer = io.BytesIO()
    about = {name: info[name] for name in ABOUT if name in info}
    if format == "JPEG":  # which has no room for more
        about = {name: value for name, value in about.items() if len(value) < _JPEG_SEGMENT}
    exif = None
    if format == "TIFF":  # of EXIF, Pillow writes a part there; of XMP, nothing unless as a field
        exif, xmp = about.pop("exif", None), about.pop("xmp", None)
        about["tiffinfo"] = {} if xmp is None else {ExifTags.Base.XMLPacket: xmp}
        if 4 * image.width * image.height > _TIFF_SIZE:
            options = {"big_tiff": True}  # Pillow writes these without compression only
    if format == "PNG" and "xmp" in about:  # which Pillow reads there, and does not write
        about["pnginfo"] = PngInfo()
        about["pnginfo"].add_itxt("XML:com.adobe.xmp", about.pop("xmp").decode("utf-8", "replace"))
    image, profile = _to_profile(image, info.get("profile"))
    image.save(buffer, format, icc_profile=profile, **options, **about)
    if exif is not None:
        add_exif(buffer, exif)
    return buffer.getvalue()


def _to_profile(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes]:
    """Convert from sRGB to another profile, if there is one that allows for it."""
    if profile is not None:
        with contextlib.suppress(OSError, ImageCms.PyCMSError):
            wanted = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, SRGB, wanted)
            assert converted is not None
            return converted, profile
    return image, SRGB_BYTES
