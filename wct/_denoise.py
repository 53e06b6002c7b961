"""The noise of a video, levelled out over time where nothing moves."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._program import program

_LEAST = 0.1
"""What a new frame counts at least, so that slow changes come through."""

_CLEAR = 3
"""How many deviations of the noise are a change."""

Frame = Float[Array, "height width 3"]


class Denoiser:
    """A recursive filter over the frames of a video, which is fast where they change.

    x̄ₜ = x̄ₜ₋₁ + k (xₜ − x̄ₜ₋₁), with k = (d / 3σ)², from 0.1 to 1: d is the mean absolute difference
    of the frames over 3 × 3 pixels and all colours, σ the noise.

    References:
        J. Brailean, R. Kleihorst, S. Efstratiadis, A. Katsaggelos, R. Lagendijk, "Noise Reduction
        Filters for Dynamic Image Sequences: A Review", Proceedings of the IEEE 83, 1995.
    """

    def __init__(self, noise: float):
        """Begin with no frame.

        Args:
            noise: Standard deviation of the noise, for values in [0, 1]; more than 0.
        """
        self._noise = noise
        self._mean: Frame | None = None

    def __call__(self, frame: Float[np.ndarray, "height width 3"]) -> Frame:
        """Return the next frame, without most of its noise.

        Args:
            frame: Floats in [0, 1].
        """
        new = jax.device_put(frame)
        if self._mean is not None:
            new = _follow(self._mean, new, self._noise)
        self._mean = new
        return new


@program
def _follow(mean: Frame, frame: Frame, noise: Float[Array, ""] | float) -> Frame:
    difference = jnp.abs(frame - mean).mean(-1)
    gain = jnp.clip((_smoothed(difference) / (_CLEAR * noise)) ** 2, _LEAST, 1)
    return mean + gain[..., None] * (frame - mean)


def _smoothed(values: Float[Array, "height width"]) -> Float[Array, "height width"]:
    """Average 3 × 3 pixels, those at the edge repeated."""
    for axis in (0, 1):
        lines = jnp.swapaxes(values, 0, axis)
        above = jnp.concatenate([lines[:1], lines[:-1]])
        below = jnp.concatenate([lines[1:], lines[-1:]])
        values = jnp.swapaxes((above + lines + below) / 3, 0, axis)
    return values
