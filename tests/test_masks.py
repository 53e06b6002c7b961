"""Regions with styles of their own."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from conftest import picture
from PIL import ExifTags, Image
from skimage.measure import block_reduce

import wct
from wct._errors import ImageError, WctError
from wct._level import average, measure
from wct._masks import feathered, read_mask, split_labels, steady
from wct._mixing import stack_styles
from wct._moments import moments
from wct._style import Style

HEIGHT, WIDTH = 96, 112
CONTENT = picture(HEIGHT, WIDTH, 1)
STYLES = [picture(48, 48, seed) for seed in (2, 3)]
LEFT = np.zeros((HEIGHT, WIDTH), np.float32)
LEFT[:, :48] = 1
ONES = np.ones((HEIGHT, WIDTH), np.float32)


def stylize(tiny, style=STYLES, content=CONTENT, alpha=1.0, **options):
    return wct.stylize(content, style, alpha, preset="paper", model=tiny, **options)


@pytest.mark.parametrize("alpha", [1.0, 0.6])
def test_a_mask_of_all_ones_is_no_mask(tiny, alpha):
    masked = stylize(tiny, STYLES[0], alpha=alpha, masks=[ONES])
    np.testing.assert_allclose(masked, stylize(tiny, STYLES[0], alpha=alpha), atol=1e-5)


def test_a_mask_of_all_zeros_leaves_the_content(tiny):
    result = stylize(tiny, STYLES[0], masks=[0 * ONES])
    np.testing.assert_allclose(result, CONTENT, atol=1e-5)


def test_one_style_everywhere_and_another_nowhere(tiny):
    masked = stylize(tiny, masks=[ONES, 0 * ONES])
    np.testing.assert_allclose(masked, stylize(tiny, STYLES[0]), atol=1e-5)


def test_what_no_mask_covers_stays(tiny):
    result = stylize(tiny, STYLES[0], masks=[LEFT], levels=(2, 1))
    np.testing.assert_allclose(result[:, 60:], CONTENT[:, 60:], atol=1e-5)
    assert np.abs(result[:, :40] - CONTENT[:, :40]).mean() > 0.02


def test_a_region_is_the_oracles(tiny, tensors):
    """At level 2, in cells of two pixels, by weighted moments of the half that is left."""
    features = oracle.encode(tensors["encoder"], CONTENT)[2]
    inside = np.zeros(features.shape[:2])
    inside[:, :24] = 1
    whole = oracle.moments(features)
    weight, mean, _ = oracle.moments(features, inside)
    channels = features.shape[-1]
    prior = channels * (1 - weight / whole[0])
    # As many vectors of the whole picture as there are channels, less the share covered.
    vectors = np.concatenate([features.reshape(-1, channels)] * 2)
    weights = np.concatenate([inside.ravel(), np.full(inside.size, prior / inside.size)])
    region = oracle.moments(vectors, weights)
    assert np.linalg.norm(region[1] - mean) < 0.1 * np.linalg.norm(mean)
    target = oracle.moments(oracle.encode(tensors["encoder"], STYLES[0])[2])
    mapped = oracle.whiten_and_color(features, region, target)
    mixed = np.where(inside[..., None] == 1, mapped, features)
    lost = CONTENT - oracle.decode(tensors[2], features, 2)
    wanted = oracle.decode(tensors[2], mixed, 2) + (1 - LEFT[..., None]) * lost
    result = stylize(tiny, STYLES[0], masks=[LEFT], levels=(2,))
    np.testing.assert_allclose(result, wanted.clip(0, 1), atol=5e-4)


def test_soft_masks_of_one_style_add_up(tiny):
    ramp = np.linspace(0, 1, WIDTH, dtype=np.float32)[None].repeat(HEIGHT, 0)
    both = stylize(tiny, [STYLES[0], STYLES[0]], masks=[ramp, 1 - ramp], levels=(1,))
    assert np.abs(both - stylize(tiny, STYLES[0], levels=(1,))).mean() < 0.05


def test_overlapping_masks_share(tiny):
    double = stylize(tiny, [STYLES[0]] * 2, masks=[ONES, ONES], levels=(1,))
    np.testing.assert_allclose(double, stylize(tiny, STYLES[0], levels=(1,)), atol=1e-3)


@pytest.mark.parametrize("pixels", [0, 1, 5])
def test_tiny_regions_are_safe(tiny, pixels):
    spot = np.zeros((HEIGHT, WIDTH), np.float32)
    spot[50, 50 : 50 + pixels] = 1
    assert np.isfinite(stylize(tiny, masks=[1 - spot, spot])).all()
    result = stylize(tiny, masks=[1 - spot, spot], levels=(2, 1))
    away = np.abs(result - stylize(tiny, STYLES[0], levels=(2, 1)))[:30]
    assert away.mean() < 0.01


@pytest.mark.parametrize("level", range(1, 6))
def test_masks_are_averaged_over_cells(level):
    masks = np.random.default_rng(0).uniform(size=(2, 1, 32, 48)).astype(np.float32)
    cell = 2 ** (level - 1)
    wanted = block_reduce(masks, (1, 1, cell, cell), np.mean)
    np.testing.assert_allclose(average(masks, level), wanted, rtol=1e-5)


def test_a_region_is_measured_inside_the_picture_alone():
    rng, sizes = np.random.default_rng(0), ((1, 6, 7, 3), (1, 6, 7), (2, 1, 6, 7))
    features, inside, cells = (rng.uniform(size=size).astype(np.float32) for size in sizes)
    inside[:, 4:], cells = 0, cells / 2
    whole, parts = measure(*map(jnp.asarray, (features, inside, cells)))
    regions = [jax.tree.map(lambda value, i=i: value[i], parts) for i in range(2)]
    for found, share in zip((whole, *regions), (1, *cells[:, 0]), strict=True):
        wanted = oracle.moments(features[0], inside[0] * share)
        for one, other in zip((found.weight, found.mean, found.covariance), wanted, strict=True):
            np.testing.assert_allclose(one[0], other, rtol=1e-4, atol=1e-6)


def test_steady_moments():
    features = jnp.asarray(np.random.default_rng(0).normal(size=(8, 8, 4)), jnp.float32)
    whole = moments(features)
    for weights, wanted in ((0.0, whole), (1.0, whole)):
        found = steady(moments(features, jnp.full((8, 8), weights)), whole)
        np.testing.assert_allclose(found.mean, wanted.mean, atol=1e-6)
        np.testing.assert_allclose(found.covariance, wanted.covariance, atol=1e-6)


def test_steady_moments_keep_what_rounding_leaves_off():
    """Of a quarter, three of the whole's vectors are added, whose scatter is exact in float64."""
    features = jnp.asarray(np.random.default_rng(0).normal(size=(8, 8, 4)), jnp.float32)
    quarter = jnp.zeros((8, 8)).at[:2].set(1)
    region, whole = moments(features, quarter), moments(features)
    apart = np.float64(region.mean) - np.float64(whole.mean)
    scatter = 15 * exact(region) + 3 * exact(whole) + 16 * 3 / 19 * np.outer(apart, apart)
    np.testing.assert_allclose(exact(steady(region, whole)), scatter / 18, rtol=0, atol=1e-13)


def exact(measured):
    return np.float64(measured.covariance) + np.float64(measured.residue)


def test_masks_on_the_style_side(tiny):
    """A style's mask selects: of two pictures side by side, the moments of the one, nearly."""
    pair = np.concatenate([picture(96, 96, 2), 0.2 * picture(96, 96, 3)], axis=1)
    right = np.zeros(pair.shape[:2], np.float32)
    right[:, 96:] = 1
    selected = tiny.read_style(pair, right).levels[0]
    alone = tiny.read_style(pair[:, 96:]).levels[0]
    other = tiny.read_style(pair[:, :96]).levels[0]
    error = np.linalg.norm(selected.mean - alone.mean)
    assert error < 0.05 * np.linalg.norm(other.mean - alone.mean)
    result = stylize(tiny, pair, style_masks=[right], levels=(1,))
    assert np.abs(result - stylize(tiny, pair[:, 96:], levels=(1,))).mean() < 0.02


def test_a_style_mask_of_nothing_selects_the_whole(tiny):
    none, whole = (tiny.read_style(STYLES[0], mask) for mask in (np.zeros((48, 48)), None))
    for found, wanted in zip(none.levels, whole.levels, strict=True):
        np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-5)
        np.testing.assert_allclose(found.covariance, wanted.covariance, rtol=1e-4, atol=1e-6)


def test_masks_of_any_kind_and_size(tmp_path):
    small = LEFT[::2, ::2]
    Image.fromarray(np.uint8(255 * small)).save(tmp_path / "mask.png")
    kinds = [small, small > 0, np.uint8(255 * small), tmp_path / "mask.png",
             Image.open(tmp_path / "mask.png"),
             io.BytesIO((tmp_path / "mask.png").read_bytes())]  # fmt: skip
    for kind in kinds:
        found = read_mask(kind, (HEIGHT, WIDTH))
        assert found.shape == (HEIGHT, WIDTH)
        assert 0 <= found.min() <= found.max() <= 1
        assert np.abs(found - LEFT).mean() < 0.02


def test_streams_of_text_are_no_masks():
    for read in (lambda text: read_mask(text, (2, 2)), lambda text: split_labels(text, STYLES)):
        with pytest.raises(ImageError, match="it is open as text; open it as binary"):
            read(io.StringIO("text"))


@pytest.mark.parametrize("smaller", [3, 7, 30])
def test_a_mask_may_be_smaller_to_the_nearest_pixel(smaller):
    height, width = (round(side / smaller) for side in (300, 401))
    mask = np.ones((height, width), np.float32)
    assert read_mask(mask, (300, 401)).shape == (300, 401)
    with pytest.raises(ImageError, match="give one of the same proportions"):
        read_mask(np.pad(mask, ((0, 0), (0, 2))), (300, 401))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_transparent_is_black(mode, tmp_path):
    """As of a shape that was cut out: white, and around it white that is not seen."""
    shape = Image.fromarray(np.uint8(255 * LEFT))
    mask = Image.new("RGBA", shape.size, "white")
    mask.putalpha(shape)
    mask = mask.convert("P" if mode == "PA" else mode)
    mask.save(tmp_path / "mask.png")
    for given in (mask, tmp_path / "mask.png"):
        np.testing.assert_allclose(read_mask(given, (HEIGHT, WIDTH)), LEFT, atol=1 / 255)


DEEP = np.linspace(0, 1, 128).reshape(1, 128)


@pytest.mark.parametrize(
    ("name", "values"),
    [("mask.png", np.uint16(np.rint(65535 * DEEP))), ("mask.tif", np.float32(DEEP))],
)
def test_masks_of_more_than_8_bits(name, values, tmp_path):
    Image.fromarray(values).save(tmp_path / name)
    np.testing.assert_allclose(read_mask(tmp_path / name, (1, 128)), DEEP, rtol=0, atol=1e-5)


def test_masks_in_modes_that_cannot_be_converted(tmp_path):
    Image.new("LAB", (WIDTH, HEIGHT)).save(tmp_path / "mask.tif")
    with pytest.raises(ImageError, match=r"cannot read .*mask\.tif: .*LAB"):
        read_mask(tmp_path / "mask.tif", (HEIGHT, WIDTH))
    with pytest.raises(ImageError, match=r"cannot read the image: .*La"):
        split_labels(Image.new("La", (WIDTH, HEIGHT)), STYLES)


def test_masks_are_turned_upright(tmp_path):
    about = Image.Exif()
    about[ExifTags.Base.Orientation] = 3
    Image.fromarray(np.uint8(255 * LEFT)).save(tmp_path / "mask.png", exif=about)
    turned = LEFT[::-1, ::-1]
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", (HEIGHT, WIDTH)), turned)
    one, none = split_labels(tmp_path / "mask.png", STYLES)[::-1]
    np.testing.assert_array_equal([one, none], [turned, 1 - turned])


@pytest.mark.parametrize("width", [1.0, 2.9, 3.0, 12.0, 40.0, 1000.0])
def test_feathered_masks_add_up_to_one(width):
    spot = (np.random.default_rng(0).uniform(size=(20, 33)) < 0.3).astype(np.float32)
    parts = [feathered(mask, width) for mask in (spot, 1 - spot)]
    np.testing.assert_allclose(sum(parts), 1, atol=1e-6)
    assert all(part.dtype == np.float32 and 0 <= part.min() <= part.max() <= 1 for part in parts)
    assert width >= 3 or np.array_equal(parts[0], spot)


def test_a_feathered_border_is_so_wide_and_stays_in_place():
    soft = feathered(LEFT, 24.0)
    np.testing.assert_array_equal(soft, np.broadcast_to(soft[:1], soft.shape))
    rising = np.flatnonzero((soft[0] > 1e-6) & (soft[0] < 1 - 1e-6))
    assert 20 <= len(rising) <= 28
    assert abs(rising.mean() - 47.5) < 0.6
    assert (np.diff(soft[0]) <= 1e-7).all()
    np.testing.assert_allclose(soft[0, 47] + soft[0, 48], 1, atol=1e-6)


def test_feathering_is_nearly_a_gaussian():
    """Of the deviation that three box filters have: variances add up."""
    impulse = np.zeros((121, 121), np.float32)
    impulse[60, 60] = 1
    radius, row = 4, feathered(impulse, 24.0).sum(0)
    offsets = np.arange(121) - 60
    assert row @ offsets**2 == pytest.approx(3 * ((2 * radius + 1) ** 2 - 1) / 12, rel=1e-3)
    gaussian = np.exp(-(offsets**2) / 2 / (row @ offsets**2))
    assert np.abs(row - gaussian / gaussian.sum()).max() < 0.007


def test_masks_are_feathered_before_use(tiny):
    masks = [LEFT, 1 - LEFT]
    found = stylize(tiny, masks=masks, feather=24.0, levels=(2,))
    soft = [feathered(mask, 24.0) for mask in masks]
    np.testing.assert_array_equal(found, stylize(tiny, masks=soft, levels=(2,)))
    assert np.abs(found - stylize(tiny, masks=masks, levels=(2,))).max() > 0.01


def test_labels(tmp_path):
    labels = np.uint8([[3, 3, 7], [0, 3, 7]])
    Image.fromarray(labels).save(tmp_path / "labels.png")
    for source in (labels, tmp_path / "labels.png"):
        masks = split_labels(source, range(3))
        np.testing.assert_array_equal(np.stack(masks), [labels == 0, labels == 3, labels == 7])
        np.testing.assert_array_equal(sum(masks), 1)


def test_labels_with_a_palette_go_by_their_numbers(tmp_path):
    """Not by their colours, which here are in another order."""
    labels = np.uint8([[0, 0, 2], [1, 0, 2]])
    image = Image.fromarray(labels)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "labels.png")
    found = split_labels(tmp_path / "labels.png", range(3))
    np.testing.assert_array_equal(found, [labels == 0, labels == 1, labels == 2])


def test_labels_of_more_than_8_bits(tmp_path):
    labels = np.uint16([[300, 300, 700], [0, 300, 700]])
    Image.fromarray(labels).save(tmp_path / "labels.png")
    found = split_labels(tmp_path / "labels.png", range(3))
    np.testing.assert_array_equal(found, [labels == 0, labels == 300, labels == 700])


def test_labels_in_colours(tmp_path):
    """Which as grey would be two: in the order of red, green, blue."""
    image = np.uint8([[(0, 130, 0), (255, 0, 0)], [(0, 0, 0), (0, 130, 0)]])
    Image.fromarray(image).save(tmp_path / "labels.png")
    wanted = np.array([[1, 2], [0, 1]])
    found = split_labels(tmp_path / "labels.png", range(3))
    np.testing.assert_array_equal(found, [wanted == 0, wanted == 1, wanted == 2])


def test_labels_are_counted_before_masks_are_made():
    """A float32 mask each would take 70 TB."""
    photo = np.arange(2**22, dtype=np.int32).reshape(2048, 2048)
    with pytest.raises(WctError, match="4194304 labels for 2 styles: give one for each"):
        split_labels(photo, STYLES)


def test_masks_go_through_jit(tiny):
    styles = [tiny.read_style(style) for style in STYLES]
    stacked = stack_styles(styles)
    masks = jnp.stack([LEFT, 1 - LEFT])
    call = jax.jit(lambda image, masks: tiny(image[None], stacked, wct.Recipe(1.0), masks=masks)[0])
    found = call(jnp.asarray(CONTENT), masks)
    np.testing.assert_allclose(found, stylize(tiny, masks=[LEFT, 1 - LEFT]), atol=1e-3)


def test_what_cannot_be_done(tiny, tmp_path):
    cases = [
        (ImageError, "not NaN", {"masks": [LEFT, np.where(LEFT == 1, np.nan, LEFT)]}),
        (ImageError, "from 0 to 1", {"masks": [LEFT, 2 * LEFT]}),
        (ImageError, "largest is 1: make it bool", {"masks": [LEFT, np.uint8(LEFT)]}),
        (ImageError, "mask 112 pixels wide and 48 high does not fit", {"masks": [LEFT, LEFT[:48]]}),
        (ImageError, r"array \(height, width\)", {"masks": [LEFT, CONTENT]}),
        (
            ImageError,
            "cannot read .*none.png: there is no such file",
            {"masks": [LEFT, tmp_path / "none.png"]},
        ),
        (WctError, "1 masks for 2 styles", {"masks": [LEFT]}),
        (WctError, "masks must be a list, one for each style", {"masks": LEFT}),
        (WctError, "masks must be a list, one for each style", {"masks": "left.png"}),
        (WctError, "1 style masks for 2 styles", {"style_masks": [LEFT]}),
        (WctError, "masks or weights", {"masks": [LEFT, LEFT], "weights": (0.5, 0.5)}),
    ]
    for kind, message, options in cases:
        with pytest.raises(kind, match=message):
            stylize(tiny, **options)
    with pytest.raises(WctError, match="feather is for masks"):
        stylize(tiny, STYLES[0], feather=8.0)
    for width in (-1.0, float("nan"), float("inf")):
        with pytest.raises(WctError, match="feather must be at least 0 pixels, not"):
            stylize(tiny, masks=[LEFT, 1 - LEFT], feather=width)
    other = Style(tiny.read_style(STYLES[0]).levels, "vgg19")
    with pytest.raises(WctError, match="different models: tiny, vgg19"):
        stylize(tiny, [STYLES[0], other], masks=[LEFT, 1 - LEFT])
    with pytest.raises(WctError, match="2 masks need the moments of as many styles"):
        tiny(jnp.asarray(CONTENT)[None], tiny.read_style(STYLES[0]), masks=jnp.ones((2, 96, 112)))
    with pytest.raises(WctError, match="give that, no Style"):
        stylize(tiny, [tiny.read_style(STYLES[0])], style_masks=[LEFT])


def test_large_style_masks_are_read_knowingly(tiny, tmp_path, monkeypatch):
    mask = np.tri(48, dtype=np.float32)
    Image.fromarray(np.uint8(255 * mask)).save(tmp_path / "mask.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 48 - 1)
    asked = {"style_masks": [tmp_path / "mask.png"], "levels": (1,)}
    with pytest.raises(ImageError, match="more than 2303 pixels"):
        stylize(tiny, STYLES[:1], **asked)
    found = stylize(tiny, STYLES[:1], allow_large=True, **asked)
    wanted = stylize(tiny, STYLES[:1], levels=(1,), style_masks=[mask])
    np.testing.assert_array_equal(found, wanted)


def test_large_masks_are_read_knowingly(tiny, tmp_path, monkeypatch):
    Image.fromarray(np.uint8(255 * LEFT)).save(tmp_path / "mask.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    asked = {"masks": [tmp_path / "mask.png"], "style_masks": [None], "levels": (1,)}
    with pytest.raises(ImageError, match="more than 10751 pixels"):
        stylize(tiny, STYLES[:1], **asked)
    found = stylize(tiny, STYLES[:1], allow_large=True, **asked)
    np.testing.assert_array_equal(found, stylize(tiny, STYLES[:1], levels=(1,), masks=[LEFT]))
