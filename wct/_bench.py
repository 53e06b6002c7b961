"""How fast a model is here: each measurement in a process of its own."""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ._errors import WctError, check_counts
from ._malloc import keep_memory
from ._memory import DEFAULT_MEMORY, GIVEN_BACK, choose_tile, left_by, read_memory
from ._pixels import to_bytes, to_floats


@dataclass(frozen=True)
class Speed:
    """Times of one model at one size.

    Attributes:
        model: The model's name or directory.
        size: Side of the square pictures, content and style, in pixels.
        batch: Pictures at once.
        tile: Side of a square of as many pixels as were worked on at a time; None if on all.
        device: What it ran on.
        first_s: Seconds of the first call, programs compiled.
        cached_s: Seconds of the first call of a process that finds compiled programs on disk.
        style_ms: Milliseconds to measure the style.
        stylize_ms: Milliseconds to repaint a batch, the style at hand.
        images_per_s: Pictures repainted in a second.
        s_per_mpx: Seconds to repaint a million pixels.
        peak_mb: Most memory used, in 10⁶ bytes: the device's if it tells, else the process's.
    """

    model: str
    size: int
    batch: int
    tile: int | None
    device: str
    first_s: float
    cached_s: float
    style_ms: float
    stylize_ms: float
    images_per_s: float
    s_per_mpx: float
    peak_mb: float


def measure_speed(
    model: str,
    sizes: Sequence[int],
    *,
    batch: int = 1,
    preset: str = "balanced",
    levels: Sequence[int] | None = None,
    repeats: int = 5,
    tile: int | None = None,
    memory: str | float = DEFAULT_MEMORY,
) -> Iterator[Speed]:
    """Measure a model at several sizes, one after the other.

    Args:
        model: A model's name or directory.
        sizes: Sides of square pictures, in pixels.
        batch: Pictures at once.
        preset: The recipe's name.
        levels: The levels to run, if not all.
        repeats: Calls of each kind; the fastest counts. Pictures in bands are done twice.
        tile: Work on so many pixels at a time as a square of this side has, as `stylize` does.
        memory: How much memory to use at most, as in `stylize`.

    Raises:
        WctError: There is no such model or preset, or a number is less than one, or out of range.
    """
    from ._models import find_model
    from ._recipe import Recipe

    Recipe.preset(preset, levels=levels)
    find_model(model)
    check_counts(batch=batch, repeats=repeats, size=min(sizes, default=0))
    for size in sizes:
        task = _Task(model, size, batch, preset, levels, tile, read_memory(memory))
        with tempfile.TemporaryDirectory() as cache:
            cold = _time_in_new_process(cache, task, 0)
            warm = _time_in_new_process(cache, task, repeats)
        yield Speed(
            model, size, batch, warm.tile, warm.device,
            first_s=cold.first_s,
            cached_s=warm.first_s,
            style_ms=1e3 * warm.style_s,
            stylize_ms=1e3 * warm.stylize_s,
            images_per_s=batch / warm.stylize_s,
            s_per_mpx=1e6 * warm.stylize_s / (batch * size**2),
            peak_mb=warm.peak / 1e6,
        )  # fmt: skip


class _Task(NamedTuple):
    model: str
    size: int
    batch: int
    preset: str
    levels: Sequence[int] | None
    wanted: int | None
    budget: float


class _Times(NamedTuple):
    tile: int | None
    device: str
    first_s: float
    style_s: float
    stylize_s: float
    peak: float


def _time_in_new_process(cache: str, task: _Task, repeats: int) -> _Times:
    """Time a task in a process that keeps its compiled programs in a directory."""
    variables = {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    context = multiprocessing.get_context("spawn")
    found, told = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(told, variables, task, repeats), daemon=True)
    process.start()
    told.close()
    try:
        times = found.recv()
    except EOFError:
        raise WctError("the process that measured has ended: is there enough memory?") from None
    finally:
        process.kill()
        process.join()
    if isinstance(times, Exception):
        raise times
    return times


def _work(told: Connection, variables: dict[str, str], task: _Task, repeats: int) -> None:
    """Time a task in a new process, made one as the command `wct` runs in."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends this one
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    os.environ.update(variables)
    keep_memory()
    try:
        times = _time(task, repeats)
    except Exception as error:
        times = error
    told.send(times)


def _end_with_the_first() -> None:
    """End this process if the first one has been killed, and so cannot."""
    first = multiprocessing.parent_process()
    assert first is not None
    first.join()
    os._exit(1)


def _time(task: _Task, repeats: int) -> _Times:
    """Time the first call, and the fastest to measure a style and to repaint in it."""
    import jax

    tile, read, stylize = _prepare(task)

    def seconds(function: Callable, *arguments: object) -> tuple[float, Any]:
        start = time.perf_counter()
        result = function(*arguments)
        return time.perf_counter() - start, result

    style_s, style = seconds(read)
    stylize_s, _ = seconds(stylize, style)
    first_s = style_s + stylize_s
    for _ in range(repeats if tile is None else min(repeats, 1)):
        style_s = min(style_s, seconds(read)[0])
        stylize_s = min(stylize_s, seconds(stylize, style)[0])
    device = jax.devices()[0]
    return _Times(tile, device.device_kind, first_s, style_s, stylize_s, _peak_bytes(device))


def _prepare(task: _Task) -> tuple[int | None, Callable, Callable]:
    """Return the tile, what measures a style, and what repaints in it; both wait for results."""
    import jax

    from ._drawn import draw_style
    from ._recipe import Recipe
    from ._scene import draw_scene
    from ._styles import StyleReader
    from ._stylizer import Stylizer
    from ._tiled import repaint_into

    stylizer = Stylizer.from_pretrained(task.model)
    recipe = Recipe.preset(task.preset, levels=task.levels)
    widths = stylizer.encoder.widths
    shape = (task.size, task.size)
    tile = choose_tile(shape, widths, recipe.levels, task.budget, task.wanted)
    if tile is not None and task.batch > 1:
        raise WctError("pictures in bands are done one at a time: give a batch of 1")
    content, painting = (
        np.asarray(Image.fromarray(to_bytes(drawn)).resize(shape))
        for drawn in (draw_scene(384, 384), draw_style("strokes", 384))
    )

    left = left_by(shape, task.budget, task.wanted, GIVEN_BACK)
    reader = StyleReader(stylizer, task.size, left)

    def read():
        style = reader.measure(painting)
        return jax.block_until_ready(style)

    if tile is None:
        batch = jax.device_put(np.stack([to_floats(content)] * task.batch))
        return tile, read, lambda style: jax.block_until_ready(stylizer(batch, style, recipe))
    result = np.empty_like(content)

    def stylize(style):
        repaint_into(result, stylizer, content, style, recipe, tile=tile)

    return tile, read, stylize


def _peak_bytes(device) -> float:
    if found := (device.memory_stats() or {}).get("peak_bytes_in_use"):
        return float(found)
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    unit = 1.0 if sys.platform == "darwin" else 1024.0
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
