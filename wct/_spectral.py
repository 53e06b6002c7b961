"""Square roots of covariances and their inverses; differentiable.

Inside, everything is float64: float32 would get small eigenvalues wrong by far more than the
covariance's own rounding errors, and they are what whitening divides by.

References:
    N. Higham, "Functions of Matrices", 2008: theorem 3.11, the derivative (Daleckii–Krein), and
    equation 6.35, the coupled Newton–Schulz iteration.
    N. Amsel, D. Persson, C. Musco, R. Gower, "The Polar Express: Optimal Matrix Sign Methods and
    Their Application to the Muon Algorithm", 2025: the polynomials by which it needs few steps.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap, sequential_vmap
from jaxtyping import Array

product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)

_NEAR = 2.5e-3
"""How near to one singular values must be, so that the last step makes them one in float32."""

_SMALLEST = 0.4
"""The smallest eigenvalue of Σ + cut I in units of the cut: rounding may make Σ's negative."""


def identity(matrices: Array) -> Array:
    """Return the identity matrix I, of the shape of these matrices."""
    return jnp.broadcast_to(jnp.eye(matrices.shape[-1], dtype=matrices.dtype), matrices.shape)


Function = tuple[Array, Callable[[], Array]]
"""A function of eigenvalues, and what returns its divided differences."""


def _spectral(
    formula: Callable[[Array, Array], Function],
    by_products: Callable[[Array, Array, Array], Array] | None = None,
) -> Mapping[str, Callable[..., Array]]:
    """Make a function of symmetric matrices from one of their eigenvalues.

    Args:
        formula: `(eigenvalues λ ≥ 0, cut) → (f(λ), what returns its divided differences)`: these
            are (f(λᵢ) − f(λⱼ)) / (λᵢ − λⱼ), and f′(λᵢ) on the diagonal.
        by_products: The function, or nearly, by matrix products, from the matrices of λ, of
            y = (λ + cut)^(−1/2) and of t = cut y²; λ^(−1/2) = y (1 − t)^(−1/2).

    Returns:
        By solver, `(matrix, residue, rounding, floor) → f(matrix + residue)`, with the cut at
        `rounding`, a plain number, times the matrix's norm, plus `floor`. Differentiable by
        `matrix`.
    """

    def decompose(
        matrix: Array, rounding: float, floor: Array
    ) -> tuple[Array, Array, Callable[[], Array]]:
        values, vectors = jnp.linalg.eigh(matrix)
        values = jnp.maximum(values, 0)
        return vectors, *formula(values, rounding * jnp.linalg.norm(values) + floor)

    # One matrix at a time: two batched `eigh` at once wait for each other for ever where XLA has
    # two threads, and on a GPU a batch of large ones is slower than one after the other.
    @partial(_in_float64, mapped=sequential_vmap)
    def by_eigenvalues(matrix: Array, rounding: float, floor: Array) -> Array:
        vectors, function, _ = decompose(matrix, rounding, floor)
        return product(vectors * function[None], vectors.T)

    @partial(_in_float64, mapped=sequential_vmap)
    def differentiate(matrix: Array, rounding: float, floor: Array) -> tuple[Array, Array]:
        vectors, _, differences = decompose(matrix, rounding, floor)
        return vectors, differences()

    def differentiable(evaluate: Callable[..., Array]) -> Callable[..., Array]:
        @partial(jax.custom_jvp, nondiff_argnums=(2,))
        def apply(matrix: Array, residue: Array, rounding: float, floor: Array) -> Array:
            return evaluate(matrix, residue, rounding, floor)

        @apply.defjvp
        def _(rounding, primals, tangents):
            """Daleckii–Krein: in the eigenbasis, each entry is scaled by a divided difference.

            Finite for equal eigenvalues, where differentiating the eigenvectors is not.
            """
            matrix, residue, floor = primals
            vectors, differences = differentiate(matrix, residue, rounding, floor)
            tangent = (tangents[0] + tangents[0].T) / 2  # `eigh` sees no more of it
            inner = product(vectors.T, product(tangent, vectors)) * differences
            found = apply(matrix, residue, rounding, floor)
            return found, product(vectors, product(inner, vectors.T))

        apply_to_all = jnp.vectorize(apply, excluded={2}, signature="(c,c),(c,c),()->(c,c)")

        def call(matrix: Array, residue: Array | None, rounding: float, floor: Any = 0.0) -> Array:
            residue = jnp.zeros_like(matrix) if residue is None else residue
            return apply_to_all(matrix, residue, rounding, jnp.asarray(floor, matrix.dtype))

        return call

    solvers = {"eigh": differentiable(by_eigenvalues)}
    if by_products is not None:

        @partial(_in_float64, mapped=_all_at_once)
        def iterate(matrix: Array, rounding: float, floor: Array) -> Array:
            norm = _norm(matrix)
            cut = jnp.where(norm > 0, rounding * norm + floor[..., None, None], 1)
            inverse = newton_schulz(matrix + cut * identity(matrix), rounding)
            found = by_products(matrix, inverse, cut * product(inverse, inverse))
            return jnp.where(norm > 0, found, 0)

        solvers["newton-schulz"] = differentiable(iterate)
    return solvers


def _in_float64(function: Callable[..., Any], mapped: Callable) -> Callable[..., Any]:
    """Evaluate a function of (Σ, rounding, floor) in float64, and round what it returns.

    Σ is given as the sum of a matrix and its residue. `mapped` says what `jax.vmap` makes of it.
    """

    def evaluate(matrix: Array, residue: Array, rounding: float, floor: Array) -> Any:
        @mapped
        def call(matrix: Array, residue: Array, floor: Array) -> Any:
            with jax.enable_x64(True):
                wide, rest, least = (
                    lax.convert_element_type(value, jnp.float64)
                    for value in (matrix, residue, floor)
                )
                found = function(wide + rest, rounding, least)
                narrow = partial(lax.convert_element_type, new_dtype=matrix.dtype)
                return jax.tree.map(narrow, found)

        return call(matrix, residue, floor)

    return evaluate


def _all_at_once(function: Callable[..., Array]) -> Callable[..., Array]:
    """Have `jax.vmap` call a function that takes any leading axes with one more of them.

    Left to itself it would take float64 operations apart outside of JAX's 64-bit mode.
    """
    mapped = custom_vmap(function)

    @mapped.def_vmap
    def _(size: int, has_axis: list[bool], *arguments: Array) -> tuple[Array, bool]:
        whole = [
            argument if has else jnp.broadcast_to(argument, (size, *argument.shape))
            for argument, has in zip(arguments, has_axis, strict=True)
        ]
        return mapped(*whole), True

    return mapped


def newton_schulz(matrix: Array, rounding: float) -> Array:
    """Return Σ^(−1/2), of a Σ with no eigenvalue below about `rounding` of its norm.

    In the matrix's own precision, and of any number of matrices along leading axes.

    Y ← Y p(Z Y) and Z ← p(Z Y) Z take Y from Σ to Σ^(1/2), and Z from I to Σ^(−1/2): every singular
    value x of the coupled pair becomes x p(x²), until all are one.
    """
    scale = _norm(matrix)
    root = matrix / scale
    first, *others = _polynomials(rounding)
    inverse = _evaluate(first, root)
    root = product(root, inverse)
    for polynomial in others:
        step = _evaluate(polynomial, product(inverse, root))
        root, inverse = product(root, step), product(step, inverse)
    return inverse / jnp.sqrt(scale)


def _evaluate(polynomial: tuple[float, ...], matrix: Array) -> Array:
    """p(M) = a I + b M + c M²."""
    a, b, c = polynomial
    return a * identity(matrix) + b * matrix + c * product(matrix, matrix)


@cache
def _polynomials(rounding: float) -> tuple[tuple[float, ...], ...]:
    """Return the polynomials x p(x²) that in turn bring singular values to one, the fastest way.

    Each is the best of degree 5 for where the one before has brought all of them (Polar Express);
    the last one is Newton–Schulz's of that degree, which makes of an error ε one of 5/2 ε³.
    """
    least, most, found = np.sqrt(_SMALLEST * rounding), 1.0, []
    while most - least > 2 * _NEAR:
        polynomial, error = _nearest_to_one(least, most)
        found.append(tuple(map(float, polynomial)))
        least, most = 1 - error, 1 + error
    return (*found, (15 / 8, -10 / 8, 3 / 8))


def _nearest_to_one(least: float, most: float) -> tuple[np.ndarray, float]:
    """Return (a, b, c) with a x + b x³ + c x⁵ nearest to one from `least` to `most`, and how near.

    By Remez: at the ends and the two extrema between, it is off by as much, now below, now above.
    """
    middle = np.array([3 * least + most, least + 3 * most]) / 4
    while True:
        x = np.array([least, *middle, most])
        powers = np.stack([x, x**3, x**5, [1, -1, 1, -1]], 1)
        a, b, c, error = np.linalg.solve(powers, np.ones(4))
        before, apart = middle, np.sqrt(9 * b**2 - 20 * a * c)
        middle = np.sqrt((-3 * b + np.array([-apart, apart])) / (10 * c))
        if np.abs(middle - before).max() < 1e-6 * (most - least):
            return np.array([a, b, c]), error


def _norm(matrix: Array) -> Array:
    return jnp.linalg.norm(matrix, axis=(-2, -1), keepdims=True)


def _root(values: Array, cut: Array) -> Function:
    """√λ, for which the divided difference is 1 / (√λᵢ + √λⱼ)."""
    roots = jnp.sqrt(values)
    return roots, lambda: _invert(roots[:, None] + roots[None])


def _inverse_root(values: Array, cut: Array) -> Function:
    """About 1 / √λ above the cut, 0 below: y (1 − t)² (1 + 5t/2 + 35t²/8), with the above y and t.

    That is λ² h(λ) with h = y⁵ + 5/2 cut y⁷ + 35/8 cut² y⁹.
    """
    inverse = _invert(jnp.sqrt(values + cut))
    terms = [(1, 5), (2.5 * cut, 7), (4.375 * cut**2, 9)]
    rest = sum((factor * inverse**power for factor, power in terms), jnp.zeros_like(values))

    def differences() -> Array:
        """Those of a product, in the order that has no cancellation."""
        left, right = values[:, None], values[None]
        small, large = jnp.minimum(left, right), jnp.maximum(left, right)
        of_large = jnp.where(left == large, rest[:, None], rest[None])
        across = sum(factor * _power_differences(inverse, power) for factor, power in terms)
        return (small + large) * of_large + small**2 * across

    return values**2 * rest, differences


def _power_differences(inverse: Array, power: int) -> Array:
    """Divided differences, by λ, of the powers of (λ + cut)^(−1/2)."""
    left, right = inverse[:, None], inverse[None]
    terms = sum(left**k * right ** (power - 1 - k) for k in range(power))
    return -((left * right) ** 2) * _invert(left + right) * terms


def _kept_root(values: Array, cut: Array) -> Function:
    """√λ above the cut, 0 below."""
    roots = jnp.where(values > cut, jnp.sqrt(values), 0)
    return roots, lambda: _across(values, roots, _invert(roots[:, None] + roots[None]), cut)


def _kept_inverse_root(values: Array, cut: Array) -> Function:
    """1 / √λ above the cut, 0 below."""
    inverses = _invert(jnp.where(values > cut, jnp.sqrt(values), 0))

    def differences() -> Array:
        left, right = inverses[:, None], inverses[None]
        inside = -((left * right) ** 2) * _invert(left + right)
        return _across(values, inverses, inside, cut)

    return inverses, differences


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
    return (matrix + jnp.swapaxes(matrix, -1, -2)) / 2


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
