"""What pictures say of themselves besides their pixels: EXIF, XMP, resolution, colour profile."""

import contextlib
import io
from typing import Any

from PIL import ExifTags, Image, ImageCms

ABOUT = ("exif", "xmp", "dpi")
_TAGS = [
    ExifTags.Base[name]
    for name in (
        *("ImageDescription", "Make", "Model", "Software", "DateTime"),
        *("Artist", "Copyright", "XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject"),
    )
]


def read_about(image: Image.Image) -> dict[str, Any]:
    """Return what a result is to say of its origin: EXIF without its pixels' layout, and more."""
    said = {name: image.info[name] for name in ABOUT if name in image.info}
    if isinstance(xmp := image.info.get("XML:com.adobe.xmp"), str):  # of a PNG by libvips
        said.setdefault("xmp", xmp.encode("latin-1", "replace"))
    with contextlib.suppress(Exception):  # broken EXIF is left out
        said.pop("exif", None)
        found, kept = image.getexif(), Image.Exif()
        kept.update({tag: _as_stored(value) for tag, value in found.items() if tag in _TAGS})
        for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            values = {tag: _as_stored(value) for tag, value in found.get_ifd(part).items()}
            if values:
                kept.get_ifd(part).update(values)
        if kept:
            said["exif"] = kept.tobytes()
    if profile := _kept_profile(image):
        said["profile"] = profile
    if "Orientation" in str(said.get("xmp")):  # the pixels were turned
        del said["xmp"]
    return said


def orientation(image: Image.Image) -> int:
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
