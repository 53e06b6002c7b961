"""The noise of a video, levelled out over time where nothing moves."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._program import program
from ._shift import shifted
from ._smooth import smooth

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
        self._start = np.zeros(2, int)

    def __call__(self, frame: Frame, start: Int[np.ndarray, "2"]) -> Frame:
        """Return the next frame, without most of its noise.

        Args:
            frame: Floats in [0, 1].
            start: Where in the scene it starts, in pixels; all frames show parts of that.
        """
        if self._mean is not None:
            mean = self._mean
            if (start != self._start).any():
                height, width, _ = frame.shape
                moved = (start - self._start).astype(np.float32)
                mean = shifted(mean, moved, size=(height, width))
            frame = _follow(mean, frame, self._noise)
        self._mean, self._start = frame, start
        return frame


@program
def _follow(mean: Frame, frame: Frame, noise: Float[Array, ""] | float) -> Frame:
    difference = jnp.abs(frame - mean).mean(-1)
    gain = jnp.clip((smooth(difference) / (_CLEAR * noise)) ** 2, _LEAST, 1)
    return mean + gain[..., None] * (frame - mean)
