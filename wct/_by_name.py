"""Transforms and solvers by their names."""

from collections.abc import Callable
from functools import partial

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


def find_transform(name: str, solver: str = "eigh") -> Transform:
    """Return a transform by its name.

    Args:
        name: A key of `TRANSFORMS`.
        solver: By what matrix roots are taken; of `"wct"` and `"ot"` it can be another than
            `"eigh"`.

    Raises:
        WctError: There is none of this name, or not with this solver.
    """
    transform = look_up("transform", name, TRANSFORMS)
    look_up("solver", solver, root)
    if solver == "eigh":
        return transform
    if name not in ("wct", "ot"):
        raise WctError(f"the solver {solver!r} is for the transforms 'wct' and 'ot', not {name!r}")
    return partial(transform, solver=solver)
