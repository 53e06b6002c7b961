"""Repainting a data set on a cluster: read, paint in a pool of actors, write; by Ray Data."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ._errors import WctError
from ._loaded import find_stylizer
from ._local import Files, Job, grouped, paint
from ._manifest import Record
from ._models import list_models

if TYPE_CHECKING:  # they import jax, which takes seconds: `wct --help` must not wait for it
    from ._bank import Bank
    from ._recipe import Recipe
    from ._stylizer import Stylizer

T = TypeVar("T")

_BATCH = 8
"""Pictures that an actor gets at once."""


def repaint_on_ray(
    jobs: Sequence[Job],
    files: Files,
    model: str | os.PathLike[str] | Stylizer,
    bank: Bank,
    recipe: Recipe,
    workers: int | None,
    address: str | None,
) -> tuple[int, Iterator[Record]]:
    """Do jobs on a cluster of Ray, whose machines all see the same folders.

    A job that a dying worker has lost is done again; what it had written is replaced by the same.

    Args:
        jobs: The jobs.
        files: Where files are.
        model: The model's name or directory.
        bank: The styles.
        recipe: How to.
        workers: Actors that paint; by default one for each GPU or, without any, each machine.
        address: Of the cluster; by default this machine is one.

    Returns:
        How many actors paint, and the records of the pictures, in any order.

    Raises:
        WctError: Ray is not installed or cannot be reached, or the model is not a name. While the
            records come: a picture is gone, or a result cannot be written.
    """
    try:
        import ray
    except ImportError as error:
        raise WctError("the engine ray needs Ray: pip install 'ray[data]'") from error
    if not isinstance(model, str | os.PathLike):
        raise WctError("with the engine ray, give the model's name or directory")
    try:
        ray.init(
            address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR
        )
    except (ConnectionError, ValueError) as error:
        raise WctError(f"cannot reach the Ray cluster {address}: {error}") from error
    here = replace(files, source=files.source.absolute(), target=files.target.absolute())
    model = model if model in list_models() else Path(model).absolute()
    gpus = int(ray.cluster_resources().get("GPU", 0))
    workers = workers or gpus or sum(node["Alive"] for node in ray.nodes())
    return workers, _records(jobs, here, (model, ray.put(bank), recipe), workers, gpus > 0)


def _records(
    jobs: Sequence[Job], files: Files, making: tuple, workers: int, on_gpu: bool
) -> Iterator[Record]:
    import ray
    from ray.exceptions import RayError

    if not jobs:
        return
    ray.data.DataContext.get_current().enable_progress_bars = False
    read = ray.data.from_items([{"item": job} for job in jobs]).map(
        lambda row: {"item": (row["item"], _attempt(files.read, row["item"].content))}
    )
    painted = read.map_batches(
        _Actor,
        batch_size=_BATCH,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=0,  # none is kept from reading and writing
        num_gpus=1 if on_gpu else 0,
        fn_constructor_args=making,
    )
    written = painted.map(lambda row: {"item": _attempt(_write, files, row["item"])})
    try:
        for row in written.iter_rows():
            yield _succeeded(row["item"])
    except RayError as error:
        raise WctError(f"Ray gave up: {error}") from error


class _Actor:
    """Paints; its networks are loaded once."""

    def __init__(self, model: str | os.PathLike[str], bank: Any, recipe: Recipe):
        import ray

        from ._painter import Painter

        self._painter = Painter(find_stylizer(model), ray.get(bank), recipe)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        done = _attempt(self._paint, batch["item"])
        return {"item": _column([done] if isinstance(done, WctError) else done)}

    def _paint(self, items: np.ndarray) -> list[Any]:
        found = [(job, _succeeded(picture)) for job, picture in items]
        done: list[Any] = []
        for group in grouped(found, self._painter.batch):
            done += [group] if isinstance(group, Record) else paint(self._painter, group)
        return done


def _write(files: Files, found: Any) -> Record:
    if isinstance(found, Record):
        return found
    (task, picture), pixels, seconds = _succeeded(found)
    return files.write(task, picture, pixels, seconds)


def _column(values: Sequence[Any]) -> np.ndarray:
    """Return an array of objects, which NumPy is not to look into."""
    column = np.empty(len(values), object)
    for index, value in enumerate(values):
        column[index] = value
    return column


def _attempt(function: Callable[..., T], *arguments: Any) -> T | WctError:
    """Return what a function returns, or the error of ours that it raises: Ray keeps no cause."""
    try:
        return function(*arguments)
    except WctError as error:
        return error


def _succeeded(found: T | WctError) -> T:
    """Return what an attempt returned, or raise what it raised."""
    if isinstance(found, WctError):
        raise found
    return found
