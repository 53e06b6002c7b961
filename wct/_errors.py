"""The errors that `wct` raises for what its user can mend."""

import difflib
import operator
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class WctError(Exception):
    """Base of all errors of this library: what was wrong, with what, and what to do about it."""


class ImageError(WctError):
    """A picture that cannot be read, used or written."""


class WeightsError(WctError):
    """A model directory that is missing, incomplete or damaged."""


def check_counts(least: int = 1, /, **counts: int) -> None:
    """Check that arguments, given by name, are whole numbers and not too low.

    Raises:
        WctError: One is not.
    """
    for name, count in counts.items():
        try:
            is_right = operator.index(count) >= least
        except TypeError:
            is_right = False
        if not is_right:
            raise WctError(f"{name} must be a whole number, at least {least}, not {count!r}")


def in_one_line(error: WctError) -> str:
    """Return what an error says; what it quotes may have lines of its own."""
    return " ".join(str(error).split())


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
