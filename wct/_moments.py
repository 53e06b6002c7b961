"""Moments: weight, mean and covariance of feature vectors — all that is ever known of a picture."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Moments:
    """First and second moments of a set of weighted feature vectors.

    Leading axes, if there are any, hold independent sets, such as the images of a batch.

    Attributes:
        weight: Total weight W of the vectors, their number when all weigh one.
        mean: Mean vector m.
        covariance: Covariance matrix Σ, with the divisor W − 1 (one, when W is less than two).
    """

    weight: Float[Array, "*sets"]
    mean: Float[Array, "*sets channels"]
    covariance: Float[Array, "*sets channels channels"]


def moments(
    features: Float[Array, "*sets height width channels"],
    weights: Float[Array, "#*sets height width"] | None = None,
) -> Moments:
    """Measure the moments of features over height and width.

    m = Σᵢ wᵢ fᵢ / W and Σ = Σᵢ wᵢ (fᵢ − m)(fᵢ − m)ᵀ / (W − 1), with W = Σᵢ wᵢ.

    Args:
        features: Feature vectors f in the last axis.
        weights: How much each vector counts, at least 0: a mask, say. All count one by default.

    Returns:
        One set of moments for each index of the leading axes. Of no weight at all, they are zero.
    """
    if weights is None:
        weights = jnp.ones(features.shape[-3:-1], features.dtype)
    weights = jnp.broadcast_to(weights, features.shape[:-1])
    weight = weights.sum(-1).sum(-1)
    share = (weights / jnp.where(weight == 0, 1, weight)[..., None, None])[..., None]
    mean = (share * features).sum(-2).sum(-2)
    # Once more for what rounding lost: a million float32 numbers do not add up exactly.
    mean = mean + (share * (features - mean[..., None, None, :])).sum(-2).sum(-2)
    centred = features - mean[..., None, None, :]
    scatter = jnp.einsum(
        "...hwc,...hwd->...cd",
        centred * weights[..., None],
        centred,
        precision=lax.Precision.HIGHEST,
    )
    scatter = (scatter + jnp.swapaxes(scatter, -1, -2)) / 2
    return Moments(weight, mean, scatter / _divisor(weight))


def merge_moments(first: Moments, second: Moments) -> Moments:
    """Merge the moments of two sets of vectors into those of their union, exactly.

    Args:
        first: Moments of one set.
        second: Moments of another set, of the same number of channels.

    Returns:
        What `moments` would have measured of both sets together.

    References:
        T. Chan, G. Golub, R. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
        Sample Variances", 1979, equation 1.5.
    """
    weight = first.weight + second.weight
    share = second.weight / jnp.where(weight == 0, 1, weight)
    difference = second.mean - first.mean
    mean = first.mean + share[..., None] * difference
    between = difference[..., :, None] * difference[..., None, :]
    scatter = (
        first.covariance * _divisor(first.weight)
        + second.covariance * _divisor(second.weight)
        + (first.weight * share)[..., None, None] * between
    )
    return Moments(weight, mean, scatter / _divisor(weight))


def _divisor(weight: Float[Array, "*sets"]) -> Float[Array, "*sets 1 1"]:
    return jnp.maximum(weight - 1, 1)[..., None, None]
