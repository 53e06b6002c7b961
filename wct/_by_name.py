"""Transforms and solvers by their names."""

from collections.abc import Callable
from functools import partial

from ._errors import look_up
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

_BY_ROOTS = {"wct": whiten_and_color, "ot": optimal_transport}

TRANSFORMS: dict[str, Callable[..., AffineMap]] = {
    **_BY_ROOTS,
    "adain": match_deviations,
    "mean": match_means,
    **PUBLISHED,
}
"""From the moments of a content and a style to a map, the strongest first; then published ones."""


def find_transform(name: str, solver: str = "eigh") -> Transform:
    """Return a transform by its name.

    Args:
        name: A key of `TRANSFORMS`.
        solver: By what the matrix roots of `"wct"` and `"ot"` are taken; the others need none, or
            have their own.

    Raises:
        WctError: There is none of this name.
    """
    transform = look_up("transform", name, TRANSFORMS)
    look_up("solver", solver, root)
    return partial(transform, solver=solver) if name in _BY_ROOTS else transform
