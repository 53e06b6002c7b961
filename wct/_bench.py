"""How fast a model is here: each measurement in a process of its own."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from ._errors import WctError


@dataclass(frozen=True)
class Speed:
    """Times of one model at one size.

    Attributes:
        model: The model's name or directory.
        size: Side of the square pictures, content and style, in pixels.
        batch: Pictures at once.
        device: What it ran on.
        first_s: Seconds of the first call, programs compiled.
        cached_s: Seconds of the first call of a process that finds compiled programs on disk.
        style_ms: Milliseconds to measure the style.
        stylize_ms: Milliseconds to repaint a batch, the style at hand.
        images_per_s: Pictures repainted in a second.
        peak_mb: Most memory used, in 10⁶ bytes: the device's if it tells, else the process's.
    """

    model: str
    size: int
    batch: int
    device: str
    first_s: float
    cached_s: float
    style_ms: float
    stylize_ms: float
    images_per_s: float
    peak_mb: float


def measure_speed(
    model: str, sizes: Sequence[int], *, batch: int = 1, preset: str = "balanced", repeats: int = 5
) -> Iterator[Speed]:
    """Measure a model at several sizes, one after the other.

    Args:
        model: A model's name or directory.
        sizes: Sides of square pictures, in pixels.
        batch: Pictures at once.
        preset: The recipe's name.
        repeats: Calls of each kind; the fastest counts.

    Raises:
        WctError: There is no such model or preset, or a number is less than one.
    """
    from ._models import find_model
    from ._recipe import find_recipe

    find_recipe(preset)
    find_model(model)
    for name, number in {"batch": batch, "repeats": repeats, "size": min(sizes, default=1)}.items():
        if number < 1:
            raise WctError(f"{name} must be at least 1, not {number}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as cache:
            first, *_ = _in_new_process(cache, _time, model, size, batch, preset, 0)
            cached, style, stylize, device, peak = _in_new_process(
                cache, _time, model, size, batch, preset, repeats
            )
        yield Speed(
            model, size, batch, device, first, cached,
            style_ms=1e3 * style,
            stylize_ms=1e3 * stylize,
            images_per_s=batch / stylize,
            peak_mb=peak / 1e6,
        )  # fmt: skip


def _in_new_process(cache: str, function: Callable, *arguments: object):
    """Call a function in a process that keeps its compiled programs in a directory."""
    variables = {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _set_environment, (variables,)) as pool:
        return pool.submit(function, *arguments).result()


def _set_environment(variables: dict[str, str]) -> None:
    os.environ.update(variables)


def _time(
    model: str, size: int, batch: int, preset: str, repeats: int
) -> tuple[float, float, float, str, float]:
    """Return seconds of the first call, of the style, of the pictures; the device, its memory."""
    import jax

    read, stylize = _prepare(model, size, batch, preset)
    start = time.perf_counter()
    style = read()
    stylize(style)
    first = time.perf_counter() - start
    best = {read: float("inf"), stylize: float("inf")}
    for _ in range(repeats):
        for function, arguments in ((read, ()), (stylize, (style,))):
            start = time.perf_counter()
            function(*arguments)
            best[function] = min(best[function], time.perf_counter() - start)
    device = jax.devices()[0]
    return first, best[read], best[stylize], device.device_kind, _peak_bytes(device)


def _prepare(model: str, size: int, batch: int, preset: str) -> tuple[Callable, Callable]:
    """Return what measures a style, and what repaints a batch in it; each waits for its result."""
    import jax
    import jax.numpy as jnp

    from ._drawn import draw_style
    from ._image import resize
    from ._scene import draw_scene
    from ._stylizer import Stylizer

    stylizer = Stylizer.from_pretrained(model)
    content = jnp.asarray(resize(draw_scene(384, 384), (size, size)))
    contents = jnp.stack([content] * batch)
    picture = jnp.asarray(resize(draw_style("strokes", 384), (size, size)))

    def read():
        return jax.block_until_ready(stylizer.read_style(picture))

    def stylize(style):
        return jax.block_until_ready(stylizer(contents, style, preset))

    return read, stylize


def _peak_bytes(device) -> float:
    if found := (device.memory_stats() or {}).get("peak_bytes_in_use"):
        return float(found)
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
