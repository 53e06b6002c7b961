"""Style-swap: each patch of the content becomes the style's patch that is most like it.

Reference: T. Chen, M. Schmidt, "Fast Patch-based Style Transfer of Arbitrary Style", 2016.
"""

from itertools import product

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Float, Int

_SIDE = 3
"""Rows and columns of a patch."""

_BLOCK = 256
"""Style patches that are compared at once, at most."""

_SCORES = 2**21
"""Scores that are held at once, about: 8 MB of float32. More are no faster."""


def swap_patches(
    content: Float[Array, "batch height width channels"],
    style: Float[Array, "style_height style_width channels"],
) -> Float[Array, "batch height width channels"]:
    """Replace each 3×3 patch of the content by the style's most similar one.

    For the content patch Φ it is the style patch Ψ of highest normalised cross-correlation
    ⟨Φ, Ψ⟩ / (‖Φ‖ ‖Ψ‖), of several the first in row-major order. The norm ‖Φ‖ changes nothing and
    is left out. Patches lie fully inside, one at each position; where they overlap they are
    averaged. A style patch of zeros scores 0, and a content patch of zeros ties with them all.

    Args:
        content: Features of one level. A side shorter than 3 is continued by its last value.
        style: Features of the style, of the same level and of any size; short sides likewise.

    Returns:
        Averages of style features. The style itself is returned as it is, if none of its patches
        is zero or a multiple of an earlier one.

    References:
        T. Chen, M. Schmidt, "Fast Patch-based Style Transfer of Arbitrary Style", 2016,
        equation 1 and section 3.1.
    """
    height, width = content.shape[1:3]
    content, style = _at_least_a_patch(content), _at_least_a_patch(style[None])[0]
    # The choice has no derivative; the averages have one by the style.
    nearest = _nearest(*lax.stop_gradient((content, style)))
    return _overlay(style, nearest)[:, :height, :width]


def _at_least_a_patch(
    features: Float[Array, "batch height width channels"],
) -> Float[Array, "batch _ _ channels"]:
    """Continue sides that are too short for a patch by their last value."""
    below, right = (max(_SIDE - side, 0) for side in features.shape[1:3])
    return jnp.pad(features, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")


# One after the other: a convolution batched over its filters too is several times slower on CPUs,
# and the bound on memory would be multiplied.
@sequential_vmap
def _nearest(
    content: Float[Array, "batch height width channels"],
    style: Float[Array, "style_height style_width channels"],
) -> Int[Array, "batch _ _"]:
    """Number, in row-major order, of the style patch nearest to each content patch.

    All scores would be positions × style patches. Here they are computed for a block of style
    patches and a band of content rows at a time, and only the best so far is kept.
    """
    batch, height, width, _ = content.shape
    rows, columns = height - _SIDE + 1, width - _SIDE + 1
    patches = (style.shape[0] - _SIDE + 1) * (style.shape[1] - _SIDE + 1)
    blocks, block = _split(patches, _BLOCK)
    bands, band = _split(rows, _SCORES // (block * batch * columns))

    def compare_block(best, start):
        # The last block repeats the last patch, which changes nothing.
        numbers = jnp.minimum(start + jnp.arange(block, dtype=jnp.int32), patches - 1)
        filters = _filters(style, numbers)

        def compare_band(index, best):
            # Beyond the end both slices are moved back, by the same number of rows.
            part = lax.dynamic_slice_in_dim(content, index * band, band + _SIDE - 1, axis=1)
            before = [lax.dynamic_slice_in_dim(old, index * band, band, axis=1) for old in best]
            scores = _correlate(part, filters)
            score = scores.max(-1)
            # Not by `argmax`, which is slow on CPUs.
            number = jnp.where(scores == score[..., None], numbers[None, None, None], patches)
            better = score > before[0]
            after = (
                jnp.where(better, new, old)
                for new, old in zip((score, number.min(-1)), before, strict=True)
            )
            return tuple(
                lax.dynamic_update_slice_in_dim(old, new, index * band, axis=1)
                for old, new in zip(best, after, strict=True)
            )

        return lax.fori_loop(0, bands, compare_band, best), None

    positions = (batch, rows, columns)
    best = jnp.full(positions, -jnp.inf, content.dtype), jnp.zeros(positions, jnp.int32)
    return lax.scan(compare_block, best, block * jnp.arange(blocks, dtype=jnp.int32))[0][1]


def _filters(
    style: Float[Array, "height width channels"], numbers: Int[Array, " patches"]
) -> Float[Array, "3 3 channels patches"]:
    """Style patches of these numbers, each divided by its norm."""
    row, column = _corner(style, numbers)
    offsets = jnp.arange(_SIDE, dtype=jnp.int32)
    patches = style[
        row[:, None, None] + offsets[None, :, None], column[:, None, None] + offsets[None, None]
    ]
    norm = jnp.sqrt((patches**2).sum((1, 2, 3), keepdims=True))
    return jnp.moveaxis(patches / jnp.where(norm > 0, norm, 1), 0, -1)


def _correlate(
    features: Float[Array, "batch height width channels"],
    filters: Float[Array, "3 3 channels patches"],
) -> Float[Array, "batch _ _ patches"]:
    """Inner products of each patch of the features with each filter."""
    # XLA's CPU backend is half as fast again for "SAME" as for "VALID", so the outer pixel is
    # computed and thrown away. Less than full precision would take other patches.
    scores = lax.conv_general_dilated(
        features,
        filters,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )
    return scores[:, 1:-1, 1:-1]


def _overlay(
    style: Float[Array, "style_height style_width channels"],
    nearest: Int[Array, "batch rows columns"],
) -> Float[Array, "batch _ _ channels"]:
    """Lay the style patch of each position's number there, and average where they overlap."""
    row, column = _corner(style, nearest)
    total = sum(
        jnp.pad(
            style[row + down, column + right],
            ((0, 0), (down, _SIDE - 1 - down), (right, _SIDE - 1 - right), (0, 0)),
        )
        for down, right in product(range(_SIDE), repeat=2)
    )
    high, wide = (
        jnp.asarray(np.convolve(np.ones(positions), np.ones(_SIDE)), style.dtype)
        for positions in nearest.shape[1:]
    )
    return total / (high[:, None] * wide[None])[None, :, :, None]


def _corner(
    style: Float[Array, "height width channels"], numbers: Int[Array, "*shape"]
) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
    """Row and column of the first pixel of the style patches of these numbers."""
    columns = style.shape[1] - _SIDE + 1
    return numbers // columns, numbers % columns


def _split(total: int, limit: int) -> tuple[int, int]:
    """Number and size of equal parts of at most `limit`, or of one."""
    parts = -(-total // max(limit, 1))
    return parts, -(-total // parts)
