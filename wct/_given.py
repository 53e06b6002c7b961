"""What a stylizer is given, as the chain takes it: arrays on the device, checked."""

from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ._border import Size
from ._chain import Patches
from ._decode import to_unit
from ._errors import ImageError, WctError
from ._image import ImageLike, read_image
from ._masks import MaskLike, read_mask, share_out
from ._moments import Moments
from ._opened import reading
from ._padding import mirror
from ._program import program
from ._recipe import Recipe
from ._style import Style

Batch = Float[Array, "batch height width 3"] | Float[np.ndarray, "batch height width 3"]
Regions = (
    Float[Array, "regions height width"]
    | Float[np.ndarray, "regions height width"]
    | Bool[Array, "regions height width"]
    | Bool[np.ndarray, "regions height width"]
)


def as_batch(images: Array | np.ndarray) -> Float[Array, "batch height width 3"]:
    """Return images as a JAX array, on the device; of one, values in [0, 1] are taken for granted.

    Raises:
        ImageError: They are no batch of float RGB images in [0, 1].
    """
    if not isinstance(images, jax.Array | np.ndarray):
        raise ImageError(f"images must be an array of JAX or NumPy, not of {type(images)}")
    is_batch = images.ndim == 4 and images.shape[-1] == 3 and 0 not in images.shape
    if not is_batch or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ImageError(
            "images must be floats from 0 to 1 of shape (batch, height, width, 3), not "
            f"{images.dtype} of {images.shape}"
        )
    if isinstance(images, jax.Array):
        return images.astype(jnp.float32)
    with reading(images):
        images = to_unit(images, 1)  # a copy: the caller may write to it
    return jax.device_put(images)


def as_masks(masks: Any) -> Float[Array, "regions height width"]:
    """Return masks as a JAX array of floats.

    Raises:
        WctError: They are neither floats nor bools.
    """
    masks = masks if isinstance(masks, jax.Array) else np.asarray(masks)
    if not _tells_shares(masks):
        raise WctError(f"masks must be floats from 0 to 1 or bools, not {masks.dtype}")
    return jnp.asarray(masks.astype(np.float32))  # a copy of NumPy's: the caller may write to them


@program
def as_regions(
    masks: Float[Array, "regions height width"], size: Size
) -> Float[Array, "regions 1 height width"]:
    """Return masks on their canvas as the chain takes them, together at most 1."""
    return share_out(mirror(masks[..., None], size)[:, None, ..., 0])


def one_picture(image: Float[Array, "height width 3"] | ImageLike) -> Float[Array, "1 _ _ 3"]:
    """Return a picture as a batch of one."""
    if isinstance(image, jax.Array) and jnp.issubdtype(image.dtype, jnp.floating):
        return as_batch(cast("Array", image)[None])
    return jax.device_put(read_image(image).pixels[None].copy())  # likewise


def one_mask(
    mask: Float[Array, "height width"] | MaskLike, size: tuple[int, int]
) -> Float[Array, "1 height width"]:
    """Return a picture's mask as a batch of one."""
    if isinstance(mask, jax.Array) and _tells_shares(mask):
        return mask[None].astype(jnp.float32)
    return jax.device_put(read_mask(mask, size)[None].astype(np.float32))


def _tells_shares(mask: Array | np.ndarray) -> bool:
    return mask.dtype == bool or jnp.issubdtype(mask.dtype, jnp.floating)


def check_fit(
    content: Float[Array, "batch height width 3"],
    style: Style,
    recipe: Recipe,
    masks: Array | None,
    patches: Patches | None,
    measured: Sequence[Moments] | None,
) -> None:
    """Raise a `WctError` if the style, masks, patches or moments are not for these pictures."""
    axes = style.levels[0].mean.shape[:-1]
    if masks is None and axes not in {(), (1,), (len(content),)}:
        raise WctError(
            f"moments with leading axes {axes} are no style for {len(content)} pictures: give "
            "one style, one for each, or masks for as many regions"
        )
    if masks is not None and masks.shape[1:] != content.shape[1:3]:
        raise WctError(
            f"masks of {masks.shape[1:]} pixels are none for pictures of {content.shape[1:3]}"
        )
    if not set(patches or ()) <= set(recipe.levels):
        raise WctError(f"patches are for levels that run: {list(recipe.levels)}")
    if masks is not None and patches:
        raise WctError("style-swap knows no masks: give masks or patches")
    if measured is None:
        return
    if masks is not None:
        raise WctError("moments are those of whole pictures: give masks or measured")
    channels = [style.levels[level - 1].mean.shape[-1] for level in recipe.levels]
    if [moments.mean.shape for moments in measured] != [(count,) for count in channels]:
        raise WctError(
            f"measured must be what `measure` returns for the levels {list(recipe.levels)}"
        )
