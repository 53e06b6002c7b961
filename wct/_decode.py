"""Pixels of Pillow's images, of whatever mode, depth, profile and orientation, as sRGB."""

import io

import numpy as np
from PIL import Image, ImageCms, ImageOps

from ._errors import ImageError

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

_TOLERANCE = 1e-3  # how far beyond [0, 1] resampling and rounding may carry an honest picture
_GREYS = ("1", "L", "LA", "La")


def upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF orientation says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF says nothing of the orientation, and nothing of the pixels
        return image


def decode(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
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
