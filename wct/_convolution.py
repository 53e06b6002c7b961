"""The convolution of all networks here: 3×3, stride 1, reflection-padded."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

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
    on_cpu = jax.default_backend() == "cpu"
    return _convolve(
        features, kernel, bias, size, doubled=doubled, relu=relu, halved=halved, on_cpu=on_cpu
    )


# A compiled function within compiled functions: it is traced once a shape, and not once a layer.
@partial(jax.jit, static_argnames=("doubled", "relu", "halved", "on_cpu"))
def _convolve(
    features: Array,
    kernel: Array,
    bias: Array,
    size: Size | None,
    *,
    doubled: bool,
    relu: bool,
    halved: bool,
    on_cpu: bool,
) -> Array:
    distance = 0 if doubled else 1  # reflection of what is doubled is repetition of the edge
    for axis, length in enumerate(size or (None, None), start=1):
        features = _continue(features, axis, length, distance)
    result = (_convolve_doubled if doubled else _valid)(features, kernel, on_cpu)
    result = result + bias[None, None, None]
    result = jax.nn.relu(result) if relu else result
    return halve(result) if halved else result


def halve(
    features: Float[Array, "batch height width channels"],
) -> Float[Array, "batch _ _ channels"]:
    """2×2 max pooling."""
    rows = jnp.maximum(features[:, ::2], features[:, 1::2])
    return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])


def _convolve_doubled(padded: Array, kernel: Array, on_cpu: bool) -> Array:
    """Convolve features of twice the size, without making them; they come with a border of one.

    Two of the three rows that a pixel sees are the same one, and two of the columns: so each of the
    four pixels that come of one is a 2×2 convolution, with 4/9 of the multiplications.
    """
    batch, height, width = padded.shape[0], padded.shape[1] - 2, padded.shape[2] - 2
    rows = []
    for lower in (0, 1):
        columns = []
        for right in (0, 1):
            merged = _merge_taps(_merge_taps(kernel, 0, lower), 1, right)
            result = _valid(padded, merged, on_cpu)
            columns.append(result[:, lower : lower + height, right : right + width])
        rows.append(jnp.stack(columns, 3))
    return jnp.stack(rows, 2).reshape(batch, 2 * height, 2 * width, kernel.shape[-1])


def _valid(features: Array, kernel: Array, on_cpu: bool) -> Array:
    """Convolve features that are not continued.

    XLA's CPU backend uses all cores for "SAME" and in effect one for "VALID", so there the outer
    pixels are computed and thrown away.
    """
    result = lax.conv_general_dilated(
        features,
        kernel,
        window_strides=(1, 1),
        padding="SAME" if on_cpu else "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    if on_cpu:
        for axis, taps in enumerate(kernel.shape[:2], start=1):
            first, count = (taps - 1) // 2, features.shape[axis] - taps + 1
            result = lax.slice_in_dim(result, first, first + count, axis=axis)
    return result


def _merge_taps(kernel: Array, axis: int, second: int) -> Array:
    """Add the two taps that see the same pixel, for the first or the second pixel of a pair."""
    first, middle, last = (lax.slice_in_dim(kernel, tap, tap + 1, axis=axis) for tap in range(3))
    pair = [first + middle, last] if second else [first, middle + last]
    return jnp.concatenate(pair, axis)


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
