import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wct import _onednn, _winograd
from wct._border import ABOVE, AROUND
from wct._convolution import Layer
from wct._networks import run_layers

pytestmark = pytest.mark.skipif(not _onednn.is_usable(), reason="this jaxlib is without oneDNN")


def make_layer(batch, height, width, inputs, outputs):
    """Features that are not negative, as after a ReLU, and a kernel."""
    rng = np.random.default_rng(0)
    sizes = (batch, height, width, inputs), (3, 3, inputs, outputs), outputs
    features, kernel, bias = (rng.normal(size=size).astype(np.float32) for size in sizes)
    return jnp.asarray(np.maximum(features, 0)), jnp.asarray(kernel), jnp.asarray(bias)


def check(found, layer, relu):
    features, kernel, bias = layer
    for ours, each in zip(found, features, strict=True):
        wanted = oracle.convolve(each, kernel, bias)
        wanted = oracle.relu(wanted) if relu else wanted
        np.testing.assert_allclose(ours, wanted, atol=3e-5 * np.abs(wanted).max())


@settings(max_examples=20)
@given(
    batch=st.integers(1, 3),
    height=st.integers(2, 15),
    width=st.integers(2, 15),
    inputs=st.integers(1, 3),
    outputs=st.integers(1, 3),
    relu=st.booleans(),
)
def test_it_is_the_definition(batch, height, width, inputs, outputs, relu):
    layer = make_layer(batch, height, width, inputs, outputs)
    surrounded = jnp.pad(layer[0], ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    check(_winograd.convolve(surrounded, *layer[1:], relu=relu), layer, relu)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_bands_are_put_together(monkeypatch, rows):
    """Of 23 rows of features, which make six of tiles."""
    layer = make_layer(2, 23, 18, 5, 7)
    monkeypatch.setattr(_winograd, "_BAND", rows * 4 * 36 * 2 * 5 * 7)
    surrounded = jnp.pad(layer[0], ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    calls = []
    transform = _winograd._transform
    monkeypatch.setattr(_winograd, "_transform", lambda *a: calls.append(a) or transform(*a))
    check(_winograd.convolve(surrounded, *layer[1:], relu=True), layer, True)
    assert len(calls) == 6 // rows


@pytest.mark.parametrize("room", [AROUND, ABOVE, ((0, 3), (2, 1))])
def test_room_is_left_around(room):
    layer = make_layer(2, 9, 7, 3, 2)
    surrounded = jnp.pad(layer[0], ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    found = _winograd.convolve(surrounded, *layer[1:], relu=False, room=room)
    (above, below), (left, right) = room
    assert found.shape == (2, above + 9 + below, left + 7 + right, 2)
    check(found[:, above : above + 9, left : left + 7], layer, False)


@pytest.mark.parametrize(
    ("side", "channels", "taps", "pays", "beside_fast", "by_xla"),
    [
        (512, 256, 3, True, True, True),
        (512, 128, 3, True, True, False),
        (512, 64, 3, True, False, False),
        (512, 32, 3, False, False, False),
        (64, 64, 3, False, False, False),
        (512, 128, 2, False, False, False),
    ],
)
def test_it_is_for_large_and_wide_layers(
    side, channels, taps, pays, beside_fast, by_xla, monkeypatch
):
    features = jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)
    kernel = jax.ShapeDtypeStruct((taps, taps, channels, channels), jnp.float32)
    for there, wanted in (
        ({"AVX512F"}, pays),
        ({"AVX512F", "AVX512FP16"}, beside_fast),
        (set(), by_xla),
    ):
        monkeypatch.setattr(_onednn, "_has", there.__contains__)
        assert _winograd.pays(features, kernel) is wanted


def test_layers_are_done_by_it(monkeypatch):
    used = []
    ours = _winograd.convolve
    monkeypatch.setattr(_winograd, "_WORK", 0)
    monkeypatch.setattr(_winograd, "_least", lambda: 64)
    monkeypatch.setattr(_winograd, "convolve", lambda *a, **k: used.append(a) or ours(*a, **k))
    for channels in (64, 32):
        layer = make_layer(1, 17, 9, channels, channels)
        [found] = run_layers(layer[0], [Layer(*layer[1:], relu=True)])
        check(found, layer, True)
    assert len(used) == 1
