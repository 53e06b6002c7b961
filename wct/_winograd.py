"""Winograd's convolution F(4×4, 3×3): a quarter of the multiplications, as matrix products.

Tiles of 6 × 6 features, four apart, and kernels are brought to a basis in which a convolution is a
product at each of the 36 places. For wide layers that is worth the way there and back.

Reference: A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, whose
letters the matrices have.
"""

from collections.abc import Sequence
from functools import partial
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from . import _onednn
from ._border import NO_ROOM, Room, Size
from ._program import program
from ._reuse import blank

_BT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_AT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])

_CHANNELS = 64
"""From how many channels on, in and out, it is faster."""

_CHANNELS_BESIDE_FAST = 128
"""The same where oneDNN's own convolution takes half the time."""

_CHANNELS_BY_XLA = 256
"""The same where XLA does the products."""

_WORK = 2**26
"""From how many products a tap on: below, more calls take longer than they save."""

_BAND = 2.5e6
"""Bytes of transformed features to have at once, which a processor's cache holds."""


def pays(features: Any, kernel: Any) -> bool:
    """Tell whether it is faster here than multiplying at each tap."""
    *taps, inputs, outputs = kernel.shape
    work = features.size * outputs
    return taps == [3, 3] and min(inputs, outputs) >= _least() and work >= _WORK


def convolve(
    features: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "3 3 inputs outputs"],
    bias: Float[Array, " outputs"],
    *,
    relu: bool,
    room: Room = NO_ROOM,
) -> Float[Array, "batch _ _ outputs"]:
    """Convolve as `_onednn.convolve` does, to within 10⁻⁴ of the largest result."""
    batch, height, width, _ = features.shape
    rows, columns = _tiles(height), _tiles(width)
    a_row = 4 * len(_BT) ** 2 * batch * columns * max(kernel.shape[2:])
    band = -(-rows // ceil(rows * a_row / _BAND))
    features = _extend(features, 4 * rows + 2, 4 * columns + 2)
    transformed = _transform_kernel(kernel)
    shape = batch, height - 2 + sum(room[0]), width - 2 + sum(room[1]), kernel.shape[3]
    result = blank(shape)
    for first in range(0, rows, band):
        first = min(first, rows - band)  # the last band may do again what is done
        tiles = _transform(features, 4 * first, band)
        products = _onednn.multiply(tiles, transformed)
        size = min(4 * band, height - 2 - 4 * first), width - 2
        corner = room[0][0] + 4 * first, room[1][0]
        result = _transform_back(products, bias, relu, (batch, band, columns), result, size, corner)
    return result


def _least() -> int:
    if not _onednn.multiplies():
        return _CHANNELS_BY_XLA
    return _CHANNELS_BESIDE_FAST if _onednn.convolves_fast() else _CHANNELS


def _tiles(length: int) -> int:
    return -(-(length - 2) // 4)


def _extend(features: Array, height: int, width: int) -> Array:
    missing = height - features.shape[1], width - features.shape[2]
    return _pad(features, missing) if any(missing) else features


@partial(program, static_argnames="missing")
def _pad(features: Array, missing: tuple[int, int]) -> Array:
    return jnp.pad(features, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))


@program
def _transform_kernel(
    kernel: Float[Array, "3 3 inputs outputs"],
) -> Float[Array, "36 inputs outputs"]:
    """Return G g Gᵀ."""
    inputs, outputs = kernel.shape[2:]
    both = np.kron(_G, _G).astype(np.float32)
    product = jnp.matmul(both, kernel.reshape(9, -1), precision=lax.Precision.HIGHEST)
    return product.reshape(-1, inputs, outputs)


@partial(program, static_argnames="rows")
def _transform(
    features: Float[Array, "batch height width channels"], first: int | Int[Array, ""], rows: int
) -> Float[Array, "36 tiles channels"]:
    """Return Bᵀ d B of some rows of tiles, the first at a row of the features."""
    band = lax.dynamic_slice_in_dim(features, first, 4 * rows + 2, 1)
    half = _combine(_BT, [_every_fourth(band, i, axis=1) for i in range(6)], 0)
    # Otherwise all of this is computed anew for each of the columns.
    half = lax.optimization_barrier(half)
    whole = _combine(_BT, [_every_fourth(half, i, axis=3) for i in range(6)], 1)
    return whole.reshape(36, -1, whole.shape[-1])


@partial(program, static_argnames=("relu", "tiles", "size"), donate_argnames="result")
def _transform_back(
    products: Float[Array, "36 tiles channels"],
    bias: Float[Array, " channels"],
    relu: bool,
    tiles: tuple[int, int, int],
    result: Float[Array, "batch _ _ channels"],
    size: tuple[int, int],
    corner: Size,
) -> Float[Array, "batch _ _ channels"]:
    """Write Aᵀ M A, and the bias, of a batch of rows and columns of tiles into the result.

    `size` rows and columns of it are written, from `corner` on.
    """
    square = products.reshape(6, 6, *tiles, -1)
    half = lax.optimization_barrier(_combine(_AT, [square[:, i] for i in range(6)], 4))
    whole = _combine(_AT, list(half), 2)
    batch, rows, columns = tiles
    height, width = size
    part = whole.reshape(batch, 4 * rows, 4 * columns, -1) + bias[None, None, None]
    part = (jax.nn.relu(part) if relu else part)[:, :height, :width]
    return lax.dynamic_update_slice(result, part, (0, *corner, 0))


def _every_fourth(features: Array, first: int, axis: int) -> Array:
    """Return what lies at one place of all tiles along an axis."""
    last = features.shape[axis] - 5 + first
    return lax.slice_in_dim(features, first, last, stride=4, axis=axis)


def _combine(matrix: np.ndarray, arrays: Sequence[Array], axis: int) -> Array:
    """Return the sums of arrays with each row of a matrix as their weights, along a new axis."""
    sums = []
    for weights in matrix:
        terms = [float(w) * each for w, each in zip(weights, arrays, strict=True) if w]
        sums.append(sum(terms[1:], terms[0]))
    return jnp.stack(sums, axis)
