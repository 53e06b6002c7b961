"""Styles made of styles: pooled into one, mixed by weights, or side by side for masks."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._errors import WctError
from ._layers import LEVELS
from ._moments import Moments, merge_moments
from ._program import program
from ._style import Style, check_styles
from ._transform import coloring

Weight = float | Sequence[float]

_root = program(coloring, light=True)


def pool_styles(styles: Sequence[Style]) -> Style:
    """Return the style of several pictures as if they were one: a painter's, say.

    Args:
        styles: Styles of single pictures. Each counts by its number of pixels.

    Raises:
        WctError: There are none, they are of different models, or one is a bank.
    """
    model = _common_model(styles)
    merge = jax.jit(merge_moments)
    levels = (reduce(merge, moments) for moments in zip(*(s.levels for s in styles), strict=True))
    return Style(tuple(replace(moments, residue=None) for moments in levels), model)


def mix_styles(styles: Sequence[Style], weights: Sequence[Weight] | None = None) -> Style:
    """Return a style between others: m = Σ wᵢ mᵢ and Σ^(1/2) = Σ wᵢ Σᵢ^(1/2).

    That is the linear mixture of their colourings.

    Args:
        styles: The styles to mix.
        weights: How much of each, at least 0 and 1 in all: a number each, or five of them, for the
            levels 5 to 1. Equal shares by default.

    Returns:
        The mixture; with a weight of one, that style itself.

    Raises:
        WctError: The weights are not one for each style or do not add up to one, the styles are of
            different models, or one is a bank.

    References:
        Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017, section 4.3.
    """
    model = _common_model(styles)
    shares = _shares(len(styles), weights)[:, ::-1].T  # of all styles, from level 1 to 5
    levels = []
    for share, moments in zip(shares, zip(*(s.levels for s in styles), strict=True), strict=True):
        kept = [part for part in zip(share, moments, strict=True) if part[0] > 0]
        levels.append(kept[0][1] if len(kept) == 1 else _mix(kept))
    return Style(tuple(levels), model)


def stack_styles(styles: Sequence[Style]) -> Style:
    """Return several styles as one whose moments have a leading axis, for as many masks.

    Args:
        styles: The styles, in the order of the masks.

    Returns:
        The styles, each at its index along the leading axis.

    Raises:
        WctError: There are none, they are of different models, or one is a bank.
    """
    _common_model(styles)
    return _stack(*styles)


@program
def _stack(*styles: Style) -> Style:
    return jax.tree.map(lambda *values: jnp.stack(values), *styles)


def _mix(parts: Sequence[tuple[float, Moments]]) -> Moments:
    def total(values: Iterable[Array]) -> np.ndarray:
        pairs = zip(parts, values, strict=True)
        return np.sum([share * np.asarray(value, np.float64) for (share, _), value in pairs], 0)

    root = total(_root(moments.covariance) for _, moments in parts)
    weight = total(moments.weight for _, moments in parts)
    mean = total(moments.mean for _, moments in parts)
    mixed = [np.asarray(value, np.float32) for value in (weight, mean, root @ root)]
    return Moments(*jax.device_put(mixed))


def _shares(count: int, weights: Sequence[Weight] | None) -> np.ndarray:
    """A row of five weights for each style."""
    if weights is None:
        return np.full((count, len(LEVELS)), 1 / count)
    if len(weights) != count:
        raise WctError(f"{len(weights)} weights for {count} styles: give one for each (repeat -w)")
    try:
        shares = np.stack([np.broadcast_to(weight, (len(LEVELS),)) for weight in weights])
    except ValueError as error:
        raise WctError(
            "a style's weight must be one number, or five, for the levels 5 to 1"
        ) from error
    if not (shares >= 0).all() or not np.allclose(shares.sum(0), 1, atol=1e-3):
        given = ", ".join(map(str, weights))
        raise WctError(f"weights must be at least 0 and add up to 1, but they are {given}")
    return shares


def _common_model(styles: Sequence[Style]) -> str:
    if not styles:
        raise WctError("no styles: give one at least")
    check_styles(*styles)
    if any(style.levels[0].mean.ndim > 1 for style in styles):
        raise WctError("one of the styles is a bank of several: give single ones")
    models = sorted({style.model for style in styles})
    if len(models) > 1:
        raise WctError(f"the styles are of different models: {', '.join(models)}")
    channels = {tuple(moments.mean.shape[-1] for moments in style.levels) for style in styles}
    if len(channels) > 1:
        given = " and ".join(map(str, sorted(channels)))
        raise WctError(
            f"the styles have {given} features at their levels: read their pictures with one model"
        )
    return models[0]
