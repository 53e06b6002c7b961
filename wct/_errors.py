"""The errors that `wct` raises for what its user can mend."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class WctError(Exception):
    """Base of all errors of this library: what was wrong, with what, and what to do about it."""


class ImageError(WctError):
    """A picture that cannot be read, used or written."""


class WeightsError(WctError):
    """A model directory that is missing, incomplete or damaged."""


def look_up(kind: str, name: str, table: Mapping[str, T]) -> T:
    """Return what a table has under a name that the user gave.

    Raises:
        WctError: There is none. The message suggests the nearest name, or lists them all.
    """
    if name not in table:
        raise WctError(f"there is no {kind} {name!r}: {suggest(str(name), table, 'they are')}")
    return table[name]


def suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """Ask whether the nearest of the known names was meant; if none is near, list them all."""
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1)
    return (
        f"did you mean {nearest[0]!r}?" if nearest else f"{otherwise} {', '.join(known) or 'none'}"
    )
