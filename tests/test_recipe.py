import dataclasses

import jax
import numpy as np
import pytest

from wct._errors import WctError
from wct._recipe import PRESETS, Recipe


def test_one_value_for_all_levels_or_one_each():
    steps = Recipe(0.5, (0, 1, 0), levels=(4, 2, 1)).steps()
    assert [(step.level, float(step.alpha), float(step.replaced)) for step in steps] == [
        (4, 0.5, 0.5),
        (2, 0.5, 0),
        (1, 0.5, 0.5),
    ]


def test_what_the_decoders_lose_is_all_replaced_at_full_strength():
    given = [
        [step.given_back(False) is not None for step in Recipe(*values, levels=(2, 1)).steps()]
        for values in ((1.0, 0.0), (0.9, 0.0), (1.0, (0.1, 0.0)))
    ]
    assert given == [[False, False], [True, True], [True, False]]
    [step] = Recipe(1.0, 0.0, levels=(1,)).steps()
    assert step.given_back(True) == 1


def test_what_one_image_loses_is_given_back_though_another_loses_nothing():
    [step] = Recipe((np.array([1.0, 0.5]),), 0.0, levels=(2,)).steps()
    np.testing.assert_array_equal(step.given_back(False), [1.0, 0.5])
    [step] = Recipe((np.array([1.0, 1.0]),), 0.0, levels=(2,)).steps()
    assert step.given_back(False) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpha": 1.1}, "alpha must be from 0 to 1, not 1.1"),
        ({"alpha": float("nan")}, "alpha must be from 0 to 1, not nan"),
        ({"alpha": "0.5"}, "alpha must be from 0 to 1, not '0.5'"),
        ({"alpha": (0.5, 1, 1, "1", 1)}, "alpha must be from 0 to 1, not '1'"),
        ({"alpha": (0.1, 0.2)}, "2 values of alpha for 5 levels: give one, or one each"),
        ({"detail": -0.1}, "detail must be from 0 to 1, not -0.1"),
        ({"ridge": -1.0}, "ridge must be at least 0, not -1.0"),
        ({"ridge": "0.1"}, "ridge must be at least 0, not '0.1'"),
        ({"ridge": (0.1, 0.2)}, "ridge must be at least 0, not (0.1, 0.2)"),
        ({"ridge": float("nan")}, "ridge must be at least 0, not nan"),
        ({"ridge": float("inf")}, "ridge must be at least 0, not inf"),
        ({"levels": (6,)}, "there is no level 6: levels are 1 to 5"),
        ({"levels": (True,)}, "there is no level True: levels are 1 to 5"),
        ({"levels": (2.0,)}, "there is no level 2.0: levels are 1 to 5"),
        ({"transform": "otto"}, "there is no transform 'otto': did you mean 'ot'?"),
        ({"solver": "newton"}, "there is no solver 'newton': did you mean 'newton-schulz'?"),
    ],
)
def test_values_out_of_range_are_refused(values, message):
    with pytest.raises(WctError) as caught:
        Recipe(**values).steps()
    assert str(caught.value) == message


def test_values_go_with_their_levels():
    faithful = Recipe((0.5, 0.7, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 0.5, 0.0), transform="ot")
    assert Recipe.preset("faithful", alpha=None, transform=None) == faithful
    two = dataclasses.replace(faithful, alpha=(1.0, 0.7), detail=(0.0, 1.0), levels=(1, 4))
    assert Recipe.preset("faithful", levels=[1, 4]) == two
    one = dataclasses.replace(faithful, alpha=0.3, detail=(0.5,), levels=(2,))
    assert Recipe.preset("faithful", alpha=0.3, levels=(2,)) == one
    strong = Recipe(0.2, 0.5, levels=(3, 2), transform="wct")
    assert Recipe.preset("strong", alpha=0.2, levels=(3, 2), transform="wct") == strong


def test_zero_is_a_value_to_take_in_place_of_the_presets():
    found = Recipe.preset("strong", alpha=0.0, detail=0.0, levels=())
    assert (found.alpha, found.detail, found.levels) == (0.0, 0.0, ())


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_followed(name):
    steps = Recipe.preset(name).steps()
    assert [step.level for step in steps] == [5, 4, 3, 2, 1]


def test_the_papers_preset_is_the_papers():
    """Alpha 0.6, whitening and coloring, nothing added."""
    assert dataclasses.asdict(Recipe.preset("paper")) == {
        "alpha": 0.6,
        "detail": 0.0,
        "ridge": 0.0,
        "levels": (5, 4, 3, 2, 1),
        "transform": "wct",
        "solver": None,
    }


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(WctError, match="no preset 'papper': did you mean 'paper'"):
        Recipe.preset("papper")


def test_what_may_be_traced_is_traced():
    leaves, structure = jax.tree.flatten(Recipe(0.1, 0.2, 0.3))
    assert leaves == [0.1, 0.2, 0.3]
    assert jax.tree.unflatten(structure, leaves) == Recipe(0.1, 0.2, 0.3)
