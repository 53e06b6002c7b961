"""The sizes of canvases: few, as programs are compiled for each; a picture is put on the next.

Beyond the picture a canvas has its reflection.
"""

from collections.abc import Callable
from typing import Any

from ._layers import CELL

_STEPS = 8


def to_cells(length: int) -> int:
    """Return the next multiple of 16, which every level can encode."""
    return -(-length // CELL) * CELL


def to_bucket(length: int) -> int:
    """Return the canvas's length for a picture's: a multiple of 16, and from 256 on of more.

    Between a power of two and the next there are eight.
    """
    octave = 2 ** (length - 1).bit_length()
    step = max(octave // (2 * _STEPS), CELL)
    return -(-length // step) * step


def reflected(positions: Any, length: Any, maximum: Callable[[Any, Any], Any] = max) -> Any:
    """Return the positions, less than a length, of which others are the reflections.

    Args:
        positions: Positions along an axis, of NumPy or JAX.
        length: The length, a number or an array.
        maximum: What returns the greater of two lengths.
    """
    last = length - 1
    return last - abs(positions % maximum(2 * last, 1) - last)
