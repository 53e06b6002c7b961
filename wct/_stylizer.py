"""The chain: level by level, encode, transform, decode."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from ._errors import WctError, WeightsError
from ._image import ImageLike, read_image
from ._layers import LEVELS, stride
from ._masks import MaskLike, read_mask, restyle, share_out, steady, to_cells
from ._moments import Moments, moments
from ._networks import Decoder, Encoder
from ._style import Style
from ._transform import find_transform
from ._weights import load_model, named_tensors

Scalar = Float[Array, ""]
Strength = float | Scalar
Size = tuple[Int[Array, ""], Int[Array, ""]]


class Stylizer(nnx.Module):
    """The networks of one model, and the chain that repaints pictures with them.

    A pytree: it can be passed through `jax.jit`, `jax.vmap` and `jax.grad` like any array.

    Attributes:
        name: The model's name.
        mark: What its styles are marked with, the name by default. Styles of encoders that differ
            do not mix.
        encoder: Encodes all levels.
        decoders: A decoder for each level at hand, by `"decoder1"` … `"decoder5"`.
    """

    def __init__(
        self,
        name: str,
        encoder: Encoder,
        decoders: Sequence[Decoder],
        *,
        mark: str | None = None,
    ):
        self.name = name
        self.mark = mark or name
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
        digest = hashlib.sha256()
        for _, tensor in named_tensors(loaded.encoder):
            digest.update(np.asarray(tensor).tobytes())
        mark = f"{loaded.name}@{digest.hexdigest()[:12]}"
        return cls(loaded.name, loaded.encoder, list(loaded.decoders.values()), mark=mark)

    def read_style(
        self,
        image: Float[Array, "height width 3"] | ImageLike,
        mask: Float[Array, "height width"] | MaskLike | None = None,
    ) -> Style:
        """Measure a style picture, in one pass of the encoder.

        Args:
            image: The picture, of any size. Of a jax array, values in [0, 1] are taken for
                granted, so that this can be compiled.
            mask: How much each pixel counts, from 0 to 1: the part of the picture to measure. Of
                a jax array, the picture's size and these values are taken for granted.

        Raises:
            ImageError: The picture or the mask cannot be read, or the array is none.
        """
        if not isinstance(image, jax.Array):
            image = jnp.asarray(read_image(image).pixels)
        height, width, _ = image.shape
        canvas = _to_canvas(image[None])
        if mask is not None and not isinstance(mask, jax.Array):
            mask = jnp.asarray(read_mask(mask, (height, width)))
        weights = None if mask is None else _to_canvas(mask[None, :, :, None])[..., 0]
        measured = _measure(self.encoder, canvas, _size(height, width), weights)
        return Style(jax.tree.map(lambda value: value[0], measured), self.mark)

    def __call__(
        self,
        content: Float[Array, "batch height width 3"],
        style: Style,
        alpha: Strength | Sequence[Strength] = 0.6,
        *,
        levels: Sequence[int] = LEVELS,
        detail: Strength | Sequence[Strength] = 0.0,
        transform: str = "wct",
        masks: Float[Array, "regions height width"] | None = None,
    ) -> Float[Array, "batch height width 3"]:
        """Repaint a batch of images.

        Args:
            content: RGB in [0, 1], of any size.
            style: The style of all of them; its moments may have a leading batch axis.
            alpha: Strength, 0 … 1: one for all levels, or one for each of `levels`.
            levels: The levels to run, in this order.
            detail: Share, 0 … 1, of what the decoders lose of their input that is given back
                whatever `alpha` is: one for all levels, or one for each.
            transform: By which map the features get the style's moments: `"wct"`, `"ot"`,
                `"adain"` or `"mean"`; see `whiten_and_color`, `optimal_transport`,
                `match_deviations` and `match_means`.
            masks: Regions, each with a style of its own along a leading axis of the style's
                moments. How much of the style a pixel gets, 0 … 1; where masks overlap they share.

        Returns:
            Images of the same size, in [0, 1].

        Raises:
            WctError: `alpha`, `detail` or `levels` are out of range, there is no such transform,
                or the style is of another model.
            WeightsError: The model has no decoder for a level.
        """
        result = content
        for picture in self.steps(
            content, style, alpha, levels=levels, detail=detail, transform=transform, masks=masks
        ):
            result = picture
        return jnp.clip(result, 0, 1)

    def steps(
        self,
        content: Float[Array, "batch height width 3"],
        style: Style,
        alpha: Strength | Sequence[Strength] = 0.6,
        *,
        levels: Sequence[int] = LEVELS,
        detail: Strength | Sequence[Strength] = 0.0,
        transform: str = "wct",
        masks: Float[Array, "regions height width"] | None = None,
    ) -> Iterator[Float[Array, "batch height width 3"]]:
        """Run the chain and yield the picture after each level, as decoded: not clipped.

        Takes and raises what calling the stylizer does.
        """
        find_transform(transform)
        strengths = _shares("alpha", alpha, levels)
        details = _shares("detail", detail, levels)
        decoders = [self._decoder(level) for level in levels]
        if style.model != self.mark:
            raise WctError(
                f"the style was measured by the model {style.model!r}, but this is {self.mark!r}: "
                "read its picture with this one"
            )
        _, height, width, _ = content.shape
        canvas = _to_canvas(content)
        if masks is not None:
            if style.levels[0].mean.shape[:-1] != masks.shape[:1]:
                raise WctError(
                    f"{len(masks)} masks need the moments of as many styles along a leading axis"
                )
            masks = share_out(_to_canvas(masks[..., None])[..., 0])
        for decoder, strength, kept in zip(decoders, strengths, details, strict=True):
            canvas = _repaint(
                self.encoder,
                decoder,
                canvas,
                _size(height, width),
                style.levels[decoder.level - 1],
                strength,
                kept,
                masks,
                transform,
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


@partial(jax.jit, static_argnames="transform")
def _repaint(
    encoder: Encoder,
    decoder: Decoder,
    canvas: Float[Array, "batch height width 3"],
    size: Size,
    style: Moments,
    strength: Scalar,
    detail: Scalar,
    masks: Float[Array, "regions height width"] | None,
    transform: str,
) -> Float[Array, "batch height width 3"]:
    """One level: encode, transform, decode, and give back of what the decoder lost."""
    canvas = _mirror(canvas, size)
    features = encoder(canvas, decoder.level)[-1]
    inside = _coverage(features, size, decoder.level)
    if masks is None:
        if style.mean.ndim == 1:
            style = jax.tree.map(lambda value: value[None], style)
        affine = find_transform(transform)(moments(features, inside), style)
        mapped = affine.blend(strength)(features)
        restyled = jnp.ones((1, 1, 1, 1))
    else:
        masks = _mirror(masks[..., None], size)[..., 0]
        cells = to_cells(masks, stride(decoder.level))
        mapped = restyle(features, inside, cells, style, strength, transform)
        restyled = masks.sum(0)[None, :, :, None]
    result = decoder(mapped)
    share = 1 - restyled * strength * (1 - detail)
    return lax.cond(
        jnp.any(share > 0),
        lambda: result + share * (canvas - decoder(features)),
        lambda: result,
    )


@jax.jit
def _measure(
    encoder: Encoder,
    canvas: Float[Array, "batch height width 3"],
    size: Size,
    weights: Float[Array, "batch height width"] | None,
) -> tuple[Moments, ...]:
    """Moments of images at all levels; without residues, as no style is ever whitened."""
    measured = []
    for level, features in enumerate(encoder(_mirror(canvas, size)), start=1):
        inside = _coverage(features, size, level)
        found = moments(features, inside)
        if weights is not None:
            found = steady(moments(features, inside * to_cells(weights, stride(level))), found)
        measured.append(replace(found, residue=None))
    return tuple(measured)


def _size(height: int, width: int) -> Size:
    """A picture's size as arrays: programs are compiled for the canvas, not for the picture."""
    return jnp.asarray(height, jnp.int32), jnp.asarray(width, jnp.int32)


def _to_canvas(images: Float[Array, "batch _ _ _"]) -> Float[Array, "batch _ _ _"]:
    """Extend images to the right and below to multiples of 16, which every level can encode."""
    _, height, width, _ = images.shape
    cell = stride(max(LEVELS))
    return jnp.pad(images, ((0, 0), (0, -height % cell), (0, -width % cell), (0, 0)))


def _mirror(
    canvas: Float[Array, "batch height width channels"], size: Size
) -> Float[Array, "batch height width channels"]:
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


def _shares(name: str, value: Strength | Sequence[Strength], levels: Sequence[int]) -> list[Scalar]:
    """One number in [0, 1] a level, checked where its value is known."""
    if isinstance(value, Sequence) or jnp.ndim(value) > 0:
        shares = list(cast("Sequence[Strength]", value))
    else:
        shares = [cast("Strength", value)] * len(levels)
    if len(shares) != len(levels):
        raise WctError(
            f"{len(shares)} values of {name} for {len(levels)} levels: give one, or one each"
        )
    for share in shares:
        if not isinstance(share, Tracer) and not 0 <= share <= 1:
            raise WctError(f"{name} must be from 0 to 1, not {share}")
    return [jnp.asarray(share, jnp.float32) for share in shares]
