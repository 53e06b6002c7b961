"""A bank: the styles of a whole folder, measured once and kept side by side in one file."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from ._errors import WctError
from ._files import kind_of, reading_file
from ._mixing import stack_styles
from ._style import Style
from ._styles import StyleReader
from ._tasks import find_files, is_picture, no_pictures


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
        return jax.tree.map(lambda value: jax.device_put(np.asarray(value)[chosen]), self.styles)


class Source(NamedTuple):
    """Where styles come from.

    Attributes:
        path: The pictures' folder, or a bank's file.
        names: A name for each style.
        digest: What tells it apart from others.
        styles: Of a file, the styles.
    """

    path: Path
    names: Sequence[str]
    digest: str
    styles: Style | None


def open_source(path: Path) -> Source:
    """Look what styles there are: those of a folder or of a bank's file, or one picture's.

    Raises:
        WctError: There is no such folder or file, or it has no styles.
    """
    kind = kind_of(path)
    if kind == "file" and is_picture(path.name):
        path, names = path.parent, [path.name]
    elif kind in ("file", "other"):
        if path.suffix != ".safetensors":
            raise WctError(
                f"{path} is no folder of styles, no picture, and no .safetensors file of styles"
            )
        styles = _load(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        count = len(styles.levels[0].mean)
        return Source(path, [f"{path.name}#{number}" for number in range(count)], digest, styles)
    else:
        names = [name for name in find_files(path) if is_picture(name)]
        if not names:
            raise no_pictures(path)
    sizes = "".join(f"{name}\0{_size(path / name)}\n" for name in names)
    digest = hashlib.sha256(sizes.encode("utf-8", "surrogateescape")).hexdigest()
    return Source(path, names, digest, None)


def open_bank(
    source: Source,
    kept: Path,
    reader: StyleReader,
    measured: Callable[[int], object],
) -> Bank:
    """Measure the styles of a folder, or take what was measured before.

    Args:
        source: Where they come from.
        kept: Where the bank is, or is to be.
        reader: What reads styles.
        measured: Called with the number of styles that are measured, after each.

    Raises:
        ImageError: A picture cannot be read.
        WctError: The bank is of another model or other pictures, or cannot be read or written.
    """
    if source.styles is None and not kept.exists():
        styles = []
        for name in source.names:
            styles += reader.read(source.path / name)
            measured(len(styles))
        bank = stack_styles(styles)
        if not kept.exists():  # another shard may have been faster: its styles are the same
            bank.save(kept, overwrite=True)
    found = source.styles or _load(kept)
    if found.model != reader.stylizer.mark:
        raise WctError(
            f"the styles in {source.path if source.styles else kept} were measured by "
            f"{found.model!r}, but the model is {reader.stylizer.mark!r}: measure them anew"
        )
    count = len(found.levels[0].mean)
    if count != len(source.names):
        raise WctError(
            f"{kept} has {count} styles, but {source.path} {len(source.names)}: delete the file, "
            "and they are measured anew"
        )
    return Bank(source.names, found)


def _size(path: Path) -> int:
    with reading_file(path):
        return path.stat().st_size


def _load(path: Path) -> Style:
    style = Style.load(path)
    several = style.levels[0].mean.ndim == 2
    return style if several else jax.tree.map(lambda value: value[None], style)
