"""The sizes of canvases: few, as programs are compiled for each; a picture is put on the next."""

from ._layers import LEVELS, stride

_CELL = stride(max(LEVELS))
_STEPS = 8


def to_cells(length: int) -> int:
    """Return the next multiple of 16, which every level can encode."""
    return -(-length // _CELL) * _CELL


def to_bucket(length: int) -> int:
    """Return the canvas's length for a picture's: a multiple of 16, and from 256 on of more.

    Between a power of two and the next there are eight.
    """
    octave = 2 ** (length - 1).bit_length()
    step = max(octave // (2 * _STEPS), _CELL)
    return -(-length // step) * step
