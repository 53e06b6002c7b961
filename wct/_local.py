"""Repainting a data set in this process: files are read and written while the networks work."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._errors import ImageError, WctError
from ._files import make_folder, write_file
from ._image import Picture, read_image
from ._manifest import Record
from ._tasks import Task
from ._write import write_image

if TYPE_CHECKING:  # it imports jax, which takes seconds: `wct --help` must not wait for it
    from ._painter import Painter

_AHEAD = 4
"""Pictures that are read ahead of the networks, and that wait to be written, for each at once."""


Item = tuple[Task, Picture]
"""A picture that is read, and one thing to make of it."""


class Job(NamedTuple):
    """A picture of the content, and all that is to be made of it."""

    content: str
    tasks: Sequence[Task]


@dataclass(frozen=True)
class Files:
    """Where the files of a data set are, and what its records say of all of them.

    Attributes:
        source: The folder of the content.
        target: The folder of the results.
        suffix: Theirs, with the dot.
        names: The names of the styles.
        model: The model's mark.
    """

    source: Path
    target: Path
    suffix: str
    names: Sequence[str]
    model: str

    def read(self, content: str) -> Picture | Record:
        """Read a picture; return a record of what is wrong if it cannot be read.

        Raises:
            WctError: It is gone.
        """
        path = self.source / content
        try:
            return read_image(path)
        except ImageError as error:
            if not path.exists():
                raise WctError(f"{path} is gone since the work began: bring it back") from error
            return Record(content, [], None, self.model, error=str(error))

    def write(self, task: Task, picture: Picture, pixels: np.ndarray, seconds: float) -> Record:
        """Write a result, and return its record.

        Raises:
            ImageError: It cannot be written.
        """
        stream = io.BytesIO()
        write_image(picture.like(pixels), stream, format=self.suffix)
        data = stream.getvalue()
        path = self.target / task.output
        make_folder(path.parent)
        write_file(data, path, overwrite=True)
        return Record(
            task.content,
            [self.names[task.style]],
            task.alpha,
            self.model,
            task.output,
            hashlib.sha256(data).hexdigest(),
            round(seconds, 4),
        )


def repaint_here(jobs: Iterable[Job], files: Files, painter: Painter) -> Iterator[Record]:
    """Do jobs, and yield a record of each picture.

    Args:
        jobs: The jobs. Records come nearly in their order.
        files: Where files are.
        painter: What paints them.

    Raises:
        WctError: A picture is gone, or a result cannot be written.
    """
    count = max(1, (os.cpu_count() or 2) // 2)
    limit = _AHEAD * painter.batch * count
    with ThreadPoolExecutor(count) as readers, ThreadPoolExecutor(count) as writers:
        try:
            written = deque()
            found = _ahead(readers, lambda job: (job, files.read(job.content)), jobs, limit)
            for group in grouped(found, painter.batch):
                if isinstance(group, Record):
                    yield group
                    continue
                for item, pixels, seconds in paint(painter, group):
                    written.append(writers.submit(files.write, *item, pixels, seconds))
                while written and (len(written) > limit or written[0].done()):
                    yield written.popleft().result()
            while written:
                yield written.popleft().result()
        finally:  # what is begun is finished, and no more
            for pool in (readers, writers):
                pool.shutdown(wait=False, cancel_futures=True)


def paint(painter: Painter, items: Sequence[Item]) -> Iterator[tuple[Item, np.ndarray, float]]:
    """Paint pictures of one size at once; yield each with its pixels and its share of the time."""
    start = time.perf_counter()
    tasks, pictures = zip(*items, strict=True)
    results = painter([picture.stored for picture in pictures], tasks)
    seconds = (time.perf_counter() - start) / len(items)
    for item, pixels in zip(items, results, strict=True):
        yield item, pixels, seconds


def _ahead(pool: ThreadPoolExecutor, function: Callable, items: Iterable, limit: int) -> Iterator:
    """Apply a function to items, in threads, so many ahead of what is asked for."""
    source = iter(items)
    pending = deque(pool.submit(function, item) for item in islice(source, limit))
    while pending:
        yield pending.popleft().result()
        pending.extend(pool.submit(function, item) for item in islice(source, 1))


def grouped(
    found: Iterable[tuple[Job, Picture | Record]], batch: int
) -> Iterator[list[Item] | Record]:
    """Put tasks together whose pictures have one size; a record of a failure goes through."""
    groups: dict[tuple[int, ...], list[Item]] = {}
    for job, picture in found:
        if isinstance(picture, Record):
            yield picture
            continue
        for task in job.tasks:
            group = groups.setdefault(picture.stored.shape, [])
            group.append((task, picture))
            if len(group) == batch:
                yield groups.pop(picture.stored.shape)
        while sum(map(len, groups.values())) >= _AHEAD * batch:  # many sizes: none shall pile up
            yield groups.pop(max(groups, key=lambda size: len(groups[size])))
    yield from groups.values()
