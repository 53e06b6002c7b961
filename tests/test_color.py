"""Colours kept or matched."""

import gc

import jax
import numpy as np
import oracle
import pytest
from conftest import picture
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab

import wct
from wct._color import from_oklab, match_colors, to_linear, to_oklab, to_srgb, with_chroma_of
from wct._errors import WctError

CONTENT, PAINTING = picture(40, 56, 1), picture(40, 56, 2) ** 2


@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_conversions_are_inverse(pixel):
    pixel = np.array(pixel)
    np.testing.assert_allclose(to_srgb(to_linear(pixel)), pixel, atol=1e-9)
    np.testing.assert_allclose(from_oklab(to_oklab(pixel)), pixel, atol=1e-6)


def test_what_is_out_of_range_is_clipped():
    np.testing.assert_allclose(to_srgb(np.array([-0.1, 0, 1, 1.5])), [0, 0, 1, 1])


def test_oklab_of_known_colours():
    """From the definition's own table: white, red, green and blue."""
    colours = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    wanted = [[1, 0, 0], [0.628, 0.225, 0.126], [0.866, -0.234, 0.179], [0.452, -0.032, -0.312]]
    np.testing.assert_allclose(to_oklab(colours), wanted, atol=1e-3)


def test_linear_light_is_the_standards():
    greys = np.linspace(0, 1, 12)[:, None].repeat(3, 1)
    luminance = rgb2lab(greys)[:, 0]
    wanted = np.where(luminance > 8, ((luminance + 16) / 116) ** 3, luminance / 903.3)
    np.testing.assert_allclose(to_linear(greys)[:, 0], wanted, atol=1e-4)
    np.testing.assert_allclose(lab2rgb(rgb2lab(greys)), to_srgb(to_linear(greys)), atol=1e-3)


def test_chroma_is_the_contents_and_lightness_the_results():
    result = with_chroma_of(CONTENT, PAINTING)
    inside = (result > 0).all(-1) & (result < 1).all(-1)  # what sRGB can show
    assert inside.mean() > 0.5
    found = to_oklab(result)[inside]
    np.testing.assert_allclose(found[:, 1:], to_oklab(CONTENT)[inside][:, 1:], atol=1e-5)
    np.testing.assert_allclose(found[:, 0], to_oklab(PAINTING)[inside][:, 0], atol=1e-5)


def test_a_grey_content_stays_grey():
    grey = CONTENT.mean(-1, keepdims=True).repeat(3, -1)
    result = with_chroma_of(grey, PAINTING)
    assert np.ptp(result, axis=-1).max() < 1e-4


def test_matched_colours_have_the_contents_moments():
    content, style = picture(60, 50, 3), 0.4 + 0.2 * picture(40, 40, 4)
    matched = match_colors(style, content)
    _, mean, covariance = oracle.moments(to_linear(matched))
    _, wanted_mean, wanted_covariance = oracle.moments(to_linear(content))
    np.testing.assert_allclose(mean, wanted_mean, atol=5e-3)  # but for what was clipped
    np.testing.assert_allclose(covariance, wanted_covariance, atol=5e-3)


def test_colours_are_matched_to_a_content_of_few_pixels():
    content, style = 0.4 + 0.1 * picture(1, 5, 3), 0.4 + 0.2 * picture(40, 40, 4)
    matched = match_colors(style, content)
    found, wanted = (oracle.moments(to_linear(each)) for each in (matched, content))
    np.testing.assert_allclose(found[1], wanted[1], atol=1e-4)
    np.testing.assert_allclose(found[2], wanted[2], atol=0.05 * np.trace(wanted[2]))
    one = np.array([[[0.2, 0.5, 0.7]]])
    np.testing.assert_allclose(
        match_colors(style, one), np.broadcast_to(one, style.shape), atol=1e-3
    )


def test_colours_are_matched_to_all_of_the_content():
    """Also to what is below its first strip of rows, and as bytes."""
    top, bottom = 0.45 + 0.1 * picture(256, 20, 3), 0.6 + 0.1 * picture(80, 20, 5)
    content, style = np.concatenate([top, bottom]), 0.4 + 0.2 * picture(40, 40, 4)
    matched = match_colors(style, content)
    found, wanted = (oracle.moments(to_linear(each)) for each in (matched, content))
    np.testing.assert_allclose(found[1], wanted[1], atol=5e-3)
    np.testing.assert_allclose(found[2], wanted[2], atol=5e-3)
    rounded = np.uint8(np.rint(255 * content))
    np.testing.assert_allclose(match_colors(style, rounded), matched, atol=0.01)


def test_pictures_of_any_size_are_matched_by_one_program():
    match_colors(PAINTING, CONTENT)
    gc.collect()
    programs = jax.devices()[0].client.live_executables
    before = len(programs())
    match_colors(PAINTING[:-3, :-2], CONTENT[:-1])
    assert len(programs()) <= before


def test_colours_are_matched_of_bytes_as_of_floats(tiny):
    style, asked = np.uint8(255 * PAINTING), {"colors": "matched", "levels": (1,), "model": tiny}
    wanted = wct.stylize(CONTENT, style / np.float32(255), **asked)
    np.testing.assert_allclose(wct.stylize(CONTENT, style, **asked), wanted, atol=1e-5)


def test_stylize_keeps_colours(tiny):
    result = wct.stylize(CONTENT, PAINTING, 1.0, colors="luminance", model=tiny)
    plain = wct.stylize(CONTENT, PAINTING, 1.0, model=tiny)
    np.testing.assert_array_equal(result, with_chroma_of(CONTENT, plain))
    matched = wct.stylize(CONTENT, PAINTING, 1.0, colors="matched", model=tiny)
    recoloured = match_colors(PAINTING, CONTENT)
    np.testing.assert_array_equal(matched, wct.stylize(CONTENT, recoloured, 1.0, model=tiny))


def test_what_cannot_be_done(tiny):
    with pytest.raises(WctError, match="no choice of colors 'grey': they are style, luminance, m"):
        wct.stylize(CONTENT, PAINTING, colors="grey", model=tiny)
    with pytest.raises(WctError, match="'luminence': did you mean 'luminance'"):
        wct.stylize(CONTENT, PAINTING, colors="luminence", model=tiny)
    with pytest.raises(WctError, match="colors='matched' recolours the style's picture"):
        wct.stylize(CONTENT, tiny.read_style(PAINTING), colors="matched", model=tiny)
