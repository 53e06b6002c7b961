"""Files of pictures that are too large to hold: read into scratch files, and written from them.

By libvips, strip by strip, where the format allows that.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import ImageError
from ._files import new_file
from ._image import Picture, read_header
from ._scratch import Scratch
from ._tiff import add_exif
from ._write import SRGB_BYTES, find_format, write_image

_AT_ONCE = 64_000_000
"""Bytes to read until memory is given back."""

_FORMATS = ("JPEG", "MPO", "PNG", "TIFF")
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
"""What libvips reads strip by strip, with the colours that Pillow reads."""

_TIFF_SIZE = 2_000_000_000
"""Bytes of pixels from which on a TIFF is a BigTIFF: half of what the other holds, to be sure."""

_SAVERS: dict[str, tuple[str, dict[str, object]]] = {
    "PNG": ("pngsave", {}),
    "JPEG": ("jpegsave", {"Q": 95, "subsample_mode": "off"}),
    "TIFF": ("tiffsave", {"compression": "deflate", "predictor": "horizontal"}),
}


def read_strips(path: str | os.PathLike[str], scratch: Scratch) -> Picture | None:
    """Read a picture of 8 bits into a scratch file, as `read_image` would into memory.

    Returns:
        The picture, or None if it cannot be read so: of another format, depth or colour space, or
        damaged.
    """
    import pyvips

    header = read_header(path)
    if header.format not in _FORMATS or header.mode not in _MODES:
        return None
    try:
        # Anew: libvips keeps what it has read by the file's name, of another file maybe.
        open_file = partial(
            pyvips.Image.new_from_file, os.fspath(path), fail_on="error", revalidate=True
        )
        if header.orientation == 1:
            image: Any = open_file(access="sequential")
        else:
            image = open_file().copy()
            image.set_type(pyvips.GValue.gint_type, "orientation", header.orientation)
            image = image.autorot()
    except (pyvips.Error, UnicodeEncodeError):  # the latter of a name that is no UTF-8
        return None
    if image.format != "uchar":
        return None
    image = _to_srgb(image)
    if header.format == "TIFF" and image.bands != (4 if header.mode.endswith("A") else 3):
        return None  # what more it has is no opacity, or more than that
    values = scratch.new((image.height, image.width, image.bands), np.uint8)
    target: Any = pyvips.TargetCustom()
    target.on_write(_filler(values, scratch))
    try:
        image.rawsave_target(target)
    except pyvips.Error:  # it is damaged, or of a kind that libvips finds out late
        return None
    alpha = values[..., 3] if image.bands == 4 else None
    return Picture(values[..., :3], alpha, kind="pillow", about=header.about)


def write_strips(picture: Picture, pixels: np.ndarray, path: Path, *, overwrite: bool) -> None:
    """Write a result as `write_image` would, in other formats than PNG, JPEG and TIFF by that.

    Args:
        picture: The picture that it was made of.
        pixels: `(height, width, 3)`, uint8.
        path: Where to.
        overwrite: Replace an existing file.

    Raises:
        ImageError: It cannot be written.
    """
    import pyvips

    format, _ = find_format(path)  # noqa: A001
    if format not in _SAVERS:
        write_image(picture.like(pixels), path, overwrite=overwrite)
        return
    height, width, _ = pixels.shape
    saver, options = _SAVERS[format]
    if format == "TIFF" and pixels.nbytes > _TIFF_SIZE:
        options = options | {"bigtiff": True}
    image = _wrap(pixels)
    if picture.stored_alpha is not None:
        image = image.bandjoin(_wrap(picture.alpha_bytes((height, width))[..., None]))
        if format == "JPEG":
            image = image.flatten(background=255)
    across, down = (float(dpi) / 25.4 for dpi in picture.about.get("dpi", (72, 72)))
    image = image.copy(interpretation="srgb", xres=across, yres=down)
    about = {name: picture.about.get(name) for name in ("exif", "xmp")}
    for name, value in {"icc-profile": SRGB_BYTES, **about}.items():
        if isinstance(value, bytes):
            image.set_type(pyvips.GValue.blob_type, f"{name}-data", value)
    if profile := picture.about.get("profile"):
        image = _to_profile(image, profile)
    with new_file(path, overwrite=overwrite) as temporary:
        try:
            pyvips.Operation.call(saver, image, os.fsencode(temporary), **options)
        except pyvips.Error as error:
            raise ImageError(
                f"cannot write {path}: {' '.join(str(error).split())}; is there room for it, and "
                f"does its format allow for {height} × {width} pixels?"
            ) from error
        if format == "TIFF" and (exif := picture.about.get("exif")):
            with temporary.open("r+b") as file:
                add_exif(file, exif)


def _wrap(values: np.ndarray) -> Any:
    """Let libvips look into an array `(height, width, bands)`."""
    import pyvips

    height, width, bands = values.shape
    flat: Any = np.ascontiguousarray(values).reshape(-1)
    return pyvips.Image.new_from_memory(flat, width, height, bands, "uchar")


def _to_srgb(image: Any) -> Any:
    """Apply the embedded profile, if it fits."""
    import pyvips

    if image.get_typeof("icc-profile-data"):
        try:
            return image.icc_transform("srgb", embedded=True, intent="perceptual")
        except pyvips.Error:
            pass
    return image.colourspace("srgb")


def _to_profile(image: Any, profile: bytes) -> Any:
    """Convert from sRGB to another profile, if it allows for that."""
    import pyvips

    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(pyvips.Error):
        file = Path(folder, "profile.icc")  # closed: Windows opens none twice
        file.write_bytes(profile)
        return image.icc_transform(os.fsencode(file), embedded=True, intent="perceptual")
    return image


def _filler(values: np.ndarray, scratch: Scratch) -> Callable[[bytes], int]:
    flat, position, held = values.reshape(-1), 0, 0

    def write(part: bytes) -> int:
        nonlocal position, held
        flat[position : position + len(part)] = np.frombuffer(part, np.uint8)
        position += len(part)
        held += len(part)
        if held > _AT_ONCE:
            scratch.release()
            held = 0
        return len(part)

    return write
