"""The weights that come along: they fit the code, and do what the paper says."""

import json
from functools import partial
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import safetensors.numpy
from skimage.data import astronaut, coffee

import wct
from training.bank import draw_bank
from training.export import PROBE, probe
from wct import _winograd
from wct._by_name import find_transform
from wct._drawn import draw_style
from wct._moments import moments
from wct._pixels import resize
from wct._transform import optimal_transport
from wct._weights import load_model, named_tensors

MODELS = sorted(wct.list_models())


def photograph(height, width):
    return resize(coffee()[:, 100:500].astype(np.float32) / 255, (height, width))


@pytest.mark.parametrize("name", MODELS)
def test_code_and_weights_still_agree(name):
    directory = wct.list_models()[name]
    expected = safetensors.numpy.load_file(directory / PROBE)
    found = probe(directory)
    assert found.keys() == expected.keys()
    for stage, values in expected.items():
        np.testing.assert_allclose(
            found[stage], values, atol=2e-3 * max(1, np.abs(values).max()), err_msg=stage
        )


@pytest.mark.parametrize("name", MODELS)
def test_the_card_says_what_is_there(name):
    directory = wct.list_models()[name]
    card = json.loads((directory / "model.json").read_text())
    assert card["name"] == name
    assert card["licence"]
    assert card["training"]
    present = {path.name for path in directory.glob("*.safetensors")}
    assert set(card["files"]) | {PROBE} == present
    text = (directory / "README.md").read_text()
    assert all(word in text for word in ("Data", "Loss", "Licence", "dB"))


def test_the_styles_fit_the_encoder():
    bank = wct.Style.from_pretrained()
    assert bank.model == wct.Stylizer.from_pretrained().mark
    assert all(moments.mean.shape[0] == 64 for moments in bank.levels)
    means = np.asarray(bank.levels[2].mean)
    distances = np.linalg.norm(means[:, None] - means[None], axis=-1) + 1e3 * np.eye(64)
    assert distances.min() > 0.02 * np.linalg.norm(means, axis=-1).mean()


def test_the_styles_are_the_drawn_ones():
    """One of the first kind and one of the second, of one size."""
    stylizer, shipped = wct.Stylizer.from_pretrained(), wct.Style.from_pretrained()
    drawn = list(islice(draw_bank(), 9))
    for index in (1, 8):
        found = stylizer.read_style(drawn[index])
        for ours, theirs in zip(found.levels, shipped.levels, strict=True):
            atol = 2e-3 * np.abs(ours.mean).max()
            np.testing.assert_allclose(ours.mean, theirs.mean[index], rtol=0, atol=atol)


@pytest.fixture(scope="module")
def networks():
    """The default model's tensors, float64, as the oracle takes them."""
    model = load_model("vgg19-lite")
    found = {"encoder": dict(named_tensors(model.encoder))}
    found |= {level: dict(named_tensors(net)) for level, net in model.decoders.items()}
    return {
        key: {name: np.float64(value) for name, value in tensors.items()}
        for key, tensors in found.items()
    }


@pytest.fixture(scope="module")
def encoded(networks):
    """Features of a photograph of two sizes, and of a style, by level."""
    pictures = {size: photograph(*size) for size in [(160, 192), (320, 384)]}
    pictures["style"] = draw_style("mosaic", 320)
    return {name: oracle.encode(networks["encoder"], each) for name, each in pictures.items()}


def compare(networks, levels):
    """Difference between our chain and the paper's in float64.

    At alpha 1 and 320 × 384 pixels: 480 features of 128 channels at level 5.
    """
    content, style = photograph(320, 384), draw_style("mosaic", 320)
    alphas = (1.0,) * len(levels)
    expected, _ = oracle.chain(networks, content, style, alphas, levels)
    found = wct.stylize(content, style, 1.0, preset="paper", levels=levels)
    return np.abs(found - np.clip(expected, 0, 1))


@pytest.mark.parametrize("levels", [(5,), (4,), (3,), (2,), (1,), (5, 4, 3, 2, 1)])
def test_the_chain_is_the_papers(networks, levels):
    """Whether a covariance is singular or nearly so, as level 4's is here, or not."""
    assert compare(networks, levels).max() < 2e-3


def test_so_it_is_by_winograds_convolution(networks, monkeypatch):
    """Which layers of so small a picture are done without."""
    monkeypatch.setattr(_winograd, "_WORK", 0)
    monkeypatch.setattr(_winograd, "_least", lambda: 64)
    assert compare(networks, (5, 4, 3, 2, 1)).max() < 2e-3


@pytest.mark.parametrize("transform", ["wct", "ot"])
def test_solvers_agree_on_real_features(transform):
    """At 160 × 192 pixels, level 5 has fewer features than channels."""
    content, style = photograph(160, 192), draw_style("mosaic", 320)
    first, second = (
        wct.stylize(content, style, 1.0, preset="paper", transform=transform, solver=solver)
        for solver in ("eigh", "newton-schulz")
    )
    assert np.abs(first - second).max() < 2e-3


@pytest.mark.parametrize("transform", ["wct", "ot"])
def test_solvers_map_real_features_alike(encoded, transform):
    style = encoded["style"]

    @partial(jax.jit, static_argnames="solver")
    def restyle(content, style, solver):
        return find_transform(transform, solver)(moments(content), moments(style))(content)

    for level, features in encoded[160, 192].items():
        given, model = (jnp.asarray(each, jnp.float32) for each in (features, style[level]))
        first, second = (restyle(given, model, solver) for solver in ("eigh", "newton-schulz"))
        assert np.abs(first - second).max() < 1e-3 * np.ptp(first)


@pytest.mark.parametrize("solver", ["eigh", "newton-schulz"])
@pytest.mark.parametrize("size", [(160, 192), (320, 384)])
def test_optimal_transport_of_real_features_is_the_oracles(encoded, size, solver):
    """Whether a covariance is singular or not, at every level."""
    style = encoded["style"]
    for level, features in encoded[size].items():
        ours, theirs = oracle.moments(features), oracle.moments(style[level])
        wanted = oracle.singular_transport(features, ours, theirs, soft=True)
        given, model = (jnp.asarray(each, jnp.float32) for each in (features, style[level]))
        found = optimal_transport(moments(given), moments(model), solver=solver)(given)
        assert np.abs(found - wanted).max() < 2e-3 * np.ptp(wanted)
        exact = oracle.singular_transport(features, ours, theirs)
        assert np.sqrt(np.mean((found - exact) ** 2)) < 5e-4 * np.ptp(exact)


def test_alpha_0_is_the_content():
    content = photograph(170, 201)
    found = wct.stylize(content, draw_style("strokes", 256), 0.0)
    assert np.abs(found - content).max() < 1 / 255


def test_reconstruction_of_a_photograph_that_was_never_seen():
    model = load_model("vgg19-lite")
    image = resize(astronaut().astype(np.float32) / 255, (320, 320))
    features = model.encoder(jnp.asarray(image)[None])
    for level, bar in {1: 37, 2: 29, 3: 24, 4: 20, 5: 15}.items():
        decoded = np.clip(model.decoders[level](features[level - 1])[0], 0, 1)
        assert -10 * np.log10(np.mean((decoded - image) ** 2)) > bar


def test_a_result_comes_nearer_to_its_style():
    """In the model's own features, the covariance at all levels, and the mean at the finer ones."""
    content, style = photograph(256, 256), draw_style("mosaic", 256)
    stylizer = wct.Stylizer.from_pretrained()
    read = {
        name: stylizer.read_style(picture).levels
        for name, picture in {
            "content": content,
            "style": style,
            "result": wct.stylize(content, style, 1.0),
        }.items()
    }
    for level in range(5):
        moments = {name: levels[level] for name, levels in read.items()}
        for part in ("mean", "covariance") if level < 3 else ("covariance",):
            wanted, before, after = (
                np.asarray(getattr(moments[name], part)) for name in ("style", "content", "result")
            )
            assert np.linalg.norm(after - wanted) < 0.8 * np.linalg.norm(before - wanted)


@pytest.mark.parametrize("preset", ["balanced", "paper"])
def test_tiles_of_a_photograph_are_the_whole(preset):
    """400 × 437 pixels, in four tiles of each level."""
    content = np.pad(photograph(400, 430), ((0, 0), (0, 7), (0, 0)), mode="symmetric")
    style = draw_style("strokes", 256).astype(np.float32)
    wanted = wct.stylize(content, style, preset=preset)
    found = wct.stylize(content, style, preset=preset, tile=240)
    assert np.abs(found - wanted).max() < 2e-3
    assert np.abs(found - content).mean() > 0.03


@pytest.mark.parametrize("preset", ["paper", "balanced"])
def test_a_picture_of_one_colour_becomes_one(preset):
    """Rounding, which is all that varies, is not given the style: whole and in bands."""
    run = partial(wct.stylize, style=astronaut(), preset=preset)
    for colour in (0.5, (0.95, 0.05, 0.2), 0.0):
        content = np.broadcast_to(np.float32(colour), (200, 208, 3))
        whole = run(content)
        assert np.ptp(whole, (0, 1)).max() < 1e-4
        np.testing.assert_allclose(run(content, tile=176), whole, rtol=0, atol=1e-4)
