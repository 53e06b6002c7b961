import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_picture, picture
from hypothesis import given
from hypothesis import strategies as st

from wct import _in_place, _onednn, _padding, _program
from wct._buckets import to_bucket
from wct._chain import repaint
from wct._convolution import Layer
from wct._mixing import stack_styles
from wct._networks import run_layers
from wct._padding import to_canvas, to_common_canvas
from wct._recipe import Recipe

SIDES = st.integers(1, 20_000)


@given(SIDES)
def test_a_bucket_holds_the_picture_and_little_more(length):
    bucket = to_bucket(length)
    assert bucket % 16 == 0
    assert length <= bucket <= max(length + 15, 1.125 * length)
    assert to_bucket(bucket) == bucket


@given(SIDES, SIDES)
def test_buckets_are_in_the_order_of_lengths(one, other):
    assert (to_bucket(one) <= to_bucket(other)) or one > other


def test_buckets_are_few():
    assert [to_bucket(n) for n in (1, 16, 17, 256, 257, 300, 512, 513, 1000, 1080, 1920)] == [
        16, 16, 32, 256, 288, 320, 512, 576, 1024, 1152, 1920,
    ]  # fmt: skip
    assert len({to_bucket(length) for length in range(1, 4097)}) == 16 + 4 * 8


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (3, 8), (6, 4), (8, 9)])
@pytest.mark.parametrize("doubled", [False, True])
@pytest.mark.parametrize("halved", [False, True])
def test_a_layer_sees_nothing_beyond_the_picture(size, doubled, halved):
    if halved and not doubled and (size[0] % 2 or size[1] % 2):
        size = (4, 6)
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 3, 4, 5)), rng.normal(size=5)
    kernel, bias = jnp.asarray(kernel, jnp.float32), jnp.asarray(bias, jnp.float32)
    canvas = np.full((2, 8, 10, 4), 1e6, np.float32)
    canvas[:, : size[0], : size[1]] = rng.normal(size=(2, *size, 4))
    alone = jnp.asarray(canvas[:, : size[0], : size[1]])
    layer = Layer(kernel, bias, doubled, relu=True, halved=halved)
    [wanted] = run_layers(alone, [layer])
    [found] = run_layers(jnp.asarray(canvas), [layer], size=size)
    rows, columns = wanted.shape[1:3]
    np.testing.assert_allclose(found[:, :rows, :columns], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fill", [_padding.mirror, _in_place.mirror])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (5, 7), (16, 10), (16, 32), (7, 32)])
def test_a_canvas_is_filled_by_reflection(fill, size):
    """As NumPy continues pictures, whatever was there before."""
    rng = np.random.default_rng(0)
    canvas = rng.random((2, 16, 32, 3), np.float32)
    picture = canvas[:, : size[0], : size[1]]
    beyond = [(0, length - side) for length, side in zip((16, 32), size, strict=True)]
    wanted = np.pad(picture, [(0, 0), *beyond, (0, 0)], "reflect")
    given = jnp.array(canvas)
    np.testing.assert_array_equal(fill(given, size), wanted)


@pytest.mark.parametrize("level", [5, 2])
def test_networks_see_nothing_beyond_the_picture(tiny, level):
    size, canvas = (48, 32), np.full((1, 80, 64, 3), 50, np.float32)
    canvas[0, :48, :32] = picture(*size, 0)
    wanted = tiny.encoder(jnp.asarray(canvas[:, :48, :32]), level)
    found = tiny.encoder(jnp.asarray(canvas), level, size=size)
    for ours, theirs in zip(found, wanted, strict=True):
        ours = ours[:, : theirs.shape[1], : theirs.shape[2]]
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    decoder, cells = tiny.decoders[f"decoder{level}"], wanted[-1].shape[1:3]
    image = decoder(found[-1], size=cells)
    assert image.shape == canvas.shape
    np.testing.assert_allclose(image[:, :48, :32], decoder(wanted[-1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("regions", [None, 2])
def test_results_do_not_depend_on_the_canvas(tiny, regions):
    content, paintings = picture(91, 110, 1), [picture(96, 112, seed) for seed in (2, 3)]
    recipe, masks = Recipe(0.7, 0.5), None
    style = tiny.read_style(paintings[0])
    if regions:
        style = stack_styles([tiny.read_style(painting) for painting in paintings])
        mask = np.linspace(0, 1, 96)[:, None] * np.ones((96, 112))
        masks = np.stack([mask, 1 - mask])[:, None]
    results = []
    for beyond in (0, 48):
        canvas = jnp.pad(
            to_canvas(jnp.asarray(content)[None]), ((0, 0), (0, beyond), (0, beyond), (0, 0))
        )
        fill = [(0, 0), (0, 0), (0, beyond), (0, beyond)]
        wide = None if masks is None else jnp.asarray(np.pad(masks, fill), jnp.float32)
        work = tiny.plan(style, recipe, regions)
        *_, last = repaint(tiny.encoder, canvas, (91, 110), work, recipe, wide)
        results.append(np.asarray(last[0, :91, :110]))
    np.testing.assert_allclose(*results, atol=1e-3)


@pytest.mark.skipif(not _onednn.is_usable(), reason="without oneDNN pictures are cut out by JAX")
def test_nothing_is_compiled_for_another_size_of_a_bucket(tiny, caplog, monkeypatch):
    monkeypatch.setattr(
        _program, "_MOST", 10**6
    )  # else the tests before tell when all is forgotten
    recipe, logged = Recipe(levels=(2, 1)), []
    for size in ((275, 260), (288, 257), (257, 288), (288, 288)):
        content, mask = picture(*size, 1), np.full(size, 0.5, np.float32)
        assert to_common_canvas(jax.device_put(content[None])).shape == (1, 288, 288, 3)
        with jax.log_compiles(), caplog.at_level("WARNING"):
            style = tiny.read_style(content, mask)
            result = tiny(content[None], style, recipe)
            *_, last = tiny.steps(content[None], style, recipe)
            regions = stack_styles([style, style])
            tiny(content[None], regions, recipe, masks=jax.device_put(np.stack([mask, mask])))
        assert_picture(np.asarray(result), content[None])
        assert last.shape == (1, *size, 3)
        logged.append([found for found in caplog.messages if found.startswith("Compiling")])
        caplog.clear()
    assert logged[0]
    assert logged[1:] == [[], [], []]


@pytest.mark.parametrize("width", [40, 48])
@pytest.mark.parametrize("onednn", [True, False])
def test_what_is_yielded_between_levels_is_the_callers(tiny, width, onednn, monkeypatch):
    """Also of a picture that fills its canvas, on which the next level works."""
    if not onednn:
        monkeypatch.setattr(_onednn, "_is_there", lambda: False)
    content, painting = picture(32, width, 1)[None], picture(32, 32, 2)
    style, recipe = tiny.read_style(painting), Recipe(levels=(2, 1))
    wanted = [np.array(each) for each in tiny.steps(content, style, recipe)]
    for each, value in zip(tiny.steps(content, style, recipe), wanted, strict=True):
        np.testing.assert_array_equal(each, value)
        each.delete()
