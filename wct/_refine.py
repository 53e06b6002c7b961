"""Refinement: a picture is optimised itself, towards a content and the Gram matrices of a style.

Started at the content, this is the method of L. Gatys, A. Ecker, M. Bethge, "Image Style Transfer
Using Convolutional Neural Networks", CVPR 2016; started at the chain's result, it mends that.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float

from ._border import Size
from ._errors import WctError
from ._moments import Moments
from ._networks import Encoder
from ._padding import as_picture, coverage, mirror, to_canvas
from ._style import Style

Scalar = Float[Array, ""]

_CONTENT_LEVEL = 4

_OUTSIDE = 100.0
"""Weight of the mean squared distance of the values from [0, 1]."""

_PATIENCE = 10
_PROGRESS = 1e-3
"""It is over when the loss fell by less than this share of itself in that many steps."""

_FIRST_CHANGE = 0.01
"""Root mean square of the change that the first step tries."""

_DECREASE = 1e-4
_CURVATURE = 0.9
"""The constants c₁ and c₂ of the Wolfe conditions: as usual for quasi-Newton methods."""

_TRIALS = 20
"""Lengths to try along one direction."""

_directions = optax.lbfgs(linesearch=None)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Objective:
    """What a picture is compared with, and how much each part of the loss counts.

    Attributes:
        content: The content's features relu4_1.
        grams: The style's Gram matrices at relu1_1 … relu5_1.
        size: Height and width of the picture on its canvas.
        style_weight: Weight of the style loss; the content loss has the weight one.
        variation: Weight of the total variation.
    """

    content: Float[Array, "1 _ _ channels"]
    grams: tuple[Float[Array, "_ _"], ...]
    size: Size
    style_weight: Scalar
    variation: Scalar


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Point:
    """Where the optimisation is: the picture on its canvas, its loss, and the loss's gradient."""

    canvas: Float[Array, "1 height width 3"]
    loss: Scalar
    gradient: Float[Array, "1 height width 3"]


def refine(
    encoder: Encoder,
    start: Float[Array, "height width 3"],
    content: Float[Array, "_ _ 3"],
    style: Style,
    steps: int,
    *,
    style_weight: float = 20.0,
    variation: float = 10.0,
) -> Iterator[tuple[Float[Array, "height width 3"], float]]:
    """Optimise a picture by L-BFGS and yield it after each step, with its loss.

    The loss is `content + style_weight * style + variation * total variation`; see `picture_loss`.
    It never rises. The last step is the one that finds nothing lower, or with which ten steps have
    lowered it by less than a thousandth, if there are so few.

    Args:
        encoder: The networks whose features are compared, those that the style was measured in.
        start: The picture to start from, RGB in [0, 1], of any size.
        content: The picture to stay near to, of the same size.
        style: The style.
        steps: How many steps.
        style_weight: How much the style counts, where the content counts one.
        variation: How much differences of neighbouring pixels count: against noise.

    Yields:
        The picture, in [0, 1], and its loss with the penalty for what was clipped.

    Raises:
        WctError: The pictures differ in size, a weight is negative, or the style is several.

    References:
        L. Gatys, A. Ecker, M. Bethge, "Image Style Transfer Using Convolutional Neural Networks",
        CVPR 2016.
    """
    if start.shape != content.shape:
        raise WctError(
            f"start and content must be of one size, not {start.shape[:2]} and {content.shape[:2]}"
        )
    for name, weight in (("style_weight", style_weight), ("variation", variation)):
        if not 0 <= weight < math.inf:
            raise WctError(f"{name} must be at least 0 and finite, not {weight}")
    if style.levels[0].mean.ndim != 1:
        raise WctError("a picture is refined towards one style, not several side by side")
    height, width, _ = start.shape
    size = height, width
    objective = Objective(
        _encode_content(encoder, to_canvas(content[None]), size),
        tuple(gram(moments) for moments in style.levels),
        size,
        jnp.float32(style_weight),
        jnp.float32(variation),
    )
    canvas = to_canvas(start[None])
    memory = _directions.init(canvas)
    point = _evaluate(encoder, objective, canvas)
    losses = [float(point.loss)]
    for step in range(steps):
        direction, memory, slope, norm = _turn(point, memory)
        # L-BFGS knows how far to go, but for the first step; a norm of zero is not gone along.
        first = _FIRST_CHANGE * math.sqrt(start.size) / max(float(norm), 1e-30)
        length = first if step == 0 else 1.0
        found = _search(encoder, objective, point, direction, float(slope), length)
        point = found or point
        losses.append(float(point.loss))
        yield as_picture(point.canvas, size)[0], losses[-1]
        if found is None or _is_over(losses):
            return


def gram(moments: Moments) -> Float[Array, "channels channels"]:
    """Return the Gram matrix Σᵢ wᵢ fᵢ fᵢᵀ / W of the vectors that the moments were measured of.

    It is (W − 1) / W Σ + m mᵀ.
    """
    total = jnp.where(moments.weight == 0, 1, moments.weight)
    share = jnp.maximum(moments.weight - 1, 1) / total
    return share * moments.covariance + moments.mean[:, None] * moments.mean[None]


def picture_loss(
    encoder: Encoder, objective: Objective, canvas: Float[Array, "1 height width 3"]
) -> Scalar:
    """Return the loss of a picture on its canvas; all its parts are without units.

    Content: the squared distance of the features relu4_1 from the content's, relative to the square
    of these. Style: ‖G − G_s‖² / ‖G_s‖² of the Gram matrices G, averaged over relu1_1 … relu5_1.
    Total variation: the squared differences of neighbours, both ways, averaged over the picture.

    Values outside of [0, 1] are clipped, and the mean square of what is clipped is a penalty, as
    without a gradient they would stay out there. So it is the picture in [0, 1] that is judged.
    Projecting it after each step could raise the loss that the step has lowered.

    References:
        L. Gatys, A. Ecker, M. Bethge, "Image Style Transfer Using Convolutional Neural Networks",
        CVPR 2016, equations 1 to 7, with relu4_2 for the content. A. Mahendran, A. Vedaldi,
        "Understanding Deep Image Representations by Inverting Them", CVPR 2015, for the total
        variation, with β = 2.
    """
    clipped = jnp.clip(canvas, 0, 1)
    picture = mirror(clipped, objective.size)
    levels = encoder(picture)
    insides = [
        coverage(features, objective.size, level)[..., None]
        for level, features in enumerate(levels, start=1)
    ]
    index = _CONTENT_LEVEL - 1
    content = _relative(levels[index], objective.content, insides[index])
    style = jnp.stack(
        [
            _relative(_measure_gram(features, inside), wanted)
            for features, inside, wanted in zip(levels, insides, objective.grams, strict=True)
        ]
    ).mean()
    values = 3 * insides[0].sum()
    variation = (
        jnp.sum(insides[0][:, 1:] * jnp.diff(picture, axis=1) ** 2)
        + jnp.sum(insides[0][:, :, 1:] * jnp.diff(picture, axis=2) ** 2)
    ) / values
    outside = jnp.sum((canvas - clipped) ** 2) / values
    return (
        content
        + objective.style_weight * style
        + objective.variation * variation
        + _OUTSIDE * outside
    )


def _measure_gram(
    features: Float[Array, "1 height width channels"], inside: Float[Array, "1 height width 1"]
) -> Float[Array, "channels channels"]:
    """The Gram matrix of features, without the padding; in float32, as nothing divides by it."""
    vectors = (features * jnp.sqrt(inside / inside.sum())).reshape(-1, features.shape[-1])
    return jnp.matmul(vectors.T, vectors, precision=lax.Precision.HIGHEST)


def _relative(
    values: Float[Array, "*shape"],
    wanted: Float[Array, "*shape"],
    weights: Float[Array, "*#shape"] | float = 1.0,
) -> Scalar:
    """Squared distance relative to what is wanted; absolute, where that is zero."""
    square = jnp.sum(weights * wanted**2)
    return jnp.sum(weights * (values - wanted) ** 2) / jnp.where(square == 0, 1, square)


@jax.jit
def _encode_content(
    encoder: Encoder, canvas: Float[Array, "1 height width 3"], size: Size
) -> Float[Array, "1 _ _ channels"]:
    return encoder.encode(mirror(canvas, size), _CONTENT_LEVEL)


@jax.jit
def _evaluate(
    encoder: Encoder, objective: Objective, canvas: Float[Array, "1 height width 3"]
) -> Point:
    loss, gradient = jax.value_and_grad(picture_loss, argnums=2)(encoder, objective, canvas)
    return Point(canvas, loss, gradient)


@jax.jit
def _turn(
    point: Point, memory: optax.OptState
) -> tuple[Float[Array, "1 height width 3"], optax.OptState, Scalar, Scalar]:
    """L-BFGS's direction, its memory, the slope of the loss in this direction, and its norm."""
    change, memory = _directions.update(point.gradient, memory, point.canvas)
    direction = cast("Array", change)
    return direction, memory, jnp.vdot(direction, point.gradient), jnp.linalg.norm(direction)


def _search(
    encoder: Encoder,
    objective: Objective,
    point: Point,
    direction: Float[Array, "1 height width 3"],
    slope: float,
    length: float,
) -> Point | None:
    """Find a point in a direction that satisfies the weak Wolfe conditions, by bisection.

    Nearly always it is the first one tried. Optax's zoom line search would do, but it is a loop
    within the compiled program, where XLA's CPU backend takes five times as long for gradients of
    convolutions (https://github.com/jax-ml/jax/issues/12868).

    Args:
        encoder: The networks.
        objective: What the loss is of.
        point: Where to start.
        direction: Where to go.
        slope: The slope of the loss in this direction.
        length: What to try first, in units of the direction.

    Returns:
        The point, or none if the direction does not lead down, as far as float32 can tell.

    References:
        A. Lewis, M. Overton, "Nonsmooth optimization via quasi-Newton methods", Mathematical
        Programming 141, 2013.
    """
    before = float(point.loss)
    low, high = 0.0, math.inf
    for _ in range(_TRIALS if slope < 0 else 0):
        found = _evaluate(encoder, objective, point.canvas + jnp.float32(length) * direction)
        if not float(found.loss) < before + _DECREASE * length * slope:
            high = length
        elif float(jnp.vdot(direction, found.gradient)) < _CURVATURE * slope:
            low = length
        else:
            return found
        length = 2 * low if high == math.inf else (low + high) / 2
    return None


def _is_over(losses: list[float]) -> bool:
    """Whether the last steps together lowered the loss too little to go on."""
    return len(losses) > _PATIENCE and losses[-1] >= (1 - _PROGRESS) * losses[-1 - _PATIENCE]
