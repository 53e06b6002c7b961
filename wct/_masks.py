"""Masks: which style goes where, and which part of a picture a style is taken from."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from PIL import Image

from ._decode import deep_grey, is_deep, upright
from ._errors import ImageError, WctError
from ._image import SupportsArray
from ._moments import Moments, merge_moments, scale_moments
from ._opened import Readable, opened, reading
from ._pixels import resize

MaskLike = str | os.PathLike[str] | Readable | Image.Image | np.ndarray | SupportsArray
"""A mask as users have it: a path, a binary stream, a Pillow image, or an array `(height, width)`
of bool, uint8 or floats in [0, 1] (NumPy's, JAX's or any with `__array__`)."""


def read_mask(
    mask: MaskLike, size: tuple[int, int], *, allow_large: bool = False
) -> Float[np.ndarray, "height width"]:
    """Read a mask and resample it to a picture's size.

    Args:
        mask: Black or 0 outside, white inside: 255 of bytes, else 1; of the picture's
            proportions.
        size: The picture's `(height, width)`.
        allow_large: As in `read_image`.

    Raises:
        ImageError: It cannot be read, is no mask, or has other proportions.
    """
    values = _grey(mask, allow_large)
    height, width = values.shape
    if abs(height * size[1] - width * size[0]) > max(height, width, *size):
        raise ImageError(
            f"a mask {width} pixels wide and {height} high does not fit a picture {size[1]} wide "
            f"and {size[0]} high: give one of the same proportions"
        )
    return resize(values, size)


def feathered(
    mask: Float[np.ndarray, "height width"], width: float
) -> Float[np.ndarray, "height width"]:
    """Make a mask's borders soft: about `width` pixels from outside to inside.

    Three box filters one after the other, nearly a Gaussian. Masks that add up to one do so still.

    Args:
        mask: Values in [0, 1].
        width: Pixels; less than three leave the mask as it is.
    """
    radius = round(width / 6)
    for _ in range(3 if radius else 0):
        for axis in (0, 1):
            mask = _box_filter(mask, radius, axis)
    return mask


def split_labels(
    labels: MaskLike, styles: Sequence[object], *, allow_large: bool = False
) -> list[Float[np.ndarray, "height width"]]:
    """Make masks of a label image, one for each value that occurs in it, in ascending order.

    Of a picture in colours the values are those, by red, then green, then blue.

    Args:
        labels: The image.
        styles: The styles that the masks are for: a photo would give many thousands.
        allow_large: As in `read_image`.

    Raises:
        ImageError: It cannot be read.
        WctError: There are not as many values as styles.
    """
    if isinstance(labels, str | os.PathLike | Readable | Image.Image):
        image = _open(labels, allow_large)
        if image.mode in ("P", "L", "1") or is_deep(image):
            values = np.asarray(image)
        else:
            with reading(labels):
                values = np.asarray(image.convert("RGB"), np.int32) @ [2**16, 2**8, 1]
    else:
        values = np.asarray(labels)
    found = list(np.unique(values))
    count_styles("labels", found, styles)
    return [(values == value).astype(np.float32) for value in found]


def steady(region: Moments, whole: Moments) -> Moments:
    """Shrink a region's moments towards the whole picture's, the more so the smaller it is.

    As many vectors as there are channels are taken from the whole, fewer where the region is
    nearly all of it: an empty region has the moments of the whole, and the whole its own.
    """
    channels = whole.mean.shape[-1]
    share = region.weight / jnp.where(whole.weight == 0, 1, whole.weight)
    weight = channels * jnp.maximum(1 - share, 0)
    # Both together are divided by their weight less one, which the region's own makes up for.
    scatter = jnp.maximum(weight - jnp.maximum(1 - region.weight, 0), 0)
    prior = scale_moments(whole, scatter / jnp.maximum(weight - 1, 1))
    return merge_moments(region, replace(prior, weight=weight))


def share_out(masks: Float[Array, "regions *rest"]) -> Float[Array, "regions *rest"]:
    """Scale masks down where they overlap, so that together they are at most 1."""
    return masks / jnp.maximum(masks.sum(0), 1)[None]


def count_styles(kind: str, masks: Any, styles: Sequence[object]) -> None:
    """Raise a `WctError` if there are not as many masks, of some kind, as styles."""
    if isinstance(masks, str | os.PathLike | Image.Image) or getattr(masks, "ndim", 3) < 3:
        raise WctError(f"{kind} must be a list, one for each style, not a single one")
    if len(masks) != len(styles):
        raise WctError(f"{len(masks)} {kind} for {len(styles)} styles: give one for each")


def _box_filter(
    values: Float[np.ndarray, "height width"], radius: int, axis: int
) -> Float[np.ndarray, "height width"]:
    """Average over 2 radius + 1 values along an axis; beyond its ends the last ones go on."""
    padding = [(0, 0), (0, 0)]
    padding[axis] = (radius + 1, radius)
    sums = np.cumsum(np.pad(values, padding, mode="edge"), axis, np.float64)
    window = 2 * radius + 1
    sums = np.moveaxis(sums, axis, 0)
    means = np.moveaxis(sums[window:] - sums[:-window], 0, axis) / window
    return means.clip(0, 1).astype(np.float32)


def _grey(mask: MaskLike, allow_large: bool) -> Float[np.ndarray, "height width"]:
    if isinstance(mask, str | os.PathLike | Readable | Image.Image):
        image = _open(mask, allow_large)
        with reading(mask):
            if is_deep(image):
                return deep_grey(image)
            if image.has_transparency_data:  # what is transparent is black
                black = Image.new("RGBA", image.size, "black")
                image = Image.alpha_composite(black, image.convert("RGBA"))
            return _from_bytes(np.asarray(image.convert("L")))
    mask = np.asarray(mask)
    if mask.ndim != 2 or 0 in mask.shape:
        raise ImageError(f"a mask is an array (height, width), not one of shape {mask.shape}")
    if mask.dtype == np.uint8:
        return _from_bytes(mask)
    values = mask.astype(np.float32)
    if not ((values >= 0) & (values <= 1)).all():
        raise ImageError("a mask's values must be from 0 to 1, and not NaN")
    return values


def _from_bytes(mask: np.ndarray) -> Float[np.ndarray, "height width"]:
    if mask.max() == 1:
        raise ImageError(
            "a mask of bytes is white at 255, but this one's largest is 1: make it bool or float, "
            "or give it as labels"
        )
    return mask.astype(np.float32) / 255


def _open(
    source: str | os.PathLike[str] | Readable | Image.Image, allow_large: bool
) -> Image.Image:
    """Read a mask and turn it upright, as pictures are."""
    with reading(source), opened(source, allow_large) as image:
        image.load()
        return upright(image)
