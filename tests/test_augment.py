"""Random styles in a training step."""

import inspect
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import picture, run_on_devices

import wct
from wct._augment import augment
from wct._errors import ImageError, WctError
from wct._loaded import load_bank, load_stylizer

ROOT = Path(__file__).parent.parent
LAST = wct.Recipe(0.9, 0.3, levels=(1,), transform="ot", solver="newton-schulz")
HEIGHT, WIDTH = 18, 21


@pytest.fixture(scope="module")
def bank(tiny):
    return wct.stack_styles([tiny.read_style(picture(32, 32, seed)) for seed in (1, 2, 3)])


@pytest.fixture(scope="module")
def run(tiny, bank):
    """`augment`, compiled once for all that takes a batch of four."""

    @jax.jit
    def compiled(key, images, bank, probability, alpha, mixing, recipe):
        return augment(
            key,
            images,
            bank,
            stylizer=tiny,
            probability=probability,
            alpha=alpha,
            mixing=mixing,
            recipe=recipe,
        )

    def run(seed, images, *, bank=bank, probability=1.0, alpha=(0.3, 1.0), mixing=0.5, recipe=LAST):
        return compiled(jax.random.key(seed), images, bank, probability, alpha, mixing, recipe)

    return run


@pytest.fixture(scope="module")
def images():
    return jnp.stack([jnp.asarray(picture(HEIGHT, WIDTH, seed)) for seed in range(4)])


def pick(bank, *indices):
    """A bank of three of the styles, so that nothing is compiled for another number."""
    return jax.tree.map(lambda values: values[jnp.asarray(indices)], bank)


def mean_change(found, images):
    return np.abs(np.asarray(found - images)).mean((1, 2, 3))


def test_with_probability_zero_all_stay_as_they_are(run, images):
    np.testing.assert_array_equal(run(0, images, probability=0.0), images)


def test_with_alpha_zero_the_content_is_left(run, images):
    np.testing.assert_allclose(run(0, images, alpha=(0.0, 0.0)), images, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_one_style_and_one_strength_are_the_stylizers(tiny, run, bank, images, alpha):
    found = run(0, images, bank=pick(bank, 1, 1, 1), alpha=(alpha, alpha))
    style = jax.tree.map(lambda values: values[1], bank)
    wanted = tiny(images, style, replace(LAST, alpha=0.9 * alpha))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert mean_change(found, images).min() > 0.01


def test_each_image_has_one_of_the_styles(tiny, run, bank, images):
    """Without mixing, whichever it is."""
    candidates = np.stack(
        [
            tiny(images, jax.tree.map(lambda values, i=index: values[i], bank), LAST)
            for index in range(3)
        ]
    )
    chosen = set()
    for seed in range(6):
        found = np.asarray(run(seed, images, alpha=(1.0, 1.0), mixing=0.0))
        differences = np.abs(candidates - found).max((2, 3, 4))
        assert differences.min(0).max() < 1e-5
        chosen |= set(differences.argmin(0).tolist())
    assert chosen == {0, 1, 2}


def test_a_mixture_is_between_two_styles(run, bank, images):
    """One of them, or the other, is black: what is in between is darker than the one."""
    dark = jax.tree.map(lambda values: values.at[1].multiply(0.1), bank)
    two = pick(dark, 0, 1, 1)
    light, black = (
        run(0, images, bank=pick(two, *indices), alpha=(1.0, 1.0)).mean((1, 2, 3))
        for indices in ((0, 0, 0), (1, 1, 1))
    )
    share = np.concatenate(
        [
            (run(seed, images, bank=two, alpha=(1.0, 1.0), mixing=1.0).mean((1, 2, 3)) - black)
            / (light - black)
            for seed in range(12)
        ]
    )
    assert share.min() > -0.05
    assert share.max() < 1.05
    assert 8 < ((share > 0.05) & (share < 0.95)).sum() < 36  # five of nine draw one style twice


def test_the_same_key_gives_the_same_images(run, images):
    np.testing.assert_array_equal(run(3, images), run(3, images))
    assert mean_change(run(3, images), run(4, images)).min() > 1e-3


def test_an_image_does_not_depend_on_the_others(run, images):
    found = run(5, images, probability=0.5)
    others = jnp.flip(images, 1).at[2].set(images[2])
    np.testing.assert_allclose(run(5, others, probability=0.5)[2], found[2], atol=1e-6)


def test_images_of_a_batch_differ(run, images):
    same = jnp.broadcast_to(images[:1], images.shape)
    found = np.asarray(run(0, same))
    assert all(np.abs(found[0] - other).max() > 0.01 for other in found[1:])


def test_as_many_are_repainted_as_probability_says(run, images):
    changed = np.concatenate(
        [
            np.asarray(run(seed, images, probability=0.3) != images).any((1, 2, 3))
            for seed in range(100)
        ]
    )
    assert abs(changed.mean() - 0.3) < 4 * (0.3 * 0.7 / len(changed)) ** 0.5


def test_strength_does_not_depend_on_who_is_repainted(run, bank, images):
    """Some that are repainted are more so than some that are not would have been."""
    options = {"bank": pick(bank, 1, 1, 1), "alpha": (0.0, 1.0)}
    changes, chosen = [], []
    for seed in range(8):
        changes.append(mean_change(run(seed, images, **options), images))
        found = run(seed, images, probability=0.5, **options)
        chosen.append(mean_change(found, images) > 0)
    strongest = np.where(chosen, changes, 0).max(0)
    assert (strongest > np.where(chosen, np.inf, changes).min(0)).all()


def test_strengths_lie_in_the_range(run, bank, images):
    """At level 1, whose decoder is linear, the change is in proportion to the strength."""
    one, linear = pick(bank, 0, 0, 0), replace(LAST, alpha=1.0, detail=1.0)
    same = jnp.broadcast_to(images[:1], images.shape)
    full = mean_change(run(0, same, bank=one, alpha=(1.0, 1.0), recipe=linear), same)
    shares = np.concatenate(
        [
            mean_change(run(seed, same, bank=one, alpha=(0.2, 0.5), recipe=linear), same) / full
            for seed in range(25)
        ]
    )
    assert shares.min() > 0.19
    assert shares.max() < 0.51
    assert abs(shares.mean() - 0.35) < 0.04


def test_compiled_it_is_the_same(tiny, run, bank, images):
    found = augment(jax.random.key(2), images, bank, stylizer=tiny, probability=0.5, recipe=LAST)
    np.testing.assert_allclose(run(2, images, probability=0.5), found, atol=1e-5)


def test_by_default_half_are_repainted_quickly(tiny, bank, images):
    run = partial(augment, jax.random.key(0), bank=bank, stylizer=tiny)
    recipe = wct.Recipe(1.0, 0.5, levels=(3,), transform="ot")
    asked = partial(run, probability=0.5, alpha=(0.3, 1.0), mixing=0.5, recipe=recipe)
    found, wanted = (jax.jit(each).lower(images).as_text() for each in (run, asked))
    assert found == wanted


def test_what_comes_along_can_be_loaded_while_tracing(images):
    for load in (load_stylizer, load_bank):
        load.cache_clear()
    for batch in (images, images[:1]):  # what the first trace has loaded serves the second
        assert jax.eval_shape(augment, jax.random.key(0), batch).shape == batch.shape


def test_mapped_over_keys(tiny, run, bank, images):
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    mapped = jax.jit(
        jax.vmap(
            lambda key: augment(key, images, bank, stylizer=tiny, probability=1.0, recipe=LAST)
        )
    )(keys)
    for seed in range(2):
        np.testing.assert_allclose(mapped[seed], run(seed, images), atol=1e-5)


def test_gradients_are_finite_also_where_nothing_is_repainted(tiny, bank, images):
    flat = images.at[0].set(0.5)  # whose covariance is zero

    def total(images):
        found = augment(
            jax.random.key(1), images, bank, stylizer=tiny, probability=0.5, recipe=LAST
        )
        return (found**2).sum(), found

    gradient, found = jax.jit(jax.grad(total, has_aux=True))(flat)
    assert np.isfinite(gradient).all()
    same = np.asarray(found == flat).all((1, 2, 3))
    assert 0 < same.sum() < 4
    np.testing.assert_allclose(gradient[same], 2 * flat[same], rtol=1e-6)
    assert np.abs(gradient[~same]).max() > 0


def test_the_smallest_image(run):
    found = run(0, jnp.full((1, 1, 1, 3), 0.5))
    assert found.shape == (1, 1, 1, 3)
    assert np.isfinite(found).all()


def test_what_is_wrong_is_said(tiny, bank, images):
    key, unchecked = jax.random.key(0), inspect.unwrap(augment)
    for alpha in ((0.9, 0.1), np.array([0.9, 0.1]), (0.1, 0.2, 0.3)):
        with pytest.raises(WctError, match="alpha must be a"):
            unchecked(key, images, bank, stylizer=tiny, alpha=alpha)
    for wrong in (images[0], images[..., :2], jnp.zeros((1, 4, 4, 3), jnp.uint8)):
        with pytest.raises(ImageError, match=r"floats from 0 to 1 of shape \(batch"):
            unchecked(key, wrong, bank, stylizer=tiny)
    for options, message in (
        ({"probability": 1.5}, r"probability must be from 0 to 1, not 1\.5"),
        ({"mixing": -0.5}, "mixing must be"),
        ({"alpha": (-0.5, 1.0)}, r"alpha must be from 0 to 1, not -0\.5"),
        ({"alpha": (0.5, 2.0)}, r"alpha's end must be from 0 to 1, not 2\.0"),
        ({"recipe": "weak"}, "there is no preset 'weak'"),
    ):
        with pytest.raises(WctError, match=message):
            augment(key, images, bank, stylizer=tiny, **options)
    with pytest.raises(WctError, match="one leading axis: make it with stack_styles"):
        augment(key, images, tiny.read_style(images[0]), stylizer=tiny)
    with pytest.raises(WctError, match="measured by the model 'vgg19'"):
        augment(key, images, wct.Style(bank.levels, "vgg19"), stylizer=tiny)


DEVICES = """
import sys
import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
import wct
model, styles, source = sys.argv[1:]
stylizer, bank = wct.Stylizer.from_pretrained(model), wct.Style.load(styles)
images = np.load(source)
recipe = wct.Recipe(1.0, levels=(1,), transform="ot", solver="newton-schulz")
style = jax.tree.map(lambda values: values[0], bank)
key = jax.random.key(0)
augment = lambda images, bank, stylizer: wct.augment(
    key, images, bank, stylizer=stylizer, recipe=recipe
)
repaint = lambda images, _, stylizer: stylizer(images, style, recipe)
change = jax.grad(lambda *given: augment(*given).sum())
run = jax.jit(lambda *given: [each(*given) for each in (augment, repaint, change)])
wanted = run(images, bank, stylizer)
for kind in AxisType.Auto, AxisType.Explicit:
    mesh = jax.make_mesh((2,), ("batch",), (kind,))
    shared = jax.device_put(images, NamedSharding(mesh, PartitionSpec("batch")))
    found = run(shared, *jax.device_put((bank, stylizer), NamedSharding(mesh, PartitionSpec())))
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.sharding.shard_shape(ours.shape)[0] == len(images) // 2, ours.sharding
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        assert np.abs(np.asarray(ours) - images).max() > 0.01
"""


def test_on_two_devices(tiny_directory, images, tmp_path):
    stylizer = wct.Stylizer.from_pretrained(tiny_directory)
    bank = wct.stack_styles([stylizer.read_style(picture(32, 32, seed)) for seed in (1, 2)])
    paths = [str(tmp_path / name) for name in ("styles.safetensors", "images.npy")]
    bank.save(paths[0])
    np.save(paths[1], images)
    run_on_devices(DEVICES, tiny_directory, *paths)


def run_example(name):
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "examples" / name],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout


def test_a_classifier_gains_by_it():
    found = re.findall(r"(\w+) augmentation: ([\d.]+)", run_example("classifier.py"))
    accuracy = {name: float(value) for name, value in found}
    assert accuracy["with"] > accuracy["without"] + 0.15


def test_in_an_input_pipeline():
    assert "(16, 32, 32, 3) float32" in run_example("grain_pipeline.py")
