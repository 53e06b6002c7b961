from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from wct._by_name import TRANSFORMS, find_solver, find_transform
from wct._errors import WctError
from wct._moments import Moments, moments
from wct._published import PUBLISHED
from wct._spectral import _polynomials, inverse_root, kept_inverse_root, kept_root
from wct._transform import (
    AffineMap,
    add_ridge,
    coloring,
    match_means,
    optimal_transport,
    whiten_and_color,
    whitening,
)

SIZES = [1, 2, 5, 16]

seeds = st.integers(0, 2**32 - 1)
# Of covariances: features of 1e-8 to 1e8.
scales = st.integers(-16, 16).map(lambda power: 10.0**power)
conditions = st.floats(0, 4).map(lambda power: 10.0**power)

whiten = jax.jit(whitening)
color = jax.jit(coloring)
measure = jax.jit(moments)
transform = jax.jit(whiten_and_color)


@jax.jit
def restyle(content, style):
    """The whole of it: features of the content with the moments of the style's."""
    return whiten_and_color(moments(content), moments(style))(content)


def factors(seed, size, rank=None, condition=10.0, scale=1.0):
    """Eigenvalues other than zero, and eigenvectors, of a random covariance."""
    rank = size if rank is None else rank
    vectors = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0][:, :rank]
    return scale * np.geomspace(1, 1 / condition, rank), vectors


def compose(values, vectors):
    return (vectors * values) @ vectors.T


def tolerance(condition, size):
    """Of whitening in float32.

    The cut, and the rounding of the covariance, are 1e-7 of the largest eigenvalue; the matrix
    itself is rounded by 6e-8 of its entries.
    """
    return 2e-4 + condition * (0.5e-7 + 0.3e-7 * size**0.5)


def random_features(seed, count, size, condition=10.0, rank=None, scale=1.0, offset=1.0):
    """`(1, count, size)` float32 features, of about the covariance of `factors`."""
    values, vectors = factors(seed, size, rank, condition)
    rng = np.random.default_rng(seed + 1)
    spread = rng.normal(size=(1, count, len(values))) @ (vectors * np.sqrt(values)).T
    return (scale * (spread + offset * rng.normal(size=size))).astype(np.float32)


def relative(actual, wanted):
    return np.linalg.norm(np.asarray(actual, np.float64) - wanted) / np.linalg.norm(wanted)


@given(seeds, st.sampled_from(SIZES), st.data(), conditions, scales)
def test_whitened_covariance_is_the_identity_on_its_range(seed, size, data, condition, scale):
    rank = data.draw(st.integers(1, size))
    values, vectors = factors(seed, size, rank, condition, scale)
    covariance = compose(values, vectors)
    matrix = np.asarray(whiten(covariance.astype(np.float32)), np.float64)
    whitened = matrix @ covariance @ matrix.T
    # Twice the tolerance, as the matrix enters twice.
    within = 2 * tolerance(condition, size)
    np.testing.assert_allclose(vectors.T @ whitened @ vectors, np.eye(rank), rtol=0, atol=within)
    outside = np.eye(size) - vectors @ vectors.T
    assert np.abs(outside @ whitened @ outside).max() < 0.02


@given(seeds, st.sampled_from(SIZES), st.data(), conditions, scales)
def test_whitening_and_coloring_are_the_oracles(seed, size, data, condition, scale):
    rank = data.draw(st.integers(1, size))
    values, vectors = factors(seed, size, rank, condition, scale)
    covariance = compose(values, vectors)
    deviations = np.sqrt(values)

    white = np.asarray(whiten(covariance.astype(np.float32)), np.float64)
    wanted = oracle.whitening(covariance)
    # In units of the deviations, in which each direction counts the same.
    error = vectors.T @ (white - wanted) @ vectors * np.sqrt(np.outer(deviations, deviations))
    assert np.abs(error).max() < tolerance(condition, size)

    colored = np.asarray(color(covariance.astype(np.float32)), np.float64)
    # Zero eigenvalues are about 1e-7 of the largest in float32, their square roots 3e-4.
    within = 2e-3 if rank < size else 1e-6 * size * condition**0.5
    wanted = oracle.coloring(covariance)
    np.testing.assert_allclose(colored, wanted, rtol=0, atol=within * deviations[0])


@given(seeds, st.sampled_from(SIZES), st.data(), conditions, scales)
def test_coloring_squared_is_the_covariance(seed, size, data, condition, scale):
    rank = data.draw(st.integers(1, size))
    covariance = compose(*factors(seed, size, rank, condition, scale))
    root = np.asarray(color(covariance.astype(np.float32)), np.float64)
    np.testing.assert_allclose(root @ root, covariance, rtol=0, atol=3e-6 * scale)
    np.testing.assert_allclose(root, root.T, rtol=0, atol=1e-6 * scale**0.5)
    assert np.linalg.eigvalsh(root).min() > -1e-6 * scale**0.5


def test_nothing_to_whiten():
    zero = jnp.zeros((3, 3))
    np.testing.assert_array_equal(whitening(zero), zero)
    np.testing.assert_array_equal(coloring(zero), zero)


@given(st.floats(0.01, 100))
@settings(max_examples=20)
def test_variances_fade_out_below_the_floor(floor):
    variances = floor * np.array([1e4, 100, 1, 0.01, 0])
    matrix = whiten(jnp.diag(jnp.asarray(variances, jnp.float32)), jnp.float32(floor))
    whitened = np.sqrt(variances) * np.diag(matrix)  # deviations afterwards; with 1e-3 of rounding
    share = variances / (variances + floor)
    wanted = share**2.5 * (1 + 2.5 * (1 - share) + 4.375 * (1 - share) ** 2)
    np.testing.assert_allclose(whitened, wanted, atol=2e-3)
    np.testing.assert_allclose(whitened[[0, 1, 3, 4]], [1, 1, 0, 0], atol=2e-4)


def test_slightly_indefinite_covariance_is_as_good_as_singular():
    values, vectors = np.array([1.0, 0.5, -1e-7]), factors(0, 3)[1]
    matrix = jnp.asarray(compose(values, vectors), jnp.float32)
    assert np.isfinite(whitening(matrix)).all()
    wanted = oracle.coloring(compose(values.clip(0), vectors))
    np.testing.assert_allclose(coloring(matrix), wanted, rtol=0, atol=1e-3)


@given(seeds, st.sampled_from([1, 2, 5, 16]), st.floats(0, 1.5), st.integers(-8, 8))
def test_published_formula_for_full_rank(seed, size, power, magnitude):
    condition, scale = 10.0**power, 10.0**magnitude
    content = random_features(seed, 200, size, condition, scale=scale)
    style = random_features(seed + 7, 150, size, 30.0, scale=3.0)
    wanted = oracle.whiten_and_color(content[0], oracle.moments(content), oracle.moments(style))
    actual = restyle(content, style)[0]
    spread = np.abs(wanted).max()
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-3 * spread)


@given(seeds, st.sampled_from([2, 16]), st.floats(0, 2))
@settings(max_examples=50)
def test_mapped_features_have_the_moments_of_the_style(seed, size, power):
    content = random_features(seed, 200, size, 10.0**power)
    style = random_features(seed + 7, 150, size, 1000.0, offset=3.0)
    _, mean, covariance = oracle.moments(np.asarray(restyle(content, style)))
    _, wanted_mean, wanted_covariance = oracle.moments(style)
    assert relative(mean, wanted_mean) < 1e-4
    assert relative(covariance, wanted_covariance) < 1e-3


@pytest.mark.parametrize(("count", "rank"), [(2, 16), (7, 16), (200, 5), (200, 1)])
def test_rank_deficient_content(count, rank):
    """What varies is mapped as published, by the pseudoinverse; the style shows in part."""
    content = random_features(0, count, 16, rank=rank)
    style = random_features(7, 200, 16)
    wanted = oracle.whiten_and_color(
        content[0].astype(np.float64),
        # float32 features of low rank vary in all directions by rounding
        (*oracle.moments(content)[:2], truncated(oracle.moments(content)[2], 1e-09)),
        oracle.moments(style),
    )
    actual = restyle(content, style)[0]
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=5e-3 * np.abs(wanted).max())


def truncated(covariance, tolerance):
    values, vectors = np.linalg.eigh(covariance)
    return compose(np.where(values > tolerance * values[-1], values, 0), vectors)


def test_duplicated_and_dead_channels():
    content = random_features(0, 200, 16)
    content[..., 8:] = content[..., :8]
    content[..., 3] = 0
    style = random_features(7, 200, 16)
    measured = oracle.moments(content)
    wanted = oracle.whiten_and_color(content[0], measured, oracle.moments(style))
    actual = restyle(content, style)[0]
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=2e-3 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("count", "level"),
    [
        *((count, level) for count in (1, 16) for level in (0.0, 1e-6, 0.1234567, 1e5)),
        (2000, 0.0),
        pytest.param(
            2000,
            1e-6,
        ),
        pytest.param(
            2000,
            0.1234567,
        ),
    ],
)
def test_flat_content_becomes_the_mean_of_the_style(count, level):
    content = np.full((1, count, 16), level, np.float32)
    content *= np.float32([0.7, 1.3]).repeat(8)  # sums of one value may round to nothing
    style = random_features(7, 200, 16)
    actual = np.asarray(restyle(content, style))[0]
    deviation = np.sqrt(np.trace(oracle.moments(style)[2]))
    wanted = np.broadcast_to(oracle.moments(style)[1], actual.shape)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=0.02 * deviation)


@pytest.mark.parametrize("count", [1, 200])
@pytest.mark.parametrize("level", [0.0, 0.1234567])
def test_flat_style_makes_everything_its_mean(count, level):
    style = np.full((1, count, 16), level, np.float32)
    actual = np.asarray(restyle(random_features(0, 200, 16), style))
    np.testing.assert_allclose(actual, np.full_like(actual, level), rtol=0, atol=1e-5)


@given(seeds, st.sampled_from([1, 5, 16]), st.floats(0, 2))
@settings(max_examples=50)
def test_own_moments_change_nothing(seed, size, power):
    content = random_features(seed, 200, size, 10.0**power, offset=2.0)
    actual = restyle(content, content)
    np.testing.assert_allclose(actual, content, rtol=0, atol=1e-3 * np.abs(content).max())


def test_own_moments_change_nothing_of_rank_deficient_features():
    content = random_features(0, 7, 16)
    actual = restyle(content, content)
    np.testing.assert_allclose(actual, content, rtol=0, atol=1e-3 * np.abs(content).max())


@given(seeds, st.integers(-8, 8), st.integers(-8, 8))
@settings(max_examples=50)
def test_scales_of_content_and_style(seed, content_power, style_power):
    """The content's scale does not matter, the style's carries over; powers of two are exact."""
    content, style = random_features(seed, 60, 5), random_features(seed + 7, 60, 5)
    wanted = restyle(content, style)
    content_scale, style_scale = np.float32(8.0**content_power), np.float32(8.0**style_power)
    actual = restyle(content * content_scale, style * style_scale) / style_scale
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@given(seeds, st.floats(0, 1, width=32))
@settings(max_examples=30)
def test_blend(seed, strength):
    content = jnp.asarray(random_features(seed, 60, 5))
    mapping = transform(measure(content), measure(random_features(seed + 7, 60, 5)))
    np.testing.assert_array_equal(mapping.blend(jnp.float32(0))(content), content)
    np.testing.assert_array_equal(mapping.blend(jnp.float32(1))(content), mapping(content))
    wanted = strength * np.asarray(mapping(content)) + (1 - strength) * np.asarray(content)
    actual = mapping.blend(jnp.float32(strength))(content)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_map_is_a_matrix_and_an_offset():
    matrix, offset = jnp.float32([[1, 2], [3, 4]]), jnp.float32([10, 20])
    actual = AffineMap(matrix, offset)(jnp.float32([[[1, 0], [0, 1]]]))
    np.testing.assert_array_equal(actual, [[[11, 23], [12, 24]]])


@pytest.mark.parametrize("operation", [whitening, coloring])
def test_vmap_and_batches_are_loops(operation):
    values = [compose(*factors(seed, 5, rank)) for seed, rank in [(0, 5), (1, 3), (2, 1)]]
    batch = jnp.asarray(values, jnp.float32)
    wanted = np.stack([operation(covariance) for covariance in batch])
    within = 1e-4 * np.abs(wanted).max(axis=(1, 2), keepdims=True)
    for actual in (jax.vmap(operation)(batch), operation(batch)):
        assert (np.abs(actual - wanted) <= within).all()


def test_maps_of_batches_are_loops():
    content = jnp.asarray(np.stack([random_features(seed, 60, 5) for seed in (0, 1, 2)]))
    style = jnp.asarray(np.stack([random_features(seed, 60, 5) for seed in (3, 4, 5)]))
    wanted = np.stack([restyle(c, s) for c, s in zip(content, style, strict=True)])
    for actual in (restyle(content, style), jax.vmap(restyle)(content, style)):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-4)


@partial(jax.jit, static_argnames="name")
def transform_to(name, content, style):
    return find_transform(name)(moments(content), moments(style))(content)


def transformed(name, content, style):
    return np.asarray(transform_to(name, content, style)[0], np.float64)


@given(seeds, st.sampled_from([1, 5, 16]), st.floats(0, 3))
@settings(max_examples=50)
def test_optimal_transport_is_the_oracles(seed, size, power):
    content = random_features(seed, 200, size, 10.0**power)
    style = random_features(seed + 7, 150, size, 1000.0, offset=3.0)
    ours, theirs = oracle.moments(content), oracle.moments(style)
    wanted = oracle.optimal_transport(content[0].astype(np.float64), ours, theirs)
    actual = transformed("ot", jnp.asarray(content), jnp.asarray(style))
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=2e-3 * np.abs(wanted).max())


def test_optimal_transport_moves_features_less_than_any_other_map_to_these_moments():
    content, style = (jnp.asarray(random_features(seed, 200, 8, 100, offset=0)) for seed in (0, 7))
    moved = {
        name: np.sum((transformed(name, content, style) - np.asarray(content[0])) ** 2)
        for name in ("wct", "ot")
    }
    assert moved["ot"] < 0.95 * moved["wct"]
    matrix = optimal_transport(moments(content), moments(style)).matrix
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-4)
    assert np.linalg.eigvalsh(matrix).min() > 0


def test_optimal_transport_of_few_features_is_finite_and_reaches_what_they_can():
    content, style = random_features(0, 5, 16), random_features(7, 200, 16)
    actual = transformed("ot", jnp.asarray(content), jnp.asarray(style))
    assert np.isfinite(actual).all()
    assert np.linalg.matrix_rank(np.cov(actual.T), tol=1e-3) == 4


def test_adain_is_the_oracles():
    content, style = random_features(0, 200, 6), random_features(7, 150, 6)
    wanted = oracle.adain(content[0], oracle.moments(content), oracle.moments(style))
    actual = transformed("adain", jnp.asarray(content), jnp.asarray(style))
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_adain_of_a_dead_channel_is_the_mean_of_the_style():
    content, style = random_features(0, 200, 3), random_features(7, 150, 3)
    content[..., 1] = 0.25
    actual = transformed("adain", jnp.asarray(content), jnp.asarray(style))
    np.testing.assert_allclose(actual[:, 1], style[..., 1].mean(), atol=1e-4)


@pytest.mark.parametrize("name", ["wct", "ot", "adain"])
def test_faint_content_is_no_flat_content(name):
    """What varies by more than rounding takes all of the style; what varies less, its mean."""
    noise, style = np.random.default_rng(0).normal(size=(2, 16, 16, 4))
    wanted = moments(jnp.asarray(style, jnp.float32))
    for deviation, share in ((2e-4, 1), (2e-5, 0)):
        content = jnp.asarray(1 + deviation * noise, jnp.float32)
        affine = find_transform(name, "eigh")(moments(content), wanted)
        _, mean, covariance = oracle.moments(np.asarray(affine(content)))
        np.testing.assert_allclose(mean, wanted.mean, atol=1e-2)
        found, whole = (np.sqrt(np.diagonal(each)) for each in (covariance, wanted.covariance))
        np.testing.assert_allclose(found, share * whole, atol=2e-2)


@pytest.mark.parametrize("scale", [1, 100])
@pytest.mark.parametrize("name", ["wct", "ot", "adain"])
def test_noise_of_one_channel_is_not_amplified(name, scale):
    """A deviation of 3e-6 of the mean is a third of what counts as none; 1e-4 is ten times it."""
    noise, style = np.random.default_rng(0).normal(size=(2, 16, 16, 4))
    wanted = moments(jnp.asarray(scale * style, jnp.float32))
    for deviation, kept in ((3e-6, False), (1e-4, True)):
        content = jnp.asarray(30 + noise * [30 * deviation, 1, 1, 1], jnp.float32)
        affine = find_transform(name, "eigh")(moments(content), wanted)
        gain = np.linalg.norm(affine.matrix[:, 0]) * 30 * deviation / scale
        assert 0.85 < gain < 1.15 if kept else gain < 0.05


@pytest.mark.parametrize(("name", "least"), [("wct", 1e-5), ("ot", 1e-4)])
def test_directions_that_float32_rounds_off_take_the_style_too(name, least):
    """A variance of 1e-10 of the largest, which the residue has; of 1e-8 by the coarser map."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    content = np.float32(rng.normal(size=(16, 16, 4)) * [1, 1, 1, least] @ turn)
    wanted = moments(jnp.asarray(rng.normal(size=(16, 16, 4)), jnp.float32))
    affine = find_transform(name, "eigh")(moments(jnp.asarray(content)), wanted)
    matrix, (_, _, covariance) = np.asarray(affine.matrix, np.float64), oracle.moments(content)
    np.testing.assert_allclose(matrix @ covariance @ matrix.T, wanted.covariance, atol=0.05)


def test_matched_means():
    content, style = random_features(0, 200, 3), random_features(7, 150, 3)
    actual = transformed("mean", jnp.asarray(content), jnp.asarray(style))
    wanted = content[0] - content[0].mean(0) + style[0].mean(0)
    np.testing.assert_allclose(actual, wanted, atol=1e-5)
    assert find_transform("mean") is match_means


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_batches_are_loops(name):
    content = jnp.asarray(np.stack([random_features(seed, 60, 5) for seed in (0, 1)]))
    style = jnp.asarray(np.stack([random_features(seed, 60, 5) for seed in (3, 4)]))
    whole = find_transform(name)(moments(content), moments(style))
    for index in range(2):
        one = find_transform(name)(moments(content[index]), moments(style[index]))
        np.testing.assert_allclose(whole.matrix[index], one.matrix, rtol=0, atol=1e-4)
        np.testing.assert_allclose(whole.offset[index], one.offset, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("kind", ["flat", "few", "many"])
def test_gradients_of_transforms_are_finite(name, kind):
    content = random_features(0, {"few": 3}.get(kind, 40), 5)
    if kind == "flat":
        content[...] = 0.3
    style = jnp.asarray(random_features(7, 40, 5))

    def value(content, style):
        return jnp.sum(find_transform(name)(moments(content), moments(style))(content) ** 2)

    gradients = jax.jit(jax.grad(value, argnums=(0, 1)))(jnp.asarray(content), style)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_an_unknown_transform_is_answered_with_the_nearest():
    with pytest.raises(WctError, match="no transform 'adian': did you mean 'adain'"):
        find_transform("adian")
    with pytest.raises(WctError, match="they are wct, ot, adain, mean, li2017"):
        find_transform("xyz")
    with pytest.raises(WctError, match="no solver 'eig': did you mean 'eigh'"):
        find_transform("wct", "eig")
    with pytest.raises(WctError, match="is for the transforms 'wct' and 'ot', not 'adain'"):
        find_transform("adain", "newton-schulz")


@pytest.mark.parametrize(("name", "fastest"), [("ot", "newton-schulz"), ("wct2", "eigh")])
def test_the_solver_is_the_fastest_there_is_unless_told(name, fastest, monkeypatch):
    assert find_solver(name, None) == "eigh"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert find_solver(name, None) == fastest
    assert find_solver(name, "eigh") == "eigh"


@pytest.mark.parametrize("rounding", [1e-12, 1e-10, 1e-7])
def test_polynomials_bring_all_singular_values_to_one(rounding):
    """Those of covariances with the least cut, in few steps: Newton–Schulz's own takes 40."""
    values = np.geomspace(0.7 * rounding**0.5, 1, 10001)
    polynomials = _polynomials(rounding)
    for a, b, c in polynomials:
        values = a * values + b * values**3 + c * values**5
    np.testing.assert_allclose(values, 1, rtol=0, atol=5e-8)
    assert len(polynomials) <= 12


@pytest.mark.parametrize("wide", [False, True])
def test_newton_schulz_of_batches_is_a_loop(wide):
    """Of those mapped outside of a program, too, and of float64 arrays."""
    with jax.enable_x64(wide):
        dtype = jnp.float64 if wide else jnp.float32
        batch = jnp.asarray([compose(*factors(seed, 5)) for seed in range(6)], dtype)
        floors = jnp.linspace(0, 0.1, 2, dtype=dtype)
        solve = jax.jit(partial(whitening, solver="newton-schulz"))
        pairs = jax.vmap(jax.vmap(solve, (0, None)), (None, 0))(batch, floors)
        for found, floor in zip(pairs, floors, strict=True):
            wanted = [
                oracle.soft_whitening(each, 1e-7 * np.linalg.norm(each) + floor) for each in batch
            ]
            np.testing.assert_allclose(found, wanted, atol=1e-5)


@given(seeds, st.sampled_from([1, 2, 16]), st.floats(0, 3))
@settings(max_examples=40)
def test_newton_schulz_finds_the_same_roots(seed, size, power):
    covariance = compose(*factors(seed, size, condition=10**power)).astype(np.float32)
    for function in (whitening, coloring):
        wanted = function(jnp.asarray(covariance))
        actual = function(jnp.asarray(covariance), solver="newton-schulz")
        assert relative(actual, wanted) < 1e-6 + 3e-7 * 10**power


def test_newton_schulz_finds_small_roots_too():
    """Of variances of ten times what float32 rounds off, to within a hundredth."""
    variances = np.array([1, 1e-5, 1e-6])
    found = coloring(jnp.diag(jnp.asarray(variances, jnp.float32)), solver="newton-schulz")
    np.testing.assert_allclose(found, np.diag(np.sqrt(variances)), rtol=0.01, atol=1e-7)


@pytest.mark.parametrize("name", ["wct", "ot"])
@pytest.mark.parametrize(("count", "rank"), [(2, 16), (7, 16), (200, 5), (200, 16)])
def test_newton_schulz_restyles_alike(name, count, rank):
    """Also few features of many channels, whose covariance is singular."""
    content = jnp.asarray(random_features(0, count, 16, rank=rank, condition=1e3))
    style = moments(jnp.asarray(random_features(1, 200, 16)))
    wanted, actual = (
        find_transform(name, solver)(moments(content), style)(content)
        for solver in ("eigh", "newton-schulz")
    )
    np.testing.assert_allclose(actual, wanted, atol=1e-3 * np.ptp(wanted))


@pytest.mark.parametrize("covariance", [np.zeros((3, 3)), np.full((3, 3), 1e-30), np.eye(3) * 1e20])
def test_newton_schulz_of_extreme_covariances_is_finite(covariance):
    for function in (whitening, coloring):
        found = function(jnp.asarray(covariance, jnp.float32), solver="newton-schulz")
        wanted = function(jnp.asarray(covariance, jnp.float32))
        assert relative(found, wanted) < 1e-3 if np.any(wanted) else not np.any(found)


def test_derivatives_do_not_depend_on_the_solver():
    covariance = jnp.asarray(compose(*factors(0, 5)), jnp.float32)
    direction = jnp.asarray(compose(*factors(1, 5)), jnp.float32)
    for function in (whitening, coloring):
        _, wanted = jax.jvp(function, (covariance,), (direction,))
        solved = lambda matrix, function=function: function(matrix, solver="newton-schulz")  # noqa: E731
        _, actual = jax.jvp(solved, (covariance,), (direction,))
        np.testing.assert_array_equal(actual, wanted)


def published(features, content, style, content_ridge, style_ridge, cut):
    """The method with an implementation's constants, by NumPy alone."""

    def power(covariance, ridge, exponent):
        values, vectors = np.linalg.eigh(covariance + ridge * np.eye(len(covariance)))
        kept = values > cut
        return vectors[:, kept] * values[kept] ** exponent @ vectors[:, kept].T

    matrix = power(content[2], content_ridge, -0.5) @ power(style[2], style_ridge, 0.5)
    return (features - content[1]) @ matrix + style[1]


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("li2017", (0, 0, 1e-5)),
        ("pytorch-wct", (1, 0, 1e-5)),
        ("wct-tf", (1e-8, 1e-8, 1e-5)),
        ("collaborative-distillation", (1, 0, -1)),
        ("wct2", (1, 1, 1e-5)),
    ],
)
@pytest.mark.parametrize(("scale", "condition"), [(1e-2, 1e4), (1.0, 1e4), (1e3, 1e7)])
def test_published_regularisations(name, constants, scale, condition):
    """At the smaller scale some eigenvalues are below the published cut, and some above.

    At the larger one float32 would round some of them off.
    """
    content = random_features(0, 100, 16, condition=condition, scale=scale)
    style = random_features(1, 100, 16, condition=condition, scale=scale)
    map = find_transform(name)(moments(jnp.asarray(content)), moments(jnp.asarray(style)))  # noqa: A001
    measured = oracle.moments(content), oracle.moments(style)
    values = np.linalg.eigvalsh(measured[0][2])
    assert scale >= 1 or values[0] < 1e-6 < 1e-5 < values[-1]
    wanted = published(content, *measured, *constants)
    np.testing.assert_allclose(map(jnp.asarray(content)), wanted, atol=1e-4 * np.ptp(wanted))


def test_published_regularisations_differ():
    content, style = (moments(jnp.asarray(random_features(seed, 100, 5))) for seed in (0, 1))
    matrices = {np.asarray(PUBLISHED[name](content, style).matrix).tobytes() for name in PUBLISHED}
    assert len(matrices) >= 4  # "li2017" and "wct-tf" differ by 1e-8


@pytest.mark.parametrize("ridge", [0.0, 0.01, 1.0])
def test_a_ridge_is_relative_to_the_mean_variance(ridge):
    content, style = random_features(0, 100, 5), random_features(1, 100, 5)
    scaled = add_ridge(moments(jnp.asarray(content)), ridge)
    actual = whiten_and_color(scaled, moments(jnp.asarray(style)))(jnp.asarray(content))
    ours, theirs = oracle.moments(content), oracle.moments(style)
    added = ridge * np.trace(ours[2]) / 5
    wanted = published(content, ours, theirs, added, 0, 0)
    np.testing.assert_allclose(actual, wanted, atol=1e-4)


@pytest.mark.parametrize("ridge", [1e-8, 1e-7, 1e-4])
def test_a_small_ridge_is_not_rounded_off(ridge):
    """Of features of deviations from 1e-3 to 1e3."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    features = (rng.normal(size=(30, 30, 8)) * np.logspace(-3, 3, 8)) @ turn.T
    content = moments(jnp.asarray(features, jnp.float32))
    exact = np.asarray(content.covariance, np.float64) + np.asarray(content.residue, np.float64)
    wanted = exact + ridge * np.trace(content.covariance) / 8 * np.eye(8)
    found = add_ridge(content, ridge)
    whole = np.asarray(found.covariance, np.float64) + np.asarray(found.residue, np.float64)
    np.testing.assert_allclose(whole, wanted, rtol=0, atol=1e-12 * np.linalg.norm(exact))


@pytest.mark.parametrize("function", [whitening, coloring])
def test_a_solver_that_is_none(function):
    with pytest.raises(WctError, match="there is no solver 'qr': they are"):
        function(jnp.eye(3), solver="qr")


# Gradients, in float64. The right derivatives come from differences of the oracle, or, where the
# oracle's own differences fail (zero eigenvalues), from a rotation, for which they are known.

SPECTRA = {
    "distinct": [3.0, 2.0, 1.0, 0.5],
    "repeated": [2.0, 2.0, 1.0, 1.0],
    "identity": [1.0, 1.0, 1.0, 1.0],
    "zero": [2.0, 1.0, 0.0, 0.0],
    "repeated and zero": [2.0, 2.0, 0.0, 0.0],
}
OPERATIONS = {whitening: oracle.whitening, coloring: oracle.coloring}


def symmetric(seed):
    matrix = np.random.default_rng(seed).normal(size=(4, 4))
    return matrix + matrix.T


@pytest.mark.parametrize("spectrum", ["distinct", "repeated", "identity"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_derivatives_are_differences(operation, spectrum):
    covariance = compose(np.array(SPECTRA[spectrum]), factors(0, 4)[1])
    for seed in range(3):
        direction = symmetric(seed)
        step = 1e-5
        ahead, behind = (
            OPERATIONS[operation](covariance + sign * step * direction) for sign in (1, -1)
        )
        with jax.enable_x64(True):
            _, actual = pushes[operation](jnp.asarray(covariance), jnp.asarray(direction))
        # 1e-5: the cut is part of the function, and taken for constant.
        wanted = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_derivatives_along_a_rotation(operation, spectrum):
    """R Σ Rᵀ has the root R √Σ Rᵀ, of any rank; with R = exp(tK) its derivative is K √Σ − √Σ K."""
    covariance = compose(np.array(SPECTRA[spectrum]), factors(0, 4)[1])
    generator = np.triu(symmetric(3), 1)
    generator = generator - generator.T
    np.testing.assert_allclose(expm(generator) @ expm(generator).T, np.eye(4), atol=1e-12)
    direction = generator @ covariance - covariance @ generator
    with jax.enable_x64(True):
        value, actual = pushes[operation](jnp.asarray(covariance), jnp.asarray(direction))
    wanted = generator @ np.asarray(value) - np.asarray(value) @ generator
    within = 1e-6 * max(np.abs(wanted).max(), np.abs(value).max())
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=within)


@pytest.mark.parametrize(("root", "power"), [(kept_root, 0.5), (kept_inverse_root, -0.5)])
def test_derivatives_across_a_cut_are_differences(root, power):
    """Of published transforms: by Daleckii and Krein, of diag(4, 1, 1e-9) cut at about 4e-3."""
    values = np.array([4, 1, 1e-9])
    function = np.where(values > 1e-3, values**power, 0)
    rise, run = (each[:, None] - each[None] for each in (function, values))
    slopes = np.diag(power * function / values)
    wanted = np.divide(rise, run, out=slopes, where=~np.eye(3, dtype=bool))
    matrix, tangent = jnp.diag(jnp.asarray(values, jnp.float32)), jnp.ones((3, 3), jnp.float32)
    _, found = jax.jvp(lambda matrix: root(matrix, None, 1e-3), (matrix,), (tangent,))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_derivatives_by_one_triangle_are_those_by_both(operation):
    """Of a matrix that is no covariance the symmetric part counts alone."""
    covariance, both = compose(*factors(0, 4)), symmetric(1)
    one = 2 * np.tril(both, -1) + np.diag(np.diag(both))
    with jax.enable_x64(True):
        (_, found), (_, wanted) = (
            pushes[operation](jnp.asarray(covariance), jnp.asarray(each)) for each in (one, both)
        )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_derivatives_count_what_float32_rounds_off():
    """By Daleckii and Krein, where one eigenvalue is 1e-8 of another."""
    values, vectors = np.array([1, 0.5, 1e-8]), factors(0, 3)[1]
    exact, tangent = compose(values, vectors), jnp.asarray(compose(*factors(1, 3)), jnp.float32)
    matrix = jnp.asarray(exact, jnp.float32)
    residue = jnp.asarray(exact - np.asarray(matrix, np.float64), jnp.float32)
    inverses, own = values**-0.5, np.eye(3, dtype=bool)
    rise, run = (each[:, None] - each[None] for each in (inverses, values))
    slopes = np.divide(rise, run, out=np.diag(-inverses / values / 2), where=~own)
    wanted = vectors @ (vectors.T @ tangent @ vectors * slopes) @ vectors.T
    whiten = partial(inverse_root["eigh"], residue=residue, rounding=1e-12)
    _, found = jax.jvp(whiten, (matrix,), (tangent,))
    assert relative(found, wanted) < 1e-3


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_forward_and_reverse_mode_agree(operation, spectrum):
    covariance = compose(np.array(SPECTRA[spectrum]), factors(0, 4)[1])
    with jax.enable_x64(True):
        covariance = jnp.asarray(covariance)
        _, forward = pushes[operation](covariance, jnp.asarray(symmetric(1)))
        reverse = pulls[operation](covariance, jnp.asarray(symmetric(2)))
    actual = np.sum(np.asarray(reverse) * symmetric(1))
    wanted = np.sum(np.asarray(forward) * symmetric(2))
    assert actual == pytest.approx(wanted, rel=1e-9)


def _pull(operation):
    return jax.jit(lambda covariance, probe: jax.vjp(operation, covariance)[1](probe)[0])


def _push(operation):
    return jax.jit(lambda covariance, tangent: jax.jvp(operation, (covariance,), (tangent,)))


pulls = {operation: _pull(operation) for operation in OPERATIONS}
pushes = {operation: _push(operation) for operation in OPERATIONS}


@pytest.mark.parametrize("scale", [1e-16, 1.0, 1e16])
@pytest.mark.parametrize("spectrum", [*SPECTRA, "none"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients_are_finite_in_float32(operation, spectrum, scale):
    values = scale * np.array(SPECTRA.get(spectrum, [0.0] * 4))
    covariance = jnp.asarray(compose(values, factors(0, 4)[1]), jnp.float32)
    probe = jnp.asarray(symmetric(0), jnp.float32)
    gradient = pulls[operation](covariance, probe)
    assert np.isfinite(gradient).all()


def test_gradient_of_the_whole_map():
    """By the features of content and style, against differences in float64."""
    rng = np.random.default_rng(0)
    probe = rng.normal(size=(1, 40, 3))

    def value(content, style):
        return jnp.sum(restyle(content, style) * probe)

    with jax.enable_x64(True):
        content, style, *directions = (jnp.asarray(rng.normal(size=(1, 40, 3))) for _ in range(4))
        gradients = jax.jit(jax.grad(value, argnums=(0, 1)))(content, style)
        step = 1e-5
        ahead, behind = (
            value(content + sign * step * directions[0], style + sign * step * directions[1])
            for sign in (1, -1)
        )
        pairs = zip(gradients, directions, strict=True)
        slope = sum(float(jnp.sum(gradient * direction)) for gradient, direction in pairs)
        assert slope == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-4)


restyle_gradient = jax.jit(
    jax.grad(lambda content, style: jnp.sum(restyle(content, style) ** 2), argnums=(0, 1))
)


@pytest.mark.parametrize("kind", ["flat", "black", "one", "few", "duplicated"])
def test_gradients_by_features_are_finite(kind):
    content = random_features(0, {"one": 1, "few": 3}.get(kind, 40), 5)
    if kind == "flat":
        content[...] = 0.3
    if kind == "black":
        content[...] = 0
    if kind == "duplicated":
        content[..., 2:4] = content[..., :2]
    style = jnp.asarray(random_features(7, 40, 5))
    content = jnp.asarray(content)
    for arguments in ((content, style), (style, content)):
        gradients = restyle_gradient(*arguments)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_moments_of_a_map_are_those_it_was_asked_for():
    """Moments are all the transform is given: no features, and any weight."""
    content = Moments(jnp.float32(0.5), jnp.float32([1, 2]), jnp.diag(jnp.float32([4, 1])))
    style = Moments(jnp.float32(9.0), jnp.float32([5, 6]), jnp.diag(jnp.float32([1, 9])))
    mapping = whiten_and_color(content, style)
    np.testing.assert_allclose(mapping.matrix, np.diag([0.5, 3]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mapping.offset, [4.5, 0], rtol=1e-5, atol=2e-5)
