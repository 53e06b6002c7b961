"""The convolution of all networks here: 3×3, stride 1, reflection-padded."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def convolve(
    features: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "3 3 inputs outputs"],
    bias: Float[Array, " outputs"],
    *,
    doubled: bool = False,
) -> Float[Array, "batch _ _ outputs"]:
    """Convolve with a 3×3 kernel, the features continued by reflection at their edges.

    The reflection does not repeat the edge itself (`numpy.pad`'s `"reflect"`); an axis of length
    one is continued by its only value.

    Args:
        features: Features, NHWC.
        kernel: Kernel, HWIO.
        bias: One number an output channel.
        doubled: Whether the features' size is doubled before, by nearest neighbour.

    Returns:
        Features of the same height and width, or of twice these.
    """
    on_cpu = jax.default_backend() == "cpu"
    return _convolve(features, kernel, bias, doubled=doubled, on_cpu=on_cpu)


# A compiled function within compiled functions: it is traced once a shape, and not once a layer.
@partial(jax.jit, static_argnames=("doubled", "on_cpu"))
def _convolve(features: Array, kernel: Array, bias: Array, *, doubled: bool, on_cpu: bool) -> Array:
    if doubled:
        result = _convolve_doubled(features, kernel, on_cpu)
    else:
        result = _valid(_reflect(_reflect(features, axis=1), axis=2), kernel, on_cpu)
    return result + bias[None, None, None]


def _convolve_doubled(features: Array, kernel: Array, on_cpu: bool) -> Array:
    """Convolve features of twice the size, without making them.

    Two of the three rows that a pixel sees are the same one, and two of the columns: so each of the
    four pixels that come of one is a 2×2 convolution, with 4/9 of the multiplications. Reflection
    becomes repetition of the edge.
    """
    batch, height, width, _ = features.shape
    padded = jnp.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
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


def _reflect(features: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    last = features.shape[axis] - 1
    before = lax.slice_in_dim(features, min(1, last), min(1, last) + 1, axis=axis)
    after = lax.slice_in_dim(features, max(last - 1, 0), max(last - 1, 0) + 1, axis=axis)
    return jnp.concatenate([before, features, after], axis=axis)
