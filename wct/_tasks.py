"""What is to be made of a folder of pictures: each one's styles, strengths and names.

All of it follows from the seed and the picture's path in the folder, so any part of a data set, in
any order and on any machine, comes out the same.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import numpy as np

from ._errors import WctError
from ._files import kind_of

SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
"""Of files that are taken for pictures, in any case."""


@dataclass(frozen=True)
class Task:
    """One picture to make.

    Attributes:
        content: Path of the picture to repaint, in its folder, with `/` between its parts.
        style: Index of the style.
        alpha: Strength of the style; None for the recipe's.
        output: Path of the result, in its folder.
    """

    content: str
    style: int
    alpha: float | None
    output: str


def find_files(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, in it, in order.

    Left out are hidden ones, and what is no file, such as a pipe.

    Raises:
        WctError: There is no such folder, or a part of it cannot be read.
    """
    if kind_of(folder) != "folder":
        raise WctError(f"there is no folder {folder}")

    def fail(error: OSError) -> None:
        raise WctError(f"cannot read {error.filename}: {error.strerror}") from error

    found, seen = [], set()
    for parent, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        where = Path(parent).resolve()  # not by numbers, which some network drives have none of
        if where in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(where)
        folders[:] = [name for name in folders if not name.startswith(".")]
        base = Path(parent).relative_to(folder)
        shown = (name for name in files if not name.startswith("."))
        names = (name for name in shown if kind_of(Path(parent, name)) != "other")
        found += [(base / name).as_posix() for name in names]
    return sorted(found)


def is_picture(path: str, sidecars: Sequence[str] = ()) -> bool:
    """Whether a file is a picture, by its suffix, and matches none of the sidecars' patterns."""
    path_of = PurePosixPath(path)
    return path_of.suffix.lower() in SUFFIXES and not any(
        fnmatchcase(path_of.name, pattern) for pattern in sidecars
    )


def no_pictures(folder: Path) -> WctError:
    """Return what is raised of a folder without pictures."""
    return WctError(
        f"there are no pictures in {folder}: they are told by suffixes such as .jpg, .png and "
        ".tif; convert what has others, such as .raw, first"
    )


def plan_tasks(
    contents: Sequence[str],
    styles: int,
    *,
    seed: int,
    per_image: int,
    alpha: tuple[float, float] | None,
    suffix: str,
) -> Iterator[Task]:
    """Tell what is to be made of each picture.

    Args:
        contents: Paths of the pictures.
        styles: The number of styles to choose from.
        seed: Another seed gives other styles and strengths.
        per_image: The number of styles for each picture, which all differ.
        alpha: The range of strengths; None for the recipe's.
        suffix: Of the results, with the dot.

    Raises:
        WctError: There are fewer styles than that.
    """
    if not 1 <= per_image <= styles:
        raise WctError(f"{per_image} styles a picture of {styles}: give from 1 to {styles}")
    for content in contents:
        for count, (style, share) in enumerate(_draw(content, styles, seed, per_image), start=1):
            output = _renamed(content, suffix, count if per_image > 1 else None)
            strength = None if alpha is None else alpha[0] + (alpha[1] - alpha[0]) * share
            yield Task(content, style, strength, output)


def plan_sidecars(
    files: Sequence[str], pictures: Sequence[str], per_image: int
) -> Iterator[tuple[str, str]]:
    """Tell where the files beside the pictures go: each its path, and its copy's.

    They keep their names; of several results for a picture, `dog.png` say, each has a copy of
    `dog.json` and `dog_mask.png` with its own number, `dog-1.json` and `dog-1_mask.png`.
    """
    owners = {picture.rpartition(".")[0] for picture in pictures}
    for path in files:
        owner = _owner(path, owners) if per_image > 1 else None
        if owner is None:
            yield path, path
        else:
            for count in range(1, per_image + 1):
                yield path, f"{owner}-{count}{path[len(owner) :]}"


def refuse_clashes(
    made: Iterable[tuple[str, str]], own: Callable[[str], bool], *, folded: bool = False
) -> None:
    """Make sure that each file of the output has a name to itself.

    Args:
        made: Files of the content, each with what becomes of it.
        own: Tells which names of the output are the data set's own.
        folded: Whether names that differ in their case alone are one.

    Raises:
        WctError: Two files would get one name, or one the data set's own.
    """
    origins: dict[str, str] = {}
    for content, output in made:
        name = output.casefold() if folded else output
        if own(name):
            raise WctError(f"{content} would become {output}, which a data set has: rename it")
        first = origins.setdefault(name, content)
        if first != content:
            raise WctError(
                f"{first} and {content} would both become {output}: rename one, or choose another "
                "format"
            )


def _renamed(content: str, suffix: str, count: int | None) -> str:
    """Return the name of what is made of a picture: its own, with a number if there are several."""
    stem = content.rpartition(".")[0]
    return f"{stem}{suffix}" if count is None else f"{stem}-{count}{suffix}"


def _draw(content: str, styles: int, seed: int, count: int) -> Iterator[tuple[int, float]]:
    """Draw different styles, and a number in [0, 1) with each.

    From raw bits, which NumPy promises to keep, as it does not for its distributions.
    """
    name = f"{seed}/{content}".encode("utf-8", "surrogateescape")
    bits = np.random.PCG64(int.from_bytes(hashlib.sha256(name).digest(), "big"))
    drawn: set[int] = set()
    while len(drawn) < count:
        style, share = (int(raw) for raw in bits.random_raw(2))
        if style % styles not in drawn:
            drawn.add(style % styles)
            yield style % styles, share / 2**64


def _owner(path: str, owners: set[str]) -> str | None:
    """Return the longest stem of a picture that a file's name begins with, as a whole word."""
    start = path.rfind("/") + 1
    for end in range(len(path) - 1, start, -1):
        if not path[end].isalnum() and path[:end] in owners:
            return path[:end]
    return None
