"""Layers in turn, for arrays at hand on a CPU: by oneDNN, and each leaves the border for the next.

A border added to features is a copy of all of them. Here a convolution leaves room for it, and only
the border is written, in place.
"""

from collections.abc import Collection, Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from . import _onednn, _winograd
from ._border import AROUND, NO_ROOM, Room, Size, make_room
from ._convolution import Layer, convolve_bordered, size_after
from ._in_place import renew
from ._onednn import is_usable
from ._transform import AffineMap


def convolve_in_turn(
    features: Float[Array, "batch height width _"],
    layers: Sequence[Layer],
    size: Size | None,
    wanted: Collection[int],
    affine: AffineMap | None,
) -> list[Float[Array, "batch _ _ _"]]:
    """Run layers as `run_layers` does."""
    if size is None:
        _, height, width, _ = features.shape
        size = height, width
    found, bordered = [], None
    for index, layer in enumerate(layers):
        if bordered is None:
            bordered = renew(with_room(features, AROUND, affine), size, layer.distance)
            affine = None
        if index in wanted:
            features, bordered = _run(bordered, layer, size, None), None
            found.append(features)
        else:
            bordered = _run(bordered, layer, size, layers[index + 1].distance)
        size = size_after(layer, size)
    return found


def with_room(
    features: Float[Array, "batch height width channels"],
    room: Room,
    affine: AffineMap | None = None,
) -> Float[Array, "batch _ _ channels"]:
    """Return features with room around them, mapped if there is a map."""
    if affine is None:
        return make_room(features, room)
    if len(affine.matrix) > 1 or not is_usable(features, affine):
        return make_room(affine(features), room)
    [matrix], [offset] = map(np.asarray, (affine.matrix, affine.offset))
    kernel, bias = jax.device_put((matrix.T[None, None], offset))  # a 1×1 convolution
    return convolve(features, kernel, bias, relu=False, room=room)


def _run(bordered: Array, layer: Layer, size: Size, distance: int | None) -> Array:
    """Run a layer on bordered features, and border the result for the next, with its distance."""
    kept = distance is not None
    result = convolve_bordered(bordered, layer, AROUND, kept=kept, convolve=convolve)
    return result if distance is None else renew(result, size_after(layer, size), distance)


def convolve(
    features: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "rows columns inputs outputs"],
    bias: Float[Array, " outputs"],
    *,
    relu: bool,
    room: Room = NO_ROOM,
) -> Float[Array, "batch _ _ outputs"]:
    """Convolve as `_onednn.convolve` does, in the way that is faster."""
    module = _winograd if _winograd.pays(features, kernel) else _onednn
    return module.convolve(features, kernel, bias, relu=relu, room=room)
