"""Textures from noise."""

import numpy as np
import pytest
from conftest import picture
from PIL import Image

import wct
from wct._errors import WctError
from wct._mixing import mix_styles

STYLE = picture(48, 48, 2)
QUICK = {"levels": (2, 1), "passes": 2}


def pixels(image):
    return np.asarray(image, np.float64) / 255


def test_size_and_kind(tiny):
    result = wct.texture(STYLE, (20, 33), model=tiny, **QUICK)
    assert isinstance(result, Image.Image)
    assert result.size == (33, 20)


def test_the_seed_decides(tiny):
    first, again, other = (
        pixels(wct.texture(STYLE, (32, 32), seed=seed, model=tiny, **QUICK)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.01


@pytest.mark.parametrize("transform", ["wct", "mean"])
def test_it_is_the_chain_repeated_on_noise(tiny, transform):
    noise = np.random.default_rng(3).uniform(size=(32, 48, 3)).astype(np.float32)
    wanted, shares = noise, []
    asked = {"transform": transform, "model": tiny}
    for _ in range(2):
        wanted = wct.stylize(wanted, STYLE, 1.0, preset="paper", levels=(2, 1), **asked)
    result = wct.texture(STYLE, (32, 48), seed=3, progress=shares.append, **asked, **QUICK)
    np.testing.assert_allclose(pixels(result), wanted, atol=0.51 / 255)
    assert shares == [0.5, 1.0]


def test_by_default_all_levels_run_three_times_from_the_noise_of_seed_0(tiny):
    wanted = np.random.default_rng(0).uniform(size=(32, 48, 3)).astype(np.float32)
    for _ in range(3):
        wanted = wct.stylize(
            wanted, STYLE, 1.0, preset="paper", levels=(5, 4, 3, 2, 1), transform="wct", model=tiny
        )
    result = wct.texture(STYLE, (32, 48), model=tiny)
    np.testing.assert_allclose(pixels(result), wanted, atol=0.51 / 255)


def test_in_bands_it_is_the_same(tiny, monkeypatch):
    wanted = pixels(wct.texture(STYLE, (112, 80), model=tiny, **QUICK))
    monkeypatch.setattr("wct._texture.choose_tile", lambda *_: 48)
    monkeypatch.setattr("wct._stylizer.Stylizer.__call__", None)
    found = pixels(wct.texture(STYLE, (112, 80), model=tiny, **QUICK))
    np.testing.assert_allclose(found, wanted, atol=1.01 / 255)


def test_the_style_is_reduced_to_style_size(tiny):
    style = wct.read_style(STYLE, style_size=24, model=tiny)
    found = wct.texture(STYLE, (32, 32), style_size=24, model=tiny, **QUICK)
    np.testing.assert_array_equal(found, wct.texture(style, (32, 32), model=tiny, **QUICK))


def test_a_texture_has_the_moments_of_its_style(tiny):
    style = tiny.read_style(STYLE)
    result = wct.texture(STYLE, (96, 96), levels=(1,), passes=1, model=tiny)
    noise = np.random.default_rng(0).uniform(size=(96, 96, 3)).astype(np.float32)
    before, after = (
        np.linalg.norm(tiny.read_style(image).levels[0].mean - style.levels[0].mean)
        for image in (noise, result)
    )
    assert after < before


def test_mixtures(tiny):
    other = picture(48, 48, 5)
    mixed = mix_styles([tiny.read_style(STYLE), tiny.read_style(other)], (0.2, 0.8))
    first = wct.texture([STYLE, other], (32, 32), weights=(0.2, 0.8), model=tiny, **QUICK)
    np.testing.assert_array_equal(first, wct.texture(mixed, (32, 32), model=tiny, **QUICK))


def test_a_seamless_texture_continues_itself(tiny):
    """Across its edges it changes no more than inside; one that is not seamless does."""
    steps = {}
    for seamless in (True, False):
        result = wct.texture(
            STYLE, (64, 64), levels=(3, 2), passes=1, seamless=seamless, model=tiny
        )
        tiled = np.tile(pixels(result), (2, 2, 1))
        rows = np.abs(np.diff(tiled, axis=0)).mean((1, 2))
        columns = np.abs(np.diff(tiled, axis=1)).mean((0, 2))
        steps[seamless] = max(
            rows[63] / np.median(rows[:63]), columns[63] / np.median(columns[:63])
        )
    assert steps[True] < 1.6
    assert steps[False] > steps[True]


def test_what_cannot_be_done(tiny):
    with pytest.raises(WctError, match="height must be a whole number, at least 1, not 0"):
        wct.texture(STYLE, (0, 5), model=tiny)
    with pytest.raises(WctError, match="passes must be a whole number, at least 1, not 0"):
        wct.texture(STYLE, (8, 5), passes=0, model=tiny)
    with pytest.raises(WctError, match="seed must be a whole number, at least 0, not -1"):
        wct.texture(STYLE, (8, 8), seed=-1, model=tiny)
    for size in ((64, 70), (70, 64)):
        with pytest.raises(WctError, match=f"multiples of 16, but {size[0]} × {size[1]} are not"):
            wct.texture(STYLE, size, seamless=True, model=tiny)


@pytest.mark.parametrize("tile", [None, 96])
def test_out_of_memory_is_one_line(tiny, monkeypatch, tile, exhaust):
    monkeypatch.setattr("wct._texture.choose_tile", lambda *_: tile)
    monkeypatch.setattr("wct._stylizer.Stylizer.__call__", exhaust)
    monkeypatch.setattr("wct._tiled.repaint_tiles", exhaust)
    with pytest.raises(WctError, match=r"out of memory: .*--memory"):
        wct.texture(STYLE, (32, 32), model=tiny, **QUICK)


def test_a_texture_that_needs_more_memory_is_refused_at_once(tiny):
    with pytest.raises(WctError, match="300000 wide and 200000 high needs"):
        wct.texture(picture(32, 32, 1), (200_000, 300_000), model=tiny)
