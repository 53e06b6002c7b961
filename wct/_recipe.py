"""A recipe: how pictures are repainted, all but the pictures and the networks; presets by name."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from ._by_name import find_transform
from ._errors import WctError, look_up
from ._layers import LEVELS

Strength = Float[Array, ""] | Float[Array, " batch"]
Share = float | Strength
Ridge = float | Float[Array, ""]


class Step(NamedTuple):
    """What a recipe says of one level, for all images of a batch or for each.

    Attributes:
        level: Which.
        alpha: Strength, 0 … 1.
        replaced: Share of what the decoder loses of its input that is not given back, α (1 − d)
            with the detail d.
    """

    level: int
    alpha: Strength
    replaced: Strength

    def given_back(self, masked: bool) -> Strength | None:
        """Return `replaced`, or None if it is known that nothing is given back anywhere.

        Args:
            masked: Whether there are masks, outside of which all is given back.
        """
        known = not isinstance(self.replaced, Tracer)
        return None if known and not masked and np.all(self.replaced == 1) else self.replaced


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Recipe:
    """How pictures are repainted. The defaults are the paper's; `preset` has others.

    Attributes:
        alpha: Strength, 0 … 1: one for all levels, or one for each of `levels`. Such a one may be
            an array, with a number for each image of a batch.
        detail: Share, 0 … 1, of what the decoders lose of their input that is given back whatever
            `alpha` is: one for all levels, or one for each.
        ridge: What is added to the eigenvalues of the content's covariance before it is whitened,
            relative to their mean, at least 0.
        levels: The levels to run, in this order.
        transform: By which map features get the style's moments: `"wct"`, `"ot"`, `"adain"`,
            `"mean"`, or one of a published implementation.
        solver: By what square roots of covariances are taken: `"eigh"`, the eigendecomposition, or
            for `"wct"` and `"ot"` also `"newton-schulz"`, an iteration of matrix products. None is
            for the faster one: the latter where it can be, but not on CPUs.

    References:
        Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017, section 4.1.
    """

    alpha: Share | Sequence[Share] | Float[Array | np.ndarray, " levels"] = 0.6
    detail: Share | Sequence[Share] | Float[Array | np.ndarray, " levels"] = 0.0
    ridge: Ridge = 0.0
    levels: tuple[int, ...] = field(default=LEVELS, metadata={"static": True})
    transform: str = field(default="wct", metadata={"static": True})
    solver: str | None = field(default=None, metadata={"static": True})

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "Recipe":
        """Return a preset, all of it or with some values changed.

        Args:
            name: `"balanced"`, which `stylize` has by default, `"faithful"`, `"strong"` or
                `"paper"`.
            changes: Attributes to take in place of the preset's; one that is None stays. If
                `levels` are chosen anew, values given by level go with their levels.

        Returns:
            The recipe.

        Raises:
            WctError: There is no such preset, or no such level.
        """
        recipe = look_up("preset", name, PRESETS)
        changes = {name: value for name, value in changes.items() if value is not None}
        levels = changes.get("levels", recipe.levels)
        check_levels(levels)
        levels = tuple(levels)
        kept = {
            name: tuple(
                value[recipe.levels.index(level)] for level in levels if level in recipe.levels
            )
            for name in ("alpha", "detail")
            if isinstance(value := getattr(recipe, name), tuple)
        }
        return replace(recipe, **(kept | changes | {"levels": levels}))

    def steps(self) -> list[Step]:
        """Return what each level is to do, in the order of `levels`.

        Raises:
            WctError: A value is out of range or unknown.
        """
        find_transform(self.transform, self.solver)
        check_levels(self.levels)
        if np.ndim(self.ridge) > 0 or not _is_within(self.ridge, np.finfo(float).max):
            raise WctError(f"ridge must be at least 0, not {self.ridge!r}")
        alphas = _by_level("alpha", self.alpha, self.levels)
        details = _by_level("detail", self.detail, self.levels)
        return [
            Step(level, alpha, alpha * (1 - detail))
            for level, alpha, detail in zip(self.levels, alphas, details, strict=True)
        ]


PRESETS = {
    "balanced": Recipe((0.9, 1.0, 1.0, 1.0, 1.0), (1.0, 0.6, 0.3, 0.1, 0.0), transform="ot"),
    "faithful": Recipe((0.5, 0.7, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 0.5, 0.0), transform="ot"),
    "strong": Recipe(1.0, 0.5, transform="ot"),
    "paper": Recipe(),
}
"""Recipes by name. How they compare is measured in docs/control.md."""


def as_recipe(recipe: Recipe | str) -> Recipe:
    """Return a recipe, or the preset of that name."""
    return Recipe.preset(recipe) if isinstance(recipe, str) else recipe


def check_levels(levels: Sequence[int]) -> None:
    """Raise a `WctError` if there is no such level."""
    if isinstance(levels, int | np.integer):
        raise WctError(f"levels are given as several, such as ({levels},), not as {levels}")
    for level in levels:
        whole = isinstance(level, int | np.integer) and not isinstance(level, bool)
        if not whole or level not in LEVELS:
            raise WctError(f"there is no level {level!r}: levels are 1 to 5")


def _by_level(
    name: str, value: Share | Sequence[Share] | Array | np.ndarray, levels: Sequence[int]
) -> list[Strength]:
    """One number in [0, 1] a level, checked where its value is known."""
    if (isinstance(value, Sequence) and not isinstance(value, str)) or np.ndim(value) > 0:
        shares = list(cast("Sequence[Share]", value))
    else:
        shares = [cast("Share", value)] * len(levels)
    if len(shares) != len(levels):
        raise WctError(
            f"{len(shares)} values of {name} for {len(levels)} levels: give one, or one each"
        )
    for share in shares:
        if not _is_within(share, 1):
            raise WctError(f"{name} must be from 0 to 1, not {share!r}")
    # Those that are known stay NumPy's, so that nothing is compiled for them.
    return [
        share.astype(np.float32)
        if isinstance(share, jax.Array)
        else cast("Strength", np.array(share, np.float32))
        for share in shares
    ]


def _is_within(value: Any, most: float) -> bool:
    """Tell whether a number, or each of an array, is from 0 to the most, as far as it is known."""
    if isinstance(value, Tracer):
        return True
    try:
        return bool(np.all((np.asarray(value) >= 0) & (np.asarray(value) <= most)))
    except TypeError:  # it is no number
        return False
