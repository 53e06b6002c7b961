"""The teacher: ImageNet's VGG-19."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from flax import nnx
from jaxtyping import Float

from wct._convert import read_encoder, widths_of
from wct._convolution import halve
from wct._layers import layer_names
from wct._networks import Decoder, Encoder

from .start import in_batches, set_layer

Scales = Sequence[Float[np.ndarray, "_"]]
"""What the features of each level were divided by."""


def load_teacher(path: Path) -> Encoder:
    """Load VGG-19's convolutions as an encoder of RGB images in [0, 1].

    Args:
        path: A file of VGG-19's weights, in any form that `wct models import` takes.

    Raises:
        WeightsError: The file is none.
    """
    _, tensors = read_encoder(path)
    teacher = Encoder(widths_of(tensors))
    for name, layer in teacher.layers.items():
        set_layer(layer, tensors[f"{name}.kernel"], tensors[f"{name}.bias"])
    return teacher


def equalize(encoder: Encoder, images: np.ndarray) -> tuple[Encoder, Scales]:
    """Scale each channel of each layer to a mean square of one; ReLUs let scales through.

    VGG-19's features are hundreds, and its kernels of very different sizes, for which no one
    learning rate is right.

    Args:
        encoder: The encoder. It stays as it is.
        images: `(count, height, width, 3)`, on which the squares are measured.

    Returns:
        An encoder, and what its features of each level are smaller by.
    """
    equal, scales = nnx.clone(encoder), []
    features, scale = images, np.ones(3, np.float32)
    for name in layer_names():
        first = name.endswith("_1")
        if first and name != "conv1_1":
            features = in_batches(halve, features)
        layer = equal.layers[name]
        kernel, bias = np.asarray(layer.kernel[...]) * scale[:, None], np.asarray(layer.bias[...])
        set_layer(layer, kernel, bias)
        features = np.maximum(in_batches(layer, features), 0)
        scale = np.sqrt(np.mean(features**2, axis=(0, 1, 2)))
        scale = np.maximum(scale, 0.01 * scale.max())  # some hardly ever fire
        set_layer(layer, kernel / scale, bias / scale)
        features /= scale
        if first:
            scales.append(scale)
    return equal, scales


def redo(decoder: Decoder, scales: Scales) -> Decoder:
    """Make of a decoder for an encoder one for what `equalize` made of that encoder."""
    decoder = nnx.clone(decoder)
    layer = decoder.layers[f"conv{decoder.level}_1"]
    scale = scales[decoder.level - 1][:, None]
    set_layer(layer, np.asarray(layer.kernel[...]) * scale, np.asarray(layer.bias[...]))
    return decoder


def undo(decoder: Decoder, scales: Scales) -> Decoder:
    """Make of a decoder for the equalized encoder one for the encoder that it was made from."""
    return redo(decoder, [1 / scale for scale in scales])
