"""The one convolution of all networks here: 3×3, stride 1, reflection-padded."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def convolve(
    features: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "3 3 inputs outputs"],
    bias: Float[Array, " outputs"],
) -> Float[Array, "batch height width outputs"]:
    """Convolve with a 3×3 kernel, the features continued by reflection at their edges.

    The reflection does not repeat the edge itself (`numpy.pad`'s `"reflect"`); an axis of length
    one is continued by its only value.

    Args:
        features: Features, NHWC.
        kernel: Kernel, HWIO.
        bias: One number an output channel.

    Returns:
        Features of the same height and width.
    """
    padded = _reflect(_reflect(features, axis=1), axis=2)
    # XLA's CPU backend uses all cores for "SAME" and in effect one for "VALID", so there the outer
    # pixel is computed and thrown away.
    crop_afterwards = jax.default_backend() == "cpu"
    result = lax.conv_general_dilated(
        padded,
        kernel,
        window_strides=(1, 1),
        padding="SAME" if crop_afterwards else "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    if crop_afterwards:
        result = result[:, 1:-1, 1:-1]
    return result + bias[None, None, None]


def _reflect(features: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    last = features.shape[axis] - 1
    before = lax.slice_in_dim(features, min(1, last), min(1, last) + 1, axis=axis)
    after = lax.slice_in_dim(features, max(last - 1, 0), max(last - 1, 0) + 1, axis=axis)
    return jnp.concatenate([before, features, after], axis=axis)
