"""Layers in turn, for arrays at hand on a CPU: by oneDNN, and each leaves the border for the next.

A border added to features is a copy of all of them. Here a convolution leaves room for it, and only
the border is written, in place.
"""

from collections.abc import Collection, Sequence

from jaxtyping import Array, Float

from . import _onednn, _winograd
from ._border import AROUND, NO_ROOM, Room, Size, leave, renew, surround
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
    result = convolve_bordered(bordered, layer, AROUND, kept=reach is not None and not layer.halved)
    if layer.halved:
        result = halve(result, NO_ROOM if reach is None else AROUND)
    return result if reach is None else renew(result, size_after(layer, size), reach)


def convolve_bordered(
    bordered: Float[Array, "batch height width inputs"], layer: Layer, room: Room, *, kept: bool
) -> Float[Array, "batch _ _ outputs"]:
    """Convolve features that have a border, and are doubled before, but not halved after it.

    Args:
        bordered: Features, with a row and column more at each end.
        layer: The layer.
        room: Two rows and two columns: where the result has room for a border.
        kept: Whether it shall have that.
    """
    kernel, bias, doubled, relu, _ = layer
    if doubled:
        pairs, biases = pair_up(kernel, bias)
        result = weave([_onednn.convolve(bordered, pair, biases, relu=relu) for pair in pairs])
        return result if kept else leave(result, room)
    module = _winograd if _winograd.pays(bordered, kernel) else _onednn
    return module.convolve(bordered, kernel, bias, relu=relu, room=room if kept else NO_ROOM)
