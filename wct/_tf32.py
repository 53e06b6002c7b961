"""TF32: numbers of float32's range and eleven bits, which NVIDIA's tensor cores multiply."""

import re

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_CHANNELS = 32
"""Input channels from which on a threefold convolution by tensor cores is faster than a plain one,
as measured on an H200."""


def pays(kernel: Float[Array, "rows columns inputs outputs"]) -> bool:
    """Tell whether `in_three_parts` makes a convolution faster here: NVIDIA's 8.0 and later."""
    if jax.default_backend() != "gpu" or kernel.shape[2] < _CHANNELS:
        return False
    version = re.fullmatch(r"(\d+)\.\d+", str(getattr(jax.devices()[0], "compute_capability", "")))
    return version is not None and int(version[1]) >= 8


def in_three_parts(
    features: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "rows columns inputs outputs"],
) -> tuple[Float[Array, "batch height width _"], Float[Array, "rows columns _ outputs"]]:
    """Return features and a kernel whose convolution in TF32 is nearly the given ones' in float32.

    Each number is the sum of one that TF32 has and a small rest. The product of two rests, 2^-22 of
    the whole, is left out. Derivatives are by TF32 alone: what is propagated back is not split.
    """
    large, small = _split(features)
    heavy, light = _split(kernel)
    return (
        jnp.concatenate([large, small, large], axis=3),
        jnp.concatenate([heavy, heavy, light], axis=2),
    )


def _split(values: Array) -> tuple[Array, Array]:
    large = lax.reduce_precision(values, exponent_bits=8, mantissa_bits=10)
    return large, values - large
