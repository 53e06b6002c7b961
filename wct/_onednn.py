"""oneDNN's convolution, which jaxlib carries for CPUs; XLA's own takes up to seven times as long.

It is a call of its own for arrays at hand. Inside larger programs it would be in the way: one that
contains it can be neither differentiated nor kept on disk.
"""

import functools
import json
import math
import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

_CALL = "__onednn$convolution"
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
_WINDOW = {
    "strides": ["1", "1"],
    "window_dilations": ["1", "1"],
    "pad_left": ["0", "0"],
    "pad_right": ["0", "0"],
}

_compiling = threading.Lock()


def is_usable(*trees: Any) -> bool:
    """Tell whether oneDNN can convolve what is in these trees: arrays at hand, on the one CPU."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees)):
        return False
    return jax.default_backend() == "cpu" and jax.device_count() == 1 and _is_there()


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
) -> Float[Array, "batch _ _ outputs"]:
    """Convolve features that are not continued.

    Args:
        features: Features, NHWC.
        kernel: Kernel, HWIO.
        bias: One number an output channel.
        relu: Whether negative values become zero after it.
    """
    return _program(features.shape, kernel.shape, relu)(features, kernel, bias)


@functools.cache
def _program(features: tuple[int, ...], kernel: tuple[int, ...], relu: bool) -> Callable:
    batch, height, width, _ = features
    rows, columns, _, outputs = kernel
    shape = batch, height - rows + 1, width - columns + 1, outputs
    config = {
        "dims": "4",
        "feature_groups": "1",
        **_LAYOUTS,
        "window": _WINDOW,
        "fusions": {"ops": ["BIAS", "RELU"] if relu else ["BIAS"]},
    }
    call = jax.ffi.ffi_call(
        _CALL,
        jax.ShapeDtypeStruct(shape, np.float32),
        custom_call_api_version=1,
        legacy_backend_config=json.dumps({"onednn_conv_config": config}),
    )
    arguments = [jax.ShapeDtypeStruct(each, np.float32) for each in (features, kernel, (outputs,))]
    lowered = jax.jit(lambda *arrays: call(*arrays)).lower(*arguments)
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
    """Try the call, of which jaxlib promises nothing, against the definition."""
    rng = np.random.default_rng(0)
    features, kernel, bias = (
        rng.normal(size=size).astype(np.float32) for size in ((2, 5, 6, 3), (3, 3, 3, 4), 4)
    )
    windows = np.lib.stride_tricks.sliding_window_view(features, (3, 3), (1, 2))
    wanted = np.maximum(np.einsum("nyxirc,rcio->nyxo", windows, kernel) + bias, 0)
    try:
        found = convolve(*map(jax.numpy.asarray, (features, kernel, bias)), relu=True)
    except (RuntimeError, ValueError):
        return False
    return np.allclose(found, wanted, atol=1e-4)
