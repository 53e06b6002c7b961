"""Colours: the content's kept, or the style's changed to them beforehand."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ._errors import look_up
from ._pixels import strips, to_floats

if TYPE_CHECKING:
    from ._moments import Moments

COLORS = ("style", "luminance", "matched")
"""Whose colours a result has: the style's; the content's, with the result's lightness; or, by a
style that was recoloured beforehand, nearly the content's."""

# Linear sRGB to the cones' responses, and the cube roots of these to Oklab.
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def check_colors(colors: str) -> None:
    """Raise a `WctError` if there is no such way with colours."""
    look_up("choice of colors", colors, dict.fromkeys(COLORS))


def with_chroma_of(content: np.ndarray, result: np.ndarray) -> np.ndarray:
    """Give a result the content's hue and chroma, and keep its lightness.

    Args:
        content: `(height, width, 3)`, sRGB in [0, 1].
        result: The same.

    References:
        B. Ottosson, "A perceptual color space for image processing", 2020.
    """
    mixed = to_oklab(content)
    mixed[..., 0] = to_oklab(result)[..., 0]
    return from_oklab(mixed).astype(np.float32)


def match_colors(style: np.ndarray, content: np.ndarray) -> np.ndarray:
    """Give a style's picture the mean and covariance of the content's colours.

    By the optimal-transport map, which turns hues no more than it must, in linear light, in which
    colours mix as light does.

    Args:
        style: `(height, width, 3)`, sRGB in [0, 1].
        content: The same, of any size; or uint8.

    References:
        L. Gatys, M. Bethge, A. Hertzmann, E. Shechtman, "Preserving Color in Neural Artistic Style
        Transfer", 2016, section 3.
    """
    import jax

    from ._transform import optimal_transport

    ours = to_linear(style)
    theirs = (to_linear(to_floats(content[rows])) for rows in strips(len(content)))
    found = jax.jit(optimal_transport)(_measure([ours]), _measure(theirs))
    matrix, offset = (np.asarray(each, np.float64) for each in (found.matrix, found.offset))
    return to_srgb(ours @ matrix.T + offset).astype(np.float32)


def _measure(parts: Iterable[np.ndarray]) -> "Moments":
    """Measure the moments of colours in [0, 1], by sums, which are exact enough in float64."""
    import jax

    from ._moments import Moments

    count, total, products = 0, np.zeros(3), np.zeros((3, 3))
    for part in parts:
        colours = part.reshape(-1, 3)
        count += len(colours)
        total += colours.sum(0)
        products += colours.T @ colours
    mean = total / count
    covariance = (products - count * np.outer(mean, mean)) / max(count - 1, 1)
    exact = count, mean, covariance, covariance - np.float32(covariance)
    return Moments(*jax.device_put([np.asarray(value, np.float32) for value in exact]))


def to_linear(pixels: np.ndarray) -> np.ndarray:
    """Convert sRGB in [0, 1] to linear light, as IEC 61966-2-1 defines it."""
    values = np.asarray(pixels, np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Convert linear light to sRGB; what is out of range is clipped to [0, 1]."""
    values = np.clip(light, 0, 1)
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)


def to_oklab(pixels: np.ndarray) -> np.ndarray:
    """Convert sRGB in [0, 1] to Oklab: lightness, and two axes of colour."""
    return np.cbrt(to_linear(pixels) @ _CONES.T) @ _LAB.T


def from_oklab(lab: np.ndarray) -> np.ndarray:
    """Convert Oklab to sRGB; what sRGB cannot show is clipped."""
    return to_srgb((lab @ np.linalg.inv(_LAB).T) ** 3 @ np.linalg.inv(_CONES).T)
