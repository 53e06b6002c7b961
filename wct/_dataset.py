"""Whole folders of pictures, each repainted in styles of its own; safe to stop at any moment."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._errors import ImageError, WctError
from ._files import kind_of, locked, make_folder, new_file, reading_file, write_file
from ._loaded import find_stylizer
from ._local import Files, Job, repaint_here
from ._manifest import Manifest, Record, finished, is_manifest
from ._memory import DEFAULT_MEMORY, read_memory
from ._tasks import (
    find_files,
    is_picture,
    no_pictures,
    plan_sidecars,
    plan_tasks,
    refuse_clashes,
)
from ._write import find_format

if TYPE_CHECKING:  # it imports jax, which takes seconds: `wct --help` must not wait for it
    from ._stylizer import Stylizer

_SETTINGS = "dataset.json"
_BANK = "styles.safetensors"


@dataclass
class DatasetReport:
    """How far the work on a data set is.

    Attributes:
        styles: Styles measured.
        total: Pictures to make, those that were there before not counted.
        found: Pictures that were there before.
        done: Pictures made.
        copied: How many files were copied along, or had been before, by their suffixes.
        failed: Pictures of the content that cannot be read, and why, by their paths.
        seconds: Time since the first picture was begun.
        painting: Of these, the seconds in which the networks worked, of all that do together.
        painters: How many do.
    """

    styles: int = 0
    total: int = 0
    found: int = 0
    done: int = 0
    copied: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    painting: float = 0.0
    painters: int = 1

    @property
    def images_per_s(self) -> float:
        """Pictures made a second."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def waiting(self) -> float:
        """Share of the time in which networks waited for files, 0 … 1."""
        whole = self.painters * self.seconds
        return max(0.0, 1 - self.painting / whole) if whole else 0.0


def stylize_dataset(
    content: str | os.PathLike[str],
    styles: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    styles_per_image: int = 1,
    alpha: float | tuple[float, float] | None = None,
    seed: int = 0,
    preset: str = "balanced",
    levels: Sequence[int] | None = None,
    detail: float | Sequence[float] | None = None,
    format: str = "png",  # noqa: A002
    sidecars: Sequence[str] = (),
    shard: tuple[int, int] | None = None,
    style_size: int = 512,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    model: str | os.PathLike[str] | Stylizer = "vgg19-lite",
    progress: Callable[[DatasetReport], object] | None = None,
) -> DatasetReport:
    """Repaint all pictures of a folder, each in styles of its own.

    A picture's styles and their strength follow from the seed, its path in the folder and the list
    of the styles alone: any part of the folder, in any order and on any machine, comes out the
    same. Whatever stops the work, the same call goes on from there. The output folder also has
    `manifest.jsonl`, a record of each picture; `styles.safetensors`, the styles, to use again; and
    `dataset.json`, the settings.

    Args:
        content: The folder of pictures, in folders of any depth. Other files are copied along.
        styles: The folder of the styles' pictures; or one picture, or a file of styles that were
            measured before.
        output: The folder for the results, under their names in the content's.
        styles_per_image: Results to make of each picture, each in another style.
        alpha: Strength of the style, from 0 to 1; of two numbers, one between them is drawn for
            each result. The preset's by default.
        seed: Another seed draws other styles and strengths.
        preset: The recipe that decides what is not given; see `stylize`.
        levels: The levels of VGG-19 to run; see `stylize`.
        detail: Share of the content's fine detail that is kept whatever the strength; see
            `stylize`.
        format: Format of the results: png, jpg, webp, avif or tiff.
        sidecars: Patterns of pictures' names that are labels, such as `*_mask.png`: they are
            copied along, and not repainted.
        shard: Which part of the work to do, from 1 on, and of how many. All parts can be done at
            once, and share the output folder.
        style_size: Reduce each style's picture to this longer side if it is larger, in pixels.
        engine: What does the work: local, this process, or ray, a cluster.
        workers: Processes that paint, of the engine ray; as many as fit by default.
        address: Address of the ray cluster; by default this machine is one.
        model: The networks: a model's name or directory. Or a `Stylizer` that was loaded before,
            with the engine local.
        progress: Called after each style that is measured and each picture that is made, with the
            report so far.

    Returns:
        A report of how many pictures were made (`done`) and were there before (`found`), of the
        files `copied` along, of the pictures that cannot be read, and why (`failed`, by their
        paths), and of the speed (`images_per_s`, and the share of the time that the networks spent
        `waiting` for files).

    Raises:
        WctError: A folder is missing or empty, the output folder belongs to something else or to a
            data set of other settings, a file cannot be written, or an argument is out of range.
        ImageError: A style's picture cannot be read.
        WeightsError: There is no such model, or it is incomplete or damaged.
    """
    from ._bank import open_bank, open_source
    from ._painter import Painter
    from ._ray import repaint_on_ray
    from ._recipe import Recipe
    from ._styles import StyleReader

    if engine not in ("local", "ray"):
        raise WctError(f"there is no engine {engine!r}: they are local and ray")
    if engine == "local" and (workers is not None or address is not None):
        raise WctError("workers and address are for the engine 'ray'")
    suffix = f".{format.lower().removeprefix('.')}"
    find_format(f"result{suffix}")
    source, target = Path(content), Path(output)
    part, parts = shard or (1, 1)
    if not 1 <= part <= parts:
        raise WctError(f"there is no part {part} of {parts}: parts are 1 to {parts}")
    for folder in (source, Path(styles)):
        if target.resolve().is_relative_to(folder.resolve()):
            raise WctError(f"the output {target} is in the folder {folder}: choose another one")
    strengths = _range(alpha)
    recipe = Recipe.preset(preset, levels=levels, detail=detail)
    stylizer = find_stylizer(model)
    stylizer.steps_of(recipe)

    files = find_files(source)
    pictures = [file for file in files if is_picture(file, sidecars)]
    if not pictures:
        raise no_pictures(source)
    origin = open_source(Path(styles))
    tasks = list(
        plan_tasks(
            pictures,
            len(origin.names),
            seed=seed,
            per_image=styles_per_image,
            alpha=strengths,
            suffix=suffix,
        )
    )
    beside = sorted(set(files) - set(pictures))
    copies = list(plan_sidecars(beside, pictures, styles_per_image))
    # Every part plans all, so that each finds names that clash, and then does its own.
    made = [*((task.content, task.output) for task in tasks), *copies]
    refuse_clashes(made, _is_own)
    copies = copies[part - 1 :: parts]
    jobs = [Job(name, tuple(group)) for name, group in groupby(tasks, lambda task: task.content)]
    jobs = jobs[part - 1 :: parts]
    settings = {
        "format": "wct-dataset",
        "model": stylizer.mark,
        "styles": origin.digest,
        "style_size": style_size,
        "styles_per_image": styles_per_image,
        "alpha": strengths,
        "seed": seed,
        "recipe": dataclasses.asdict(recipe),
        "suffix": suffix,
        "sidecars": sorted(sidecars),
    }
    with _claimed(target, settings, shard), Manifest(target, shard) as manifest:
        if _folds_case(target):
            refuse_clashes(made, _is_own, folded=True)
        reader = StyleReader(stylizer, style_size, read_memory(DEFAULT_MEMORY))
        report, tell = DatasetReport(), progress or (lambda _: None)

        def measured(count: int) -> None:
            report.styles = count
            tell(report)

        bank = open_bank(origin, target / _BANK, reader, measured)
        for file, copy in copies:
            _copy(source / file, target / copy)
            report.copied[Path(file).suffix.lower() or Path(file).name] += 1
        there = {name for name in finished(target) if _is_made(target / name)}
        todo = [
            Job(job.content, rest)
            for job in jobs
            if (rest := tuple(task for task in job.tasks if task.output not in there))
        ]
        places = Files(source, target, suffix, origin.names, stylizer.mark)
        if engine == "ray":
            report.painters, records = repaint_on_ray(
                todo, places, model, bank, recipe, workers, address
            )
        else:
            records = repaint_here(todo, places, Painter(stylizer, bank, recipe))
        report.total = sum(len(job.tasks) for job in todo)
        report.found = sum(len(job.tasks) for job in jobs) - report.total
        _follow(records, manifest, report, tell)
    return report


def _follow(
    records: Iterator[Record],
    manifest: Manifest,
    report: DatasetReport,
    tell: Callable[[DatasetReport], object],
) -> None:
    """Write each record down as it comes, and count it."""
    start = time.perf_counter()
    for record in records:
        manifest.add(record)
        if record.error is None:
            report.done += 1
            report.painting += record.seconds or 0.0
        else:
            report.failed[record.content] = record.error
        report.seconds = time.perf_counter() - start
        tell(report)


def _range(alpha: float | Sequence[float] | None) -> tuple[float, float] | None:
    """Return the range that strengths are drawn from."""
    if alpha is None:
        return None
    ends = np.asarray(alpha, float)
    ends = np.stack([ends, ends]) if ends.ndim == 0 else ends
    if ends.shape != (2,) or not 0 <= ends[0] <= ends[1] <= 1:
        raise WctError(f"alpha must be from 0 to 1, or a range such as 0.4,1, not {alpha}")
    return float(ends[0]), float(ends[1])


@contextlib.contextmanager
def _claimed(
    target: Path, settings: Mapping[str, Any], shard: tuple[int, int] | None
) -> Iterator[None]:
    """Hold a folder for this part of a data set, and see that it is of these settings.

    Raises:
        WctError: It belongs to something else, or another process is at it, or it cannot be locked.
    """
    make_folder(target)
    path = target / _SETTINGS
    written = json.dumps(settings, indent=2, default=lambda value: value.tolist())
    taken = any(not found.name.startswith(".") for found in target.iterdir())
    if not path.exists():
        if taken:
            raise WctError(f"{target} has other files in it: choose an empty folder")
        try:
            write_file(written.encode(), path, overwrite=False)
        except ImageError:
            if not path.exists():  # else another part was faster
                raise
    try:
        there = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WctError(f"cannot read {path}: {error}") from error
    if not isinstance(there, dict):
        raise WctError(f"{path} is no table of settings: choose another folder")
    changed = [name for name, value in json.loads(written).items() if there.get(name) != value]
    if changed:
        raise WctError(
            f"{target} was begun with other settings ({', '.join(changed)}): choose another "
            f"folder, or the settings in {path}"
        )
    name = ".lock" if shard is None else f".lock-{shard[0]}-of-{shard[1]}"
    with locked(target / name, f"this part of {target}"):
        if shard is None:  # of a part, what another one is writing looks the same
            for left in target.rglob(".wct-*.tmp"):
                left.unlink(missing_ok=True)
        yield


def _is_own(name: str) -> bool:
    """Tell whether a data set has a file of its own of that name."""
    return name in (_SETTINGS, _BANK) or is_manifest(name)


def _folds_case(target: Path) -> bool:
    """Tell whether names that differ in their case alone are one, as on macOS and Windows."""
    path, other = target / _SETTINGS, target / _SETTINGS.upper()
    return other.exists() and other.samefile(path)


def _is_made(path: Path) -> bool:
    """Tell whether a file is there, and not empty, as a machine's sudden end may leave it."""
    return kind_of(path) == "file" and path.stat().st_size > 0


def _copy(origin: Path, copy: Path) -> None:
    """Copy a file that is not there yet."""
    if _is_made(copy):
        return
    make_folder(copy.parent)
    with reading_file(origin):
        source = origin.open("rb")
    with source, new_file(copy, overwrite=True) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(source, file)
