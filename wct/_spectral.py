"""Square roots of covariances and their inverses, by eigendecomposition; differentiable.

Inside, everything is float64: float32 would get small eigenvalues wrong by far more than the
covariance's own rounding errors, and they are what whitening divides by.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import sequential_vmap
from jaxtyping import Array

_product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)


def _spectral(formula: Callable[[Array, Array], tuple[Array, Array]]) -> Callable[..., Array]:
    """Make a function of symmetric matrices from one of their eigenvalues.

    Args:
        formula: `(eigenvalues λ ≥ 0, cut) → (f(λ), divided differences of f)`; the latter are
            (f(λᵢ) − f(λⱼ)) / (λᵢ − λⱼ), and f′(λᵢ) on the diagonal.

    Returns:
        `(matrix, residue, rounding, floor) → f(matrix + residue)`, with the cut at `rounding` times
        the largest eigenvalue, plus `floor`. Differentiable by `matrix`.
    """

    # One matrix at a time: two batched `eigh` at once wait for each other for ever where XLA has
    # two threads, and on a GPU a batch of large ones is slower than one after the other.
    @sequential_vmap
    def decompose(matrix: Array, residue: Array, rounding: Array, floor: Array):
        with jax.enable_x64(True):
            wide, rest, rounding, floor = (
                lax.convert_element_type(value, jnp.float64)
                for value in (matrix, residue, rounding, floor)
            )
            values, vectors = jnp.linalg.eigh(wide + rest)
            values = jnp.maximum(values, 0)
            function, differences = formula(values, rounding * values[-1] + floor)
            result = _product(vectors * function[None], vectors.T)
            return tuple(
                lax.convert_element_type(value, matrix.dtype)
                for value in (result, vectors, differences)
            )

    @jax.custom_jvp
    def apply(matrix: Array, residue: Array, rounding: Array, floor: Array) -> Array:
        return decompose(matrix, residue, rounding, floor)[0]

    @apply.defjvp
    def _(primals, tangents):
        """Daleckii–Krein: in the eigenbasis, each entry is scaled by a divided difference.

        Finite for equal eigenvalues, where differentiating the eigenvectors is not.
        """
        result, vectors, differences = decompose(*primals)
        tangent = (tangents[0] + tangents[0].T) / 2  # `eigh` sees no more of it
        inner = _product(vectors.T, _product(tangent, vectors)) * differences
        return result, _product(vectors, _product(inner, vectors.T))

    return jnp.vectorize(apply, signature="(c,c),(c,c),(),()->(c,c)")


@_spectral
def root(values: Array, cut: Array) -> tuple[Array, Array]:
    """√λ, for which the divided difference is 1 / (√λᵢ + √λⱼ)."""
    roots = jnp.sqrt(values)
    return roots, _invert(roots[:, None] + roots[None])


@_spectral
def inverse_root(values: Array, cut: Array) -> tuple[Array, Array]:
    """λ^(3/2) / (λ² + cut²): 1 / √λ well above the cut, 0 well below."""
    roots = jnp.sqrt(values)
    inverse = _invert(values**2 + cut**2)
    left, right = roots[:, None], roots[None]
    cubes = cut**2 * (left**2 + left * right + right**2) - (left * right) ** 3
    return roots**3 * inverse, cubes * _invert(left + right) * inverse[:, None] * inverse[None]


def _invert(values: Array) -> Array:
    """One over each value, and zero where the value is zero."""
    positive = values > 0
    return jnp.where(positive, 1 / jnp.where(positive, values, 1), 0)
