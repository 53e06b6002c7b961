"""The convolution of all networks here: 3×3, stride 1, reflection-padded."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from . import _onednn, _winograd

Length = int | Int[Array, ""]
Size = tuple[Length, Length]
"""Height and width of a picture on its canvas, or of its features on theirs."""


def convolve(
    features: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "3 3 inputs outputs"],
    bias: Float[Array, " outputs"],
    *,
    doubled: bool = False,
    relu: bool = False,
    halved: bool = False,
    size: Size | None = None,
) -> Float[Array, "batch _ _ outputs"]:
    """Convolve with a 3×3 kernel, the features continued by reflection at their edges.

    The reflection does not repeat the edge itself (`numpy.pad`'s `"reflect"`); an axis of length
    one is continued by its only value.

    Args:
        features: Features, NHWC.
        kernel: Kernel, HWIO.
        bias: One number an output channel.
        doubled: Whether the features' size is doubled before, by nearest neighbour.
        relu: Whether negative values become zero after it.
        halved: Whether the size is halved at the end, by the maximum of each 2×2.
        size: How many of the rows and columns are a picture's, the first ones. Its edge is there,
            and what comes of those beyond means nothing. Without it all are, and the derivative is
            faster; with it, the convolution itself.

    Returns:
        Features of the same height and width, or of twice or half of these.
    """
    options = {"doubled": doubled, "relu": relu, "halved": halved}
    if _onednn.is_usable(features, kernel, bias):
        return _convolve(features, kernel, bias, size, **options, valid=_valid_by_onednn)
    valid = _valid_on_cpu if jax.default_backend() == "cpu" else _valid
    return _compiled(features, kernel, bias, size, **options, valid=valid)


def _convolve(
    features: Array,
    kernel: Array,
    bias: Array,
    size: Size | None,
    *,
    doubled: bool,
    relu: bool,
    halved: bool,
    valid: Callable[..., Array],
) -> Array:
    # The reflection of what is doubled is a repetition of the edge.
    surrounded = _surround(features, size, 0 if doubled else 1)
    if doubled:
        result = _weave([valid(surrounded, part, bias, relu=relu) for part in _quarter(kernel)])
    else:
        result = valid(surrounded, kernel, bias, relu=relu)
    return halve(result) if halved else result


# A compiled function within compiled functions: it is traced once a shape, and not once a layer.
_compiled = jax.jit(_convolve, static_argnames=("doubled", "relu", "halved", "valid"))


@jax.jit
def halve(
    features: Float[Array, "batch height width channels"],
) -> Float[Array, "batch _ _ channels"]:
    """2×2 max pooling."""
    rows = jnp.maximum(features[:, ::2], features[:, 1::2])
    return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])


def _valid(features: Array, kernel: Array, bias: Array, *, relu: bool, padding="VALID") -> Array:
    """Convolve features that are not continued."""
    numbers = ("NHWC", "HWIO", "NHWC")
    result = lax.conv_general_dilated(features, kernel, (1, 1), padding, dimension_numbers=numbers)
    result = result + bias[None, None, None]
    return jax.nn.relu(result) if relu else result


def _valid_by_onednn(features: Array, kernel: Array, bias: Array, *, relu: bool) -> Array:
    """The same for arrays at hand."""
    module = _winograd if _winograd.pays(features, kernel) else _onednn
    return module.convolve(features, kernel, bias, relu=relu)


def _valid_on_cpu(features: Array, kernel: Array, bias: Array, *, relu: bool) -> Array:
    """The same where XLA uses all cores for "SAME", and in effect one for "VALID".

    The outer pixels are computed and thrown away.
    """
    result = _valid(features, kernel, bias, relu=relu, padding="SAME")
    for axis, taps in enumerate(kernel.shape[:2], start=1):
        first, count = (taps - 1) // 2, features.shape[axis] - taps + 1
        result = lax.slice_in_dim(result, first, first + count, axis=axis)
    return result


@jax.jit
def _quarter(kernel: Array) -> list[Array]:
    """Return the four 2×2 kernels by which features of twice the size need not be made.

    Two of the three rows that a pixel sees are the same one, and two of the columns: so each of the
    four pixels that come of one has a kernel with 4/9 of the multiplications.
    """
    return [
        _merge_taps(_merge_taps(kernel, 0, lower), 1, right) for lower in (0, 1) for right in (0, 1)
    ]


@jax.jit
def _weave(parts: list[Array]) -> Array:
    """Put together what comes of the four kernels, on features that have a border of one."""
    batch, height, width, channels = parts[0].shape
    height, width = height - 1, width - 1
    pixels = [
        part[:, lower : lower + height, right : right + width]
        for part, (lower, right) in zip(parts, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True)
    ]
    rows = [jnp.stack(pixels[:2], 3), jnp.stack(pixels[2:], 3)]
    return jnp.stack(rows, 2).reshape(batch, 2 * height, 2 * width, channels)


def _merge_taps(kernel: Array, axis: int, second: int) -> Array:
    """Add the two taps that see the same pixel, for the first or the second pixel of a pair."""
    first, middle, last = (lax.slice_in_dim(kernel, tap, tap + 1, axis=axis) for tap in range(3))
    pair = [first + middle, last] if second else [first, middle + last]
    return jnp.concatenate(pair, axis)


@partial(jax.jit, static_argnames="distance")
def _surround(features: Array, size: Size | None, distance: int) -> Array:
    """Add a border of the values at a distance from the picture's edges."""
    for axis, length in enumerate(size or (None, None), start=1):
        features = _continue(features, axis, length, distance)
    return features


def _continue(features: Array, axis: int, length: Length | None, distance: int) -> Array:
    """Add the values at a distance from the picture's edges before its first and after its last."""
    whole = features.shape[axis]
    if length is None:
        distance = min(distance, whole - 1)
        before, after = (
            lax.slice_in_dim(features, index, index + 1, axis=axis)
            for index in (distance, whole - 1 - distance)
        )
        return jnp.concatenate([before, features, after], axis=axis)
    first = jnp.minimum(distance, length - 1)
    index = jnp.arange(-1, whole + 1)
    index = jnp.where(index < 0, first, index)
    index = jnp.where(index == length, length - 1 - first, index)
    return jnp.take(features, index, axis=axis, mode="clip")
