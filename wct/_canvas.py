"""Tools for drawing with arrays: fields, ramps, soft edges, layers.

Everything is drawn in units of the picture's height, `FINE` times larger than asked for, and then
reduced: so edges are smooth, and another size shows the same picture, coarser or finer.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import ImageColor

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A value at every point `x`, `y`."""

FINE = 2


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `x` and `y` of every pixel's centre, in units of the height."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return (x + 0.5) / height, (y + 0.5) / height


def waves(rng: np.random.Generator, cycles: float, octaves: int = 1, count: int = 9) -> Field:
    """Return a smooth random field of variance 1: waves of about `cycles` to the unit.

    Each octave more adds waves half as long and half as high.
    """
    octave = np.repeat(0.5 ** np.arange(octaves), count)
    angle, phase = rng.uniform(0, 2 * math.pi, (2, len(octave)))
    number = 2 * math.pi * cycles / octave * rng.uniform(0.5, 1.5, len(octave))
    weight = math.sqrt(2 / count) * octave
    # Python's floats, unlike NumPy's, leave float32 as it is.
    waves = np.transpose([weight, number * np.cos(angle), number * np.sin(angle), phase]).tolist()

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total = np.zeros_like(x)
        for height, right, down, start in waves:
            total += height * np.cos(right * x + down * y + start)
        return total

    return field


def parse_hex(codes: str) -> np.ndarray:
    """Return the colour `(3,)` of one code, or the colours `(number, 3)` of several."""
    colours = [ImageColor.getrgb(code) for code in codes.split()]
    return np.array(colours, np.float32).squeeze() / 255


def ramp(value: np.ndarray, colours: str | np.ndarray) -> np.ndarray:
    """Map values from 0 to 1 to colours that blend from the first to the last."""
    colours = parse_hex(colours) if isinstance(colours, str) else colours
    knots = np.linspace(0, 1, len(colours))
    channels = [np.interp(value, knots, channel) for channel in colours.T]
    return np.stack(channels, axis=-1, dtype=np.float32)


def step(value: np.ndarray, soft: float) -> np.ndarray:
    """Return 0 below zero and 1 above, with a ramp `soft` wide between."""
    return np.clip(value / soft + 0.5, 0, 1)


def over(below: np.ndarray, above: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Lay one picture over another where `cover` is 1."""
    return below + (above - below) * cover[..., None]


def reduce(pixels: np.ndarray) -> np.ndarray:
    """Reduce a picture from the size that it is drawn in, and clip it to [0, 1]."""
    height, width = pixels.shape[0] // FINE, pixels.shape[1] // FINE
    blocks = np.clip(pixels, 0, 1).reshape(height, FINE, width, FINE, 3)
    return blocks.mean((1, 3), dtype=np.float32)
