"""Transforms and solvers by their names."""

from collections.abc import Callable
from functools import partial

import jax

from ._errors import WctError, look_up
from ._moments import Moments
from ._published import PUBLISHED
from ._spectral import root
from ._transform import (
    AffineMap,
    match_deviations,
    match_means,
    optimal_transport,
    whiten_and_color,
)

Transform = Callable[[Moments, Moments], AffineMap]

TRANSFORMS: dict[str, Callable[..., AffineMap]] = {
    "wct": whiten_and_color,
    "ot": optimal_transport,
    "adain": match_deviations,
    "mean": match_means,
    **PUBLISHED,
}
"""From the moments of a content and a style to a map, the strongest first; then published ones."""


WITH_ROOTS = ("wct", "ot")
"""Those that take roots of both covariances, by any solver."""


def find_solver(transform: str, solver: str | None) -> str:
    """Return by what a transform takes matrix roots: as told, or else what is fastest here."""
    if solver is not None:
        return solver
    products = transform in WITH_ROOTS and jax.default_backend() != "cpu"
    return "newton-schulz" if products else "eigh"


def find_transform(name: str, solver: str | None = None) -> Transform:
    """Return a transform by its name.

    Args:
        name: A key of `TRANSFORMS`.
        solver: By what matrix roots are taken, as in `Recipe`.

    Raises:
        WctError: There is none of this name, or not with this solver.
    """
    transform = look_up("transform", name, TRANSFORMS)
    solver = find_solver(name, solver)
    look_up("solver", solver, root)
    if solver == "eigh":
        return transform
    if name not in WITH_ROOTS:
        raise WctError(f"the solver {solver!r} is for the transforms 'wct' and 'ot', not {name!r}")
    return partial(transform, solver=solver)
