"""Files that are whole or not there, and never silently replaced."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from ._errors import ImageError, WctError


def kind_of(path: Path) -> Literal["file", "folder", "other"] | None:
    """Tell what has a name; None if nothing has, or nothing can, as of one that is too long.

    Other things are pipes, say, at which reading may wait for good.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "other"


@contextlib.contextmanager
def reading_file(path: Path) -> Iterator[None]:
    """Say in one line that a file cannot be read.

    Raises:
        WctError: It cannot.
    """
    try:
        yield
    except OSError as error:
        raise WctError(f"cannot read {path}: {error.strerror or error}") from error


def check_target(path: Path, *, overwrite: bool) -> None:
    """Find out before the work whether a file can be written when it is done.

    Raises:
        ImageError: There is a file of that name and `overwrite` is not set, or no directory for it,
            or no file can have that name.
    """
    _check_name(path)
    if path.is_dir():
        raise ImageError(f"cannot write {path}: it is a directory")
    if not overwrite and os.path.lexists(path):
        raise _taken(path)
    if not path.parent.is_dir():
        raise ImageError(f"cannot write {path}: there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ImageError(f"cannot write {path}: no file can be made in {path.parent}")


def write_file(data: bytes, path: Path, *, overwrite: bool) -> None:
    """Write a file that is whole or not there; raises what `new_file` does."""
    with new_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a name beside `path` to write to, and rename it when all is written.

    Raises:
        ImageError: The file exists and `overwrite` is not set, or it cannot be written.
    """
    _check_name(path)
    temporary = path.parent / f".wct-{os.urandom(8).hex()}.tmp"
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        if overwrite:
            temporary.replace(path)
        else:
            _claim(temporary, path)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        reason = error.strerror or error
        if not path.parent.is_dir():
            reason = f"there is no directory {path.parent}"
        raise ImageError(f"cannot write {path}: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _check_name(path: Path) -> None:
    """Raise an `ImageError` if no file can have this name: it is too long, say."""
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise ImageError(f"cannot write {path}: {reason}; choose another name") from error


def _taken(path: Path) -> ImageError:
    return ImageError(
        f"{path} exists already; choose another name, "
        "or allow for replacing it (overwrite=True, --overwrite)"
    )


def _claim(temporary: Path, path: Path) -> None:
    """Give a complete file its name, unless that is taken; no other process can come between."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # no hard links here (FAT, some network drives): take the name, then fill it
        path.touch(exist_ok=False)
        try:
            temporary.replace(path)
        except BaseException:
            path.unlink()
            raise


def make_folder(path: Path) -> None:
    """Make a folder, and those that it is in.

    Raises:
        WctError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WctError(f"cannot make the folder {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(path: Path, work: str) -> Iterator[None]:
    """Hold a lock, a file in a folder, for as long as this process is at some work there.

    Raises:
        WctError: Another process is, or the folder's drive knows no locks.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise WctError(
            f"another process is at {work}: wait for it, or choose another folder"
        ) from error
    except (OSError, NotImplementedError) as error:  # of some network drives
        reason = getattr(error, "strerror", None) or error
        raise WctError(f"cannot lock {path.parent} ({reason}): choose another folder") from error
    try:
        yield
    finally:
        lock.release()
