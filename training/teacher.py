"""The teacher: ImageNet VGG-19, its input normalisation folded into the first convolution."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import nnx

from wct._networks import Encoder

_MEAN_BGR = np.array([103.939, 116.779, 123.68])


def load_teacher(path: Path) -> Encoder:
    """Load VGG-19's convolutions as an encoder of RGB images in [0, 1].

    Args:
        path: A safetensors file with `conv1_1.kernel` (HWIO), `conv1_1.bias`, … that takes BGR in
            [0, 255] minus the ImageNet mean, as the Oxford weights do.
    """
    tensors = {
        name: value.astype(np.float64) for name, value in safetensors.numpy.load_file(path).items()
    }
    kernel = tensors["conv1_1.kernel"]
    tensors["conv1_1.bias"] = tensors["conv1_1.bias"] - np.einsum("hwio,i->o", kernel, _MEAN_BGR)
    tensors["conv1_1.kernel"] = 255 * kernel[:, :, ::-1]
    widths = [len(tensors[f"conv{block}_1.bias"]) for block in range(1, 6)]
    teacher = nnx.eval_shape(lambda: Encoder(widths, rngs=nnx.Rngs(0)))
    for name, layer in teacher.layers.items():
        layer.kernel = nnx.Param(jnp.asarray(tensors[f"{name}.kernel"], jnp.float32))
        layer.bias = nnx.Param(jnp.asarray(tensors[f"{name}.bias"], jnp.float32))
    return teacher
