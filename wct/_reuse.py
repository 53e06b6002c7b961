"""Memory that is used again: a large result is written where an array was that is needed no more.

The C library gives such arrays back to the system as soon as they are freed, and takes memory for
the next one anew, page by page, which can take as long as to compute what goes there.
"""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._program import is_traced, program

Spares = list[Array]
"""Arrays that are needed no more, from small to large."""

_LARGE = 2**25
"""Bytes from which on glibc always gives an array back."""

_KEPT = 3
"""How many times the bytes of the largest array are kept."""


class _Here(threading.local):
    spares: Spares | None = None


_here = _Here()


@contextmanager
def reusing(spares: Spares) -> Iterator[None]:
    """Within the context, have this thread write over these arrays, and over what it leaves."""
    outer, _here.spares = _here.spares, spares
    try:
        yield
    finally:
        _here.spares = outer


def leave(*arrays: Array) -> None:
    """Say of arrays of one's own making that they are needed no more."""
    spares = _here.spares
    if spares is None:
        return
    spares += [array for array in arrays if _is_large(array) and not is_traced(array)]
    spares.sort(key=lambda array: array.nbytes)
    while spares and sum(array.nbytes for array in spares) > _KEPT * spares[-1].nbytes:
        del spares[0]


def take(shape: tuple[int, ...]) -> Array | None:
    """Return an array of float32 of that shape that may be written over, if there is one."""
    spares = _here.spares or []
    found = (index for index, array in enumerate(spares) if array.shape == shape)
    index = next(found, None)
    return None if index is None else spares.pop(index)


def blank(shape: tuple[int, ...]) -> Array:
    """Return an array of float32 to write to, whatever it holds."""
    spare = take(shape)
    return _zeros(shape) if spare is None else spare


_zeros = program(jnp.zeros, static_argnames="shape")


def compiled_to_reuse(function: Callable[..., Array], **options: Any) -> Callable[..., Array]:
    """Compile a function as `program` does; its result is written where an array was left.

    Args:
        function: The function, of one result.
        options: Of `jax.jit`.
    """
    compiled = program(function, **options)
    shape_of = jax.jit(function, **options).eval_shape
    parameters = inspect.signature(function)

    def over(spare: Array, /, **arguments: Any) -> Array:
        return function(**arguments)

    compiled_over = program(over, donate_argnums=0, keep_unused=True, **options)

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Array:
        spare = None
        if _here.spares and not is_traced(arguments, named):
            spare = take(shape_of(*arguments, **named).shape)
        if spare is None:
            return compiled(*arguments, **named)
        return compiled_over(spare, **parameters.bind(*arguments, **named).arguments)

    return call


def _is_large(array: Array) -> bool:
    return array.dtype == jnp.float32 and array.nbytes >= _LARGE
