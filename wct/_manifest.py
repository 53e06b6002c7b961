"""The record of a data set: one line of JSON for each picture that was made, or could not be."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from ._errors import WctError
from ._files import reading_file

_NAME = "manifest"
_NAMES = re.compile(_NAME + r"(-\d+-of-\d+)?\.jsonl")


@dataclass(frozen=True)
class Record:
    """What became of a picture.

    Attributes:
        content: Its path in its folder.
        styles: The names of the styles it was repainted in.
        alpha: Their strength; None for the recipe's.
        model: The model's mark.
        output: Path of the result, in its folder; None if there is none.
        sha256: Of the result's file.
        seconds: What it took to paint it.
        error: Why there is no result.
    """

    content: str
    styles: list[str]
    alpha: float | None
    model: str
    output: str | None = None
    sha256: str | None = None
    seconds: float | None = None
    error: str | None = None


class Manifest:
    """A file of records to add to. Use it as a context manager.

    Attributes:
        path: The file.
    """

    def __init__(self, folder: Path, shard: tuple[int, int] | None):
        """Take the folder of a data set, and which shard of how many this is."""
        name = _NAME if shard is None else f"{_NAME}-{shard[0]}-of-{shard[1]}"
        self.path = folder / f"{name}.jsonl"
        self._file: TextIO | None = None

    def __enter__(self) -> "Manifest":
        with self._saying():
            self._drop_torn_line()
            self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        with self._saying():
            self._file.close()

    def add(self, record: Record) -> None:
        """Add a record, so that it stays whatever becomes of this process."""
        assert self._file is not None
        known = {name: value for name, value in asdict(record).items() if value is not None}
        with self._saying():
            self._file.write(json.dumps(known) + "\n")
            self._file.flush()

    def _drop_torn_line(self) -> None:
        """Remove the end of a file whose writer was stopped in the middle of a line."""
        if self.path.exists():
            with self.path.open("rb+") as file:
                file.truncate(file.read().rfind(b"\n") + 1)

    @contextlib.contextmanager
    def _saying(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WctError(f"cannot write {self.path}: {error.strerror or error}") from error


def finished(folder: Path) -> set[str]:
    """Return the files that were made by what all manifests of a folder tell.

    Raises:
        WctError: A manifest cannot be read.
    """
    manifests = sorted(path for path in folder.iterdir() if is_manifest(path.name))
    records = (record for path in manifests for record in _read(path))
    return {record.output for record in records if record.output is not None}


def is_manifest(name: str) -> bool:
    """Tell whether a file of a data set's folder is a manifest, by its name."""
    return _NAMES.fullmatch(name) is not None


def _read(path: Path) -> Iterator[Record]:
    with reading_file(path):
        lines = path.read_text("utf-8", "replace").splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            return  # another process is writing it
        try:
            record = Record(**{"alpha": None} | json.loads(line))
            if not isinstance(record.output, str | None):
                raise TypeError(f"{record.output!r} is no path")
            yield record
        except (ValueError, TypeError, RecursionError) as error:
            raise WctError(f"line {number} of {path} is no record: mend or remove it") from error
