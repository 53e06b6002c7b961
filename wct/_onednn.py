"""oneDNN's convolution and matrix product, which jaxlib carries for CPUs.

XLA's own convolution takes up to seven times as long, its products of small matrices twice.

They are calls of their own for arrays at hand. Inside larger programs they would be in the way: one
that contains them can be neither differentiated nor kept on disk.
"""

import functools
import json
import math
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.stages import Lowered
from jaxtyping import Array, Float

from ._border import NO_ROOM, Room
from ._program import is_traced, program
from ._reuse import compiled_to_reuse, leave, take

_NAME = "__onednn${}"
_LAYOUTS = {
    "input": {"data": {"batch_dim": "0", "spatial_dims": ["1", "2"], "feature_dim": "3"}},
    "kernel": {
        "filter": {
            "spatial_dims": ["0", "1"],
            "input_feature_dim": "2",
            "output_feature_dim": "3",
        }
    },
    "output": {"data": {"batch_dim": "0", "spatial_dims": ["1", "2"], "feature_dim": "3"}},
}
_STEPS = {"strides": ["1", "1"], "window_dilations": ["1", "1"]}

_OUTPUTS = 16
"""How many output channels it computes at a time, however few there are."""

_MOST = 1000
"""How many convolutions are kept at most, those of some 50 sizes of pictures: 0.3 MB each."""

_compiling = threading.Lock()


def is_usable(*trees: Any) -> bool:
    """Tell whether oneDNN can convolve what is in these trees: arrays at hand, on the one CPU."""
    settings: Any = jax.config  # its type tells of methods only
    if jax.default_backend() != "cpu" or jax.device_count() > 1 or settings.jax_disable_jit:
        return False
    return not is_traced(trees) and _is_there()


def compiled_elsewhere(function: Callable, **options: Any) -> Callable:
    """Compile a function, but not where oneDNN is usable: there its parts are programs.

    Args:
        function: The function.
        options: Of `jax.jit`.
    """
    compiled = jax.jit(function, **options)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return (function if is_usable(arguments, named) else compiled)(*arguments, **named)

    return call


def convolve(
    features: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "rows columns inputs outputs"],
    bias: Float[Array, " outputs"],
    *,
    relu: bool,
    room: Room = NO_ROOM,
) -> Float[Array, "batch _ _ outputs"]:
    """Convolve features that are not continued.

    Args:
        features: Features, NHWC.
        kernel: Kernel, HWIO.
        bias: One number an output channel.
        relu: Whether negative values become zero after it.
        room: Room around the result.
    """
    rows, *_, outputs = kernel.shape
    if room != NO_ROOM or rows == 1 or rows * outputs > _OUTPUTS:
        return _convolution(features.shape, kernel.shape, relu, room)(features, kernel, bias)
    side_by_side, none = _outputs_of_rows(kernel)
    convolution = _convolution(features.shape, side_by_side.shape, False, NO_ROOM)
    parts = convolution(features, side_by_side, none)
    result = _add_rows(parts, bias, rows, relu)
    leave(parts)
    return result


def multiply(
    left: Float[Array, "batch rows inner"], right: Float[Array, "batch inner columns"]
) -> Float[Array, "batch rows columns"]:
    """Multiply matrices; by XLA where oneDNN's product of many at once would not be safe."""
    return (_product(left.shape, right.shape) if multiplies() else _matmul)(left, right)


@program
def _outputs_of_rows(kernel: Array) -> tuple[Array, Array]:
    """Return a kernel of one row, with the outputs of each row side by side, and its bias."""
    side_by_side = jnp.concatenate(jnp.split(kernel, len(kernel)), -1)
    return side_by_side, jnp.zeros(side_by_side.shape[-1], kernel.dtype)


@functools.partial(compiled_to_reuse, static_argnames=("rows", "relu"))
def _add_rows(parts: Array, bias: Array, rows: int, relu: bool) -> Array:
    """Add what each of the kernel's rows gives where it belongs."""
    height = parts.shape[1] - rows + 1
    shares = [
        lax.slice_in_dim(share, row, row + height, axis=1)
        for row, share in enumerate(jnp.split(parts, rows, axis=-1))
    ]
    result = functools.reduce(jnp.add, shares) + bias[None, None, None]
    return jax.nn.relu(result) if relu else result


@functools.lru_cache(_MOST)
def _convolution(
    features: tuple[int, ...], kernel: tuple[int, ...], relu: bool, room: Room
) -> Callable:
    batch, *lengths, _ = features
    *taps, _, outputs = kernel
    height, width = (
        length - tap + 1 + sum(more) for length, tap, more in zip(lengths, taps, room, strict=True)
    )
    shape = batch, height, width, outputs
    before, after = ([str(each) for each in ends] for ends in zip(*room, strict=True))
    config = {
        "dims": "4",
        "feature_groups": "1",
        **_LAYOUTS,
        "window": {**_STEPS, "pad_left": before, "pad_right": after},
        "fusions": {"ops": ["BIAS", "RELU"] if relu else ["BIAS"]},
    }
    return _Call("convolution", {"onednn_conv_config": config}, shape, features, kernel, (outputs,))


_matmul = program(jnp.matmul)


def multiplies() -> bool:
    """Tell whether oneDNN multiplies here: many matrices at once, and faster than XLA.

    Without AVX-512 it has no kernels of its own for that, and what it does in their place writes
    beyond its arrays, or waits for ever, in the version that jaxlib 0.10 and 0.11 carry.
    """
    return _has("AVX512F")


def convolves_fast() -> bool:
    """Tell whether oneDNN convolves here at twice the usual speed of AVX-512.

    So it does where a core has two units for it, as Intel's Xeons since 2023 have.
    """
    return _has("AVX512FP16")


@functools.cache
def _product(left: tuple[int, ...], right: tuple[int, ...]) -> Callable:
    config = {"transpose_a": False, "transpose_b": False}
    return _Call("matmul", {"onednn_matmul_config": config}, (*left[:2], right[2]), left, right)


class _Call:
    """A call, compiled when it is first made; its result is written where an array was left."""

    def __init__(
        self,
        name: str,
        config: dict[str, Any],
        shape: tuple[int, ...],
        *arguments: tuple[int, ...],
    ):
        self._result, *self._arguments = (
            jax.ShapeDtypeStruct(each, np.float32) for each in (shape, *arguments)
        )
        self._call = jax.ffi.ffi_call(
            _NAME.format(name),
            self._result,
            custom_call_api_version=1,
            legacy_backend_config=json.dumps(config),
        )

    def __call__(self, *arrays: Array) -> Array:
        spare = take(self._result.shape)
        return self._anew(*arrays) if spare is None else self._over(spare, *arrays)

    @functools.cached_property
    def _anew(self) -> Callable[..., Array]:
        return _compile(jax.jit(lambda *arrays: self._call(*arrays)).lower(*self._arguments))

    @functools.cached_property
    def _over(self) -> Callable[..., Array]:
        call = jax.jit(lambda _, *arrays: self._call(*arrays), donate_argnums=0, keep_unused=True)
        return _compile(call.lower(self._result, *self._arguments))


def _compile(lowered: Lowered) -> Callable[..., Array]:
    # jaxlib fails at writing such a program; it is compiled within milliseconds.
    name = "jax_persistent_cache_min_compile_time_secs"
    with _compiling:
        before = getattr(jax.config, name)
        jax.config.update(name, math.inf)
        try:
            return lowered.compile()
        finally:
            jax.config.update(name, before)


@functools.cache
def _is_there() -> bool:
    """Try both calls, of which jaxlib promises nothing, against the definition."""
    rng = np.random.default_rng(0)
    features, kernel, bias = (
        rng.normal(size=size).astype(np.float32) for size in ((2, 5, 6, 3), (3, 3, 3, 8), 8)
    )
    windows = np.lib.stride_tricks.sliding_window_view(features, (3, 3), (1, 2))
    wanted = np.maximum(np.einsum("nyxirc,rcio->nyxo", windows, kernel) + bias, 0)
    left, right = features[..., 0], np.swapaxes(features[..., 1], 1, 2)
    try:
        found = convolve(*jax.device_put((features, kernel, bias)), relu=True)
        product = multiply(*jax.device_put((left, right)))
    except (RuntimeError, ValueError):
        return False
    return np.allclose(found, wanted, atol=1e-4) and np.allclose(product, left @ right, atol=1e-4)


@functools.cache
def _has(feature: str) -> bool:
    """Tell whether the processor has something, by NumPy's name for it."""
    try:
        from numpy._core._multiarray_umath import __cpu_features__
    except ImportError:  # NumPy promises nothing of it
        return False
    return bool(__cpu_features__.get(feature))
