"""The chain: level by level, encode, transform, decode."""

import os
from collections.abc import Iterator, Sequence
from typing import cast

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from ._errors import WctError, WeightsError
from ._image import ImageLike, read_image
from ._moments import Moments, moments
from ._networks import LEVELS, Decoder, Encoder, stride
from ._style import Style
from ._transform import whiten_and_color
from ._weights import load_model

Scalar = Float[Array, ""]
Strength = float | Scalar
Size = tuple[Int[Array, ""], Int[Array, ""]]


class Stylizer(nnx.Module):
    """The networks of one model, and the chain that repaints pictures with them.

    A pytree: it can be passed through `jax.jit`, `jax.vmap` and `jax.grad` like any array.

    Attributes:
        name: The model's name.
        encoder: Encodes all levels.
        decoders: A decoder for each level at hand, by `"decoder1"` … `"decoder5"`.
    """

    def __init__(self, name: str, encoder: Encoder, decoders: Sequence[Decoder]):
        self.name = name
        self.encoder = encoder
        self.decoders = nnx.Dict({f"decoder{decoder.level}": decoder for decoder in decoders})

    @classmethod
    def from_pretrained(cls, model: str | os.PathLike[str] = "vgg19-lite") -> "Stylizer":
        """Load a model.

        Args:
            model: The name of a model that comes along, or the path of a model directory.

        Raises:
            WeightsError: There is no such model, or it is incomplete or damaged.
        """
        loaded = load_model(model)
        return cls(loaded.name, loaded.encoder, list(loaded.decoders.values()))

    def read_style(self, image: Float[Array, "height width 3"] | ImageLike) -> Style:
        """Measure a style picture, in one pass of the encoder.

        Args:
            image: The picture, of any size. Of a jax array, values in [0, 1] are taken for
                granted, so that this can be compiled.

        Raises:
            ImageError: The picture cannot be read, or the array is none.
        """
        if not isinstance(image, jax.Array):
            image = jnp.asarray(read_image(image).pixels)
        height, width, _ = image.shape
        canvas = _to_canvas(image[None])
        measured = _measure(self.encoder, canvas, _size(height, width))
        return Style(jax.tree.map(lambda value: value[0], measured), self.name)

    def __call__(
        self,
        content: Float[Array, "batch height width 3"],
        style: Style,
        alpha: Strength | Sequence[Strength] = 0.6,
        *,
        levels: Sequence[int] = LEVELS,
    ) -> Float[Array, "batch height width 3"]:
        """Repaint a batch of images.

        Args:
            content: RGB in [0, 1], of any size.
            style: The style of all of them; its moments may have a leading batch axis.
            alpha: Strength, 0 … 1: one for all levels, or one for each of `levels`.
            levels: The levels to run, in this order.

        Returns:
            Images of the same size, in [0, 1].

        Raises:
            WctError: `alpha` or `levels` are out of range, or the style is of another model.
            WeightsError: The model has no decoder for a level.
        """
        result = content
        for picture in self.steps(content, style, alpha, levels=levels):
            result = picture
        return jnp.clip(result, 0, 1)

    def steps(
        self,
        content: Float[Array, "batch height width 3"],
        style: Style,
        alpha: Strength | Sequence[Strength] = 0.6,
        *,
        levels: Sequence[int] = LEVELS,
    ) -> Iterator[Float[Array, "batch height width 3"]]:
        """Run the chain and yield the picture after each level, as decoded: not clipped.

        Takes and raises what calling the stylizer does.
        """
        strengths = _strengths(alpha, levels)
        decoders = [self._decoder(level) for level in levels]
        if style.model != self.name:
            raise WctError(
                f"the style was measured by the model {style.model!r}, but this is {self.name!r}: "
                "read its picture with this one"
            )
        _, height, width, _ = content.shape
        canvas = _to_canvas(content)
        for decoder, strength in zip(decoders, strengths, strict=True):
            canvas = _repaint(
                self.encoder,
                decoder,
                canvas,
                _size(height, width),
                style.levels[decoder.level - 1],
                strength,
            )
            yield canvas[:, :height, :width]

    def _decoder(self, level: int) -> Decoder:
        if level not in LEVELS:
            raise WctError(f"there is no level {level!r}: levels are 1 to 5")
        if f"decoder{level}" not in self.decoders:
            raise WeightsError(
                f"the model {self.name!r} has no decoder for level {level}: "
                f"choose other levels (it has {', '.join(sorted(self.decoders)) or 'none'})"
            )
        return self.decoders[f"decoder{level}"]


@jax.jit
def _repaint(
    encoder: Encoder,
    decoder: Decoder,
    canvas: Float[Array, "batch height width 3"],
    size: Size,
    style: Moments,
    strength: Scalar,
) -> Float[Array, "batch height width 3"]:
    """One level: encode, transform, decode, and give back what the decoder lost."""
    canvas = _mirror(canvas, size)
    features = encoder(canvas, decoder.level)[-1]
    content = moments(features, _coverage(features, size, decoder.level))
    if style.mean.ndim == 1:
        style = jax.tree.map(lambda value: value[None], style)
    mapped = whiten_and_color(content, style).blend(strength)(features)
    result = decoder(mapped)
    return lax.cond(
        strength < 1,
        lambda: result + (1 - strength) * (canvas - decoder(features)),
        lambda: result,
    )


@jax.jit
def _measure(
    encoder: Encoder, canvas: Float[Array, "batch height width 3"], size: Size
) -> tuple[Moments, ...]:
    """Moments of images at all levels."""
    features = encoder(_mirror(canvas, size))
    return tuple(
        moments(values, _coverage(values, size, level))
        for level, values in enumerate(features, start=1)
    )


def _size(height: int, width: int) -> Size:
    """A picture's size as arrays: programs are compiled for the canvas, not for the picture."""
    return jnp.asarray(height, jnp.int32), jnp.asarray(width, jnp.int32)


def _to_canvas(images: Float[Array, "batch _ _ 3"]) -> Float[Array, "batch _ _ 3"]:
    """Extend images to the right and below to multiples of 16, which every level can encode."""
    _, height, width, _ = images.shape
    cell = stride(max(LEVELS))
    return jnp.pad(images, ((0, 0), (0, -height % cell), (0, -width % cell), (0, 0)))


def _mirror(
    canvas: Float[Array, "batch height width 3"], size: Size
) -> Float[Array, "batch height width 3"]:
    """Fill the canvas beyond the picture with the picture's reflection."""
    for axis, length in enumerate(size, start=1):
        period = jnp.maximum(2 * (length - 1), 1)
        position = jnp.arange(canvas.shape[axis]) % period
        canvas = jnp.take(canvas, jnp.minimum(position, period - position), axis=axis)
    return canvas


def _coverage(
    features: Float[Array, "batch height width _"], size: Size, level: int
) -> Float[Array, "1 height width"]:
    """Share of the picture in each feature's cell: one inside, zero in the padding."""
    rows, columns = (
        jnp.clip((length - stride(level) * jnp.arange(cells)) / stride(level), 0, 1)
        for length, cells in zip(size, features.shape[1:3], strict=True)
    )
    return (rows[:, None] * columns[None])[None]


def _strengths(alpha: Strength | Sequence[Strength], levels: Sequence[int]) -> list[Scalar]:
    """One strength a level, checked where its value is known."""
    if isinstance(alpha, Sequence) or jnp.ndim(alpha) > 0:
        strengths = list(cast("Sequence[Strength]", alpha))
    else:
        strengths = [cast("Strength", alpha)] * len(levels)
    if len(strengths) != len(levels):
        raise WctError(f"{len(strengths)} alphas for {len(levels)} levels: give one, or one each")
    for strength in strengths:
        if not isinstance(strength, Tracer) and not 0 <= strength <= 1:
            raise WctError(f"alpha must be from 0 to 1, not {strength}")
    return [jnp.asarray(strength, jnp.float32) for strength in strengths]
