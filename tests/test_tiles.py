"""Pictures in tiles: what is whole, in parts, comes out the same."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import wct
from wct import _memory, _scratch, _stylize
from wct._errors import ImageError, WctError
from wct._memory import choose_tile, read_memory
from wct._recipe import Recipe, find_recipe
from wct._scratch import Scratch
from wct._tiled import measure_tiles, repaint_tiles
from wct._tiles import cut, encoder_halo, halo, own_cells, smallest_tile, spans

LEVELS = (5, 4, 3, 2, 1)
WITHIN = 2e-3

# Small pictures, small tiles: of level 3 at most, they are 96 pixels large, of level 5, 352.
SMALL, SMALL_TILE, SMALL_LEVELS = (137, 171), 96, (3, 2, 1)
LARGE, LARGE_TILE = (373, 501), 352


def tiled(stylizer, content, style, recipe, tile, masks=None):
    """The result, unclipped, put together; every pixel once."""
    result = np.full(content.shape, np.nan, np.float32)

    def paste(part, area):
        assert np.isnan(result[area]).all()
        result[area] = part

    repaint_tiles(
        stylizer, content, style, recipe, tile=tile, scratch=Scratch(), paste=paste, masks=masks
    )
    return result


def whole(stylizer, content, style, recipe):
    *_, result = stylizer.steps(jnp.asarray(content)[None], style, recipe)
    return np.asarray(result[0])


@given(
    st.integers(1, 5000),
    st.integers(1, 60).map(lambda cells: 16 * cells),
    st.integers(1, 12).map(lambda cells: 16 * cells),
)
def test_spans_cover_an_axis(length, more, halo):
    tile = 2 * halo + more
    canvas = -(-length // 16) * 16
    found = spans(length, tile, halo)
    assert found[0].first == 0
    assert found[-1].last == canvas
    for span in found:
        assert span.stop - span.start == min(tile, canvas)
        assert span.start % 16 == 0
        assert 0 <= span.start <= span.first < span.last <= span.stop <= canvas
        assert span.start == 0 or span.first - span.start >= halo
        assert span.stop == canvas or span.stop - span.last >= halo
    for one, other in pairwise(found):
        assert one.last == other.first


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_beyond_the_halo_matters(tiny, level):
    """And less than 16 pixels within it, something does."""
    depth = halo(level)
    size = 2 * depth + 64
    content = picture(size, 16, level)
    changed = content.copy()
    changed[: size // 2] = 1 - changed[: size // 2]
    decoder = tiny.decoders[f"decoder{level}"]

    @jax.jit
    def run(image):
        features = tiny.encoder(image[None], level)[-1]
        return features[0], decoder(features)[0]

    pairs = list(zip(run(jnp.asarray(content)), run(jnp.asarray(changed)), strict=True))
    for (one, other), reach in zip(pairs, (encoder_halo(level), depth), strict=True):
        rows = np.abs(np.asarray(one) - np.asarray(other)).max((1, 2))
        beyond = (size // 2 + reach) * len(rows) // size
        assert rows[beyond:].max() < 1e-6
        assert rows[beyond - 16 * len(rows) // size - 1 : beyond].max() >= 0
        assert rows[: size // 2 * len(rows) // size].max() > 1e-3


@pytest.mark.parametrize("level", LEVELS)
def test_own_cells_count_every_pixel_once(level):
    size = (131, 77)
    total = 0
    for rows in spans(size[0], 80, 16):
        for columns in spans(size[1], 80, 16):
            total += own_cells(rows, columns, size, level).sum()
    assert total * 4 ** (level - 1) == pytest.approx(size[0] * size[1])


def test_cut_goes_on_by_reflection():
    content = picture(69, 53, 0)
    whole = np.pad(content, ((0, 11), (0, 11), (0, 0)), mode="reflect")
    for rows in spans(69, 48, 16):
        for columns in spans(53, 48, 16):
            wanted = whole[rows.start : rows.stop, columns.start : columns.stop]
            np.testing.assert_array_equal(cut(content, rows, columns), wanted)
    eight_bits = np.uint8(255 * content)
    rows, columns = spans(69, 48, 16)[0], spans(53, 48, 16)[0]
    np.testing.assert_allclose(cut(eight_bits, rows, columns), eight_bits[:48, :48] / 255)


@pytest.mark.parametrize(
    ("size", "recipe"),
    [
        (SMALL, Recipe(1.0)),
        (SMALL, Recipe(0.6, 0.5, transform="ot")),
        ((97, 97), Recipe(1.0)),
        ((400, 33), Recipe(0.6)),
    ],
)
def test_tiles_of_few_levels(tiny, size, recipe):
    recipe = wct.Recipe(
        recipe.alpha, recipe.detail, levels=SMALL_LEVELS, transform=recipe.transform
    )
    content, style = picture(*size, 1), tiny.read_style(picture(64, 80, 2))
    wanted = whole(tiny, content, style, recipe)
    found = tiled(tiny, content, style, recipe, SMALL_TILE)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=WITHIN)
    assert np.abs(wanted - content).mean() > 0.01


@pytest.mark.parametrize("preset", ["balanced", "paper"])
def test_tiles_of_all_levels(tiny, preset):
    recipe = find_recipe(preset)
    content, style = picture(*LARGE, 1), tiny.read_style(picture(64, 80, 2))
    wanted = whole(tiny, content, style, recipe)
    found = tiled(tiny, content, style, recipe, LARGE_TILE)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=WITHIN)


def test_no_levels_in_tiles_change_nothing(tiny):
    content = np.uint8(255 * picture(*SMALL, 1))
    found = wct.stylize(content, content, levels=(), model=tiny, tile=SMALL_TILE)
    np.testing.assert_array_equal(found, content)


def options():
    """What users may ask for besides: each of these changes the result."""
    height, width = SMALL
    left = np.zeros(SMALL, np.float32)
    left[:, : width // 2] = 1
    left[: height // 3] = 0.3
    style = np.uint8(255 * picture(64, 80, 2))
    other = np.uint8(255 * picture(70, 60, 3))
    return {
        "masks": (
            [style, other],
            {"masks": [left, np.clip(1.2 - left, 0, 1)], "feather": 12.0, "alpha": (0.9, 0.5, 1.0)},
        ),
        "part covered": ([style], {"masks": [left]}),
        "mixed": ([style, other], {"weights": (0.3, 0.7)}),
        "luminance": (style, {"colors": "luminance"}),
        "matched": (style, {"colors": "matched"}),
        "resized": (style, {"size": 250}),
        "newton-schulz": (style, {"solver": "newton-schulz"}),
    }


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("name", options())
def test_whatever_is_asked_for(tiny, name, kind):
    style, asked = options()[name]
    content = picture(*SMALL, 1)
    content = np.uint8(255 * content) if kind == np.uint8 else content
    run = partial(wct.stylize, content, style, levels=SMALL_LEVELS, model=tiny, **asked)
    wanted, found = run(), run(tile=SMALL_TILE)
    assert found.dtype == wanted.dtype == kind
    within = 1 if kind == np.uint8 else WITHIN
    np.testing.assert_allclose(found.astype(float), wanted.astype(float), rtol=0, atol=within)


def test_transparency_in_tiles(tiny):
    content = np.dstack([picture(*SMALL, 1), np.linspace(0, 1, SMALL[1])[None].repeat(SMALL[0], 0)])
    content = Image.fromarray(np.uint8(255 * content), "RGBA")
    run = partial(wct.stylize, content, picture(64, 80, 2), levels=SMALL_LEVELS, model=tiny)
    wanted, found = np.int16(run()), np.int16(run(tile=SMALL_TILE))
    assert found.shape == (*SMALL, 4)
    assert np.abs(found - wanted).max() <= 1


@pytest.mark.parametrize("masked", [False, True])
def test_a_style_in_tiles(tiny, masked):
    painting = picture(*LARGE, 2)
    mask = np.tri(*LARGE, 60, dtype=np.float32) if masked else None
    wanted = tiny.read_style(painting, mask)
    found = measure_tiles(tiny, painting, mask, tile=192)
    assert found.model == wanted.model
    for one, other in zip(found.levels, wanted.levels, strict=True):
        scale = np.abs(other.covariance).max()
        np.testing.assert_allclose(one.covariance, other.covariance, rtol=0, atol=1e-6 * scale)
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-6)
        np.testing.assert_allclose(one.weight, other.weight, rtol=1e-6)
        assert one.residue is None


def test_a_large_style_is_read_in_tiles(tiny, monkeypatch):
    painting = picture(*LARGE, 2)
    wanted = tiny.read_style(painting)
    monkeypatch.setattr(_memory, "_PROGRAM", 0.0)
    monkeypatch.setattr(_stylize, "measure_tiles", None, raising=False)
    bytes_of_it = 64 + 16 * 4
    found = wct.read_style(
        painting, style_size=1000, memory=bytes_of_it * 360 * 360 + 14 * 384 * 512, model=tiny
    )
    scale = np.abs(wanted.levels[4].covariance).max()
    np.testing.assert_allclose(
        found.levels[4].covariance, wanted.levels[4].covariance, rtol=0, atol=1e-6 * scale
    )
