"""The errors that `wct` raises for what its user can mend."""

import difflib
from collections.abc import Mapping
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
        WctError: Nothing; it says the nearest name that there is, or all of them.
    """
    if name not in table:
        nearest = difflib.get_close_matches(str(name), table, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"they are {', '.join(table)}"
        raise WctError(f"there is no {kind} {name!r}: {hint}")
    return table[name]
