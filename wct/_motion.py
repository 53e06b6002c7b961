"""Where what a video shows has moved: by one shift for all of a frame, to parts of a pixel."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ._program import program
from ._shift import resample
from ._smooth import smooth

_SMALLEST = 16
"""Side of the coarsest pictures that are compared; of a frame, whose pixels are halved, twice."""

_STEPS = 6
"""Steps of Gauss and Newton at each scale."""

_FAINT = 0.5 / 255
"""Gradients a pixel, root mean square, that tell nothing."""

_SAME = 0.5
"""Two frames show the same if their difference is less than so much of their contrast."""

_UNSEEN = 0.3 / 255
"""Differences of two pixels that tell little of which shift is theirs."""

_LEAST = 0.03
"""What is less than this, in pixels, is no motion."""

_LUMA = 0.299, 0.587, 0.114

Frame = Float[Array, "height width 3"]
Gray = Float[Array, "_ _"]
Shift = Float[Array | np.ndarray, "2"]

Light = Float[Array, "2"]
"""How much brighter a picture is than another: by a number, and by a share of what that has."""


class _Seen(NamedTuple):
    scales: Sequence[Gray]
    motion: np.ndarray


class Tracker:
    """Follows the shift that most of a picture makes from frame to frame.

    Least squares of what two frames differ by, in brightness too, from coarse to fine; what does
    not move along counts less the more it differs (Geman and McClure's function). A frame is
    compared with an early one as long as they show the same, so that errors do not add up.

    References:
        J.-M. Odobez, P. Bouthemy, "Robust Multiresolution Estimation of Parametric Motion Models",
        Journal of Visual Communication and Image Representation 6, 1995.
    """

    def __init__(self) -> None:
        """Begin with no frame."""
        self._motion = np.zeros(2)
        self._known: tuple[_Seen, ...] = ()

    def __call__(self, frame: Frame) -> Float[np.ndarray, "2"]:
        """Return how far the picture has moved since the first frame, rows and columns.

        A frame that shows something else than those before has not moved from the last of them.

        Args:
            frame: The next frame, in [0, 1].
        """
        if min(frame.shape[:2]) < 2 * _SMALLEST:
            return self._motion
        scales = _scales(frame)
        for known in self._known:
            guess = (self._motion - known.motion).astype(np.float32)
            shift, is_same, is_nearer = map(np.asarray, _compare(known.scales, scales, guess))
            if is_same:
                motion = known.motion + shift
                moved = is_nearer & (np.abs(motion - self._motion) > _LEAST)
                self._motion = np.where(moved, motion, self._motion)
                self._known = known, _Seen(scales, self._motion)
                break
        else:
            self._known = (_Seen(scales, self._motion),)
        return self._motion


@program
def _scales(frame: Frame) -> list[Gray]:
    """Return a frame's brightness in half its size, a quarter, and so on."""
    scales = [_halved(smooth(frame @ jnp.asarray(_LUMA, frame.dtype)))]
    while min(scales[-1].shape) >= 2 * _SMALLEST:
        scales.append(_halved(scales[-1]))
    return scales


def _halved(values: Gray) -> Gray:
    height, width = (side // 2 for side in values.shape)
    squares = values[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    return smooth(squares.mean((1, 3)))


@program
def _compare(
    reference: Sequence[Gray], frame: Sequence[Gray], shift: Shift
) -> tuple[Shift, Bool[Array, ""], Bool[Array, ""]]:
    """Find the shift from one frame to another.

    Args:
        reference: The one's scales.
        frame: The other's.
        shift: What it may be.

    Returns:
        The shift, in pixels; whether what they have in common is the same; and whether more of that
        fits this shift than the one that was given.
    """
    guess, light = shift, jnp.zeros(2, shift.dtype)
    for level in reversed(range(len(reference))):
        pixel = 2 ** (level + 1)
        shift, light = _refine(reference[level], frame[level], shift / pixel, light)
        shift = shift * pixel
    finest = reference[0]
    difference, inside = _difference(finest, frame[0], shift / 2, light)
    contrast = jnp.abs((1 + light[1]) * (finest - _mean(finest, inside)))
    alike = _mean(jnp.abs(difference), inside) < _SAME * _mean(contrast, inside)
    before, _ = _difference(finest, frame[0], guess / 2, light)
    nearer = _votes(difference, before, inside) > 0
    return shift, alike, nearer


def _votes(difference: Gray, other: Gray, inside: Gray) -> Float[Array, ""]:
    """Return how many more pixels differ by less than otherwise, of all that do, however little."""
    one, two = jnp.abs(difference), jnp.abs(other)
    return _mean((two - one) / (one + two + _UNSEEN), inside)


def _refine(reference: Gray, frame: Gray, shift: Shift, light: Light) -> tuple[Shift, Light]:
    """Improve the shift between two pictures, and how their light differs."""
    slopes = jnp.stack([*jnp.gradient(reference), jnp.ones_like(reference), reference])
    least = jnp.diag(jnp.asarray([_FAINT, _FAINT, 1e-6, 1e-3], reference.dtype) ** 2)

    def step(_, found):
        shift, light, scale = found
        difference, inside = _difference(reference, frame, shift, light)
        weights = inside * (scale**2 / (scale**2 + difference**2)) ** 2
        weighted = slopes * weights[None]
        normal = jnp.einsum("ahw,bhw->ab", weighted, slopes, precision="highest")
        excess = jnp.einsum("ahw,hw->a", weighted, difference, precision="highest")
        change = jnp.linalg.solve(normal + least * weights.sum(), excess)
        return shift - change[:2], light + change[2:], _scale(difference, weights)

    scale = _scale(*_difference(reference, frame, shift, light))
    shift, light, _ = lax.fori_loop(0, _STEPS, step, (shift, light, scale))
    return shift, light


def _scale(difference: Gray, weights: Gray) -> Float[Array, ""]:
    """Return the difference from which on two pixels do not show the same."""
    return 1.5 * _mean(jnp.abs(difference), weights) + 1 / 255


def _difference(
    reference: Gray, frame: Gray, shift: Shift, light: Light
) -> tuple[Gray, Float[Array, "_ _"]]:
    """Return what two pictures differ by with a shift, and where both show the same place, as 1."""
    (height, width), (down, right), (more, times) = reference.shape, shift, light
    inside = jnp.outer(_inside(height, down), _inside(width, right))
    moved = resample(frame, shift, (height, width))
    return moved - reference - more - times * reference, inside


def _inside(length: int, shift: Float[Array, ""]) -> Float[Array, " length"]:
    places = jnp.arange(length, dtype=shift.dtype) + shift
    return ((places > -0.5) & (places < length - 0.5)).astype(shift.dtype)


def _mean(values: Gray, weights: Gray) -> Float[Array, ""]:
    return (values * weights).sum() / jnp.maximum(weights.sum(), 1)
