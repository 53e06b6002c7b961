"""Square roots of covariances and their inverses; differentiable.

Inside, everything is float64: float32 would get small eigenvalues wrong by far more than the
covariance's own rounding errors, and they are what whitening divides by.

References:
    N. Higham, "Functions of Matrices", 2008: theorem 3.11, the derivative (Daleckii–Krein), and
    equation 6.35, the coupled Newton–Schulz iteration.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import sequential_vmap
from jaxtyping import Array

product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)

_ITERATIONS = 100
_CONVERGED = 1e-10


def identity(matrices: Array) -> Array:
    """Return the identity matrix I, of the shape of these matrices."""
    return jnp.broadcast_to(jnp.eye(matrices.shape[-1], dtype=matrices.dtype), matrices.shape)


def _spectral(
    formula: Callable[[Array, Array], tuple[Array, Array]],
    by_products: Callable[[Array, Array, Array], Array] | None = None,
) -> Mapping[str, Callable[..., Array]]:
    """Make a function of symmetric matrices from one of their eigenvalues.

    Args:
        formula: `(eigenvalues λ ≥ 0, cut) → (f(λ), divided differences of f)`; the latter are
            (f(λᵢ) − f(λⱼ)) / (λᵢ − λⱼ), and f′(λᵢ) on the diagonal.
        by_products: The function, or nearly, by matrix products, from the matrices of λ, of
            y = (λ + cut)^(−1/2) and of t = cut y²; λ^(−1/2) = y (1 − t)^(−1/2).

    Returns:
        By solver, `(matrix, residue, rounding, floor) → f(matrix + residue)`, with the cut at
        `rounding` times the matrix's norm, plus `floor`. Differentiable by `matrix`.
    """

    @_in_float64
    def decompose(matrix: Array, rounding: Array, floor: Array) -> tuple[Array, Array, Array]:
        values, vectors = jnp.linalg.eigh(matrix)
        values = jnp.maximum(values, 0)
        function, differences = formula(values, rounding * jnp.linalg.norm(values) + floor)
        return product(vectors * function[None], vectors.T), vectors, differences

    def differentiable(evaluate: Callable[..., Array]) -> Callable[..., Array]:
        @jax.custom_jvp
        def apply(matrix: Array, residue: Array, rounding: Array, floor: Array) -> Array:
            return evaluate(matrix, residue, rounding, floor)

        @apply.defjvp
        def _(primals, tangents):
            """Daleckii–Krein: in the eigenbasis, each entry is scaled by a divided difference.

            Finite for equal eigenvalues, where differentiating the eigenvectors is not.
            """
            _, vectors, differences = decompose(*primals)
            tangent = (tangents[0] + tangents[0].T) / 2  # `eigh` sees no more of it
            inner = product(vectors.T, product(tangent, vectors)) * differences
            return apply(*primals), product(vectors, product(inner, vectors.T))

        return jnp.vectorize(apply, signature="(c,c),(c,c),(),()->(c,c)")

    solvers = {"eigh": differentiable(lambda *arguments: decompose(*arguments)[0])}
    if by_products is not None:

        @_in_float64
        def iterate(matrix: Array, rounding: Array, floor: Array) -> Array:
            norm = jnp.linalg.norm(matrix)
            cut = jnp.where(norm > 0, rounding * norm + floor, 1)
            inverse = _newton_schulz(matrix, cut)
            found = by_products(matrix, inverse, cut * product(inverse, inverse))
            return jnp.where(norm > 0, found, 0)

        solvers["newton-schulz"] = differentiable(iterate)
    return solvers


def _in_float64(function: Callable[[Array, Array, Array], Any]) -> Callable[..., Any]:
    """Evaluate a function of (Σ, rounding, floor) in float64, and round what it returns.

    Σ is given as the sum of a matrix and its residue.
    """

    # One matrix at a time: two batched `eigh` at once wait for each other for ever where XLA has
    # two threads, and on a GPU a batch of large ones is slower than one after the other.
    @sequential_vmap
    def evaluate(matrix: Array, residue: Array, rounding: Array, floor: Array) -> Any:
        with jax.enable_x64(True):
            wide, rest, rounding, floor = (
                lax.convert_element_type(value, jnp.float64)
                for value in (matrix, residue, rounding, floor)
            )
            found = function(wide + rest, rounding, floor)
            return jax.tree.map(lambda value: lax.convert_element_type(value, matrix.dtype), found)

    return evaluate


def _newton_schulz(matrix: Array, cut: Array) -> Array:
    """Return (Σ + cut I)^(−1/2), by matrix products alone."""
    unit = identity(matrix)
    shifted = matrix + cut * unit
    scale = jnp.linalg.norm(shifted)

    def unfinished(state):
        _, _, error, count = state
        return (error > _CONVERGED) & (count < _ITERATIONS)

    def improve(state):
        root, inverse, _, count = state
        near_unit = product(inverse, root)
        step = 1.5 * unit - 0.5 * near_unit
        error = jnp.linalg.norm(near_unit - unit)
        return product(root, step), product(step, inverse), error, count + 1

    start = shifted / scale, unit, jnp.asarray(jnp.inf, matrix.dtype), 0
    _, inverse, _, _ = lax.while_loop(unfinished, improve, start)
    return inverse / jnp.sqrt(scale)


def _root(values: Array, cut: Array) -> tuple[Array, Array]:
    """√λ, for which the divided difference is 1 / (√λᵢ + √λⱼ)."""
    roots = jnp.sqrt(values)
    return roots, _invert(roots[:, None] + roots[None])


def _inverse_root(values: Array, cut: Array) -> tuple[Array, Array]:
    """About 1 / √λ above the cut, 0 below: y (1 − t)² (1 + 5t/2 + 35t²/8), with the above y and t.

    That is λ² h(λ) with h = y⁵ + 5/2 cut y⁷ + 35/8 cut² y⁹.
    """
    inverse = _invert(jnp.sqrt(values + cut))
    terms = [(1, 5), (2.5 * cut, 7), (4.375 * cut**2, 9)]
    rest = sum((factor * inverse**power for factor, power in terms), jnp.zeros_like(values))
    # The divided differences of a product, in the order that has no cancellation.
    small, large = (order(values[:, None], values[None]) for order in (jnp.minimum, jnp.maximum))
    of_large = jnp.where(values[:, None] == large, rest[:, None], rest[None])
    across = sum(factor * _power_differences(inverse, power) for factor, power in terms)
    return values**2 * rest, (small + large) * of_large + small**2 * across


def _power_differences(inverse: Array, power: int) -> Array:
    """Divided differences, by λ, of the powers of (λ + cut)^(−1/2)."""
    left, right = inverse[:, None], inverse[None]
    terms = sum(left**k * right ** (power - 1 - k) for k in range(power))
    return -((left * right) ** 2) * _invert(left + right) * terms


def _kept_root(values: Array, cut: Array) -> tuple[Array, Array]:
    """√λ above the cut, 0 below."""
    roots = jnp.where(values > cut, jnp.sqrt(values), 0)
    return roots, _across(values, roots, _invert(roots[:, None] + roots[None]), cut)


def _kept_inverse_root(values: Array, cut: Array) -> tuple[Array, Array]:
    """1 / √λ above the cut, 0 below."""
    inverses = _invert(jnp.where(values > cut, jnp.sqrt(values), 0))
    left, right = inverses[:, None], inverses[None]
    inside = -((left * right) ** 2) * _invert(left + right)
    return inverses, _across(values, inverses, inside, cut)


def _across(values: Array, function: Array, inside: Array, cut: Array) -> Array:
    """Divided differences of a function cut off: by their definition between the two sides."""
    kept = values > cut
    apart = kept[:, None] != kept[None]
    rise, run = function[:, None] - function[None], values[:, None] - values[None]
    return jnp.where(apart, rise / jnp.where(apart, run, 1), inside)


def _invert(values: Array) -> Array:
    """One over each value, and zero where the value is zero or less."""
    positive = values > 0
    return jnp.where(positive, 1 / jnp.where(positive, values, 1), 0)


def _fade(near: Array) -> Array:
    """(1 − t)² (1 + 5t/2 + 35t²/8): the series of (1 − t)^(−1/2) for small t, and 0 for t = 1."""
    one, square = identity(near), product(near, near)
    return product(one - 2 * near + square, one + 2.5 * near + 4.375 * square)


def _symmetric(matrix: Array) -> Array:
    return (matrix + matrix.T) / 2


root = _spectral(
    _root,
    # λ y (1 + t/2), which is zero where λ is.
    lambda matrix, inverse, near: _symmetric(
        product(matrix, product(inverse, identity(matrix) + near / 2))
    ),
)
inverse_root = _spectral(
    _inverse_root,
    lambda matrix, inverse, near: _symmetric(product(inverse, _fade(near))),
)
kept_root = _spectral(_kept_root)["eigh"]
kept_inverse_root = _spectral(_kept_inverse_root)["eigh"]
