"""The convolution of all networks here: 3×3, stride 1, reflection-padded."""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from . import _tf32
from ._border import AROUND, NO_ROOM, Room, Size, cut_off, make_room, surround
from ._program import is_traced
from ._reuse import compiled_to_reuse, leave

_paired: dict[tuple[int, int], Any] = {}
"""What `pair_up` made of weights at hand, for as long as they are there."""


class Layer(NamedTuple):
    """A convolution, and what comes before and after it.

    The features are continued by reflection at their edges. The reflection does not repeat the edge
    itself (`numpy.pad`'s `"reflect"`); an axis of length one is continued by its only value.

    Attributes:
        kernel: Kernel, HWIO.
        bias: One number an output channel.
        doubled: Whether the features' size is doubled before, by nearest neighbour.
        relu: Whether negative values become zero after it.
        halved: Whether the size is halved at the end, by the maximum of each 2×2.
    """

    kernel: Float[Array, "3 3 inputs outputs"]
    bias: Float[Array, " outputs"]
    doubled: bool = False
    relu: bool = False
    halved: bool = False

    @property
    def distance(self) -> int:
        """The distance from its features' edges of the values that continue them."""
        return 0 if self.doubled else 1  # what is doubled, reflected, is the edge repeated


def convolve(
    features: Float[Array, "batch height width inputs"], layer: Layer, size: Size | None = None
) -> Float[Array, "batch _ _ outputs"]:
    """Run a layer.

    Args:
        features: Features, NHWC.
        layer: The layer.
        size: How many of the rows and columns are a picture's, the first ones. Its edge is there,
            and what comes of those beyond means nothing. Without it all are, and the derivative is
            faster; with it, the convolution itself.

    Returns:
        Features of the same height and width, or of twice or half of these.
    """
    kernel, bias, *options = layer
    return _convolve(features, kernel, bias, size, *options, same=_on_cpu())


def convolve_bordered(
    bordered: Float[Array, "batch height width inputs"],
    layer: Layer,
    room: Room,
    *,
    kept: bool,
    convolve: Callable[..., Array],
) -> Float[Array, "batch _ _ outputs"]:
    """Run a layer on features that have a border, and that are needed no more then.

    Args:
        bordered: Features, with a row and column more at each end, or two rows more above.
        layer: The layer.
        room: Two rows and two columns: where the result has room for a border.
        kept: Whether it shall have that.
        convolve: What convolves features that are not continued: `by_xla`, or as it.
    """
    kernel, bias, doubled, relu, halved = layer
    roomy = kept and not halved
    if doubled:
        pairs, biases = pair_up(kernel, bias)
        rows = [convolve(bordered, pair, biases, relu=relu) for pair in pairs]
        result = weave(rows)
        leave(*rows)
        result = result if roomy else cut_off(result, room)
    else:
        result = convolve(bordered, kernel, bias, relu=relu, room=room if roomy else NO_ROOM)
    leave(bordered)
    if halved:
        whole, result = result, halve(result, room if kept else NO_ROOM)
        leave(whole)
    return result


def by_xla(
    features: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "rows columns inputs outputs"],
    bias: Float[Array, " outputs"],
    *,
    relu: bool,
    room: Room = NO_ROOM,
    same: bool | None = None,
) -> Float[Array, "batch _ _ outputs"]:
    """Convolve features as `_onednn.convolve` does; `same` is whether XLA is for CPUs."""
    same = _on_cpu() if same is None else same
    result = (_valid_by_same if same else _valid)(features, kernel, bias)
    return make_room(jax.nn.relu(result) if relu else result, room)


def size_after(layer: Layer, size: Size) -> Size:
    """Return the size of a picture's features after a layer, from that before it."""
    if layer.doubled:
        size = size[0] * 2, size[1] * 2
    return (size[0] // 2, size[1] // 2) if layer.halved else size


@partial(compiled_to_reuse, static_argnames="room")
def halve(
    features: Float[Array, "batch height width channels"], room: Room = NO_ROOM
) -> Float[Array, "batch _ _ channels"]:
    """2×2 max pooling; the result has room around it."""
    rows = jnp.maximum(features[:, ::2], features[:, 1::2])
    return make_room(jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2]), room)


def pair_up(
    kernel: Float[Array, "3 3 inputs outputs"], bias: Float[Array, " outputs"]
) -> tuple[list[Float[Array, "2 2 inputs _"]], Float[Array, " _"]]:
    """Return two kernels, and their bias, by which features of twice the size need not be made.

    Two of the three rows that a pixel sees are the same one, and two of the columns: so each of the
    four pixels that come of one has a 2×2 kernel of its own, with 4/9 of the multiplications. Here
    they are the pixels around a corner that four features share, in the order of a picture: a
    kernel for each row, with both columns as outputs. See `weave`.
    """
    if is_traced(kernel):
        return _pair_up(jnp, kernel, bias)
    key = id(kernel), id(bias)
    if key not in _paired:
        _paired[key] = jax.device_put(_pair_up(np, np.asarray(kernel), np.asarray(bias)))
        for each in (kernel, bias):
            weakref.finalize(each, _paired.pop, key, None)
    return _paired[key]


@compiled_to_reuse
def weave(
    rows: list[Float[Array, "batch height width _"]],
) -> Float[Array, "batch _ _ _"]:
    """Interleave what `pair_up`'s kernels make of bordered features: such of twice the size.

    Their own border means nothing.
    """
    batch, height, width, columns = rows[0].shape
    return jnp.stack(rows, 2).reshape(batch, 2 * height, 2 * width, columns // 2)


# A compiled function within compiled functions: it is traced once a shape, and not once a layer.
@partial(jax.jit, static_argnames=("doubled", "relu", "halved", "same"))
def _convolve(
    features: Array,
    kernel: Array,
    bias: Array,
    size: Size | None,
    doubled: bool,
    relu: bool,
    halved: bool,
    *,
    same: bool,
) -> Array:
    layer = Layer(kernel, bias, doubled, relu, halved)
    bordered = surround(features, size, layer.distance)
    convolve = partial(by_xla, same=same)
    return convolve_bordered(bordered, layer, AROUND, kept=False, convolve=convolve)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _valid(features: Array, kernel: Array, bias: Array, padding: str = "VALID") -> Array:
    """Convolve features that are not continued.

    To float32's precision, if JAX is not told otherwise: with TF32 alone, which it would choose on
    a GPU, pictures are off by up to 54/255, as whitening magnifies what encoders get wrong.
    """
    settings: Any = jax.config  # its type tells of methods only
    precision = None
    if settings.jax_default_matmul_precision is None:
        if _tf32.pays(kernel):
            features, kernel = _tf32.in_three_parts(features, kernel)
        else:
            precision = lax.Precision.HIGHEST
    result = lax.conv_general_dilated(
        features,
        kernel,
        (1, 1),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=precision,
    )
    return result + bias[None, None, None]


def _valid_by_same(features: Array, kernel: Array, bias: Array) -> Array:
    """The same for CPUs, where XLA uses all cores for "SAME", and in effect one for "VALID".

    The outer pixels are computed and thrown away.
    """
    result = _valid(features, kernel, bias, "SAME")
    for axis, taps in enumerate(kernel.shape[:2], start=1):
        first, count = (taps - 1) // 2, features.shape[axis] - taps + 1
        result = lax.slice_in_dim(result, first, first + count, axis=axis)
    return result


def _pair_up(library: Any, kernel: Any, bias: Any) -> Any:
    """Do it by JAX or NumPy."""

    def merge(taps: Any, axis: int, second: bool) -> Any:
        """Add the two taps that see the same pixel, for the first or the second of a pair."""
        first, middle, last = library.split(taps, 3, axis)
        pair = [first + middle, last] if second else [first, middle + last]
        return library.concatenate(pair, axis)

    kernels = []
    for lower in (True, False):
        rows = merge(kernel, 0, lower)
        kernels.append(library.concatenate([merge(rows, 1, right) for right in (True, False)], 3))
    return kernels, library.concatenate([bias, bias])
