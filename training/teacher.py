"""The teacher: ImageNet's VGG-19."""

from pathlib import Path

import jax.numpy as jnp
from flax import nnx

from wct._convert import read_encoder, widths_of
from wct._networks import Encoder


def load_teacher(path: Path) -> Encoder:
    """Load VGG-19's convolutions as an encoder of RGB images in [0, 1].

    Args:
        path: A file of VGG-19's weights, in any form that `wct models import` takes.

    Raises:
        WeightsError: The file is none.
    """
    _, tensors = read_encoder(path)
    teacher = nnx.eval_shape(lambda: Encoder(widths_of(tensors), rngs=nnx.Rngs(0)))
    for name, layer in teacher.layers.items():
        layer.kernel = nnx.Param(jnp.asarray(tensors[f"{name}.kernel"], jnp.float32))
        layer.bias = nnx.Param(jnp.asarray(tensors[f"{name}.bias"], jnp.float32))
    return teacher
