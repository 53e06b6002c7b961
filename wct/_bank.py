"""A bank: the styles of a whole folder, measured once and kept side by side in one file."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ._errors import WctError
from ._mixing import stack_styles
from ._style import Style
from ._styles import StyleReader
from ._tasks import find_files, is_picture


@dataclass(frozen=True)
class Bank:
    """Styles by number.

    Attributes:
        names: A name for each: its picture's path in its folder.
        styles: The styles, along a leading axis of the moments.
    """

    names: Sequence[str]
    styles: Style

    def pick(self, indices: Sequence[int]) -> Style:
        """Return some of the styles, along a leading axis."""
        chosen = np.asarray(indices)
        return jax.tree.map(lambda value: jnp.asarray(np.asarray(value)[chosen]), self.styles)


def list_styles(source: Path) -> tuple[list[str], str]:
    """Return the names of the styles that a folder or a bank's file has, and what tells it apart.

    Raises:
        WctError: There is no such folder or file, or it has no styles.
    """
    if source.is_file():
        count = len(_load(source).levels[0].mean)
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        return [f"{source.name}#{number}" for number in range(count)], digest
    names = [name for name in find_files(source) if is_picture(name)]
    if not names:
        raise WctError(f"there are no pictures in {source}")
    sizes = "".join(f"{name}\0{(source / name).stat().st_size}\n" for name in names)
    return names, hashlib.sha256(sizes.encode("utf-8", "surrogateescape")).hexdigest()


def open_bank(
    source: Path,
    names: Sequence[str],
    kept: Path,
    reader: StyleReader,
    measured: Callable[[int], object],
) -> Bank:
    """Measure the styles of a folder, or take what was measured before.

    Args:
        source: A folder of pictures, or a bank's file.
        names: What `list_styles` returned of it.
        kept: Where the bank is, or is to be.
        reader: What reads styles.
        measured: Called with the number of styles that are measured, after each.

    Raises:
        ImageError: A picture cannot be read.
        WctError: The bank is of another model, or cannot be read or written.
    """
    if source.is_file():
        kept = source
    elif not kept.exists():
        styles = []
        for name in names:
            styles += reader.read(source / name)
            measured(len(styles))
        bank = stack_styles(styles)
        if not kept.exists():  # another shard may have been faster: its styles are the same
            bank.save(kept, overwrite=True)
    bank = Bank(names, _load(kept))
    if bank.styles.model != reader.stylizer.mark:
        raise WctError(
            f"the styles in {kept} were measured by {bank.styles.model!r}, but the model is "
            f"{reader.stylizer.mark!r}: measure them anew"
        )
    return bank


def _load(path: Path) -> Style:
    style = Style.load(path)
    several = style.levels[0].mean.ndim == 2
    return style if several else jax.tree.map(lambda value: value[None], style)
