import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from conftest import assert_picture, picture
from flax import nnx

from wct import _refine
from wct._errors import WctError
from wct._mixing import stack_styles
from wct._refine import Objective, gram, picture_loss, refine

# Compiling is what costs here: pictures share the canvases 16 × 16 and 48 × 32.

STYLE_WEIGHT, VARIATION = 30.0, 4.0


def weights(features, size):
    """Share of a picture of this size in each of its features' cells."""
    rows, columns = features.shape[:2]
    cell = -(-size[0] // 16) * 16 // rows
    inside = np.zeros((rows * cell, columns * cell))
    inside[: size[0], : size[1]] = 1
    return inside.reshape(rows, cell, columns, cell).mean(axis=(1, 3))


def grams(tensors, image):
    """Σ w f fᵀ / W of the features at each level, in float64."""
    matrices = []
    for features in oracle.encode(tensors["encoder"], oracle.extend(image)).values():
        inside = weights(features, image.shape[:2])
        matrices.append(np.einsum("hw,hwc,hwd->cd", inside, features, features) / inside.sum())
    return matrices


def style_loss(tensors, image, painting):
    """‖G − G_s‖² / ‖G_s‖², averaged over the levels, in float64."""
    pairs = zip(grams(tensors, image), grams(tensors, painting), strict=True)
    return np.mean([((g - wanted) ** 2).sum() / (wanted**2).sum() for g, wanted in pairs])


def total_variation(image):
    image = np.asarray(image, np.float64)
    return ((np.diff(image, axis=0) ** 2).sum() + (np.diff(image, axis=1) ** 2).sum()) / image.size


def loss(tensors, image, content, painting):
    """The whole loss in float64; the image may leave [0, 1]."""
    image = np.asarray(image, np.float64)
    clipped = image.clip(0, 1)
    ours, theirs = (
        oracle.encode(tensors["encoder"], oracle.extend(i))[4] for i in (clipped, content)
    )
    inside = weights(ours, image.shape[:2])[..., None]
    return (
        (inside * (ours - theirs) ** 2).sum() / (inside * theirs**2).sum()
        + STYLE_WEIGHT * style_loss(tensors, clipped, painting)
        + VARIATION * total_variation(clipped)
        + 100 * ((image - clipped) ** 2).mean()
    )


def to_canvas(image):
    height, width, _ = image.shape
    return jnp.pad(image, ((0, -height % 16), (0, -width % 16), (0, 0)))[None]


def objective_of(tiny, content, painting):
    height, width, _ = content.shape
    size = jnp.int32(height), jnp.int32(width)
    return Objective(
        _refine._encode_content(tiny.encoder, to_canvas(content), size),
        tuple(gram(moments) for moments in tiny.read_style(painting).levels),
        size,
        jnp.float32(STYLE_WEIGHT),
        jnp.float32(VARIATION),
    )


def run(tiny, start, content, painting, steps, **options):
    """The pictures and the losses, as NumPy."""
    style = tiny.read_style(painting)
    pairs = list(
        refine(tiny.encoder, jnp.asarray(start), jnp.asarray(content), style, steps, **options)
    )
    return [np.asarray(picture) for picture, _ in pairs], [loss for _, loss in pairs]


def around(size, seed):
    """A picture of which some values are below 0, and some above 1."""
    return np.float32(1.3) * (picture(*size, seed) - np.float32(0.5)) + np.float32(0.5)


@pytest.mark.parametrize("size", [(41, 22), (48, 32), (3, 5), (1, 1)])
@pytest.mark.parametrize("painting_size", [(45, 17), (1, 1)])
def test_loss(tiny, tensors, size, painting_size):
    image, content, painting = around(size, 1), picture(*size, 2), picture(*painting_size, 3)
    wanted = loss(tensors, image, content, painting)
    actual = picture_loss(tiny.encoder, objective_of(tiny, content, painting), to_canvas(image))
    assert float(actual) == pytest.approx(wanted, rel=2e-4)


@pytest.mark.parametrize("size", [(16, 16), (7, 13)])
def test_gradient(tiny, tensors, size):
    """By each of some values, inside and outside of [0, 1], against float64 differences."""
    image, content, painting = around(size, 1), picture(*size, 2), picture(45, 17, 3)
    image[0, 0], image[1, 1] = -0.1, 1.1
    point = _refine._evaluate(
        tiny.encoder, objective_of(tiny, content, painting), to_canvas(jnp.asarray(image))
    )
    height, width = size
    gradient = np.asarray(point.gradient[0])
    assert not gradient[height:].any()
    assert not gradient[:, width:].any()
    rng = np.random.default_rng(0)
    places = [(0, 0), (1, 1), (height - 1, width - 1), *rng.integers((0, 0), size, (12, 2))]
    for row, column in places:
        change = np.zeros(image.shape)
        change[row, column, 1] = 1e-5
        ahead, behind = (
            loss(tensors, image + sign * change, content, painting) for sign in (1, -1)
        )
        slope = (ahead - behind) / 2e-5
        assert gradient[row, column, 1] == pytest.approx(slope, rel=2e-3, abs=2e-4)


def test_loss_never_rises_and_the_style_comes_nearer(tiny, tensors):
    content, painting = picture(48, 32, 1), picture(45, 17, 2)
    pictures, losses = run(tiny, content, content, painting, 60)
    assert len(losses) == 60
    assert (np.diff(losses) < 0).all()
    before, after = (style_loss(tensors, image, painting) for image in (content, pictures[-1]))
    assert after < before / 10
    for image in pictures:
        assert_picture(image, content)


def test_yields_the_loss_of_the_picture(tiny, tensors):
    start, content, painting = (picture(41, 22, seed) for seed in (1, 2, 3))
    options = {"style_weight": STYLE_WEIGHT, "variation": VARIATION}
    pictures, losses = run(tiny, start, content, painting, 8, **options)
    for image, actual in zip(pictures, losses, strict=True):
        assert image.min() > 0  # nothing was clipped
        assert image.max() < 1
        assert actual == pytest.approx(loss(tensors, image, content, painting), rel=1e-3)


def test_content_alone_is_approached(tiny):
    start, content, painting = (picture(48, 32, seed) for seed in (1, 2, 3))
    _, losses = run(tiny, start, content, painting, 60, style_weight=0.0, variation=0.0)
    assert losses[-1] < losses[0] / 10


def test_start_at_the_optimum_stays_there(tiny):
    content = picture(41, 22, 1)
    pictures, losses = run(tiny, content, content, content, 1000, variation=0.0)
    assert 1 <= len(losses) <= 10
    assert max(losses) < 1e-9
    np.testing.assert_allclose(pictures[-1], content, rtol=0, atol=1e-4)


def test_stops_when_ten_steps_gain_less_than_a_thousandth(tiny):
    start, content, painting = (picture(16, 16, seed) for seed in (1, 2, 3))
    _, losses = run(tiny, start, content, painting, 1000)
    assert 20 < len(losses) < 1000
    shares = np.divide(losses[10:], losses[:-10])
    assert (shares[:-1] < 0.999).all()
    assert shares[-1] >= 0.999


def test_variation_is_lowered(tiny):
    start, painting = picture(48, 32, 1), picture(48, 32, 2)
    rough, smooth, smoother = (
        total_variation(run(tiny, start, start, painting, 30, variation=weight)[0][-1])
        for weight in (0.0, 300.0, 3000.0)
    )
    assert smooth < 0.9 * rough
    assert smoother < 0.9 * smooth


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (14, 1), (16, 16), (33, 30)])
@pytest.mark.parametrize("start", ["noise", "black", "white", "grey"])
@pytest.mark.parametrize("painting", ["noise", "black", "one pixel"])
def test_any_picture(tiny, size, start, painting):
    grey = {"black": 0.0, "white": 1.0, "grey": 0.4, "one pixel": 0.7}
    noise = picture(*size, 1)
    content = noise if start == "noise" else np.full_like(noise, grey[start])
    shape = (1, 1) if painting == "one pixel" else (16, 16)
    style = picture(*shape, 2) if painting == "noise" else np.full((*shape, 3), grey[painting])
    pictures, losses = run(tiny, content, content, np.float32(style), 12)
    assert 1 <= len(losses) <= 12
    assert np.isfinite(losses).all()
    assert (np.diff(losses) <= 0).all()
    assert_picture(pictures[-1], content)


@pytest.mark.parametrize("style_is_black", [True, False])
def test_features_and_grams_of_zero(tiny, style_is_black):
    """Without biases black has no features: what is relative to them becomes absolute."""
    black, other = np.zeros((16, 16, 3), np.float32), picture(16, 16, 1)
    encoder = without_biases(tiny.encoder)
    content, painting = (other, black) if style_is_black else (black, other)
    stylizer = type(tiny)("dark", encoder, [])
    pictures, losses = run(stylizer, content, content, painting, 12)
    assert np.isfinite(losses).all()
    assert losses[-1] <= losses[0]
    assert_picture(pictures[-1], content)


def without_biases(encoder):
    graph, parameters = nnx.split(encoder)
    parameters = jax.tree.map(
        lambda value: jnp.zeros_like(value) if value.ndim == 1 else value, parameters
    )
    return nnx.merge(graph, parameters)


def test_same_bytes_twice(tiny):
    content, painting = picture(48, 32, 1), picture(48, 32, 2)
    first, second = (run(tiny, content, content, painting, 10)[0][-1] for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_compiles_once_for_a_canvas(tiny):
    painting = picture(16, 16, 2)
    before = [function._cache_size() for function in (_refine._evaluate, _refine._turn)]
    for size in ((1, 33), (16, 48), (9, 40)):
        content = picture(*size, 1)
        run(tiny, content, content, painting, 4, style_weight=float(size[0]))
    after = [function._cache_size() for function in (_refine._evaluate, _refine._turn)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1]


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_search_meets_the_wolfe_conditions(tiny, factor):
    content, painting = picture(16, 16, 1), picture(16, 16, 2)
    objective = objective_of(tiny, content, painting)
    point = _refine._evaluate(tiny.encoder, objective, to_canvas(jnp.asarray(content)))
    slope = -float(jnp.sum(point.gradient**2))
    length = factor / (-slope) ** 0.5
    found = _refine._search(tiny.encoder, objective, point, -point.gradient, slope, length)
    assert found is not None
    moved = float(jnp.linalg.norm(found.canvas - point.canvas) / jnp.linalg.norm(point.gradient))
    assert float(found.loss) <= float(point.loss) + 1e-4 * moved * slope
    assert -float(jnp.vdot(found.gradient, point.gradient)) >= 0.9 * slope


def test_search_finds_a_narrow_valley(tiny, monkeypatch):
    """Between a length that is too short, 0.9, and one that is too long, 1.2."""

    def evaluate(encoder, objective, canvas):
        place = canvas[0, 0, 0, 0]
        loss, slope = jnp.maximum(-place, 10 * place - 11), jnp.where(place < 1, -1.0, 10.0)
        return _refine.Point(canvas, loss, slope * along)

    content = picture(16, 16, 1)
    objective = objective_of(tiny, content, picture(16, 16, 2))
    start = jnp.zeros_like(to_canvas(jnp.asarray(content)))
    along = start.at[0, 0, 0, 0].set(1)
    monkeypatch.setattr(_refine, "_evaluate", evaluate)
    point = evaluate(None, None, start)
    found = _refine._search(tiny.encoder, objective, point, along, -1.0, 0.3)
    assert found is not None
    assert 1 <= float(found.canvas[0, 0, 0, 0]) < 1.1


def test_search_upwards_finds_nothing(tiny):
    content, painting = picture(16, 16, 1), picture(16, 16, 2)
    objective = objective_of(tiny, content, painting)
    point = _refine._evaluate(tiny.encoder, objective, to_canvas(jnp.asarray(content)))
    slope = -float(jnp.sum(point.gradient**2))  # not true
    assert _refine._search(tiny.encoder, objective, point, point.gradient, slope, 1.0) is None


@pytest.mark.parametrize("slope", [1.0, 0.0, float("nan")])
def test_search_tries_no_direction_that_does_not_lead_down(tiny, monkeypatch, slope):
    content, painting = picture(16, 16, 1), picture(16, 16, 2)
    objective = objective_of(tiny, content, painting)
    point = _refine._evaluate(tiny.encoder, objective, to_canvas(jnp.asarray(content)))
    monkeypatch.setattr(_refine, "_evaluate", None)
    assert _refine._search(tiny.encoder, objective, point, point.gradient, slope, 1.0) is None


def test_no_steps(tiny):
    content = picture(16, 16, 1)
    assert run(tiny, content, content, content, 0) == ([], [])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": jnp.zeros((16, 17, 3))}, r"one size, not \(16, 17\) and \(16, 16\)"),
        ({"style_weight": -1.0}, "style_weight must be at least 0 and finite, not -1.0"),
        ({"variation": float("nan")}, "variation must be at least 0 and finite, not nan"),
        ({"variation": float("inf")}, "variation must be at least 0 and finite, not inf"),
    ],
)
def test_what_is_out_of_range_is_said(tiny, options, words):
    content = jnp.asarray(picture(16, 16, 1))
    given = {"start": content, "content": content, "style": tiny.read_style(content), "steps": 1}
    with pytest.raises(WctError, match=words):
        next(refine(tiny.encoder, **(given | options)))


def test_several_styles(tiny):
    content = jnp.asarray(picture(16, 16, 1))
    styles = stack_styles(2 * [tiny.read_style(content)])
    with pytest.raises(WctError, match="one style"):
        next(refine(tiny.encoder, content, content, styles, 1))
