import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from conftest import assert_picture, picture, run_on_devices
from hypothesis import given, settings
from hypothesis import strategies as st

from wct import _chain, _moments, _onednn
from wct._errors import ImageError, WctError, WeightsError
from wct._given import as_batch
from wct._mixing import stack_styles
from wct._recipe import Recipe
from wct._style import Style
from wct._stylizer import Stylizer

# Compiling is what costs here, one second a level and canvas (the size rounded up to 16): the
# pictures of this file and of test_stylize.py share few canvases.
HEIGHT, WIDTH = 96, 112
LEVELS = (5, 4, 3, 2, 1)

# What float32 makes of five levels, each of which amplifies what was before it.
WHOLE = 2e-3


@pytest.fixture(scope="module")
def content():
    return picture(HEIGHT, WIDTH, 1)


@pytest.fixture(scope="module")
def painting():
    return picture(HEIGHT, WIDTH, 2)


@pytest.fixture(scope="module")
def style(tiny, painting):
    return tiny.read_style(painting)


def run(stylizer, image, style, alpha, **options):
    """One picture, as NumPy."""
    return np.asarray(stylizer(jnp.asarray(image)[None], style, Recipe(alpha, **options))[0])


def assert_chain(tiny, tensors, content, painting, alphas, levels, within=WHOLE):
    wanted, worst = oracle.chain(tensors, content, painting, alphas, levels)
    assert worst < 4000, "this example is no test: its covariances are singular"
    style = tiny.read_style(painting)
    *_, actual = tiny.steps(jnp.asarray(content)[None], style, Recipe(list(alphas), levels=levels))
    np.testing.assert_allclose(actual[0], wanted, rtol=0, atol=within)
    clipped = run(tiny, content, style, list(alphas), levels=levels)
    np.testing.assert_allclose(clipped, wanted.clip(0, 1), rtol=0, atol=within)
    assert np.abs(wanted - content).mean() > 0.01  # it did something


@pytest.mark.parametrize("alpha", [1.0, 0.6])
def test_chain_is_the_published_one(tiny, tensors, content, painting, alpha):
    assert_chain(tiny, tensors, content, painting, 5 * [alpha], LEVELS)


@pytest.mark.parametrize("levels", [(5,), (4,), (3,), (2,), (1,)])
@pytest.mark.parametrize("alpha", [1.0, 0.35])
def test_single_levels(tiny, tensors, content, painting, levels, alpha):
    assert_chain(tiny, tensors, content, painting, [alpha], levels, within=3e-4)


@pytest.mark.parametrize(
    "levels", [(4, 3), (1, 3), (2, 4, 1), (3, 3), (1, 1, 1), (2, 1, 2), (3, 2, 1), (1, 2, 3)]
)
@pytest.mark.parametrize("alpha", [1.0, 0.6])
def test_levels_in_any_order(tiny, tensors, content, painting, levels, alpha):
    assert_chain(tiny, tensors, content, painting, len(levels) * [alpha], levels)


@pytest.mark.parametrize("details", [(1.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
@pytest.mark.parametrize("alphas", [(1.0, 1.0), (0.6, 0.3)])
def test_detail(tiny, tensors, content, painting, alphas, details):
    wanted, _ = oracle.chain(tensors, content, painting, alphas, (3, 2), details)
    style = tiny.read_style(painting)
    *_, actual = tiny.steps(
        jnp.asarray(content)[None], style, Recipe(alphas, details, levels=(3, 2))
    )
    np.testing.assert_allclose(actual[0], wanted, rtol=0, atol=3e-4)


@pytest.mark.parametrize(
    ("name", "formula"), [("ot", oracle.optimal_transport), ("adain", oracle.adain)]
)
def test_chain_of_other_transforms(tiny, tensors, content, painting, name, formula):
    alphas = (1.0, 0.7)
    wanted, _ = oracle.chain(tensors, content, painting, alphas, (3, 2), transform=formula)
    style = tiny.read_style(painting)
    *_, actual = tiny.steps(
        jnp.asarray(content)[None], style, Recipe(alphas, levels=(3, 2), transform=name)
    )
    np.testing.assert_allclose(actual[0], wanted, rtol=0, atol=1e-3)


def test_a_ridge_is_added_before_the_content_is_whitened(tiny, tensors, content, painting, style):
    def ridged(features, content, style, alpha):
        weight, mean, covariance = content
        ridge = 0.5 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        return oracle.whiten_and_color(features, (weight, mean, covariance + ridge), style, alpha)

    wanted, _ = oracle.chain(tensors, content, painting, [1.0], [2], transform=ridged)
    *_, actual = tiny.steps(jnp.asarray(content)[None], style, Recipe(1.0, ridge=0.5, levels=(2,)))
    np.testing.assert_allclose(actual[0], wanted, rtol=0, atol=3e-4)


def test_strength_of_each_level(tiny, tensors, content, painting):
    assert_chain(tiny, tensors, content, painting, (1.0, 0.3, 0.0, 0.8), (4, 3, 2, 1))


@pytest.mark.parametrize("size", [(90, 100), (81, 112), (96, 97)])
def test_padding_counts_for_nothing(tiny, tensors, size):
    """Off the 16-grid: reflected, kept out of the moments of both, and cut off."""
    content, painting = picture(*size, 1), picture(95, 99, 2)
    assert_chain(tiny, tensors, content, painting, (0.8, 0.8), (4, 2))


def test_steps_are_the_chain_so_far(tiny, style, content):
    batch = jnp.asarray(content)[None]
    steps = list(tiny.steps(batch, style, Recipe(0.7)))
    assert len(steps) == 5
    for done in range(1, 6):
        wanted = tiny(batch, style, Recipe(0.7, levels=LEVELS[:done]))
        np.testing.assert_array_equal(steps[done - 1].clip(0, 1), wanted)
    assert float(steps[0].max()) > 1 or float(steps[-1].max()) > 1  # not clipped between levels


@pytest.mark.parametrize("side", [48, 64])  # as a canvas is, and not
def test_batches_may_be_numpys(tiny, style, side):
    images = np.stack([picture(side, 64, seed) for seed in (3, 4)])
    before = images.copy()
    wanted = tiny(jnp.asarray(images), style, Recipe(0.7))
    np.testing.assert_array_equal(tiny(images, style, Recipe(0.7)), wanted)
    *_, last = tiny.steps(images, style, Recipe(0.7))
    np.testing.assert_array_equal(np.clip(last, 0, 1), wanted)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((32, 32, 3), np.float32),
        np.zeros((1, 32, 32, 3), np.uint8),
        np.zeros((0, 32, 32, 3), np.float32),
        jnp.zeros((1, 32, 32, 4)),
    ],
)
def test_what_is_no_batch_is_refused(images):
    with pytest.raises(ImageError, match=r"must be floats from 0 to 1 of shape \(batch, height"):
        as_batch(images)


@pytest.mark.parametrize(
    ("value", "said"), [(255.0, "run from 255 to 255 .* divide them by 255"), (np.nan, "holds NaN")]
)
def test_numpys_values_are_looked_at(value, said):
    with pytest.raises(ImageError, match=said):
        as_batch(np.full((1, 4, 4, 3), value))


def test_masks_of_any_kind(tiny, style, content):
    """Of bools or floats, of JAX or NumPy, mixed in a list."""
    part = np.zeros(content.shape[:2], bool)
    part[:, :20] = True
    both = stack_styles([style, style])
    wanted = tiny(content[None], both, Recipe(0.7), masks=jnp.asarray([part, ~part], jnp.float32))
    masks = np.array([part, ~part])
    for kind in (masks, jnp.asarray(masks), masks.astype(float)):
        np.testing.assert_array_equal(tiny(content[None], both, Recipe(0.7), masks=kind), wanted)


def test_a_styles_mask_of_bytes(tiny, painting):
    mask = np.zeros(painting.shape[:2], np.uint8)
    mask[:10] = 255
    wanted = jax.tree.leaves(tiny.read_style(painting, mask))
    for kind in (jnp.asarray(mask), jnp.asarray(mask == 255)):
        for found, each in zip(
            jax.tree.leaves(tiny.read_style(painting, kind)), wanted, strict=True
        ):
            np.testing.assert_array_equal(found, each)


def test_batches_of_other_precision(tiny, style, content):
    half = jnp.asarray(content, jnp.bfloat16)[None]
    wanted = tiny(half.astype(jnp.float32), style, Recipe(0.7))
    np.testing.assert_array_equal(tiny(half, style, Recipe(0.7)), wanted)


def test_a_style_of_bytes(tiny, painting):
    """As of NumPy: of a JAX array they are no floats in [0, 1]."""
    bytes_ = np.uint8(255 * painting)
    found, wanted = map(jax.tree.leaves, map(tiny.read_style, (jnp.asarray(bytes_), bytes_)))
    for each, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(each, other)


def test_networks_of_constants_within_jit(tiny, content):
    """Features of a picture at hand, as a loss has them, are traced with all the rest."""
    batch = jnp.asarray(content)[None]
    wanted = tiny.decoders["decoder2"](tiny.encoder.encode(batch, 2)).sum()

    @jax.jit
    def compiled(number):
        return number * tiny.decoders["decoder2"](tiny.encoder.encode(batch, 2)).sum()

    np.testing.assert_allclose(compiled(1.0), wanted, rtol=1e-5)


def test_no_levels_change_nothing(tiny, style, content):
    np.testing.assert_array_equal(run(tiny, content, style, 0.7, levels=()), content)


def test_default_alpha_and_levels(tiny, style, content):
    batch = jnp.asarray(content)[None]
    np.testing.assert_array_equal(tiny(batch, style, "paper"), tiny(batch, style, Recipe(0.6)))


# Of any size up to 16 × 16, and to 40 × 32.
sizes = st.one_of(
    st.tuples(st.integers(1, 16), st.integers(1, 16)),
    st.tuples(st.integers(33, 40), st.integers(17, 32)),
)


def content_of(seed, size, kind):
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.uniform(0, 1, (*size, 3)).astype(np.float32)
    if kind == "flat":
        return np.broadcast_to(rng.uniform(0, 1, 3), (*size, 3)).astype(np.float32)
    return rng.integers(0, 2, (*size, 3)).astype(np.float32)  # black and white, and grey


@given(
    st.integers(0, 2**32 - 1),
    sizes,
    st.sampled_from(["noise", "flat", "extremes"]),
    st.lists(st.sampled_from(LEVELS), min_size=1, max_size=6),
)
@settings(max_examples=60)
def test_strength_zero_is_the_content(tiny, style, seed, size, kind, levels):
    content = content_of(seed, size, kind)
    actual = run(tiny, content, style, 0.0, levels=levels)
    np.testing.assert_allclose(actual, content, rtol=0, atol=1 / 255)


@given(
    st.integers(0, 2**32 - 1),
    sizes,
    st.sampled_from(["noise", "flat", "extremes"]),
    st.floats(0, 1),
)
@settings(max_examples=40)
def test_any_size_gives_a_picture(tiny, style, seed, size, kind, alpha):
    content = content_of(seed, size, kind)
    assert_picture(run(tiny, content, style, alpha), content)


@pytest.mark.parametrize(("size", "levels"), [((1, 200), (5, 1)), ((200, 1), (1,))])
def test_extreme_proportions(tiny, tensors, painting, size, levels):
    content = picture(*size, 3)
    style = tiny.read_style(painting)
    assert_picture(run(tiny, content, style, 1.0, levels=levels), content)
    # At level 1 there are vectors enough to compare.
    assert_chain(tiny, tensors, content, painting, [1.0], (1,), within=1e-3)


@pytest.mark.parametrize("kind", ["flat", "black", "white", "one pixel", "two colours"])
def test_odd_styles(tiny, kind):
    painting = np.full((1, 1, 3) if kind == "one pixel" else (16, 16, 3), 0.3, np.float32)
    if kind in ("black", "white"):
        painting[...] = kind == "white"
    if kind == "two colours":
        painting[:8] = np.float32([0.9, 0.1, 0.2])
    style = tiny.read_style(painting)
    for value in jax.tree.leaves(style):
        assert np.isfinite(value).all()
    for content in (picture(16, 16, 1), painting, np.full((1, 1, 3), 0.7, np.float32)):
        assert_picture(run(tiny, content, style, 1.0), content)


def test_flat_content_takes_the_mean_of_the_style(tiny, tensors, style, painting):
    """Every feature becomes the style's mean, and the decoder makes one colour of that."""
    content = np.broadcast_to(np.float32([0.2, 0.5, 0.9]), (16, 16, 3))
    _, mean, covariance = oracle.moments(oracle.encode(tensors["encoder"], painting)[1])
    wanted = oracle.decode(tensors[1], np.broadcast_to(mean, (16, 16, len(mean))), 1)
    *_, actual = tiny.steps(jnp.asarray(content)[None], style, Recipe(1.0, levels=(1,)))
    np.testing.assert_allclose(actual[0], wanted, rtol=0, atol=0.02 * np.trace(covariance) ** 0.5)


@pytest.mark.parametrize("size", [(21, 30), (16, 16), (33, 17), (3, 5), (1, 2), (1, 1)])
def test_style_is_the_moments_of_the_picture_alone(tiny, tensors, size):
    painting = picture(*size, 4)
    style = tiny.read_style(painting)
    assert style.model == "tiny"
    assert len(style.levels) == 5
    features = oracle.encode(tensors["encoder"], oracle.extend(painting))
    for level, measured in enumerate(style.levels, start=1):
        assert measured.mean.shape == (tensors[level][f"conv{level}_1.kernel"].shape[2],)
        assert float(measured.weight) == pytest.approx(size[0] * size[1] / 4 ** (level - 1))
        _, mean, covariance = oracle.measure([features[level]], [size])
        np.testing.assert_allclose(measured.mean, mean, rtol=0, atol=2e-5 * np.abs(mean).max())
        within = 5e-5 * np.abs(covariance).max() + 1e-10 * np.abs(mean).max() ** 2
        np.testing.assert_allclose(measured.covariance, covariance, rtol=0, atol=within)
    # At level 1, where a feature is a pixel: those of the picture's own pixels, no others.
    kernel, bias = (tensors["encoder"][f"conv1_1.{part}"] for part in ("kernel", "bias"))
    _, mean, covariance = oracle.moments(oracle.relu(oracle.convolve(painting, kernel, bias)))
    np.testing.assert_allclose(style.levels[0].mean, mean, rtol=1e-5)
    within = 1e-5 * np.abs(covariance).max() + 1e-10
    np.testing.assert_allclose(style.levels[0].covariance, covariance, rtol=0, atol=within)


def test_own_style_is_the_decoders_reconstruction(tiny, tensors, content):
    actual = run(tiny, content, tiny.read_style(content), 1.0, levels=(3,))
    features = oracle.encode(tensors["encoder"], content)[3]
    wanted = oracle.decode(tensors[3], features, 3).clip(0, 1)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-3)


def small(seed):
    return picture(16, 16, seed)


def test_batch_is_its_pictures(tiny, style):
    pictures = np.stack([small(seed) for seed in (1, 2)])
    together = tiny(jnp.asarray(pictures), style, Recipe(0.8, levels=(2, 1)))
    assert together.shape == (2, 16, 16, 3)
    for one, actual in zip(pictures, together, strict=True):
        wanted = run(tiny, one, style, 0.8, levels=(2, 1))
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-3)


def test_batch_of_styles(tiny, content):
    styles = [tiny.read_style(small(seed)) for seed in (3, 4)]
    both = jax.tree.map(lambda *values: jnp.stack(values), *styles)
    pictures = np.stack([small(seed) for seed in (1, 2)])
    together = tiny(jnp.asarray(pictures), both, Recipe(0.8, levels=(2, 1)))
    for one, style, actual in zip(pictures, styles, together, strict=True):
        wanted = run(tiny, one, style, 0.8, levels=(2, 1))
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-3)
    assert np.abs(together[0] - run(tiny, pictures[0], styles[1], 0.8, levels=(2, 1))).max() > 0.01


def test_jit_of_the_whole_and_vmap_over_alpha(tiny, style):
    batch = jnp.asarray(small(1))[None]
    alphas = jnp.float32([0.0, 0.4, 1.0])

    @jax.jit
    def together(stylizer, style, alphas):
        return jax.vmap(lambda alpha: stylizer(batch, style, Recipe(alpha, levels=(3, 1))))(alphas)

    for alpha, actual in zip(alphas, together(tiny, style, alphas), strict=True):
        wanted = tiny(batch, style, Recipe(alpha, levels=(3, 1)))
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-3)


def test_gradient_by_the_content_and_the_strength(tiny, style):
    """Against a difference, as well as float32 and the kinks of the networks allow."""
    start, direction = jnp.asarray(small(1))[None], jnp.asarray(small(5) - small(6))[None]

    @jax.jit
    def value(content, alpha):
        *_, result = tiny.steps(content, style, Recipe(alpha, levels=(2,)))
        return jnp.sum(result**2)

    by_content, by_alpha = jax.jit(jax.grad(value, argnums=(0, 1)))(start, jnp.float32(0.5))
    step = 3e-3
    ahead, behind = (value(start + s * step * direction, jnp.float32(0.5)) for s in (1, -1))
    slope = float(jnp.sum(by_content * direction))
    assert slope == pytest.approx(float(ahead - behind) / (2 * step), rel=0.05)
    ahead, behind = (value(start, jnp.float32(0.5 + s * 0.01)) for s in (1, -1))
    assert float(by_alpha) == pytest.approx(float(ahead - behind) / 0.02, rel=0.05)


@pytest.mark.parametrize("kind", ["flat", "black", "noise"])
def test_gradients_are_finite(tiny, style, kind):
    content = small(1) if kind == "noise" else np.full((16, 16, 3), 0.4 * (kind == "flat"))
    content = jnp.asarray(content, jnp.float32)[None]
    gradient = content_gradient(tiny, content, style)
    assert np.isfinite(gradient).all()


@jax.jit
def content_gradient(tiny, content, style):
    recipe = Recipe(1.0, levels=(4,))
    return jax.grad(lambda content: jnp.sum(tiny(content, style, recipe) ** 2))(content)


def test_same_bytes_twice(tiny, content, painting):
    style = tiny.read_style(painting)
    first = run(tiny, content, style, 0.6)
    assert first.tobytes() == run(tiny, content, style, 0.6).tobytes()
    assert first.tobytes() == run(tiny, content, tiny.read_style(painting), 0.6).tobytes()


@pytest.fixture
def one_program(monkeypatch):
    """A device on which the chain is one program, and moments are measured at once."""
    monkeypatch.setattr(_onednn, "_is_there", lambda: False)
    monkeypatch.setattr(_moments, "_in_turn", lambda: False)
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.mark.parametrize("masked", [False, True])
def test_one_program_is_its_levels(tiny, content, masked, request):
    recipe = Recipe((1.0, 0.7), (0.0, 0.5), levels=(3, 2), transform="ot")
    batch, styles = jnp.asarray(content)[None], [tiny.read_style(small(s)) for s in (3, 4)]
    mask = jnp.linspace(0, 1, WIDTH)[None] * jnp.ones((HEIGHT, 1))
    masks = jnp.stack([mask, 1 - mask]) if masked else None
    style = stack_styles(styles) if masked else styles[0]
    wanted = tiny(batch, style, recipe, masks=masks)
    request.getfixturevalue("one_program")
    actual = tiny(batch, style, recipe, masks=masks)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-3)


@pytest.mark.usefixtures("one_program")
def test_one_program_serves_all_strengths(tiny, style, monkeypatch):
    """But where nothing is given back, nothing is decoded for it: that is another one."""
    batch, traced, restyle = jnp.asarray(small(1))[None], [], _chain.restyle
    monkeypatch.setattr(_chain, "restyle", lambda *args: traced.append(alpha) or restyle(*args))
    for alpha in (0.3, 0.7, 1.0):
        tiny(batch, style, Recipe(alpha, levels=(1,)))
    assert traced == [0.3, 1.0]


def test_roots_of_a_style_are_taken_once(tiny, painting):
    style = tiny.read_style(painting)
    [[_, first, _]] = tiny.plan(style, Recipe(levels=(2,)))
    [[_, again, _]] = tiny.plan(style, Recipe(0.3, levels=(2,), transform="ot"))
    assert again is first
    np.testing.assert_allclose(
        first.root[0], oracle.coloring(style.levels[1].covariance), atol=1e-4
    )
    [[_, plain, _]] = tiny.plan(style, Recipe(levels=(2,), transform="adain"))
    assert plain.root is None


def test_roots_taken_inside_a_program_can_be_used_outside(tiny, painting):
    style, recipe = tiny.read_style(painting), Recipe(levels=(1,))
    batch = jnp.asarray(small(1))[None]
    inside = jax.jit(lambda batch: tiny(batch, style, recipe))(batch)
    np.testing.assert_allclose(tiny(batch, style, recipe), inside, rtol=0, atol=1e-3)


def test_strength_acts_smoothly(tiny, style, content):
    levels = (3, 2, 1)  # the tiny model's upper levels are too wild
    alphas = np.linspace(0, 1, 21)
    results = np.stack([run(tiny, content, style, float(alpha), levels=levels) for alpha in alphas])
    steps = np.sqrt(np.mean(np.diff(results, axis=0) ** 2, axis=(1, 2, 3)))
    whole = np.sqrt(np.mean((results[-1] - results[0]) ** 2))
    assert steps.max() < 4 * whole / 20
    assert steps.min() > 0
    distance = np.sqrt(np.mean((results - content) ** 2, axis=(1, 2, 3)))
    assert distance[0] < 1e-3
    assert distance[1] < distance[4] < distance[10]
    # There is no jump where the lost detail is left out.
    almost = float(np.nextafter(np.float32(1), np.float32(0)))
    almost = run(tiny, content, style, almost, levels=levels)
    np.testing.assert_allclose(almost, results[-1], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 1.5}, "alpha must be from 0 to 1, not 1.5"),
        ({"alpha": -0.1}, "alpha must be from 0 to 1, not -0.1"),
        ({"alpha": float("nan")}, "alpha must be from 0 to 1, not nan"),
        ({"alpha": [0.5, 0.5, 0.5, 0.5, 2.0]}, "not 2.0"),
        ({"alpha": [0.5, 0.5]}, "2 values of alpha for 5 levels"),
        ({"alpha": []}, "0 values of alpha for 5 levels"),
        ({"alpha": [0.5, 0.5, 0.5], "levels": (1, 2)}, "3 values of alpha for 2 levels"),
        ({"levels": 2}, "levels are given as several, such as (2,), not as 2"),
        ({"levels": (0,)}, "no level 0"),
        ({"levels": (5, 6)}, "no level 6"),
        ({"levels": (-1,)}, "no level -1"),
    ],
)
def test_what_is_out_of_range_is_said(tiny, style, options, words):
    with pytest.raises(WctError) as caught:
        tiny(jnp.zeros((1, 16, 16, 3)), style, Recipe(**options))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_style_of_another_model(tiny, style):
    with pytest.raises(WctError, match="the model 'other', but this is 'tiny'"):
        tiny(jnp.zeros((1, 16, 16, 3)), Style(style.levels, "other"))


def test_style_of_other_widths(tiny, style):
    narrow = jax.tree.map(lambda part: part[(slice(3),) * part.ndim], style)
    with pytest.raises(WctError, match=r"has \(3, 3, 3, 3, 3\) features .* \(4, 6, 8, 8, 8\)"):
        tiny(jnp.zeros((1, 16, 16, 3)), narrow)


def test_as_many_styles_as_pictures(tiny, style):
    bank = stack_styles([style, style])
    with pytest.raises(WctError, match=r"axes \(2,\) are no style for 3 pictures: give one"):
        tiny(jnp.zeros((3, 16, 16, 3)), bank)
    with pytest.raises(WctError, match=r"axes \(1, 2\) are no style for 2 pictures"):
        tiny(jnp.zeros((2, 16, 16, 3)), jax.tree.map(lambda part: part[None], bank))


def test_level_without_a_decoder(tiny, style):
    lesser = Stylizer("tiny", tiny.encoder, [tiny.decoders["decoder1"]])
    batch = jnp.asarray(small(1))[None]
    with pytest.raises(WeightsError, match=r"'tiny' has no decoder for level 3.*it has decoder1"):
        lesser(batch, style, Recipe(levels=(3, 1)))
    actual = lesser(batch, style, Recipe(levels=(1,)))
    np.testing.assert_array_equal(actual, tiny(batch, style, Recipe(levels=(1,))))


def test_style_is_a_pytree(tiny, style):
    leaves, structure = jax.tree.flatten(style)
    assert len(leaves) == 15
    assert jax.tree.unflatten(structure, leaves).model == "tiny"


@pytest.mark.parametrize("together", [False, True])
def test_a_ridge_does_not_bring_in_what_is_beyond_the_picture(tiny, together):
    """With fewer features than channels, cells beyond may lie where a ridge lets all through."""
    content, painting = picture(20, 12, 1), picture(32, 32, 2)  # 3 × 2 features of 8 channels
    style = tiny.read_style(painting)

    def repaint(ridge):
        recipe = Recipe(1.0, levels=(4,), ridge=ridge)
        function = jax.jit(lambda batch: tiny(batch, style, recipe)) if together else None
        batch = jnp.asarray(content)[None]
        return np.asarray(function(batch) if function else tiny(batch, style, recipe))

    np.testing.assert_allclose(repaint(1e-6), repaint(0.0), atol=2e-3)


def test_the_caller_may_change_his_arrays_afterwards(tiny, style):
    mine = np.stack([picture(64, 64, seed) for seed in (3, 4)])
    for convert in (as_batch, lambda images: tiny.read_style(images[0]).levels[0].mean):
        wanted = np.array(convert(mine.copy()))
        room = np.empty(mine.nbytes + 64, np.uint8)  # where JAX would take it without a copy
        start = -room.ctypes.data % 64
        changing = room[start : start + mine.nbytes].view(np.float32).reshape(mine.shape)
        changing[:] = mine
        found = convert(changing)
        changing[:] = 0
        np.testing.assert_array_equal(found, wanted)


def test_patches_are_for_levels_that_run(tiny, style):
    batch, patches = jnp.asarray(small(1))[None], tiny.read_patches(small(1), (5,))
    with pytest.raises(WctError, match=r"patches are for levels that run: \[3\]"):
        tiny(batch, style, Recipe(levels=(3,)), patches=patches)


WIDE = """
import jax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
import numpy as np
import wct
stylizer = wct.Stylizer.from_pretrained()
image = np.random.default_rng(0).uniform(size=(32, 32, 3)).astype(np.float32)
style = stylizer.read_style(image[::-1])
recipe = wct.Recipe(levels=(3,), transform="ot", ridge=np.float64(0.01))
slope = jax.grad(lambda batch: stylizer(batch, style, recipe).sum())(image[None])
swapped = wct.stylize(image, image[::-1], swap=(5,), levels=(5,), model=stylizer)
masked = stylizer(image[None], wct.stack_styles([style]), recipe, masks=np.ones((1, 32, 32)))
assert slope.dtype == swapped.dtype == masked.dtype == np.float32
assert np.isfinite(slope).all()
"""

MISFIT = """
import numpy as np
import wct
stylizer = wct.Stylizer.from_pretrained()
image = np.zeros((1, 33, 49, 3), np.float32)
style = wct.stack_styles([stylizer.read_style(image[0])])
try:
    stylizer(image, style, masks=np.ones((1, 33, 48), np.float32))
except wct.WctError as error:
    assert str(error) == "masks of (33, 48) pixels are none for pictures of (33, 49)", error
else:
    raise AssertionError("it was taken")
try:
    stylizer(image, style, masks=np.ones((1, 33, 49), np.uint8))
except wct.WctError as error:
    assert str(error) == "masks must be floats from 0 to 1 or bools, not uint8", error
else:
    raise AssertionError("it was taken")
try:
    stylizer(image.tolist(), style)
except wct.ImageError as error:
    assert "must be an array of JAX or NumPy, not of <class 'list'>" in str(error), error
else:
    raise AssertionError("it was taken")
"""

NO_STYLE = """
import jax
import numpy as np
import wct
stylizer = wct.Stylizer.from_pretrained()
image = np.zeros((1, 16, 16, 3), np.float32)
for call in (
    lambda: stylizer(image, "a.jpg"),
    lambda: wct.mix_styles(["a.jpg"]),
    lambda: wct.augment(jax.random.key(0), image, bank="a.jpg", stylizer=stylizer),
):
    try:
        call()
    except wct.WctError as error:
        wanted = "a style is what read_style or Style.load returns, not 'a.jpg'"
        assert str(error) == wanted, error
    else:
        raise AssertionError("it was taken")
"""

SHARED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import PartitionSpec as P
import wct
mesh = jax.make_mesh((2,), ("images",), axis_types=(jax.sharding.AxisType.Auto,))
features = jnp.asarray(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), jnp.float32)
measure = lambda features: wct.moments(features).covariance
shared = jax.shard_map(measure, mesh=mesh, in_specs=P("images"), out_specs=P("images"))
np.testing.assert_array_equal(jax.jit(shared)(features), measure(features))
"""


@pytest.mark.parametrize(
    ("script", "count"),
    [(WIDE, 1), (MISFIT, 1), (NO_STYLE, 1), (SHARED, 2)],
    ids=["x64", "masks", "styles", "shard_map"],  # here, annotations would find the masks' size
)
def test_in_a_program_of_its_own(script, count):
    run_on_devices(script, count=count)
