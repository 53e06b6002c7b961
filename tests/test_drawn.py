from itertools import combinations

import numpy as np
import pytest

from wct._drawn import STYLES, draw_style
from wct._errors import WctError
from wct._scene import draw_scene

SIZE = 192


@pytest.fixture(scope="module")
def drawn():
    return {name: draw_style(name, SIZE) for name in STYLES}


def grey(pixels):
    return pixels @ np.float32([0.299, 0.587, 0.114])


def detail(pixels):
    """The mean step from a pixel to the next."""
    tone = grey(pixels)
    return (np.abs(np.diff(tone, axis=0)).mean() + np.abs(np.diff(tone, axis=1)).mean()) / 2


def colourfulness(pixels):
    return (pixels.max(2) - pixels.min(2)).mean()


def colours(pixels):
    """The share of the pixels in each cell of a coarse colour cube."""
    counts, _ = np.histogramdd(pixels.reshape(-1, 3), bins=6, range=[(0, 1)] * 3)
    return counts / counts.sum()


def check(pixels, shape):
    assert pixels.shape == shape
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    assert np.isfinite(pixels).all()
    assert pixels.min() >= 0
    assert pixels.max() <= 1


@pytest.mark.parametrize("size", [1, 2, 16, 45, SIZE])
@pytest.mark.parametrize("name", STYLES)
def test_style_is_an_image_of_the_size_asked_for(name, size):
    check(draw_style(name, size), (size, size, 3))


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (16, 16), (90, 31), (31, 90), (96, 128)])
def test_scene_is_an_image_of_the_size_asked_for(shape):
    check(draw_scene(*shape), (*shape, 3))


def test_default_sizes():
    check(draw_style("stained-glass"), (384, 384, 3))
    check(draw_scene(), (384, 512, 3))


@pytest.mark.parametrize("name", STYLES)
def test_same_arguments_give_the_same_bytes(name, drawn):
    assert draw_style(name, SIZE, seed=0).tobytes() == drawn[name].tobytes()


def test_the_scene_is_always_the_same():
    assert draw_scene(60, 80).tobytes() == draw_scene(60, 80).tobytes()


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    draw_style("strokes", 16)
    draw_scene(16, 16)
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


@pytest.mark.parametrize("name", STYLES)
def test_seeds_differ(name, drawn):
    other = draw_style(name, SIZE, seed=1)
    assert np.abs(other - drawn[name]).mean() > 0.05


@pytest.mark.parametrize("name", STYLES)
def test_a_palette_colours_the_picture(name):
    """The same picture in greens: no other hue, and not the picture's own colours."""
    green = draw_style(name, 64, palette="#061006 #103010 #206020 #40a040 #a0e0a0 #f0fff0")
    assert (green[..., 1] >= green[..., [0, 2]].max(2) - 0.02).all()
    assert np.abs(green - draw_style(name, 64)).mean() > 0.05


@pytest.mark.parametrize("name", STYLES)
def test_another_size_is_the_same_picture(name, drawn):
    """Up to what is lost or gained in detail: compare what is left at 12 pixels."""

    def small(pixels):
        block = len(pixels) // 12
        return pixels.reshape(12, block, 12, block, 3).mean((1, 3))

    same = np.abs(small(draw_style(name, 2 * SIZE)) - small(drawn[name])).mean()
    other = np.abs(small(draw_style(name, SIZE, seed=1)) - small(drawn[name])).mean()
    assert same < 0.5 * other


@pytest.mark.parametrize("name", STYLES)
def test_styles_are_rich(name, drawn):
    pixels = drawn[name]
    assert grey(pixels).std() > 0.12
    assert detail(pixels) > 0.015
    assert (colours(pixels) > 0.005).sum() >= 6


def test_styles_differ_in_their_colours(drawn):
    for first, second in combinations(STYLES, 2):
        distance = np.abs(colours(drawn[first]) - colours(drawn[second])).sum() / 2
        assert distance > 0.25, (first, second)


def test_each_style_has_its_character(drawn):
    assert min(drawn, key=lambda name: colourfulness(drawn[name])) == "hatching"
    assert min(drawn, key=lambda name: detail(drawn[name])) == "stained-glass"
    # The arcs of the woodcut lie flat: more changes from row to row than along one.
    rows, columns = (np.abs(np.diff(grey(drawn["woodcut"]), axis=axis)).mean() for axis in (0, 1))
    assert rows > 1.3 * columns


def test_the_scene_shows_what_it_says():
    pixels = draw_scene(192, 256)
    height, width, _ = pixels.shape
    sky, grass = pixels[:10].mean((0, 1)), pixels[-8:, :30].mean((0, 1))
    sun = pixels[int(0.2 * height), int(0.72 * width)]
    roof = pixels[int(0.53 * height), int(0.62 * width)]
    image_in_water = pixels[int(0.78 * height), int(0.62 * width)]
    assert sky.argmax() == 2
    assert grass.argmax() == 1
    assert sun.min() > 0.8
    assert roof[0] > 2 * roof[1:].max()
    assert image_in_water.argmax() == 0
    assert detail(pixels) > 0.015


@pytest.mark.parametrize("name", ["Mosaic", "mosaik"])
def test_an_unknown_style_is_answered_with_the_nearest(name):
    with pytest.raises(WctError, match=f"no drawn style '{name}': did you mean 'mosaic'"):
        draw_style(name, 16)


def test_an_unknown_style_like_none_is_answered_with_all():
    with pytest.raises(WctError, match=rf"no drawn style '': they are {', '.join(STYLES)}$"):
        draw_style("", 16)


@pytest.mark.parametrize("size", [0, -3])
def test_a_picture_without_pixels_is_refused(size):
    with pytest.raises(WctError, match=f"not {size}"):
        draw_style("mosaic", size)
    with pytest.raises(WctError, match=f"not {size}"):
        draw_scene(16, size)
