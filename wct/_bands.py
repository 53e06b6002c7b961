"""Layers over a picture that comes in bands of rows, from top to bottom, as if it came whole.

A row that a 3×3 convolution makes needs the row below too, so what comes of a band lies one row
higher; and each layer keeps the last two rows that it was given, from which the next band goes on.
Nothing is computed twice, and nothing is held but two rows a layer.
"""

from collections.abc import Collection, Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from . import _at_hand, _border, _in_place
from ._border import ABOVE, Length, Size
from ._convolution import Layer, by_xla, convolve_bordered, size_after
from ._onednn import is_usable
from ._transform import AffineMap

Rows = Float[Array | np.ndarray, "batch 2 _ _"]
"""The last two rows that a layer was given, with a column more at each end."""


def no_rows(layers: Sequence[Layer], batch: int, width: int) -> list[Rows]:
    """Return what layers keep before the first band.

    Args:
        layers: The layers.
        batch: How many pictures come at once.
        width: Columns of the first layer's features.
    """
    found, size = [], (0, width)
    for layer in layers:
        found.append(np.zeros((batch, 2, size[1] + 2, layer.kernel.shape[2]), np.float32))
        size = size_after(layer, size)
    return jax.device_put(found)


def run_band(
    features: Float[Array, "batch height width _"],
    kept: Sequence[Rows],
    layers: Sequence[Layer],
    start: Length,
    size: Size,
    wanted: Collection[int] | None = None,
    affine: AffineMap | None = None,
) -> tuple[list[Float[Array, "batch _ _ _"]], list[Rows]]:
    """Run layers in turn on the next band.

    Args:
        features: Features, NHWC. A layer that halves them gets an even number of rows.
        kept: What the layers keep of the bands before.
        layers: The layers.
        start: Which row the first one is. What comes of rows above 0 means nothing. Even where
            layers halve.
        size: How many rows there are in all bands together, from 0 on, and how many of the columns
            are a picture's.
        wanted: After which layers the features are wanted; after the last one by default.
        affine: What maps the features before the first layer, if anything does.

    Returns:
        The features after each of these layers, of as many rows as the band is high there, a row
        higher for each layer than `features` are; and what the layers keep now.
    """
    wanted = (len(layers) - 1,) if wanted is None else wanted
    at_hand = is_usable(features, layers)
    border, convolve = (_in_place, _at_hand.convolve) if at_hand else (_border, by_xla)
    found, keep, roomy = [], [], None
    for index, (layer, rows) in enumerate(zip(layers, kept, strict=True)):
        if roomy is None:
            roomy, affine = _at_hand.with_room(features, ABOVE, affine), None
        bordered = border.go_on(roomy, rows, start, size, layer.distance)
        keep.append(border.last_rows(bordered))
        ends = index in wanted
        result = convolve_bordered(bordered, layer, ABOVE, kept=not ends, convolve=convolve)
        start, size = _row_after(layer, start), size_after(layer, size)
        roomy = None if ends else result
        if ends:
            features = result
            found.append(features)
    return found, keep


def _row_after(layer: Layer, row: Length) -> Length:
    """Return the first row that a layer makes of bands whose first row is this one."""
    first = 2 * row - 1 if layer.doubled else row - 1
    return first // 2 if layer.halved else first
