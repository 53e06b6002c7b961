"""Pixels: as bytes and as floats, in strips, and in other sizes."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

_STRIP = 256
"""Rows of a strip."""


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """Round values, clipped to [0, 1], to uint8; what is uint8 stays as it is."""
    if pixels.dtype == np.uint8:
        return pixels
    out = np.empty(pixels.shape, np.uint8)
    for rows in strips(len(pixels)):
        out[rows] = np.rint(np.clip(pixels[rows].astype(np.float32), 0, 1) * 255)
    return out


def to_floats(values: np.ndarray) -> np.ndarray:
    """Return values in [0, 1], from uint8 or as they are, as float32."""
    floats = values.astype(np.float32, copy=False)
    return floats / 255 if values.dtype == np.uint8 else floats


def strips(height: int, rows: int = _STRIP) -> Iterator[slice]:
    """Cover a picture's rows with strips, so that not all of it need be at hand in floats."""
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resample a picture by Lanczos' filter, widened when shrinking so that nothing aliases.

    Args:
        pixels: `(height, width, channels)` or `(height, width)`, uint8 or floats in [0, 1].
        size: The new `(height, width)`, both at least 1.

    Returns:
        float32, of the new height and width, clipped to [0, 1]; a picture that has the size
        already is only converted.
    """
    height, width = size
    if pixels.shape[:2] == (height, width):
        return to_floats(pixels)
    out = np.empty((height, width, *pixels.shape[2:]), np.float32)
    planes = np.atleast_3d(out)
    scale = len(pixels) / height
    reach = 3 * max(scale, 1) + 1  # the filter's, in rows
    for rows in strips(height, max(round(_STRIP / scale), 1)):
        top, bottom = rows.start * scale, rows.stop * scale
        first = max(int(top - reach), 0)
        part = np.atleast_3d(pixels[first : int(bottom + reach) + 1])
        seen = 0, top - first, part.shape[1], min(bottom - first, len(part))
        for channel in range(part.shape[2]):
            image = Image.fromarray(to_floats(part[..., channel]))
            resized = image.resize((width, rows.stop - rows.start), Image.Resampling.LANCZOS, seen)
            np.clip(np.asarray(resized), 0, 1, out=planes[rows, :, channel])
    return out


def fit(shape: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return the `(height, width)` of the proportions of `shape` whose longer side is `longest`.

    No side is less than 1, whatever the proportions.
    """
    height, width = shape
    scale = longest / max(shape)
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrink_to(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Reduce `(height, width, 3)` to a longer side of at most `longest`, or return it as it is."""
    size = pixels.shape[:2]
    return pixels if max(size) <= longest else resize(pixels, fit(size, longest))
