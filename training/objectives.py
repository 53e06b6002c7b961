"""What is minimised: `distil_loss` over encoder and decoders, `decoder_loss` over decoders alone.

References:
    Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017, equation 1.
    H. Wang et al., "Collaborative Distillation for Ultra-Resolution Universal Style Transfer",
    CVPR 2020: features matched through linear heads.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from wct._layers import stride
from wct._moments import moments
from wct._networks import Decoder, Encoder
from wct._spectral import identity, newton_schulz, product
from wct._transform import AffineMap, centred

from .pattern import repeated, smoothed
from .settings import Phase, Weights
from .start import linear_fit

Metrics = dict[str, Float[Array, ""]]


class Head(NamedTuple):
    """A linear 1×1 map from the student's features of one level to the teacher's.

    The teacher's features are scaled to unit mean activation a channel.

    Attributes:
        matrix: `(student channels, teacher channels)`.
        offset: `(teacher channels,)`.
        scale: The teacher's mean activations; constant.
        variance: Mean variance of the teacher's scaled channels; constant.
    """

    matrix: Float[Array, "student teacher"]
    offset: Float[Array, " teacher"]
    scale: Float[Array, " teacher"]
    variance: Float[Array, ""]

    def unexplained(
        self,
        student: Float[Array, "batch height width student"],
        teacher: Float[Array, "batch height width teacher"],
    ) -> Float[Array, ""]:
        """Share of the variance of the teacher's features that the student does not explain."""
        predicted = student @ self.matrix + self.offset[None, None, None]
        target = teacher / lax.stop_gradient(self.scale)[None, None, None]
        return jnp.mean((predicted - target) ** 2) / lax.stop_gradient(self.variance)


class Student(NamedTuple):
    """All that the joint phase trains."""

    encoder: Encoder
    decoders: dict[str, Decoder]
    heads: list[Head]


def fit_heads(student: Encoder, teacher: Encoder, images: np.ndarray) -> list[Head]:
    """Fit the heads of all levels by least squares on `images`, `(count, height, width, 3)`."""

    @jax.jit
    def encode(batch):
        return student(batch), teacher(batch)

    pairs = [encode(images[i : i + 8]) for i in range(0, len(images), 8)]
    generator = np.random.default_rng(0)
    heads = []
    for level in range(5):
        ours = np.concatenate([_vectors(pair[0][level]) for pair in pairs])
        theirs = np.concatenate([_vectors(pair[1][level]) for pair in pairs])
        chosen = generator.choice(len(ours), min(len(ours), 50_000), replace=False)
        ours, theirs = ours[chosen], theirs[chosen]
        scale = theirs.mean(0)
        scale = np.maximum(scale, 0.01 * scale.mean())  # channels that hardly ever fire
        theirs = theirs / scale
        matrix, offset = linear_fit(ours, theirs)
        parts = (matrix, offset, scale, theirs.var(0).mean())
        heads.append(Head(*(jnp.asarray(part, jnp.float32) for part in parts)))
    return heads


def distil_loss(
    student: Student, teacher: Encoder, images: Float[Array, "batch height width 3"], phase: Phase
) -> tuple[Float[Array, ""], Metrics]:
    """Loss of the joint phase: imitate the teacher and stay invertible, at all levels at once.

    Errors enter by their logarithms, so that every level counts by its own measure.
    """
    features = student.encoder(images)
    # The teacher sees half of the crops: on all of them it would cost as much as all the rest.
    wanted = jax.tree.map(lax.stop_gradient, teacher(_half(images)))
    unexplained = [
        head.unexplained(_half(ours), theirs)
        for head, ours, theirs in zip(student.heads, features, wanted, strict=True)
    ]
    fidelity, metrics = _reconstruct(student.encoder, student.decoders, features, images, phase)
    logarithms = [jnp.log(share + 1e-3) for share in unexplained]
    loss = _weighted(phase.teacher, range(1, 6), logarithms) + fidelity
    asked = [d for d in student.decoders.values() if phase.content[d.level - 1] > 0]
    levels = [decoder.level for decoder in asked]
    lost = [
        _lost_content(decoder, _half(features[decoder.level - 1]), teacher, wanted[3])
        for decoder in asked
    ]
    loss = loss + _weighted(phase.content, levels, lost)
    metrics |= _named("unexplained", range(1, 6), unexplained) | _named("content", levels, lost)
    return loss, {"loss": loss, **metrics}


def decoder_loss(
    decoders: dict[str, Decoder],
    encoder: Encoder,
    images: Float[Array, "batch height width 3"],
    phase: Phase,
) -> tuple[Float[Array, ""], Metrics]:
    """Loss of the decoder phase: invert a finished encoder."""
    deepest = max(decoder.level for decoder in decoders.values())
    features = jax.tree.map(lax.stop_gradient, encoder(images, deepest))
    loss, metrics = _reconstruct(encoder, decoders, features, images, phase)
    return loss, {"loss": loss, **metrics}


def neighbours_styles(
    features: Float[Array, "batch height width channels"], ridge: float = 1e-5
) -> AffineMap:
    """Find each image's map to its neighbour's style, of strength 0 for the first, 1 for the last.

    Args:
        features: Features of one level.
        ridge: What is added to the eigenvalues of covariances, relative to their norm.
    """
    content = moments(features)
    style = jax.tree.map(lambda part: jnp.roll(part, 1, axis=0), content)
    norms = jnp.linalg.norm(content.covariance, axis=(1, 2), keepdims=True) + 1e-12
    regular = content.covariance + ridge * norms * identity(content.covariance)
    inverses = newton_schulz(regular, ridge)
    roots = product(regular, inverses)
    maps = centred(product(jnp.roll(roots, 1, axis=0), inverses), content, style)
    return maps.blend(jnp.linspace(0, 1, len(features)))


def _reconstruct(
    encoder: Encoder,
    decoders: dict[str, Decoder],
    features: Sequence[Float[Array, "batch _ _ _"]],
    images: Float[Array, "batch height width 3"],
    phase: Phase,
) -> tuple[Float[Array, ""], Metrics]:
    """Decode features to their images, and restyled ones to an image that has those features."""
    pixel, feature, pattern = [], [], {}
    for decoder in decoders.values():
        own = features[decoder.level - 1]
        pixel.append(jnp.mean((decoder(own) - images) ** 2))
        styles = lax.stop_gradient(neighbours_styles(_half(own)))
        asked = lax.stop_gradient(styles(_half(own)))
        answered = encoder.encode(decoder(asked), decoder.level)
        asked = jax.nn.relu(asked)  # no picture has other features
        feature.append(jnp.mean((answered - asked) ** 2) / jnp.mean(asked**2))
        if phase.pattern[decoder.level - 1] > 0:
            smooth = encoder.encode(smoothed(_half(images)), decoder.level)
            restyled = decoder(lax.stop_gradient(styles(smooth)))
            pattern[decoder.level] = repeated(restyled, stride(decoder.level))
    levels = [decoder.level for decoder in decoders.values()]
    loss = _weighted(phase.pixel, levels, [jnp.log(error + 1e-6) for error in pixel])
    loss = loss + _weighted(phase.feature, levels, feature)
    shares = [jnp.mean(jax.nn.relu(share)) for share in pattern.values()]
    loss = loss + _weighted(phase.pattern, pattern, shares)
    psnr = [-10 * jnp.log10(error) for error in pixel]
    metrics = _named("psnr", levels, psnr) | _named("feature", levels, feature)
    return loss, metrics | _named("pattern", pattern, shares)


def _lost_content(
    decoder: Decoder,
    features: Float[Array, "batch _ _ _"],
    teacher: Encoder,
    wanted: Float[Array, "batch _ _ _"],
) -> Float[Array, ""]:
    """Distance of restyled images from their contents, whose relu4_1 in the teacher is `wanted`.

    The ridge keeps whitening's derivative within bounds.
    """
    restyled = decoder(neighbours_styles(features, ridge=1e-3)(features))
    return content_distance(teacher.encode(restyled, 4), wanted)


def content_distance(
    found: Float[Array, "batch height width channels"],
    wanted: Float[Array, "batch height width channels"],
) -> Float[Array, ""]:
    """Squared distance of features, each channel normalised per image, relative to the wanted's."""
    found, wanted = map(_normal, (found, wanted))
    return jnp.mean((found - wanted) ** 2) / jnp.mean(wanted**2)


def _normal(
    features: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height width channels"]:
    variance = jnp.var(features, (1, 2), keepdims=True)
    return (features - jnp.mean(features, (1, 2), keepdims=True)) * lax.rsqrt(variance + 1e-6)


def _half(values: Float[Array, "batch *_"]) -> Float[Array, "_ *_"]:
    """Every other image of a batch, so that devices that share it keep equal shares."""
    return values[::2]


def _named(name: str, levels, values) -> Metrics:
    return {f"{name}/{level}": value for level, value in zip(levels, values, strict=True)}


def _weighted(
    weights: Weights, levels: Iterable[int], values: Sequence[Float[Array, ""]]
) -> Float[Array, ""]:
    parts = [weights[level - 1] * value for level, value in zip(levels, values, strict=True)]
    return sum(parts, jnp.zeros(()))


def _vectors(features: Float[Array, "batch height width channels"]) -> np.ndarray:
    return np.asarray(features).reshape(-1, features.shape[-1])
