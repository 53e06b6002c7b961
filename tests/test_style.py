"""Styles as files, pooled and mixed."""

import gc
import json
import os
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import safetensors.numpy
from conftest import picture
from flax import nnx

import wct
from training.bank import write_bank
from wct import _models
from wct._errors import ImageError, WctError, WeightsError
from wct._mixing import mix_styles, pool_styles, stack_styles
from wct._style import Style
from wct._weights import save_model

SIZE = 48


@pytest.fixture(scope="module")
def styles(tiny):
    return [tiny.read_style(picture(SIZE, SIZE, seed)) for seed in (1, 2, 3)]


def assert_same(actual, wanted, within=0.0):
    assert actual.model == wanted.model
    for ours, theirs in zip(actual.levels, wanted.levels, strict=True):
        for part in ("weight", "mean", "covariance"):
            value, expected = getattr(ours, part), np.asarray(getattr(theirs, part))
            atol = within * np.abs(expected).max()
            np.testing.assert_allclose(value, expected, rtol=0, atol=atol)


def test_a_saved_style_is_the_style(styles, tmp_path):
    path = tmp_path / "one.safetensors"
    styles[0].save(path)
    assert_same(Style.load(path), styles[0])
    assert [file.name for file in tmp_path.iterdir()] == ["one.safetensors"]


def test_styles_are_compared_by_identity_and_pickled_without_what_can_be_made_anew(styles):
    style = styles[0]
    before = len(pickle.dumps(style))
    style.at_hand((5,), "eigh")
    data = pickle.dumps(style)
    assert len(data) == before
    again = pickle.loads(data)
    assert_same(again, style)
    assert style != again
    assert len({style, again, style}) == 2


def test_a_compact_file_is_nearly_the_style(tiny, styles, tmp_path):
    """Also of several styles, whose axes must be written in their order."""
    bank = stack_styles(styles)
    bank.save(tmp_path / "bank.safetensors", compact=True)
    bank.save(tmp_path / "whole.safetensors")
    found = Style.load(tmp_path / "bank.safetensors")
    assert_same(found, bank, within=2e-3)
    assert_same(Style.load(tmp_path / "whole.safetensors"), bank)
    content, recipe = jnp.asarray(picture(30, 40, 5))[None], wct.Recipe(1.0, levels=(1,))
    for index in range(3):
        first, second = (
            tiny(content, jax.tree.map(lambda values, i=index: values[i], each), recipe)
            for each in (bank, found)
        )
        assert jnp.abs(first - second).mean() < 0.3 / 255


def test_a_model_may_bring_styles(tiny_directory):
    with pytest.raises(WeightsError, match=r"tiny has no styles: take those of vgg19-lite"):
        Style.from_pretrained(tiny_directory)
    pictures = [picture(24, 24, seed) for seed in (1, 2, 3)]
    write_bank(tiny_directory, pictures)
    _models.verify_model(tiny_directory)
    found = Style.from_pretrained(tiny_directory)
    stylizer = wct.Stylizer.from_pretrained(tiny_directory)
    assert_same(found, stack_styles([stylizer.read_style(each) for each in pictures]), within=2e-3)
    file = tiny_directory / "styles.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"oops")
    with pytest.raises(WeightsError, match="its sha256 differs"):
        Style.from_pretrained(tiny_directory)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("level3.mean", np.zeros(7), r"level3's weight, mean and covariance are of shapes \(\), "),
        (
            "level1.weight",
            np.zeros(2),
            r"level1's weight, mean and covariance are of shapes \(2,\)",
        ),
        ("level2.mean", np.float32(1), "level2's"),
        ("level5.root", np.zeros(9), r"level5's mean and root are of shapes \(8,\), \(9,\)"),
        ("level1.mean", np.full(4, np.nan), "level1 has values that are no numbers"),
    ],
)
def test_parts_that_do_not_fit_each_other(styles, tmp_path, name, value, message):
    path = tmp_path / "one.safetensors"
    styles[0].save(path)
    tensors = safetensors.numpy.load_file(path) | {name: np.asarray(value, np.float32)}
    about = {"format": "wct-style", "model": "tiny"}
    safetensors.numpy.save_file(tensors, path, about)
    with pytest.raises(WctError, match=f"is no style: .*{message}"):
        Style.load(path)


def test_levels_of_different_axes_are_no_style(styles, tmp_path):
    path = tmp_path / "one.safetensors"
    styles[0].save(path)
    tensors = safetensors.numpy.load_file(path)
    tensors |= {name: value[None] for name, value in tensors.items() if name.startswith("level1.")}
    safetensors.numpy.save_file(tensors, path, {"format": "wct-style", "model": "tiny"})
    with pytest.raises(WctError, match="is no style: its levels have different axes"):
        Style.load(path)


def test_a_root_is_looked_at_before_its_matrix_is_made(styles, tmp_path):
    """Which would take 13 GB."""
    path = tmp_path / "one.safetensors"
    styles[0].save(path, compact=True)
    tensors = safetensors.numpy.load_file(path) | {"level1.mean": np.zeros(60_000, np.float32)}
    safetensors.numpy.save_file(tensors, path, {"format": "wct-style", "model": "tiny"})
    with pytest.raises(WctError, match=r"level1's mean and root are of shapes \(60000,\), \(10,\)"):
        Style.load(path)


@pytest.mark.parametrize("kind", ["F8_E4M3", "F4"])
def test_numbers_of_a_type_unknown_to_numpy(tmp_path, kind):
    tensor = {"dtype": kind, "shape": [2], "data_offsets": [0, 1 if kind == "F4" else 2]}
    header = json.dumps({"level1.weight": tensor}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(tensor["data_offsets"][1])
    (tmp_path / "one.safetensors").write_bytes(content)
    with pytest.raises(WctError, match="is no style: it has numbers of a type unknown to NumPy"):
        Style.load(tmp_path / "one.safetensors")


def test_numbers_too_large_for_the_compact_form(styles, tmp_path):
    path = tmp_path / "one.safetensors"
    large = jax.tree.map(lambda values: 1e12 * values, styles[0])
    with pytest.raises(WctError, match="too large for float16: save it without compact"):
        large.save(path, compact=True)
    assert not list(tmp_path.iterdir())
    large.save(path)
    assert_same(Style.load(path), large)


def test_a_style_file_stands_for_its_picture(tiny, styles, tmp_path):
    content = picture(30, 40, 5)
    styles[0].save(tmp_path / "one.safetensors")
    by_file = wct.stylize(content, tmp_path / "one.safetensors", model=tiny)
    by_picture = wct.stylize(content, picture(SIZE, SIZE, 1), model=tiny)
    np.testing.assert_array_equal(by_file, by_picture)


def test_equal_styles_are_equal_files(styles, tmp_path):
    """Again and again: safetensors by itself writes what is said of tensors in any order.

    Their numbers are aligned as it aligns them.
    """
    for number in range(20):
        styles[0].save(tmp_path / f"{number}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    with safetensors.safe_open(tmp_path / "0.safetensors", "numpy") as file:
        assert sorted(file.metadata()) == ["format", "model"]
    assert int.from_bytes((tmp_path / "0.safetensors").read_bytes()[:8], "little") % 8 == 0


def test_a_bank_is_no_style(tiny, styles):
    with pytest.raises(WctError, match="a bank of several styles: give a single one"):
        wct.stylize(picture(SIZE, SIZE, 4), stack_styles(styles), model=tiny)


def test_nothing_is_overwritten_unasked(styles, tmp_path):
    path = tmp_path / "one.safetensors"
    path.write_text("mine")
    with pytest.raises(ImageError, match="exists already"):
        styles[0].save(path)
    assert path.read_text() == "mine"
    styles[0].save(path, overwrite=True)
    assert_same(Style.load(path), styles[0])


def test_no_style(tmp_path):
    with pytest.raises(WctError, match=r"cannot read .*none\.safetensors"):
        Style.load(tmp_path / "none.safetensors")
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(WctError, match="is no style: it is a pipe"):
        Style.load(tmp_path / "pipe.safetensors")
    (tmp_path / "text.safetensors").write_text("hello, this is no safetensors file")
    with pytest.raises(WctError, match="is no style"):
        Style.load(tmp_path / "text.safetensors")
    safetensors.numpy.save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WctError, match="is no style: it does not say so"):
        Style.load(tmp_path / "other.safetensors")
    about = {"format": "wct-style", "model": "tiny"}
    safetensors.numpy.save_file({"a": np.zeros(3)}, tmp_path / "part.safetensors", about)
    with pytest.raises(WctError, match=r"is no style: it lacks 'level1\.weight'"):
        Style.load(tmp_path / "part.safetensors")


def test_a_style_of_another_model_is_refused(tiny, styles, tmp_path):
    Style(styles[0].levels, "vgg19").save(tmp_path / "other.safetensors")
    with pytest.raises(WctError, match=r"'vgg19'.*'tiny'"):
        wct.stylize(picture(20, 20, 0), tmp_path / "other.safetensors", model=tiny)


def test_another_encoder_of_the_same_name_is_another_model(tiny, tiny_model, tmp_path):
    save_model(tmp_path / "one", tiny_model)
    first = wct.Stylizer.from_pretrained(tmp_path / "one")
    again = wct.Stylizer.from_pretrained(tmp_path / "one")
    style = first.read_style(picture(20, 20, 0))
    again(jnp.asarray(picture(20, 20, 1))[None], style, wct.Recipe(levels=(1,)))
    kernel = tiny_model.encoder.layers["conv1_1"].kernel
    tiny_model.encoder.layers["conv1_1"].kernel = nnx.Param(2 * kernel[...])
    try:
        save_model(tmp_path / "two", tiny_model)
    finally:
        tiny_model.encoder.layers["conv1_1"].kernel = kernel
    other = wct.Stylizer.from_pretrained(tmp_path / "two")
    with pytest.raises(WctError, match="measured by the model 'tiny@"):
        other(jnp.asarray(picture(20, 20, 1))[None], style, wct.Recipe(levels=(1,)))


def test_pooled_moments_are_those_of_all_pixels(tiny, tensors):
    images = [picture(32, 48, 1), picture(48, 48, 2), picture(16, 16, 3)]
    pooled = wct.read_style(*images, model=tiny)
    for level in range(1, 6):
        features = [oracle.encode(tensors["encoder"], image)[level] for image in images]
        vectors = np.concatenate([values.reshape(-1, values.shape[-1]) for values in features])
        weight, mean, covariance = oracle.moments(vectors)
        found = pooled.levels[level - 1]
        assert float(found.weight) == weight
        np.testing.assert_allclose(found.mean, mean, rtol=1e-4)
        within = 1e-4 * np.abs(covariance).max()
        np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=within)


def test_a_pool_of_styles_is_built_as_a_style(styles):
    """So that what is compiled for the one serves the other."""
    assert jax.tree.structure(pool_styles(styles)) == jax.tree.structure(styles[0])


def test_a_mixture_mixes_means_and_roots(styles):
    weights = (0.5, 0.2, 0.3)
    mixed = mix_styles(styles, weights)
    for level in range(5):
        parts = [style.levels[level] for style in styles]
        pairs = list(zip(weights, parts, strict=True))
        mean = sum(weight * np.asarray(part.mean) for weight, part in pairs)
        root = sum(weight * oracle.coloring(part.covariance) for weight, part in pairs)
        np.testing.assert_allclose(mixed.levels[level].mean, mean, rtol=1e-5)
        wanted = root @ root
        np.testing.assert_allclose(
            mixed.levels[level].covariance, wanted, rtol=0, atol=1e-4 * wanted.max()
        )


def test_a_mixture_takes_a_program_for_each_width(styles):
    jax.clear_caches()
    gc.collect()
    programs = jax.devices()[0].client.live_executables
    before = len(programs())
    mix_styles(styles)
    assert len(programs()) - before <= len({moments.mean.shape for moments in styles[0].levels})


def test_weight_one_is_that_style_alone_and_weight_zero_its_absence(styles):
    assert_same(mix_styles(styles, (0, 1, 0)), styles[1])
    assert_same(mix_styles(styles, (0.4, 0, 0.6)), mix_styles(styles[::2], (0.4, 0.6)))
    assert_same(mix_styles([styles[0], styles[0]], (0.3, 0.7)), styles[0], within=1e-5)
    assert_same(mix_styles(styles), mix_styles(styles, (1 / 3, 1 / 3, 1 / 3)))


def test_coarse_from_one_and_fine_from_another(styles):
    mixed = mix_styles(styles[:2], [(1, 1, 0.5, 0, 0), (0, 0, 0.5, 1, 1)])
    halves = mix_styles(styles[:2])
    wanted = [*styles[1].levels[:2], halves.levels[2], *styles[0].levels[3:]]
    assert_same(mixed, Style(tuple(wanted), "tiny"))


def test_several_styles_in_one_call(tiny, styles):
    content, pictures = picture(30, 40, 5), [picture(SIZE, SIZE, seed) for seed in (1, 2)]
    result = wct.stylize(content, pictures, weights=(0.3, 0.7), model=tiny)
    wanted = wct.stylize(content, mix_styles(styles[:2], (0.3, 0.7)), model=tiny)
    np.testing.assert_array_equal(result, wanted)
    alone = wct.stylize(content, [*pictures, styles[2]], weights=(0, 1, 0), model=tiny)
    np.testing.assert_array_equal(alone, wct.stylize(content, pictures[1], model=tiny))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((0.5, 0.4), "add up to 1, but they are 0.5, 0.4"),
        ((1.5, -0.5), "at least 0"),
        ((float("nan"), 1), "at least 0"),
        ((1,), "1 weights for 2 styles"),
        ([(1, 0), (0, 1)], "one number, or five"),
        ([(1, 1, 1, 1, 0), (0, 0, 0, 0, 0)], "add up to 1"),
    ],
)
def test_wrong_weights(styles, weights, message):
    with pytest.raises(WctError, match=message):
        mix_styles(styles[:2], weights)


def test_styles_that_do_not_go_together(tiny, styles):
    other = Style(styles[1].levels, "vgg19")
    for function in (mix_styles, pool_styles):
        with pytest.raises(WctError, match="different models: tiny, vgg19"):
            function([styles[0], other])
        with pytest.raises(WctError, match="no styles"):
            function([])
    for function in (mix_styles, pool_styles, stack_styles):
        with pytest.raises(WctError, match="a bank of several: give single ones"):
            function([styles[0], stack_styles(styles)])
        with pytest.raises(WctError, match=r"have \(4, 6, .* and \(8, 8, .* features at their"):
            function([styles[0], Style(styles[1].levels[::-1], "tiny")])
    with pytest.raises(WctError, match="no styles"):
        wct.read_style(model=tiny)


@pytest.mark.parametrize("tile", [None, 240])
def test_out_of_memory_is_one_line(tiny, monkeypatch, tile, exhaust):
    monkeypatch.setattr("wct._styles.choose_tile", lambda *_: tile)
    monkeypatch.setattr("wct._stylizer.Stylizer.read_style", exhaust)
    monkeypatch.setattr("wct._tiled.measure_tiles", exhaust)
    with pytest.raises(WctError, match=r"out of memory: .*--memory"):
        wct.read_style(picture(SIZE, SIZE, 1), model=tiny)
