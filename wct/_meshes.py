"""Batches that are sharded over a mesh of Explicit axes, which is JAX's default kind."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, auto_axes
from jaxtyping import Array


def shard_alike(function: Callable[..., Array], images: Array, *others: Any) -> Array:
    """Call a function on images and others; its result is to be sharded as the images are.

    Of Explicit axes JAX asks how to shard what each operation makes. Within the function the
    compiler decides that, as it does of Auto axes.

    Args:
        function: The function. What it takes of arrays it must take as arguments.
        images: Its first argument, of as many axes as its result.
        others: Its other arguments, pytrees.
    """
    sharding = jax.typeof(images).sharding
    if AxisType.Explicit not in sharding.mesh.axis_types:
        return function(images, *others)
    anyhow: Any = auto_axes(function, out_sharding=sharding)  # its type is that of a decorator too
    return anyhow(images, *others)
