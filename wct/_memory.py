"""How much memory a picture takes, and the tile that keeps to a budget.

The estimates are upper bounds of what was measured. What is chosen depends on them alone and not on
the machine, so that the same call gives the same result everywhere.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from math import ceil, prod

from ._buckets import to_bucket
from ._errors import WctError
from ._layers import CELL
from ._tiles import smallest_tile

DEFAULT_MEMORY = "3GB"

_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}

_MOST = 1024
"""Side of a square of as many pixels as the largest tiles have: larger ones take no less time."""

_PROGRAM = 0.53e9
"""Bytes of the libraries and of compiled programs."""

_WHOLE = 180, 24
"""Bytes for each pixel of a picture that is done whole: some, and more by relu1_1's channels."""

_TILE = 240, 38
"""The same for each pixel of a tile; holes in memory are given back between passes over them."""

GIVEN_BACK, WRITTEN = 14, 5
"""Bytes held for each pixel of a picture in bands whose result is given back, or is written."""

RESIZED, MASK = 24, 16
"""The same for the picture as floats, if it is resized first, and for each mask."""

_WHOLE_MASK = 50
"""The same for each mask of a picture that is done whole."""


def read_memory(memory: str | float) -> float:
    """Return a number of bytes from itself or from a text such as 3GB or 800 MB.

    Raises:
        WctError: It is neither.
    """
    if isinstance(memory, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", memory.strip(), re.IGNORECASE)
        memory = float(found[1]) * _UNITS[found[2].upper()] if found else 0
    if not memory > 0:
        raise WctError("memory must be a number of bytes, or such as 3GB or 800MB")
    return memory


def choose_tile(
    size: tuple[int, int],
    widths: Sequence[int],
    levels: Sequence[int],
    budget: float,
    tile: int | None = None,
    held: float = GIVEN_BACK,
    masks: int = 0,
) -> int | None:
    """Return the tile for a picture, the side of a square of as many pixels, or None for the whole.

    Args:
        size: The picture's height and width.
        widths: The encoder's widths.
        levels: The levels of the chain.
        budget: Bytes of memory.
        tile: The side that the user wants.
        held: Bytes for each pixel of a picture in bands that are held, besides the networks' work
            and masks.
        masks: The number of masks.

    Raises:
        WctError: The memory does not suffice, or the tile is too small.
    """
    if not levels:
        return None
    least = max(map(smallest_tile, levels))
    if tile is not None:
        if tile < least:
            raise WctError(f"tile must be at least {least} for these levels, not {tile}")
        return None if tile >= max(size) else tile
    if whole(size, widths) + prod(size) * _WHOLE_MASK * masks <= budget:
        return None
    at_rest = prod(size) * (held + MASK * masks)
    for side in range(_MOST, least - 1, -CELL):
        if _needed(_TILE, side * side, widths) + at_rest <= budget:
            return side
    needed = _needed(_TILE, least * least, widths) + at_rest
    raise WctError(
        f"a picture {size[1]} wide and {size[0]} high needs {ceil(needed / 1e7) / 100} GB of "
        f"memory, and {budget / 1e9:.2f} GB are allowed: allow more (memory=, --memory)"
    )


def whole(size: tuple[int, int], widths: Sequence[int]) -> float:
    """Return the bytes that a picture of this height and width takes that is done whole."""
    return _needed(_WHOLE, prod(map(to_bucket, size)), widths)


def left_by(
    size: tuple[int, int], budget: float, tile: int | None, held: float, masks: int = 0
) -> float:
    """Return the bytes that a picture leaves of a budget, for its style; see `choose_tile`.

    With tiles of the user's own, what the picture takes is the user's affair.
    """
    return budget - prod(size) * (held + MASK * masks) if tile is None else budget


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """Say in one line that a device is out of memory, and what to do.

    Raises:
        WctError: It is.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise WctError(
            "out of memory: allow less of it than there is (memory=, --memory), for lower bands"
        ) from error


def _needed(a_pixel: tuple[int, int], pixels: int, widths: Sequence[int]) -> float:
    some, a_channel = a_pixel
    return _PROGRAM + pixels * (some + a_channel * widths[0])
