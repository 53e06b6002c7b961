"""Layers in turn, for arrays at hand on a CPU: by oneDNN, and each leaves the border for the next.

A border added to features is a copy of all of them. Here a convolution leaves room for it, and only
the border is written, in place.
"""

from collections.abc import Collection, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import _onednn, _winograd
from ._border import Size, inside, renew, surround
from ._convolution import Layer, halve, pair_up, size_after, weave


def convolve_in_turn(
    features: Float[Array, "batch height width _"],
    layers: Sequence[Layer],
    size: Size | None,
    kept: Collection[int],
) -> list[Float[Array, "batch _ _ _"]]:
    """Run layers as `run_layers` does."""
    if size is None:
        _, height, width, _ = features.shape
        size = height, width
    found, bordered = [], None
    for index, layer in enumerate(layers):
        if bordered is None:
            bordered = surround(features, size, layer.reach)
        if index in kept:
            features, bordered = _run(bordered, layer, size, None), None
            found.append(features)
        else:
            bordered = _run(bordered, layer, size, layers[index + 1].reach)
        size = size_after(layer, size)
    return found


def _run(bordered: Array, layer: Layer, size: Size, reach: int | None) -> Array:
    """Run a layer on bordered features, and border the result for the next, of that reach."""
    border = int(reach is not None and not layer.halved)
    result = _convolve_bordered(bordered, layer, border)
    size = size_after(layer, size)
    if layer.halved:
        return halve(result) if reach is None else _halve_bordered(result, size, reach)
    return result if reach is None else renew(result, size, reach)


def _convolve_bordered(bordered: Array, layer: Layer, border: int) -> Array:
    """Convolve bordered features; the result has room for a border or none."""
    kernel, bias, doubled, relu, _ = layer
    if doubled:
        pairs, biases = pair_up(kernel, bias)
        rows = [_onednn.convolve(bordered, pair, biases, relu=relu) for pair in pairs]
        result = weave(rows)
        return result if border else inside(result)
    module = _winograd if _winograd.pays(bordered, kernel) else _onednn
    return module.convolve(bordered, kernel, bias, relu=relu, border=border)


@partial(jax.jit, static_argnames="reach")
def _halve_bordered(features: Array, size: Size, reach: int) -> Array:
    room = (1, 1)
    return renew(jnp.pad(halve(features), ((0, 0), room, room, (0, 0))), size, reach)
