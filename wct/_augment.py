"""Random styles as augmentation of training pictures, within a compiled training step."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import jax
import jax.numpy as jnp
from jax.core import Tracer, eval_context
from jaxtyping import Array, Float

from ._errors import WctError
from ._given import Batch, as_batch
from ._loaded import load_bank, load_stylizer
from ._meshes import shard_alike
from ._models import find_model
from ._program import has_tracers
from ._recipe import Recipe, as_recipe
from ._style import Style, check_styles
from ._stylizer import Stylizer

Loaded = TypeVar("Loaded", Style, Stylizer)
Number = float | Float[Array, ""]

QUICK = Recipe(1.0, 0.5, levels=(3,), transform="ot")
"""One level: a third of the cost of three, and the content stays clear in small pictures."""

_MODEL = "vgg19-lite"


def augment(
    key: Array,
    images: Batch,
    bank: Style | None = None,
    *,
    stylizer: Stylizer | None = None,
    probability: Number = 0.5,
    alpha: Number | tuple[Number, Number] = (0.3, 1.0),
    mixing: Number = 0.5,
    recipe: Recipe | str = QUICK,
) -> Float[Array, "batch height width 3"]:
    """Repaint images of a batch at random, each in a random style, for training on them.

    Pure: it can be compiled, mapped, sharded and differentiated. What happens to an image depends
    on the key and on the image's place in the batch, not on the other images.

    Args:
        key: A key of `jax.random`.
        images: RGB in [0, 1], of any size.
        bank: The styles to draw from, along a leading axis of the moments, as `stack_styles` and
            `Style.from_pretrained` make them; by default those that come along with `vgg19-lite`.
        stylizer: The networks that measured the styles; by default `vgg19-lite`.
        probability: The share of the images that are repainted. The others come back as they are.
        alpha: Strength, 0 … 1, times the recipe's own: one for all, or the ends of the range that
            each image's is drawn from.
        mixing: The share of the repainted images whose style is between two of the bank's: means
            and covariances are blended, by a random weight.
        recipe: How to repaint, with strengths for all images at once, or the name of a preset; by
            default fast: optimal transport with detail 0.5, at level 3 alone.

    Returns:
        float32 `(batch, height, width, 3)`, in [0, 1].

    Raises:
        ImageError: The images are no batch of float RGB images, or of NumPy's, values are not in
            [0, 1].
        WctError: A value is out of range, or the bank is none or of another model.
        WeightsError: The model has no decoder for a level.

    References:
        P. Jackson et al., "Style Augmentation: Data Augmentation via Style Randomization", CVPR
        Workshops 2019. R. Geirhos et al., "ImageNet-trained CNNs are biased towards texture", ICLR
        2019.
    """
    images = as_batch(images)
    several = isinstance(alpha, Sequence) or getattr(alpha, "ndim", 0)
    ends = tuple(cast("Sequence[Number]", alpha)) if several else 2 * (cast("Number", alpha),)
    if len(ends) != 2:
        raise WctError(f"alpha must be a number or the two ends of a range, not {alpha}")
    low, high = ends
    shares = {"probability": probability, "mixing": mixing, "alpha": low, "alpha's end": high}
    for name, share in shares.items():
        if not isinstance(share, Tracer) and not 0 <= share <= 1:
            raise WctError(f"{name} must be from 0 to 1, not {share}")
    if not has_tracers(low, high) and low > high:
        raise WctError(f"alpha must be a range such as (0.3, 1), not {alpha}")
    stylizer = stylizer or _load(load_stylizer)
    bank = bank or _load(load_bank)
    check_styles(bank)
    if bank.levels[0].mean.ndim != 2:
        raise WctError("the bank's moments need one leading axis: make it with stack_styles")
    recipe = as_recipe(recipe)

    return shard_alike(
        _repaint, images, key, bank, stylizer, probability, (low, high), mixing, recipe
    )


def _repaint(
    images: Float[Array, "batch height width 3"],
    key: Array,
    bank: Style,
    stylizer: Stylizer,
    probability: Number,
    ends: tuple[Number, Number],
    mixing: Number,
    recipe: Recipe,
) -> Float[Array, "batch height width 3"]:
    low, high = ends

    def repaint(place: Array, image: Array) -> Array:
        chance, strength, pick = jax.random.split(jax.random.fold_in(key, place), 3)
        style = _draw_style(pick, bank, mixing)
        scale = jax.random.uniform(strength, dtype=jnp.float32, minval=low, maxval=high)
        alphas = tuple(scale * step.alpha for step in recipe.steps())
        repainted = stylizer(image[None], style, replace(recipe, alpha=alphas))[0]
        return jnp.where(jax.random.bernoulli(chance, probability), repainted, image)

    return jax.vmap(repaint)(jnp.arange(len(images)), images)


def _load(load: Callable[[Path], Loaded]) -> Loaded:
    """Load of the default model; what is loaded is kept, so it must not be part of a trace."""
    with eval_context():
        return load(find_model(_MODEL).resolve())


def _draw_style(key: Array, bank: Style, mixing: Number) -> Style:
    """One style of a bank, or one between two.

    Covariances are blended, not their roots as by `mix_styles`, which would take three more roots;
    the way between two styles is another, with the same ends.
    """
    pick, mix, share = jax.random.split(key, 3)
    first, second = jax.random.randint(pick, (2,), 0, len(bank.levels[0].mean))
    between = jax.random.uniform(share, dtype=jnp.float32)
    weight = jnp.where(jax.random.bernoulli(mix, mixing), between, 0)
    return jax.tree.map(
        lambda values: values[first] + weight * (values[second] - values[first]), bank
    )
