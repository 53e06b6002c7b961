"""Layers over bands of rows make of a picture what they make of it as a whole."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layers import cases, one_by_one

from wct import _bands, _onednn
from wct._bands import no_rows, run_band
from wct._convolution import Layer
from wct._transform import AffineMap


def starts(layers):
    """Rows above a picture to begin at, and the first row after each layer, if all halve pairs."""
    for lead in range(64):
        row, firsts = -lead, []
        for layer in layers:
            row = 2 * row - 1 if layer.doubled else row - 1
            row, odd = divmod(row, 2) if layer.halved else (row, 0)
            if odd:
                break
            firsts.append(row)
        else:
            yield lead, firsts


def in_bands(features, layers, size, rows, kept):
    """The picture's features after these layers; what lies around it are other numbers."""
    height, depth = size[0], 8 * len(layers)
    lead, firsts = next(starts(layers))
    beyond = np.random.default_rng(1).normal(size=(2, 40 * depth, *features.shape[2:]))
    stream = np.concatenate([beyond[:, :lead], features[:, :height], beyond], 1).astype(np.float32)
    state, made = no_rows(layers, 2, features.shape[2]), {index: [] for index in kept}
    for start in range(-lead, height + depth, rows):
        band = jnp.asarray(stream[:, start + lead : start + lead + rows])
        found, state = run_band(band, state, layers, start, size, kept)
        for index, values in zip(kept, found, strict=True):
            made[index].append(values)
    return [np.concatenate(made[index], 1)[:, -firsts[index] :] for index in kept]


def check(features, layers, size, rows, kept):
    wanted = one_by_one(features, layers, size)
    found = in_bands(features, layers, size, rows, kept)
    for index, ours in zip(kept, found, strict=True):
        theirs = wanted[index]
        ours = ours[:, : theirs.shape[1], : theirs.shape[2]]
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


@settings(max_examples=25)
@given(cases(), st.integers(1, 3), st.data())
def test_in_bands_as_whole(case, times, data):
    features, layers, size = case
    assume(any(starts(layers)))
    last = len(layers) - 1
    kept = sorted({*data.draw(st.sets(st.integers(0, last))), last})
    check(features, layers, size, times * 2 ** sum(layer.halved for layer in layers), kept)


def test_a_map_comes_before_the_first_layer_alone():
    rng = np.random.default_rng(0)
    kernel, bias, matrix, offset, features = (
        jnp.asarray(rng.normal(size=size), jnp.float32)
        for size in ((3, 3, 3, 3), 3, (1, 3, 3), (1, 3), (1, 6, 8, 3))
    )
    layers, affine = 2 * [Layer(kernel, bias)], AffineMap(matrix, offset)
    rest = no_rows(layers, 1, 8), layers, 0, (6, 8), (0, 1)
    found, _ = run_band(features, *rest, affine)
    wanted, _ = run_band(affine(features), *rest)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


@pytest.mark.skipif(not _onednn.is_usable(), reason="this jaxlib is without oneDNN")
def test_without_onednn(monkeypatch):
    monkeypatch.setattr(_bands, "is_usable", lambda *_: False)
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=(3, 3, 3, 3)), jnp.float32), jnp.ones(3)
    layers = [Layer(*weights, relu=True, halved=True), Layer(*weights), Layer(*weights, True)]
    check(jnp.asarray(rng.normal(size=(2, 12, 10, 3)), jnp.float32), layers, (10, 6), 4, [0, 2])
