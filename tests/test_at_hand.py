"""Layers in turn, each of which leaves the border for the next, are as each by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import cases, one_by_one

from wct import _convolution, _onednn, _winograd
from wct._border import surround
from wct._convolution import Layer, convolve, pair_up, size_after
from wct._in_place import renew
from wct._networks import run_layers

needed = pytest.mark.skipif(not _onednn.is_usable(), reason="this jaxlib is without oneDNN")

BORDER = (0, 0), (1, 1), (1, 1), (0, 0)


@needed
@given(cases(), st.data())
def test_in_turn_as_one_by_one(case, data):
    features, layers, size = case
    last = len(layers) - 1
    kept = sorted({*data.draw(st.sets(st.integers(0, last))), last})
    found = run_layers(features, layers, size=size, wanted=kept)
    wanted = one_by_one(features, layers, size)
    assert len(found) == len(kept)
    for index, ours in zip(kept, found, strict=True):
        theirs = wanted[index]
        ours = ours[:, : theirs.shape[1], : theirs.shape[2]]
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


@needed
def test_wide_layers_leave_borders_too(monkeypatch):
    monkeypatch.setattr(_winograd, "_WORK", 0)
    monkeypatch.setattr(_winograd, "_least", lambda: 64)
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 3, 64, 64)), rng.normal(size=64)
    layer = Layer(*(jnp.asarray(each, jnp.float32) for each in (kernel, bias)), relu=True)
    features = jnp.asarray(rng.normal(size=(1, 7, 9, 64)), jnp.float32)
    [found] = run_layers(features, [layer, layer])
    *_, wanted = one_by_one(features, [layer, layer], (7, 9))
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    beyond=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    distance=st.integers(0, 1),
)
def test_a_border_renewed_is_as_one_added(size, beyond, distance):
    rows, columns = (side + more for side, more in zip(size, beyond, strict=True))
    features = np.random.default_rng(0).normal(size=(2, rows, columns, 3)).astype(np.float32)
    added = np.pad(features[:, : size[0], : size[1]], BORDER, ("edge", "reflect")[distance])
    room = jnp.asarray(np.pad(features, BORDER, constant_values=7))
    renewed = renew(room, size, distance)
    height, width = (side + 2 for side in size)
    np.testing.assert_array_equal(renewed[:, :height, :width], added[:, :height, :width])


def test_what_layers_are_given_stays_as_it_is():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 3, 4, 4)), rng.normal(size=4)
    layer = Layer(*(jnp.asarray(each, jnp.float32) for each in (kernel, bias)), relu=True)
    given = rng.normal(size=(1, 6, 8, 4)).astype(np.float32)
    features = jnp.asarray(given)
    run_layers(features, [layer._replace(halved=True), layer], size=(4, 6), wanted=[0, 1])
    np.testing.assert_array_equal(features, given)


def test_what_is_added_is_numpys():
    features = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32)
    for distance, mode in ((1, "reflect"), (0, "edge")):
        wanted = np.pad(features, BORDER, mode)
        np.testing.assert_array_equal(surround(jnp.asarray(features), None, distance), wanted)


@pytest.mark.parametrize(("distance", "mode"), [(1, "reflect"), (0, "edge")])
@pytest.mark.parametrize("size", [(5, 6), (8, 9), (1, 4)])
def test_what_is_added_goes_on_from_the_picture_and_not_its_canvas(size, distance, mode):
    canvas = np.random.default_rng(0).normal(size=(2, 8, 9, 3)).astype(np.float32)
    height, width = size
    wanted = np.pad(canvas[:, :height, :width], BORDER, mode)
    found = surround(jnp.asarray(canvas), size, distance)
    np.testing.assert_array_equal(found[:, : height + 2, : width + 2], wanted)


def test_pairs_of_kernels_are_kept_as_long_as_these():
    rng = np.random.default_rng(0)
    weights = [jnp.asarray(rng.normal(size=size), jnp.float32) for size in ((3, 3, 2, 5), 5)]
    before = len(_convolution._paired)
    found = pair_up(*weights)
    assert pair_up(*weights) is found
    jax.tree.map(np.testing.assert_array_equal, found, jax.jit(pair_up)(*weights))
    assert len(_convolution._paired) == before + 1
    weights.clear()
    assert len(_convolution._paired) == before


def test_sizes_go_through_layers():
    weights = jnp.zeros((3, 3, 1, 1)), jnp.zeros(1)
    for options, size in (({}, (6, 4)), ({"doubled": True}, (12, 8)), ({"halved": True}, (3, 2))):
        layer = Layer(*weights, **options)
        assert size_after(layer, (6, 4)) == size
        assert convolve(jnp.zeros((1, 6, 4, 1)), layer).shape[1:3] == size
