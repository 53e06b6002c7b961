import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import coloring, decode, encode, moments, whitening

import wct
from wct import _swap
from wct._errors import WctError
from wct._recipe import Recipe
from wct._swap import swap_patches

sides = st.integers(1, 9)
seeds = st.integers(0, 2**32 - 1)


def extend(features):
    """Features of at least 3 × 3, in float64."""
    rows, columns = (np.minimum(range(max(side, 3)), side - 1) for side in features.shape[:2])
    return features[rows][:, columns].astype(np.float64)


def oracle(content, style):
    """Style-swap of one picture, and which pixels no near tie of two style patches has part in."""
    height, width, _ = content.shape
    content, style = extend(content), extend(style)
    total = np.zeros_like(content)
    count, doubts = np.zeros(content.shape[:2]), np.zeros(content.shape[:2])
    for row in range(content.shape[0] - 2):
        for column in range(content.shape[1] - 2):
            patch = content[row : row + 3, column : column + 3]
            scores, candidates = [], []
            for style_row in range(style.shape[0] - 2):
                for style_column in range(style.shape[1] - 2):
                    candidate = style[style_row : style_row + 3, style_column : style_column + 3]
                    norm = np.linalg.norm(candidate)
                    scores.append((patch * candidate).sum() / norm if norm else 0.0)
                    candidates.append(candidate)
            best = scores.index(max(scores))
            close = np.array(scores) > scores[best] - 1e-6 * np.linalg.norm(patch)
            total[row : row + 3, column : column + 3] += candidates[best]
            count[row : row + 3, column : column + 3] += 1
            doubts[row : row + 3, column : column + 3] += close.sum() > 1
    return (total / count[..., None])[:height, :width], doubts[:height, :width] == 0


def random(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def swap_one(content, style):
    """Of one picture, `(height, width, channels)`."""
    return swap_patches(content[None], style)[0]


swap = jax.jit(swap_one)


def compile_anew(function):
    """Compile it with the module's constants of now."""
    return jax.jit(lambda content, style: function(content, style))


def near(actual, wanted, within=3e-7):
    assert np.shape(actual) == np.shape(wanted)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=within * np.abs(wanted).max())


def check(content, style):
    wanted, sure = oracle(content, style)
    actual = np.asarray(swap(content, style))
    assert actual.shape == wanted.shape
    assert np.isfinite(actual).all()
    near(actual * sure[..., None], wanted * sure[..., None])
    return sure.mean()


@settings(max_examples=25)
@given(seeds, sides, sides, sides, sides, st.integers(1, 4))
def test_swapped_patches_are_the_oracles(seed, height, width, style_height, style_width, channels):
    check(
        random(seed, height, width, channels), random(seed + 1, style_height, style_width, channels)
    )


@pytest.mark.parametrize("content_shape", [(1, 1), (2, 2), (1, 9), (3, 3), (12, 10)])
@pytest.mark.parametrize("style_shape", [(1, 1), (2, 2), (9, 1), (3, 3), (11, 12)])
def test_any_size_goes_with_any(content_shape, style_shape):
    sure = check(random(0, *content_shape, 5), random(1, *style_shape, 5))
    assert sure > 0.9  # or it would test nothing


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (2, 2), (3, 4), (9, 7)])
@pytest.mark.parametrize("factor", [1, 7])
def test_a_style_becomes_itself(shape, factor):
    """If it is generic: no patch is zero or a multiple of an earlier one."""
    style = random(2, *shape, 4)
    near(swap(factor * style, style), style)


@pytest.mark.parametrize("content_shape", [(1, 1), (2, 5), (8, 6)])
@pytest.mark.parametrize("style_shape", [(1, 1), (6, 2), (7, 8)])
def test_constant_pictures(content_shape, style_shape):
    color = random(3, 6)
    constant = np.broadcast_to(color, (*style_shape, 6))
    wanted = np.broadcast_to(color, (*content_shape, 6))
    for content in (wanted, -wanted, 0 * wanted, random(4, *content_shape, 6)):
        near(swap(content, constant), wanted)
    np.testing.assert_array_equal(swap(wanted, 0 * constant), 0 * wanted)
    np.testing.assert_array_equal(swap(0 * wanted, 0 * constant), 0 * wanted)


def test_patch_of_zeros_scores_zero():
    """Less than any likeness, more than any opposition."""
    style = np.abs(random(5, 9, 9, 2))
    style[2:5, 4:7] = 0
    content = np.abs(random(6, 6, 6, 2))
    for sign in (1, -1):
        wanted, sure = oracle(sign * content, style)
        assert sure.all()
        near(swap(sign * content, style), wanted)
        assert (wanted == 0).all() == (sign == -1)


@pytest.mark.parametrize("block", [2, 5, 256])
@pytest.mark.parametrize("factors", [(1, 4), (4, 1)])
def test_first_of_equals_wins(monkeypatch, block, factors):
    """In row-major order, in one block or in several."""
    monkeypatch.setattr(_swap, "_BLOCK", block)
    swap = compile_anew(swap_one)
    content = random(7, 5, 4, 3)
    for axis in (0, 1):
        style = np.concatenate([factor * content for factor in factors], axis)
        near(swap(content, style), factors[0] * content)
    nothing = np.zeros((3, 3, 3), np.float32)
    style = random(8, 5, 6, 3)
    np.testing.assert_array_equal(swap(nothing, style), style[:3, :3])


@pytest.mark.parametrize("block", [1, 7, 63, 10**6])
@pytest.mark.parametrize("scores", [1, 200, 10**6])
def test_blocks_and_bands_change_nothing(monkeypatch, block, scores):
    monkeypatch.setattr(_swap, "_BLOCK", block)
    monkeypatch.setattr(_swap, "_SCORES", scores)
    contents, style = random(9, 2, 13, 5, 3), random(10, 10, 10, 3)
    results = compile_anew(swap_patches)(contents, style)
    for content, result in zip(contents, results, strict=True):
        wanted, sure = oracle(content, style)
        assert sure.all()
        near(result, wanted)


def test_last_of_two_blocks():
    """The 323rd patch is found. What repeated rows would make a 324th, of 2 × 162, is no patch."""
    assert 162 <= _swap._BLOCK < 323
    content, style = random(11, 6, 3, 2), random(12, 21, 19, 2)
    content[:3] = style[-3:, -3:]
    content[3:] = style[[-2, -1, -1], :3]
    wanted, sure = oracle(content, style)
    assert sure.all()
    near(swap(content, style), wanted)


def test_vmap_is_a_loop():
    contents, styles = random(13, 3, 2, 5, 6, 4), random(14, 3, 7, 4, 4)
    wanted = np.stack(
        [
            [swap(one, style) for one in content]
            for content, style in zip(contents, styles, strict=True)
        ]
    )
    near(jax.jit(jax.vmap(swap_patches))(contents, styles), wanted)
    one_style = jax.jit(jax.vmap(swap_patches, in_axes=(0, None)))(contents, styles[1])
    near(one_style[1], wanted[1])


def test_derivatives():
    """The result is linear in the style and constant in the content, but for jumps."""
    content, style, weights = random(15, 1, 5, 6, 3), random(16, 7, 4, 3), random(17, 1, 5, 6, 3)

    @jax.jit
    def measure(content, style):
        return (weights * swap_patches(content, style)).sum()

    by_content, by_style = jax.grad(measure, argnums=(0, 1))(content, style)
    np.testing.assert_array_equal(by_content, np.zeros_like(content))
    change = 1e-3 * random(18, 7, 4, 3)
    difference = measure(content, style + change) - measure(content, style)
    np.testing.assert_allclose((by_style * change).sum(), difference, rtol=1e-3)


@pytest.mark.parametrize("stack", [(), (16,)])
def test_memory_is_bounded(stack):
    """Of pictures of 512 × 512 pixels at relu1_1, of which all scores would be 271 GB."""
    content, style = (
        jax.ShapeDtypeStruct((*stack, *shape), jnp.float32)
        for shape in [(1, 512, 512, 16), (512, 512, 16)]
    )
    function = jax.vmap(swap_patches) if stack else swap_patches
    memory = jax.jit(function).lower(content, style).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 64e6


# In the chain.


@pytest.mark.parametrize("size", [(96, 112), (90, 101)])
def test_a_picture_of_its_own_style_is_only_decoded(tiny, size):
    """Each of its patches finds itself, so nothing happens but what the decoder loses."""
    image = picture(*size, 1)
    style, patches = tiny.read_style(image), tiny.read_patches(image, (3,))
    recipe = Recipe(1.0, levels=(3,))
    *_, swapped = tiny.steps(jnp.asarray(image)[None], style, recipe, patches=patches)
    height, width = (side if side % 4 == 0 else side - 60 for side in size)  # cut cells find others
    *_, plain = tiny.steps(jnp.asarray(image)[None], style, recipe)
    wanted, actual = (np.asarray(result)[0, :height, :width] for result in (plain, swapped))
    np.testing.assert_allclose(actual, wanted, atol=2e-3)


def test_only_the_chosen_levels_are_swapped(tiny):
    content, painting = picture(96, 112, 1), picture(96, 112, 2)
    plain = wct.stylize(content, painting, 1.0, levels=(3, 2), model=tiny)
    with pytest.raises(WctError, match=r"swap \[5\] is for levels that run: \[3, 2\]"):
        wct.stylize(content, painting, 1.0, levels=(3, 2), swap=(5,), model=tiny)
    swapped = wct.stylize(content, painting, 1.0, levels=(3, 2), swap=(3,), model=tiny)
    assert np.abs(swapped - plain).mean() > 0.01
    unchanged = wct.stylize(content, painting, 0.0, levels=(3, 2), swap=(3, 2), model=tiny)
    np.testing.assert_allclose(unchanged, content, atol=1e-5)


def test_a_ridge_counts_where_patches_are_swapped(tiny, tensors):
    """At level 1: whitened with the ridge, swapped, coloured and decoded, by the oracles."""
    content, painting = picture(16, 16, 1), picture(16, 16, 2)
    asked = {"levels": (1,), "swap": (1,), "ridge": 2.0, "preset": "paper", "model": tiny}
    found = wct.stylize(content, painting, 1.0, **asked)
    ours, theirs = (encode(tensors["encoder"], each)[1] for each in (content, painting))
    (_, mean, covariance), (_, style_mean, style_covariance) = map(moments, (ours, theirs))
    ridge = 2 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    white = (ours - mean) @ whitening(covariance + ridge)
    swapped, sure = oracle(white, (theirs - style_mean) @ whitening(style_covariance))
    assert sure.all()
    wanted = decode(tensors[1], swapped @ coloring(style_covariance) + style_mean, 1)
    np.testing.assert_allclose(found, wanted.clip(0, 1), atol=1e-3)


def test_style_swap_needs_one_picture(tiny):
    content, painting = picture(32, 32, 1), picture(32, 32, 2)
    style = tiny.read_style(painting)
    for given_style in (style, [painting, painting]):
        with pytest.raises(WctError, match="style-swap takes the picture of one style: give one"):
            wct.stylize(content, given_style, swap=(5,), model=tiny)
    masks = [np.ones((32, 32), np.float32)]
    with pytest.raises(WctError, match="style-swap knows no masks"):
        wct.stylize(content, painting, swap=(5,), masks=masks, model=tiny)
    with pytest.raises(WctError, match="no level 6"):
        wct.stylize(content, painting, swap=(6,), model=tiny)
