"""The encoder, VGG-19 up to relu5_1, and the decoders that invert it.

Channel widths are data: the same classes are the full VGG-19 (64 128 256 512 512) and its small
relatives. The layers keep VGG's names, in a decoder the name of the layer that it mirrors.

Reference: K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ._at_hand import convolve_in_turn
from ._border import Size
from ._convolution import Layer, convolve, size_after
from ._layers import layer_channels, layer_names
from ._onednn import is_usable
from ._transform import AffineMap


def run_layers(
    features: Float[Array, "batch height width _"],
    layers: Sequence[Layer],
    *,
    size: Size | None = None,
    wanted: Collection[int] | None = None,
    affine: AffineMap | None = None,
) -> list[Float[Array, "batch _ _ _"]]:
    """Run layers in turn.

    Args:
        features: Features, NHWC.
        layers: The layers.
        size: As in `convolve`, at the start.
        wanted: After which layers the features are wanted; after the last one by default.
        affine: What maps the features before the first layer, if anything does.

    Returns:
        The features after each of these layers.
    """
    wanted = (len(layers) - 1,) if wanted is None else wanted
    if is_usable(features, layers, affine):
        return convolve_in_turn(features, layers, size, wanted, affine)
    features, found = features if affine is None else affine(features), []
    for index, layer in enumerate(layers):
        features = convolve(features, layer, size)
        size = None if size is None else size_after(layer, size)
        if index in wanted:
            found.append(features)
    return found


class Convolution(nnx.Module):
    """A reflection-padded 3×3 convolution with bias.

    It is He-initialised, or without `rngs` abstract: there are shapes alone, to be filled.

    Attributes:
        kernel: `(3, 3, inputs, outputs)`.
        bias: `(outputs,)`.
    """

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs | None = None):
        kernel: Any = jax.ShapeDtypeStruct((3, 3, inputs, outputs), jnp.float32)
        bias: Any = jax.ShapeDtypeStruct((outputs,), jnp.float32)
        if rngs is not None:
            kernel = nnx.initializers.he_normal()(rngs.params(), kernel.shape)
            bias = jnp.zeros(outputs)
        self.kernel = nnx.Param(kernel)
        self.bias = nnx.Param(bias)

    def __call__(
        self, features: Float[Array, "batch height width inputs"]
    ) -> Float[Array, "batch height width outputs"]:
        """Convolve features."""
        [result] = run_layers(features, [self.layer()])
        return result

    def layer(self, **options: bool) -> Layer:
        """Return it as a layer, with options that `Layer` has."""
        return Layer(self.kernel[...], self.bias[...], **options)


class Encoder(nnx.Module):
    """VGG-19's convolutions up to relu5_1, for RGB images in [0, 1].

    Args:
        widths: Channels of the five blocks.
        rngs: Where random weights are drawn from; without, they are abstract, to be filled.

    Attributes:
        widths: Channels of the five blocks.
        layers: `conv1_1` … `conv5_1`.
    """

    def __init__(self, widths: Sequence[int], *, rngs: nnx.Rngs | None = None):
        self.widths: tuple[int, ...] = tuple(widths)
        self.layers: nnx.Dict[Convolution] = nnx.Dict(
            {
                name: Convolution(inputs, outputs, rngs=rngs)
                for name, (inputs, outputs) in layer_channels(widths).items()
            }
        )

    def __call__(
        self,
        images: Float[Array, "batch height width 3"],
        depth: int = 5,
        *,
        size: Size | None = None,
    ) -> list[Float[Array, "batch _ _ _"]]:
        """Encode images.

        Args:
            images: RGB in [0, 1]; height and width multiples of `stride(depth)`.
            depth: The deepest level wanted.
            size: How many of the rows and columns are a picture's, the first ones, multiples of
                `stride(depth)`. What comes of those beyond means nothing. All are by default.

        Returns:
            The features relu1_1 … relu`depth`_1, each `(batch, height / stride, width / stride,
            channels)`.
        """
        names = layer_names(depth)
        wanted = [index for index, name in enumerate(names) if _starts_block(name)]
        return run_layers(images, self.plan(depth), size=size, wanted=wanted)

    def encode(
        self, images: Float[Array, "batch height width 3"], level: int, *, size: Size | None = None
    ) -> Float[Array, "batch _ _ _"]:
        """Encode images to the features of one level alone.

        Args:
            images: As for all levels.
            level: The level, 1 … 5.
            size: As for all levels.

        Returns:
            The features, `(batch, height / stride, width / stride, channels)`.
        """
        [features] = run_layers(images, self.plan(level), size=size)
        return features

    def plan(self, depth: int) -> list[Layer]:
        """Return the layers up to relu`depth`_1, in turn."""
        return [
            self.layers[name].layer(relu=True, halved=_starts_block(following))
            for name, following in pairwise([*layer_names(depth), ""])
        ]


class Decoder(nnx.Module):
    """The mirror image of the encoder from relu`level`_1 back to RGB.

    Args:
        level: The level whose features it inverts, 1 … 5.
        widths: As of the encoder.
        final_relu: Whether the last convolution is followed by a ReLU too, as in some published
            sets; it is linear otherwise.
        rngs: As of the encoder.

    Attributes:
        level: As given.
        final_relu: As given.
        layers: `conv1_1` … `conv{level}_1`, run from the last to the first.
    """

    def __init__(
        self,
        level: int,
        widths: Sequence[int],
        *,
        final_relu: bool = False,
        rngs: nnx.Rngs | None = None,
    ):
        self.level: int = level
        self.final_relu: bool = final_relu
        channels = layer_channels(widths)
        self.layers: nnx.Dict[Convolution] = nnx.Dict(
            {
                name: Convolution(outputs, inputs, rngs=rngs)
                for name in layer_names(level)
                for inputs, outputs in [channels[name]]
            }
        )

    def __call__(
        self,
        features: Float[Array, "batch height width channels"],
        *,
        size: Size | None = None,
        affine: AffineMap | None = None,
    ) -> Float[Array, "batch _ _ 3"]:
        """Decode features of this decoder's level to images, RGB, nominally in [0, 1].

        Args:
            features: Features of this level.
            size: How many of the rows and columns are a picture's, in cells, as in the encoder.
            affine: What maps the features before, if anything does.

        Returns:
            Images, `(batch, height · stride, width · stride, 3)`: not clipped.
        """
        [images] = run_layers(features, self.plan(), size=size, affine=affine)
        return images

    def plan(self) -> list[Layer]:
        """Return the layers, in turn."""
        names = layer_names(self.level)[::-1]
        return [
            self.layers[name].layer(
                doubled=_starts_block(before), relu=name != "conv1_1" or self.final_relu
            )
            for before, name in pairwise(["", *names])
        ]


def _starts_block(name: str) -> bool:
    return name.endswith("_1")
