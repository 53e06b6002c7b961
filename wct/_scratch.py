"""Large arrays in files instead of memory."""

import contextlib
import mmap
import os
import tempfile
import weakref
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ._errors import WctError

_UNFINISHED = ".part"

_AT_ONCE = 2**24
"""Bytes of zeros to write at once."""


class Scratch:
    """A place for large arrays, each in a file that is mapped into memory.

    The files have no names, so that nothing is left of them however the process ends; only
    checkpoints have, if there is a folder for them. Until one is complete a mark of its name lies
    beside it: what is mapped cannot be renamed everywhere.

    Attributes:
        folder: Where checkpoints are kept, and all else is too; none are without.
    """

    def __init__(self):
        self.folder: Path | None = None
        self._maps: weakref.WeakKeyDictionary[mmap.mmap, _Mapped] = weakref.WeakKeyDictionary()

    def new(self, shape: tuple[int, ...], dtype: type, name: str | None = None) -> np.ndarray:
        """Make an array of zeros, and with a name one that can become a checkpoint.

        Raises:
            WctError: There is no room for it.
        """
        folder, size = self.folder, _bytes(shape, dtype)
        try:
            folder = folder or tempfile.gettempdir()
            if name is None or self.folder is None:
                file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 the map outlives it
            else:
                _mark(self.folder / name).touch()
                file = (self.folder / name).open("w+b")
            with contextlib.ExitStack() as opened:
                opened.enter_context(file)
                _reserve(file, size)
                array = self._map(file, shape, dtype)
                opened.pop_all()  # it stays open as long as it is mapped
                return array
        except OSError as error:
            raise WctError(
                f"no room for {size / 1e9:.3f} GB of intermediate pictures in "
                f"{folder or 'any folder'} ({error.strerror or error}): choose another place "
                "(scratch=, --scratch or TMPDIR)"
            ) from error

    def keep(self, name: str) -> None:
        """Make a checkpoint of the array of this name, which is complete now."""
        if self.folder is not None:
            _mark(self.folder / name).unlink()

    def drop(self, name: str) -> None:
        """Remove a checkpoint, if there is one, unless it is in use and the system forbids that."""
        if self.folder is not None:
            with contextlib.suppress(PermissionError):
                (self.folder / name).unlink(missing_ok=True)

    def find(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray | None:
        """Return the checkpoint of this name, or None if there is none of this size."""
        path = None if self.folder is None else self.folder / name
        if path is None or not path.is_file() or _mark(path).exists():
            return None
        if path.stat().st_size != _bytes(shape, dtype):
            return None
        return self._map(path.open("r+b"), shape, dtype)

    def write(self, array: np.ndarray, part: np.ndarray, area: tuple[slice, slice]) -> None:
        """Write a part of an array that was made here, `(height, width, channels)`.

        It goes to the file: to touch pages of the map for the first time takes longer.
        """
        [file] = [mapped.file for mapped in self._maps.values() if mapped.at == array.ctypes.data]
        rows, columns = area
        cell, line = (array.strides[axis] for axis in (1, 0))
        for row, values in zip(range(rows.start, rows.stop), part, strict=True):
            file.seek(row * line + columns.start * cell)
            file.write(np.ascontiguousarray(values, array.dtype).data)
        file.flush()

    def release(self) -> None:
        """Give the memory back that the arrays have taken; their values stay in the files."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for each in self._maps:
                each.madvise(mmap.MADV_DONTNEED)

    def _map(self, file: BinaryIO, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        mapped = mmap.mmap(file.fileno(), 0)
        array = np.frombuffer(mapped, dtype).reshape(shape)
        self._maps[mapped] = _Mapped(array.ctypes.data, file)
        weakref.finalize(mapped, file.close)
        return array


def drop_unfinished(folder: Path) -> None:
    """Remove what was to become checkpoints, unless it is in use and the system forbids that."""
    for mark in folder.glob(f"*{_UNFINISHED}"):
        with contextlib.suppress(PermissionError):
            mark.with_suffix("").unlink(missing_ok=True)
            mark.unlink()


class _Mapped(NamedTuple):
    """Where a file is mapped to, and the file."""

    at: int
    file: BinaryIO


def _mark(path: Path) -> Path:
    """Return the file that tells of another one that it is not complete."""
    return path.with_name(path.name + _UNFINISHED)


def _bytes(shape: tuple[int, ...], dtype: type) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize


def _reserve(file: BinaryIO, size: int) -> None:
    """Take the room at once: a disk that is full later would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, _AT_ONCE):  # a file that is only made longer takes none
        file.write(bytes(min(_AT_ONCE, size - start)))
    file.flush()
