import inspect
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wct import _moments
from wct._errors import WctError
from wct._moments import Moments, map_moments, merge_moments, moments

# Few shapes, as each is compiled: one vector, one channel, fewer vectors than channels, batches.
SHAPES = [(1, 1, 3), (1, 7, 1), (2, 2, 6), (5, 8, 3), (2, 3, 4, 5), (2, 3, 2, 2, 2)]

seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from(SHAPES)
scales = st.integers(-8, 8).map(lambda power: 10.0**power)
measure = jax.jit(moments)
merge = jax.jit(merge_moments)


def random_features(rng, shape, scale=1.0, offset=1.0):
    mixing = rng.normal(size=(shape[-1], shape[-1]))
    mean = offset * rng.normal(size=shape[-1])
    return (scale * (rng.normal(size=shape) @ mixing + mean)).astype(np.float32)


def expected(features, weights):
    """By np.average and np.cov, in float64, each index of the leading axes by itself."""
    *sets, height, width, channels = features.shape
    weights = np.broadcast_to(weights, (*sets, height, width)).astype(np.float64)
    results = []
    for index in np.ndindex(*sets):
        vectors = features[index].reshape(-1, channels).astype(np.float64)
        aweights = weights[index].ravel()
        total = aweights.sum()
        covariance = np.cov(vectors.T, aweights=aweights, ddof=0).reshape(channels, channels)
        mean = np.average(vectors, axis=0, weights=aweights)
        results.append((total, mean, covariance * total / max(total - 1, 1)))
    return SimpleNamespace(
        weight=np.reshape([total for total, _, _ in results], sets),
        mean=np.reshape([mean for _, mean, _ in results], (*sets, channels)),
        covariance=np.reshape([value for _, _, value in results], (*sets, channels, channels)),
    )


def assert_near(actual, wanted, features):
    """Compare, relative to how large the features are and how far they spread."""
    size = float(np.abs(features).max())
    spread = float(np.abs(wanted.covariance).max())
    np.testing.assert_allclose(actual.weight, wanted.weight, rtol=1e-5)
    np.testing.assert_allclose(actual.mean, wanted.mean, rtol=0, atol=2e-6 * size)
    # The mean's rounding error, about 1e-7 of the features, is in every centred feature.
    noise = 1e-5 * spread + (1e-6 * size) ** 2
    np.testing.assert_allclose(actual.covariance, wanted.covariance, rtol=0, atol=noise)


@pytest.mark.parametrize("shape", [(5, 8, 3), (2, 64, 96, 5)])
def test_blocks_at_once_are_blocks_in_turn(shape, monkeypatch):
    """As on a GPU: also of more blocks than one, mapped, and weighted."""
    monkeypatch.setattr(_moments, "_BLOCK", 400)
    monkeypatch.setattr(_moments, "_in_turn", lambda: False)
    rng = np.random.default_rng(0)
    features, weights = random_features(rng, shape), rng.uniform(size=shape[:-1])
    at_once = jax.jit(lambda *arguments: moments(*arguments))
    mapped = at_once if len(shape) == 3 else jax.vmap(at_once)
    for measure in (at_once, mapped):
        found = measure(features, weights.astype(np.float32))
        assert_near(found, expected(features, weights), features)


@given(seeds, shapes, scales, st.sampled_from([0.0, 1.0, 100.0]))
def test_moments_are_numpys(seed, shape, scale, offset):
    features = random_features(np.random.default_rng(seed), shape, scale, offset)
    assert_near(measure(features), expected(features, 1.0), features)


@given(seeds, shapes, st.booleans(), st.sampled_from([0.01, 1.0, 1000.0]))
def test_weighted_moments_are_numpys(seed, shape, shared, size):
    rng = np.random.default_rng(seed)
    features = random_features(rng, shape)
    weights = size * rng.uniform(0.1, 1, shape[-3:-1] if shared else shape[:-1])
    weights = weights.astype(np.float32)
    assert_near(measure(features, weights), expected(features, weights), features)


def test_divisor_is_the_weight_less_one_and_never_less_than_one():
    features = np.float32([[[0.0], [2.0]]])
    for weight, variance in [(0.5, 1.0), (0.75, 1.5), (1.0, 2.0), (2.0, 4 / 3)]:
        measured = moments(jnp.asarray(features), jnp.full((1, 2), weight))
        assert float(measured.covariance[0, 0]) == pytest.approx(variance)


def test_a_large_mean_does_not_drown_the_covariance():
    features = random_features(np.random.default_rng(0), (16, 16, 3), offset=0.0) + np.float32(1e3)
    wanted = expected(features, 1.0).covariance
    np.testing.assert_allclose(
        measure(features).covariance, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max()
    )


def test_many_vectors():
    """Of equal features the mean is the feature: else flat pictures seem to vary."""
    features = np.full((256, 256, 3), [0.1234567, 0.7, 1.9], np.float32)
    measured = measure(features)
    np.testing.assert_allclose(measured.mean, features[0, 0], rtol=1e-6)
    assert np.abs(measured.covariance).max() < 1e-11
    features[::2] *= -1
    np.testing.assert_allclose(
        measure(features).covariance, expected(features, 1.0).covariance, rtol=1e-4
    )


@given(seeds)
def test_integer_weights_are_repeated_vectors(seed):
    rng = np.random.default_rng(seed)
    features = random_features(rng, (1, 12, 3))
    # Always 24 vectors, in all compilations the same.
    weights = np.bincount(rng.integers(0, 12, 24), minlength=12)
    repeated = np.repeat(features, weights, axis=1)
    assert_near(measure(features, weights[None].astype(np.float32)), measure(repeated), features)


@given(seeds)
def test_weights_of_zero_and_one_select(seed):
    rng = np.random.default_rng(seed)
    features = random_features(rng, (5, 8, 3))
    mask = np.zeros(40, np.float32)
    mask[rng.permutation(40)[:17]] = 1
    features_left_out = features + 100 * (1 - mask).reshape(5, 8, 1)  # they must not matter
    selected = features.reshape(1, 40, 3)[:, mask == 1]
    actual = measure(features_left_out, mask.reshape(5, 8))
    assert_near(actual, measure(selected), selected)


def test_no_weight_at_all_gives_zeros():
    features = random_features(np.random.default_rng(0), (2, 3, 4, 5))
    for value in jax.tree.leaves(measure(features, np.zeros((2, 3, 4), np.float32))):
        np.testing.assert_array_equal(value, np.zeros_like(value))


def test_one_weightless_set_of_a_batch_leaves_the_others():
    features = random_features(np.random.default_rng(0), (2, 3, 4, 5))
    weights = np.ones((2, 3, 4), np.float32)
    weights[0] = 0
    measured = jax.tree.map(lambda value: value[1], measure(features, weights))
    assert_near(measured, expected(features[1], 1.0), features[1])


def test_one_vector_has_itself_as_mean_and_no_covariance():
    features = random_features(np.random.default_rng(0), (1, 1, 4))
    measured = measure(features)
    assert float(measured.weight) == 1
    np.testing.assert_array_equal(measured.mean, features[0, 0])
    np.testing.assert_array_equal(measured.covariance, np.zeros((4, 4)))


@given(seeds, st.sampled_from([0.0, 1.0, 100.0]), scales)
@settings(max_examples=50)
def test_merging_is_measuring_together(seed, offset, scale):
    rng = np.random.default_rng(seed)
    first = random_features(rng, (3, 4, 3), scale, offset)
    second = random_features(rng, (5, 4, 3), scale, offset)
    weights = rng.uniform(0, 2, (8, 4)).astype(np.float32)
    merged = merge(measure(first, weights[:3]), measure(second, weights[3:]))
    together = np.concatenate([first, second])
    assert_near(merged, expected(together, weights), together)


@given(seeds, st.sampled_from([0.03, 0.15]))
@settings(max_examples=30)
def test_merging_parts_of_little_weight(seed, most):
    """The divisor of a weight below two is one: undone in merging, or the parts do not add up."""
    rng = np.random.default_rng(seed)
    first, second = random_features(rng, (2, 3, 4, 3))
    weights = rng.uniform(0, most, (2, 3, 4)).astype(np.float32)
    merged = merge(measure(first, weights[0]), measure(second, weights[1]))
    together = np.concatenate([first, second])
    assert_near(merged, expected(together, np.concatenate(weights)), together)


@given(seeds)
@settings(max_examples=30)
def test_merging_is_associative_and_commutative(seed):
    rng = np.random.default_rng(seed)
    parts = [random_features(rng, (3, 4, 3), offset=10.0) for _ in range(3)]
    first, second, third = (measure(part) for part in parts)
    together = np.concatenate(parts)
    assert_near(merge(merge(first, second), third), merge(first, merge(second, third)), together)
    assert_near(merge(first, second), merge(second, first), together)


def test_moments_of_no_weight_are_neutral():
    features = random_features(np.random.default_rng(0), (3, 4, 3), offset=5.0)
    measured = measure(features)
    nothing = measure(features, np.zeros((3, 4), np.float32))
    for merged in (merge(measured, nothing), merge(nothing, measured)):
        assert_near(merged, measured, features)
    for value in jax.tree.leaves(merge(nothing, nothing)):
        np.testing.assert_array_equal(value, np.zeros_like(value))


@given(seeds)
@settings(max_examples=10)
def test_jit_and_vmap_are_eager(seed):
    rng = np.random.default_rng(seed)
    features = jnp.asarray(random_features(rng, (3, 4, 5, 3)))
    weights = jnp.asarray(rng.uniform(0, 1, (3, 4, 5)), jnp.float32)
    eager = [moments(features[i], weights[i]) for i in range(3)]
    merged = [merge_moments(eager[0], part) for part in eager]
    for transformed in (jax.vmap(moments), measure):
        batch = transformed(features, weights)
        for i in range(3):
            assert_near(jax.tree.map(lambda value, i=i: value[i], batch), eager[i], features)
    first = jax.tree.map(lambda *values: jnp.stack(values), *3 * [eager[0]])
    both = jax.vmap(merge_moments)(first, batch)
    for i in range(3):
        assert_near(jax.tree.map(lambda value, i=i: value[i], both), merged[i], features)


@given(seeds, shapes, scales)
@settings(max_examples=20)
def test_mapped_moments_are_those_of_mapped_vectors(seed, shape, scale):
    rng = np.random.default_rng(seed)
    features = random_features(rng, shape, scale)
    matrix = rng.normal(size=(shape[-1], shape[-1])).astype(np.float32)
    mapped = features.astype(np.float64) @ matrix.T
    found = map_moments(measure(features), jnp.asarray(matrix))
    assert_near(found, expected(mapped, np.ones(shape[-3:-1])), mapped)
    np.testing.assert_array_equal(found.covariance, jnp.swapaxes(found.covariance, -1, -2))


def test_mapped_moments_keep_what_float32_rounds_off():
    """A direction whose variance is 1e-9 of another's, seen through a matrix that mixes them."""
    features = np.float32([[[1, 1e-5], [-1, 1e-5], [1, -1e-5], [-1, -1e-5]]])
    turn = np.float32([[0.6, 0.8], [-0.8, 0.6]])
    found = map_moments(measure(features), jnp.asarray(turn))
    exact = np.float64(found.covariance) + np.float64(found.residue)
    weakest = np.linalg.eigvalsh(exact)[0]
    assert weakest == pytest.approx(4 / 3 * 1e-10, rel=1e-3)


def test_merged_moments_keep_what_float32_rounds_off():
    """Of vectors and their opposites: then means are zero, and nothing else is rounded."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(2, 4, 8, 3)) @ rng.normal(size=(3, 3))
    first, second = np.float32(np.concatenate([half, -half], axis=1))
    vectors = np.float64([first, second]).reshape(-1, 3)
    wanted = vectors.T @ vectors / (len(vectors) - 1)
    for pair in ((first, second), (second, first)):
        found = merge(*map(measure, pair))
        exact = np.float64(found.covariance) + np.float64(found.residue)
        np.testing.assert_allclose(exact, wanted, rtol=1e-12)


def test_mapped_moments_count_what_was_rounded_off_before():
    rng = np.random.default_rng(0)
    features, matrix = random_features(rng, (4, 5, 3)), np.float32(rng.normal(size=(3, 3)))
    found = map_moments(moments(jnp.asarray(features)), jnp.asarray(matrix))
    exact = np.float64(found.covariance) + np.float64(found.residue)
    wanted = np.cov(np.float64(matrix) @ np.float64(features).reshape(-1, 3).T)
    np.testing.assert_allclose(exact, wanted, rtol=0, atol=1e-13 * np.abs(wanted).max())


def test_covariance_is_symmetric():
    covariance = measure(random_features(np.random.default_rng(0), (5, 8, 3))).covariance
    np.testing.assert_array_equal(covariance, covariance.T)


def test_gradients_are_right_and_finite():
    """By features and by weights, against differences in float64."""
    rng = np.random.default_rng(0)
    probe = rng.normal(size=(3, 3))

    def value(features, weights):
        measured = moments(features, weights)
        return jnp.sum(measured.covariance * probe) + jnp.sum(measured.mean**2) + measured.weight

    with jax.enable_x64(True):
        features = jnp.asarray(rng.normal(size=(4, 5, 3)))
        weights = jnp.asarray(rng.uniform(0.1, 1, (4, 5)))
        actual = jax.jit(jax.grad(value, argnums=(0, 1)))(features, weights)
        direction = rng.normal(size=features.shape), rng.normal(size=weights.shape)
        step = 1e-5
        ahead, behind = (
            value(features + sign * step * direction[0], weights + sign * step * direction[1])
            for sign in (1, -1)
        )
        slope = sum(float(jnp.sum(part * d)) for part, d in zip(actual, direction, strict=True))
        assert slope == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-6)


def test_gradients_by_a_mask_with_zeros_are_finite():
    features = jnp.asarray(random_features(np.random.default_rng(0), (4, 5, 3)))
    mask = jnp.zeros((4, 5)).at[:2].set(1)
    gradient = jax.jit(jax.grad(lambda mask: moments(features, mask).covariance.sum()))(mask)
    assert np.isfinite(gradient).all()


def test_moments_are_a_pytree():
    leaves, structure = jax.tree.flatten(measure(np.ones((2, 2, 3), np.float32)))
    assert [leaf.shape for leaf in leaves] == [(), (3,), (3, 3), (3, 3)]
    assert isinstance(jax.tree.unflatten(structure, leaves), Moments)


def test_gradients_where_weights_are_wider_than_features():
    features, weights = jnp.ones((6, 6, 4), jnp.bfloat16), jnp.ones((6, 6), jnp.float32)
    variance = lambda f: moments(f, weights).covariance.astype(jnp.float32).sum()  # noqa: E731
    np.testing.assert_array_equal(jax.grad(variance)(features), np.zeros((6, 6, 4)))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_moments_of_numpys_features(kind):
    features = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(kind)
    np.testing.assert_allclose(
        moments(features).covariance, np.cov(features.reshape(-1, 3).T), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (2, 5, 4, 0)])
def test_no_features_have_no_moments(shape):
    with pytest.raises(WctError, match="features must be floats of shape"):
        moments(jnp.zeros(shape))


def test_features_are_floats():
    unchecked = inspect.unwrap(moments)  # the tests' annotations would refuse them before
    with pytest.raises(WctError, match=r"not uint8 of \(4, 5, 3\)"):
        unchecked(jnp.ones((4, 5, 3), jnp.uint8))
    with pytest.raises(WctError, match=r"not float32 of \(20, 3\)"):
        unchecked(jnp.ones((20, 3)))
