"""Networks, and the styles that come along with them, that are loaded once a process."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports jax, which takes seconds: `wct --help` must not wait for it
    from ._style import Style
    from ._stylizer import Stylizer


def find_stylizer(model: str | os.PathLike[str] | Stylizer) -> Stylizer:
    """Return a model by its name or directory, or as it was loaded before.

    Raises:
        WeightsError: There is no such model, or it is incomplete or damaged.
    """
    from ._compiled import keep_programs
    from ._models import find_model
    from ._stylizer import Stylizer

    keep_programs()
    if isinstance(model, Stylizer):
        return model
    return load_stylizer(find_model(model).resolve())


@functools.lru_cache(maxsize=2)
def load_stylizer(model: Path) -> Stylizer:
    """Load a model directory, or return what it was loaded to before."""
    from ._stylizer import Stylizer

    return Stylizer.from_pretrained(model)


@functools.lru_cache(maxsize=2)
def load_bank(model: Path) -> Style:
    """Load the styles in a model directory, or return what they were loaded to before."""
    from ._style import Style

    return Style.from_pretrained(model)
