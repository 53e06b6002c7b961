"""Videos: frames that are measured together, so that what is still stays still."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ._color import check_colors, with_chroma_of
from ._errors import WctError, check_counts
from ._files import check_target
from ._film import check_container, read_frames, rewrite
from ._loaded import find_stylizer
from ._memory import DEFAULT_MEMORY, read_memory, telling, whole
from ._pixels import fit, to_bytes
from ._styles import StyleReader

if TYPE_CHECKING:  # they import jax, which takes seconds: `wct --help` must not wait for it
    import jax

    from ._styles import StyleLike
    from ._stylizer import Stylizer

_MEASURED = 12
"""How many frames are measured at most."""

_HELD = 40 * _MEASURED
"""Bytes held for each pixel of a frame: those frames, as they are and on canvases, and holes."""


def stylize_video(
    content: str | os.PathLike[str],
    style: StyleLike | Sequence[StyleLike],
    alpha: float | Sequence[float] | None = None,
    *,
    output: str | os.PathLike[str],
    preset: str = "balanced",
    weights: Sequence[float | Sequence[float]] | None = None,
    levels: Sequence[int] | None = None,
    detail: float | Sequence[float] | None = None,
    transform: str | None = None,
    ridge: float | None = None,
    solver: str | None = None,
    colors: str = "style",
    noise: float = 2.0,
    size: int | None = None,
    style_size: int = 512,
    memory: str | float = DEFAULT_MEMORY,
    model: str | os.PathLike[str] | Stylizer = "vgg19-lite",
    progress: Callable[[float], object] | None = None,
    overwrite: bool = False,
) -> None:
    """Repaint a video in the style of a picture.

    Up to 12 frames, from beginning to end, are measured as if they were one picture, and all frames
    are repainted by the maps that these moments give. So the same pixels become the same ones in
    each frame: what does not move does not flicker, whatever else comes into the picture. Where the
    camera moves, strokes move along.

    Args:
        content: The video's file, of any format that FFmpeg reads.
        style: As in `stylize`.
        alpha: As in `stylize`.
        output: The file to write, .mp4, .m4v, .mov or .mkv: H.264, with the content's frames at
            their times, upright, and its sound as it is. Sides are even: one that is odd gets a
            pixel more.
        preset: As in `stylize`.
        weights: As in `stylize`.
        levels: As in `stylize`.
        detail: As in `stylize`.
        transform: As in `stylize`.
        ridge: As in `stylize`.
        solver: As in `stylize`.
        colors: As in `stylize`.
        noise: Standard deviation of the content's noise, of 255, which is levelled out over time
            where nothing moves: it would flicker. 0 leaves frames as they are.
        size: Resize the frames to this longer side first, in pixels. Their own size by default.
        style_size: As in `stylize`.
        memory: How much memory to use at most, such as 3GB, 800MB or a number of bytes.
        model: As in `stylize`.
        progress: Called after each frame with the share of them that is done, up to 1.
        overwrite: Replace the output if it exists.

    Raises:
        ImageError: The video or a style cannot be read, or the output not be written.
        WeightsError: There is no such model, or it is incomplete or damaged.
        WctError: Another argument is out of range, there is too little memory, or PyAV is not
            installed.
    """
    from ._recipe import Recipe
    from ._steady import Steady

    output = Path(output)
    if size is not None:
        check_counts(size=size)
    if not 0 <= noise < float("inf"):
        raise WctError(f"noise must be at least 0, not {noise}")
    check_colors(colors)
    check_target(output, overwrite=overwrite)
    check_container(output)
    recipe = Recipe.preset(
        preset, alpha=alpha, levels=levels, detail=detail, transform=transform, ridge=ridge,
        solver=solver,
    )  # fmt: skip
    budget = read_memory(memory)
    stylizer = find_stylizer(model)
    stylizer.steps_of(recipe)
    height, width, _ = next(read_frames(content)).shape
    if size is not None:
        height, width = fit((height, width), size)
    steady = Steady((height, width), noise)
    needed = whole(steady.canvas, stylizer.encoder.widths) + height * width * _HELD
    if needed > budget:
        raise WctError(
            f"frames {width} wide and {height} high need {ceil(needed / 1e7) / 100} GB of memory, "
            f"and {budget / 1e9:.2f} GB are allowed: allow more (memory=, --memory), or give a "
            "smaller size (size=, --size)"
        )
    reader = StyleReader(stylizer, style_size, budget)
    mixed = None if colors == "matched" else reader.mix(style, weights)
    length, frames = _choose(steady.take(steady.lay(frame)) for frame in read_frames(content))
    if mixed is None:
        mixed = reader.mix(reader.recolor(style, np.concatenate(frames)), weights)
    steady, done = Steady((height, width), noise), 0

    def paint(frame: np.ndarray) -> np.ndarray:
        nonlocal done
        canvas = steady.lay(frame)
        painted = stylizer(canvas[None], mixed, recipe, measured=measured)[0]
        result = np.asarray(steady.take(painted))
        if colors == "luminance":
            result = with_chroma_of(np.asarray(steady.take(canvas)), result)
        done += 1
        if progress is not None:
            progress(done / length)
        return to_bytes(result)

    with telling():
        measured = stylizer.measure(_emptied(frames), mixed, recipe)
        rewrite(content, output, paint, overwrite=overwrite)


def _emptied(frames: list[jax.Array]) -> Iterator[jax.Array]:
    """Yield frames that are held no longer."""
    while frames:
        yield frames.pop(0)


def _choose(frames: Iterable[jax.Array]) -> tuple[int, list[jax.Array]]:
    """Count frames, and keep some of them, as far from each other as can be."""
    count, stride, kept = 0, 1, []
    for frame in frames:
        if count % stride == 0:
            kept.append(frame)
        if len(kept) > _MEASURED:
            kept, stride = kept[::2], 2 * stride
        count += 1
    return count, kept
