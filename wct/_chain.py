"""The chain, on canvases: level by level, encode, transform, decode."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial, reduce
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from . import _in_place, _padding
from ._border import Size
from ._by_name import find_solver
from ._level import (
    as_style,
    average,
    find_maps,
    for_each,
    give_back_detail,
    measure_picture,
    of_first,
    restyle,
)
from ._meshes import shard_alike
from ._moments import Moments, merge_moments, moments
from ._networks import Decoder, Encoder
from ._onednn import compiled_elsewhere, is_usable
from ._padding import coverage, in_cells, mirror
from ._program import program
from ._recipe import Recipe, Ridge, Step, Strength
from ._reuse import leave, reusing
from ._swap import swap_patches
from ._transform import add_ridge, color, whiten

Patches = Mapping[int, Float[Array, "_ _ _"]]
"""Whitened features of a style picture, `(height, width, channels)`, by level."""


def repaint(
    encoder: Encoder,
    canvas: Float[Array, "batch height width 3"],
    size: Size,
    work: Sequence[tuple[Decoder, Moments, Step]],
    recipe: Recipe,
    masks: Float[Array, "regions 1 height width"] | None = None,
    patches: Patches | None = None,
    measured: Sequence[Moments] | None = None,
    *,
    together: bool = False,
) -> Iterator[Float[Array, "batch height width 3"]]:
    """Run the chain on a canvas, and yield it after each level, as decoded.

    Level by level: encode, transform, decode, and give back of what the decoder lost.

    Args:
        encoder: The encoder.
        canvas: Pictures of one size, extended to what `to_common_canvas` makes or, if there are
            patches, `to_canvas`.
        size: The pictures' height and width.
        work: What `Stylizer.plan` returned.
        recipe: What it returned that for.
        masks: Regions on their canvas, filled by reflection, together at most 1.
        patches: As in `__call__`.
        measured: Likewise.
        together: Run all levels at once, and yield the canvas after the last alone: on a GPU there
            is little to do between two programs.
    """
    tasks, left = _tasks(work, masks, patches, measured), []
    run = partial(_repaint, transform=recipe.transform, solver=recipe.solver)
    for group in [tasks] if together else [[task] for task in tasks]:
        with reusing(left):
            canvas = shard_alike(run, canvas, encoder, size, group, recipe.ridge, masks)
        yield canvas


def measure_together(
    encoder: Encoder,
    pictures: list[tuple[Float[Array, "1 _ _ 3"], Size]],
    work: Sequence[tuple[Decoder, Moments, Step]],
    recipe: Recipe,
) -> list[Moments]:
    """Run the chain on pictures as if they were one, and return their moments at each level.

    Args:
        encoder: The encoder.
        pictures: Each on its canvas, as `repaint` takes it, and its height and width. In the end
            they are what the last level takes.
        work: As in `repaint`.
        recipe: Likewise.
    """
    found: list[Moments] = []
    for position, (decoder, _, _) in enumerate(work):
        parts = [_measure(encoder, *picture, decoder.level) for picture in pictures]
        found.append(of_first(reduce(_merge, parts)))
        here = slice(position, position + 1)
        if position + 1 < len(work):
            for index, (canvas, size) in enumerate(pictures):  # one by one, to hold each but once
                [canvas] = repaint(encoder, canvas, size, work[here], recipe, measured=found[here])
                pictures[index] = canvas, size
    return found


_merge = program(merge_moments)


class _Task(NamedTuple):
    """What `_repaint_level` takes of one level."""

    decoder: Decoder
    style: Moments
    strength: Strength
    replaced: Strength | None
    patches: Float[Array, "_ _ channels"] | None
    measured: Moments | None


def _tasks(
    work: Sequence[tuple[Decoder, Moments, Step]],
    masks: Array | None,
    patches: Patches | None,
    measured: Sequence[Moments] | None,
) -> list[_Task]:
    """Decide what is known before anything is compiled: what is given back, what is swapped."""
    masked, patches = masks is not None, patches or {}
    known = [None] * len(work) if measured is None else measured
    return [
        _Task(decoder, style, strength, replaced, patches.get(step.level), content)
        for (decoder, style, step), content in zip(work, known, strict=True)
        for strength, replaced in [jax.device_put((step.alpha, step.given_back(masked)))]
    ]


@partial(compiled_elsewhere, static_argnames=("transform", "solver"))
def _repaint(
    canvas: Float[Array, "batch height width 3"],
    encoder: Encoder,
    size: Size,
    tasks: Sequence[_Task],
    ridge: Ridge,
    masks: Float[Array, "regions 1 height width"] | None,
    transform: str,
    solver: str | None,
) -> Float[Array, "batch height width 3"]:
    """Run one level or several, in one program unless oneDNN's are used."""
    for task in tasks:
        canvas = _repaint_level(encoder, canvas, size, task, ridge, masks, transform, solver)
    return canvas


def _repaint_level(
    encoder: Encoder,
    canvas: Float[Array, "batch height width 3"],
    size: Size,
    task: _Task,
    ridge: Ridge,
    masks: Float[Array, "regions 1 height width"] | None,
    transform: str,
    solver: str | None,
) -> Float[Array, "batch height width 3"]:
    """One level: encode, transform, decode, and give back of what the decoder lost."""
    decoder, style, strength, replaced, patches, measured = task
    level = decoder.level
    canvas, features = _encode(encoder, canvas, size, level)
    cells = None if masks is None else average(masks, level)
    in_features = in_cells(size, level)
    if measured is None:
        content = measure_picture(features, size, level, cells)
    else:
        content = for_each(measured, len(canvas)), None
    if patches is None:
        maps = find_maps(content, style, strength, ridge, transform, solver)
        mapped, affine = restyle(features, maps, cells)
    else:
        ridged = add_ridge(content[0], ridge)
        solver = find_solver(transform, solver)
        mapped, affine = _swap(features, ridged, style, patches, strength, solver), None
    result = decoder(mapped, size=in_features, affine=affine)
    if mapped is not features:
        leave(mapped)
    if replaced is not None:
        decoded = decoder(features, size=in_features)
        result = give_back_detail(result, canvas, decoded, masks, replaced)
    leave(features)
    return result


@partial(compiled_elsewhere, static_argnames="level")
def _measure(
    encoder: Encoder, canvas: Float[Array, "1 height width 3"], size: Size, level: int
) -> Moments:
    _, features = _encode(encoder, canvas, size, level)
    whole, _ = measure_picture(features, size, level, None)
    return whole


def _encode(
    encoder: Encoder, canvas: Float[Array, "batch height width 3"], size: Size, level: int
) -> tuple[Float[Array, "batch height width 3"], Float[Array, "batch _ _ _"]]:
    """Fill what of a canvas is beyond the picture, and encode it."""
    canvas = _fill(canvas, size)
    features = encoder.encode(canvas, level, size=in_cells(size, 1))
    if level > 1:  # level 1's are not kept in bands, and are more than its channels
        fill = _in_place if is_usable(features) else _padding
        features = fill.repeat_last(features, size, level)
    return canvas, features


@partial(jax.jit, static_argnames="solver")
def _swap(
    features: Float[Array, "batch height width channels"],
    content: Moments,
    style: Moments,
    patches: Float[Array, "_ _ channels"],
    strength: Strength,
    solver: str,
) -> Float[Array, "batch height width channels"]:
    white = whiten(content, solver=solver)(features)
    swapped = color(style, solver=solver)(swap_patches(white, patches))
    share = strength.reshape(-1, 1, 1, 1)
    return share * swapped + (1 - share) * features


@partial(jax.jit, static_argnames="levels")
def whiten_levels(
    encoder: Encoder,
    canvas: Float[Array, "batch height width 3"],
    size: Size,
    levels: tuple[int, ...],
) -> list[Float[Array, "batch _ _ _"]]:
    """Features of these levels, made white."""
    features = encoder(mirror(canvas, size), max(levels, default=1), size=in_cells(size, 1))
    return [
        whiten(moments(found, coverage(found, size, level)))(found)
        for level in levels
        for found in [features[level - 1]]
    ]


@compiled_elsewhere
def measure_levels(
    encoder: Encoder,
    canvas: Float[Array, "batch height width 3"],
    size: Size,
    weights: Float[Array, "batch height width"] | None,
) -> tuple[Moments, ...]:
    """Moments of one image at all levels."""
    return _measure_levels(encoder(_fill(canvas, size), size=in_cells(size, 1)), size, weights)


@program
def _measure_levels(
    levels: list[Float[Array, "1 _ _ _"]],
    size: Size,
    weights: Float[Array, "1 height width"] | None,
) -> tuple[Moments, ...]:
    masks = None if weights is None else mirror(weights[..., None], size)[None, ..., 0]
    measured = []
    for level, features in enumerate(levels, start=1):
        cells = None if masks is None else average(masks, level)
        measured.append(as_style(measure_picture(features, size, level, cells)))
    return tuple(measured)


def _fill(
    canvas: Float[Array, "batch height width 3"], size: Size
) -> Float[Array, "batch height width 3"]:
    """Fill what of a canvas is beyond the picture by reflection, in place if that can be."""
    return (_in_place.mirror if is_usable(canvas) else mirror)(canvas, size)
