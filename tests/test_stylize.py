import inspect
import io

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import picture
from PIL import Image

import wct
from wct._errors import ImageError, WctError, WeightsError
from wct._recipe import PRESETS, Recipe
from wct._refine import refine
from wct._stylize import Options

# Pictures of few canvases; see test_stylizer.py.
CONTENT = np.rint(picture(12, 15, 1) * 255).astype(np.uint8)
PAINTING = np.rint(picture(16, 13, 2) * 255).astype(np.uint8)
ALPHA = 0.8


def unit(pixels):
    return np.float32(pixels) / 255


def expected(tiny, content=CONTENT, painting=PAINTING, alpha=ALPHA, preset="balanced", **options):
    """By the Stylizer, in floats."""
    style = tiny.read_style(unit(painting))
    recipe = Recipe.preset(preset, alpha=alpha, **options)
    return np.asarray(tiny(jnp.asarray(unit(content))[None], style, recipe)[0])


def assert_rounded(actual, wanted):
    actual = np.asarray(actual)
    assert actual.dtype == np.uint8
    assert actual.shape == wanted.shape
    np.testing.assert_allclose(actual, wanted * 255, rtol=0, atol=0.501)


def stream(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    buffer.seek(0)
    return buffer


def lanczos(pixels, width, height):
    """Resampled by Pillow in floats, each channel by itself."""
    planes = [
        Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS)
        for plane in np.moveaxis(unit(pixels), 2, 0)
    ]
    return np.dstack(planes).clip(0, 1)


def test_paths(tiny, tmp_path):
    Image.fromarray(CONTENT).save(tmp_path / "content.png")
    Image.fromarray(PAINTING).save(tmp_path / "painting.png")
    for kind in (str, lambda path: path):
        paths = (kind(tmp_path / f"{name}.png") for name in ("content", "painting"))
        result = wct.stylize(*paths, ALPHA, model=tiny)
        assert isinstance(result, Image.Image)
        assert result.mode == "RGB"
        assert result.size == (15, 12)
        assert_rounded(result, expected(tiny))


@pytest.mark.parametrize("kind", [Image.fromarray, stream])
def test_pillow_images_and_streams(tiny, kind):
    result = wct.stylize(kind(CONTENT), kind(PAINTING), ALPHA, model=tiny)
    assert isinstance(result, Image.Image)
    assert_rounded(result, expected(tiny))


def test_bytes_in_bytes_out(tiny):
    result = wct.stylize(CONTENT, PAINTING, ALPHA, model=tiny)
    assert isinstance(result, np.ndarray)
    assert_rounded(result, expected(tiny))


@pytest.mark.parametrize("kind", [np.float32, np.float64, jnp.float32])
def test_floats_in_floats_out(tiny, kind):
    result = wct.stylize(kind(unit(CONTENT)), kind(unit(PAINTING)), ALPHA, model=tiny)
    assert isinstance(result, np.ndarray)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected(tiny), rtol=0, atol=1e-5)
    assert result.min() >= 0
    assert result.max() <= 1


def test_the_result_is_of_the_contents_kind_not_of_the_styles(tiny):
    assert wct.stylize(unit(CONTENT), Image.fromarray(PAINTING), model=tiny).dtype == np.float32
    assert isinstance(
        wct.stylize(Image.fromarray(CONTENT), unit(PAINTING), model=tiny), Image.Image
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(tiny, preset):
    style = tiny.read_style(unit(PAINTING))
    wanted = tiny(jnp.asarray(unit(CONTENT))[None], style, PRESETS[preset])[0]
    assert_rounded(wct.stylize(CONTENT, PAINTING, preset=preset, model=tiny), wanted)


def test_a_default_preset(tiny):
    wanted = wct.stylize(CONTENT, PAINTING, preset="balanced", model=tiny)
    np.testing.assert_array_equal(wct.stylize(CONTENT, PAINTING, model=tiny), wanted)
    style = tiny.read_style(unit(PAINTING))
    assert_rounded(wanted, tiny(jnp.asarray(unit(CONTENT))[None], style)[0])


def test_what_is_given_counts_and_not_the_preset(tiny):
    given = {"detail": 0.3, "transform": "wct", "ridge": 0.5, "solver": "newton-schulz"}
    result = wct.stylize(CONTENT, PAINTING, 0.9, preset="paper", levels=[3, 1], model=tiny, **given)
    assert_rounded(result, expected(tiny, alpha=0.9, preset="paper", levels=(3, 1), **given))


def test_levels_and_a_strength_each(tiny):
    result = wct.stylize(CONTENT, PAINTING, [1.0, 0.2], levels=[2, 4], model=tiny)
    assert_rounded(result, expected(tiny, alpha=[1.0, 0.2], levels=(2, 4)))


def test_strength_zero_is_the_content(tiny):
    np.testing.assert_array_equal(wct.stylize(CONTENT, PAINTING, 0.0, model=tiny), CONTENT)


@pytest.mark.parametrize(("size", "height", "width"), [(15, 12, 15), (30, 24, 30), (8, 6, 8)])
def test_size_is_the_longer_side(tiny, size, height, width):
    result = wct.stylize(CONTENT, PAINTING, ALPHA, size=size, model=tiny, levels=(2, 1))
    resized = lanczos(CONTENT, width, height)
    assert_rounded(result, expected(tiny, 255 * resized, levels=(2, 1)))


def test_size_leaves_the_style_alone(tiny):
    """And style_size leaves the content alone."""
    result = wct.stylize(CONTENT, PAINTING, ALPHA, size=8, style_size=16, model=tiny, levels=(2, 1))
    wanted = expected(tiny, 255 * lanczos(CONTENT, 8, 6), levels=(2, 1))
    assert_rounded(result, wanted)


def test_larger_styles_are_reduced(tiny):
    large = np.rint(picture(48, 30, 2) * 255).astype(np.uint8)
    # The upper levels of 16 × 10 pixels are of low rank, and amplify what rounding there is.
    fine = {"levels": (2, 1), "model": tiny}
    result = wct.stylize(CONTENT, large, ALPHA, style_size=16, **fine)
    wanted = expected(tiny, painting=255 * lanczos(large, 10, 16), levels=(2, 1))
    assert_rounded(result, wanted)
    whole = wct.stylize(CONTENT, large, ALPHA, **fine)
    assert np.abs(np.int16(whole) - result).max() > 2


def test_smaller_styles_are_not_enlarged(tiny):
    for style_size in (16, 17, 512):
        result = wct.stylize(CONTENT, PAINTING, ALPHA, style_size=style_size, model=tiny)
        assert_rounded(result, expected(tiny))


def test_one_pixel(tiny):
    result = wct.stylize(CONTENT[:1, :1], PAINTING[:1, :1], 1.0, model=tiny)
    assert result.shape == (1, 1, 3)


def test_style_read_before(tiny):
    style = tiny.read_style(unit(PAINTING))
    result = wct.stylize(CONTENT, style, ALPHA, model=tiny)
    np.testing.assert_array_equal(result, wct.stylize(CONTENT, PAINTING, ALPHA, model=tiny))
    with pytest.raises(WctError, match="the model 'other'"):
        wct.stylize(CONTENT, wct.Style(style.levels, "other"), model=tiny)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_model_directory(tiny, tiny_directory, kind):
    result = wct.stylize(CONTENT, PAINTING, ALPHA, model=kind(tiny_directory))
    wanted = expected(wct.Stylizer.from_pretrained(tiny_directory))
    assert_rounded(result, wanted)
    assert np.abs(wanted - expected(tiny)).max() > 0  # float16 on disk


@pytest.mark.parametrize("name", ["nowhere", 300 * "a"])
def test_no_such_model(tmp_path, name):
    with pytest.raises(WeightsError, match="no model"):
        wct.stylize(CONTENT, PAINTING, model=tmp_path / name)


def test_transparency_is_kept(tiny):
    opacity = np.random.default_rng(0).integers(0, 256, (12, 15), dtype=np.uint8)
    content = Image.fromarray(np.dstack([CONTENT, opacity]))
    result = wct.stylize(content, PAINTING, ALPHA, model=tiny)
    assert result.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(result)[..., 3], opacity)
    assert_rounded(np.asarray(result)[..., :3], expected(tiny))


def test_progress(tiny):
    done = []
    wct.stylize(CONTENT, PAINTING, model=tiny, progress=done.append)
    assert done == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_refinement_goes_on_from_the_chains_result(tiny):
    """Also from no chain at all, which is Gatys et al.'s method."""
    content, painting = unit(CONTENT), unit(PAINTING)
    style = tiny.read_style(painting)
    for levels in ((2, 1), ()):
        done = []
        found = wct.stylize(
            content, painting, ALPHA, levels=levels, refine=3, model=tiny, progress=done.append
        )
        start = expected(tiny, levels=levels)
        steps = refine(tiny.encoder, *map(jnp.asarray, (start, content)), style, 3)
        *_, (wanted, _) = steps
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        count = len(levels) + 3
        assert done == pytest.approx([(number + 1) / count for number in range(count)])
        assert np.abs(found - start).max() > 0.01


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"refine": -1}, "refine must be a whole number, at least 0, not -1"),
        ({"refine": 1.5}, "refine must be a whole number, at least 0, not 1.5"),
        ({"refine": 1, "masks": [np.ones((12, 15))]}, "give masks or refine, not both"),
        ({"alpha": 2.0}, "alpha must be from 0 to 1, not 2.0"),
        ({"alpha": [0.5, 0.5]}, "2 values of alpha for 5 levels"),
        ({"levels": (7,)}, "no level 7"),
        ({"preset": "papper"}, "no preset 'papper': did you mean 'paper'?"),
        ({"ridge": -0.1}, "ridge must be at least 0, not -0.1"),
        ({"solver": "svd"}, "no solver 'svd': they are eigh, newton-schulz"),
        ({"size": 0}, "size must be a whole number, at least 1, not 0"),
        ({"size": "10"}, "size must be a whole number, at least 1, not '10'"),
        ({"style_size": -3}, "style_size must be a whole number, at least 1, not -3"),
    ],
)
def test_what_is_out_of_range_is_said(tiny, options, words):
    with pytest.raises(WctError) as caught:
        wct.stylize(CONTENT, PAINTING, model=tiny, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pictures_that_are_none(tiny, tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        wct.stylize(tmp_path / "nothing.png", PAINTING, model=tiny)
    with pytest.raises(ImageError, match="shape"):
        wct.stylize(CONTENT, np.zeros((4, 4), np.uint8), model=tiny)


def test_inputs_are_left_as_they_were(tiny):
    content, painting = unit(CONTENT), unit(PAINTING)
    wct.stylize(content, painting, model=tiny)
    np.testing.assert_array_equal(content, unit(CONTENT))
    np.testing.assert_array_equal(painting, unit(PAINTING))


def test_type_checkers_are_told_of_every_option():
    given = inspect.signature(wct.stylize).parameters.values()
    named = [each for each in given if each.kind is each.KEYWORD_ONLY and each.name != "output"]
    told = {name: kind.__forward_arg__ for name, kind in Options.__annotations__.items()}
    assert told == {each.name: each.annotation for each in named}
