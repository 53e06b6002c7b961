"""Functions compiled as programs of their own, and how to tell when they are part of another."""

import itertools
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any, TypeVar

import jax
import numpy as np
from jax.core import Tracer, eval_context
from jax.extend.core import get_opaque_trace_state
from jaxtyping import Array

from ._one_thread import by_one_thread

Function = TypeVar("Function", bound=Callable[..., Any])

_SOONER: Mapping[str, Any] = {"xla_cpu_use_fusion_emitters": False}
"""XLA's older code generator, which makes as fast programs in two thirds of the time.

From jaxlib 0.11.2 on it is gone.
"""

_LIGHT: Mapping[str, Any] = {"xla_backend_optimization_level": 0}
"""No optimisation: of what is LAPACK's or a matrix product there is none to be had."""

_MOST = 1000
"""Programs after which all are forgotten, those of some 50 sizes: JAX takes 1.5 MB for each."""

_kept: dict[Callable, Callable] = {}
"""What calls of a program by itself go to."""

_numbers = itertools.count(1)
"""Counts the programs."""


def program(function: Function, *, light: bool = False, **options: Any) -> Function:
    """Compile a function as `jax.jit` does, and sooner where it is a program of its own on a CPU.

    Args:
        function: The function.
        light: Its time is that of decompositions and products of small matrices. On a CPU LAPACK
            uses one thread for it.
        options: Of `jax.jit`.
    """
    inside = jax.jit(function, **options)

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if is_traced(arguments, named):
            return inside(*arguments, **named)
        alone = _kept.get(call) or _kept.setdefault(call, _alone(function, light, **options))
        if not light or jax.default_backend() != "cpu":
            return alone(*arguments, **named)
        with by_one_thread():
            return jax.block_until_ready(alone(*arguments, **named))

    return call  # pyright: ignore[reportReturnType] it takes and returns what the function does


def _alone(function: Callable, light: bool, **options: Any) -> Callable:
    """Compile a function with options that JAX takes for whole programs alone."""
    wanted = {**_SOONER, **(_LIGHT if light else {})}
    known = {name: value for name, value in wanted.items() if _is_known(name, value)}

    @wraps(function)
    def traced(*arguments: Any, **named: Any) -> Any:  # once for each program
        if next(_numbers) % _MOST == 0:
            _kept.clear()
        return function(*arguments, **named)

    return jax.jit(traced, compiler_options=known, **options)


def is_traced(*trees: Any) -> bool:
    """Tell whether a computation on these trees would be traced.

    It would be if one of their leaves is a tracer, and within `jax.jit` whatever they are.
    """
    if get_opaque_trace_state() == _no_trace():  # to ask what is made of a number takes longer
        return False
    return has_tracers(trees) or has_tracers(jax.device_put(_number()))


def has_tracers(*trees: Any) -> bool:
    """Tell whether what is in these trees is being traced, in part at least."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


@cache
def _is_known(option: str, value: Any) -> bool:
    """Try one of the compiler's options, of which XLA promises nothing."""
    if jax.default_backend() != "cpu":
        return False
    try:
        with eval_context():
            jax.jit(lambda: np.float32(0), compiler_options={option: value}).lower().compile()
    except (RuntimeError, ValueError):
        return False
    return True


@cache
def _no_trace() -> Any:
    with eval_context():
        return get_opaque_trace_state()


@cache
def _number() -> Array:
    with eval_context():
        return jax.device_put(np.float32(0))
