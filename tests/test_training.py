import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain, product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import safetensors.numpy
from click.testing import CliRunner
from conftest import run_on_devices
from flax import nnx
from PIL import Image

import wct
from training import evaluate, export, objectives, start
from training.__main__ import main
from training.clock import Clock
from training.data import Pictures, crop_batches, image_files
from training.loop import train
from training.objectives import (
    Head,
    Student,
    decoder_loss,
    distil_loss,
    fit_heads,
    neighbours_styles,
)
from training.pattern import repeated, smoothed
from training.phases import distil, train_decoders
from training.settings import Phase, SettingsError, load_settings
from training.start import linear_fit, start_decoder, start_encoder
from training.teacher import equalize, load_teacher, redo, undo
from wct._networks import Decoder, Encoder
from wct._weights import Model, load_decoders, load_model, named_tensors, save_model

ROOT = Path(__file__).parent.parent
SMOKE = ROOT / "training" / "configs" / "smoke.toml"
WIDTHS = (8, 8, 10, 10, 10)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of small pictures, smooth and rough."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for index in range(40):
        coarse = generator.uniform(0, 255, (3 + index % 9, 3 + index % 7, 3)).astype(np.uint8)
        picture = Image.fromarray(coarse).resize((48 + index, 52), Image.Resampling.BICUBIC)
        picture.save(folder / f"{index:02d}.{'JPG' if index % 2 else 'png'}")
    return folder


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory):
    """A small network in the form of the Oxford weights: BGR in [0, 255] minus the mean."""
    tensors = dict(named_tensors(Encoder(WIDTHS, rngs=nnx.Rngs(5))))
    tensors = {name: np.array(value) for name, value in tensors.items()}
    tensors["conv1_1.kernel"] /= 64
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    safetensors.numpy.save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def crops(pictures):
    loaded = Pictures.load([pictures], 32)
    return np.asarray(next(crop_batches(loaded, crop=32, batch=48, seed=3)))


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def run_by_itself(*arguments):
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def restyle(features):
    return neighbours_styles(features)(features)


def test_the_teacher_takes_rgb_in_zero_to_one(teacher_file):
    image = np.random.default_rng(1).uniform(size=(32, 32, 3)).astype(np.float32)
    tensors = safetensors.numpy.load_file(teacher_file)
    normalised = 255.0 * image[..., ::-1] - [103.939, 116.779, 123.68]
    expected = oracle.encode(tensors, normalised).values()
    found = load_teacher(teacher_file)(jnp.asarray(image)[None])
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours[0], theirs, atol=1e-4 * np.abs(theirs).max())


def test_batches_do_not_depend_on_where_one_starts(pictures):
    loaded = Pictures.load([pictures], 32)
    options = {"crop": 32, "batch": 3, "seed": 1}
    whole = crop_batches(loaded, **options)
    first = [next(whole) for _ in range(5)]
    later = next(crop_batches(loaded, **options, start=4))
    np.testing.assert_array_equal(first[4], later)
    assert not np.array_equal(first[0], first[1])
    other = next(crop_batches(loaded, **(options | {"seed": 2})))
    assert not np.array_equal(first[0], other)


def test_crops_are_parts_of_the_pictures_and_of_their_mirror_images(pictures):
    """Found again in the files, all over them, about half of them mirrored."""
    whole = [np.asarray(Image.open(file).convert("RGB")) for file in image_files(pictures)]
    crops = next(crop_batches(Pictures.load([pictures], 32), crop=32, batch=400, seed=0))
    found = []
    for crop in np.rint(255 * np.asarray(crops)).astype(np.uint8):
        for mirrored, index in product((False, True), range(len(whole))):
            wanted = crop[:, ::-1] if mirrored else crop
            bottom, right = np.subtract(whole[index].shape[:2], 31)
            same = (whole[index][:bottom, :right] == wanted[0, 0]).all(-1)
            for top, left in np.argwhere(same):
                if np.array_equal(whole[index][top : top + 32, left : left + 32], wanted):
                    found.append((index, mirrored, top, left, bottom - 1 - top))
    assert len(found) == 400
    chosen, mirrored, top, left, below = map(np.array, zip(*found, strict=True))
    assert set(chosen) == set(range(len(whole)))
    assert 150 < mirrored.sum() < 250
    assert top.min() == left.min() == below.min() == 0


def test_pictures_smaller_than_a_crop_are_enlarged_and_huge_ones_reduced(tmp_path):
    for index, size in enumerate([(20, 30), (20, 30), (700, 1400)]):
        Image.new("RGB", size, (10, 200, 30)).save(tmp_path / f"{index}.png")
    loaded = Pictures.load([tmp_path], 64)  # the first is kept out of training
    np.testing.assert_array_equal(loaded.sizes, [[96, 64], [1024, 512]])
    crops = next(crop_batches(loaded, crop=64, batch=20, seed=0))
    np.testing.assert_allclose(crops, np.broadcast_to(np.array([10, 200, 30]) / 255, crops.shape),
                               atol=1e-6)  # fmt: skip


def test_pictures_that_cannot_be_numbered(pictures, monkeypatch):
    """Pixels are numbered by 32 bits."""
    large = np.broadcast_to(np.uint8(0), (2**15, 2**15, 3))
    monkeypatch.setattr("training.data._read", lambda file, crop: large)
    with pytest.raises(SettingsError, match="pixels in all: give fewer"):
        Pictures.load([pictures], 32)


def test_training_and_evaluation_share_no_file(pictures):
    seen, unseen = image_files(pictures), image_files(pictures, unseen=True)
    assert unseen
    assert not set(seen) & set(unseen)
    assert len(seen) + len(unseen) == 40


def test_of_a_folders_pictures_the_first_and_every_37th_are_left_out(tmp_path):
    suffixes = "jpg", "JPEG", "png", "WebP"
    names = [f"{index:02d}.{suffixes[index % 4]}" for index in range(75)]
    for folder in ("a", "b/c"):
        (tmp_path / folder).mkdir(parents=True)
    for index in np.random.default_rng(0).permutation(75):
        (tmp_path / ("a" if index < 40 else "b/c") / names[index]).touch()
    (tmp_path / "a" / "00.txt").touch()
    unseen = [file.name for file in image_files(tmp_path, unseen=True)]
    assert unseen == [names[0], names[37], names[74]]
    assert [file.name for file in image_files(tmp_path)] == names[1:37] + names[38:74]


def test_pictures_come_from_all_folders(tmp_path):
    folders = [tmp_path / color for color in ("red", "lime", "blue")]
    for folder in folders:
        folder.mkdir()
        for index in range(2):
            Image.new("RGB", (32, 40), folder.name).save(folder / f"{index}.png")
    loaded = Pictures.load(folders, 32)
    np.testing.assert_array_equal(loaded.pixels[loaded.starts], 255 * np.eye(3))


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        image_files(tmp_path)


def test_linear_fit_recovers_a_linear_map():
    generator = np.random.default_rng(0)
    inputs, matrix = generator.normal(size=(500, 6)), generator.normal(size=(6, 4))
    found, offset = linear_fit(inputs, inputs @ matrix + 3)
    np.testing.assert_allclose(found, matrix, atol=1e-3)
    np.testing.assert_allclose(offset, 3, atol=1e-3)


def test_inputs_that_never_vary_tell_nothing():
    targets = np.random.default_rng(0).normal(size=(50, 2))
    matrix, offset = linear_fit(np.ones((50, 3)), targets)
    np.testing.assert_allclose(np.ones(3) @ matrix + offset, targets.mean(0), atol=1e-12)


def test_channels_are_chosen_that_tell_most():
    """The largest first, and what only repeats others, or never varies, last."""
    signals = np.random.default_rng(0).normal(size=(3, 200))
    first, second, third = np.linalg.qr((signals - signals.mean(1, keepdims=True)).T)[0].T
    channels = np.stack([np.full(200, 100), second, 2 * second, 1.5 * first, 3 * third], axis=-1)
    chosen = start._most_independent(channels)
    np.testing.assert_array_equal(chosen[:3], [4, 2, 3])


def test_colours_are_means_over_cells_and_their_complements():
    images = np.random.default_rng(0).uniform(size=(2, 8, 12, 3))
    found = start._colors(images, 2)
    assert found.shape == (2, 2, 3, 6)
    for image, row, column in np.ndindex(2, 2, 3):
        cell = images[image, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        mean = cell.mean((0, 1))
        np.testing.assert_allclose(found[image, row, column], [*mean, *(1 - mean)])


def test_a_student_as_wide_as_its_teacher_becomes_it(teacher_file, crops):
    """In units of its own: channels that fire have a mean square of one."""
    teacher = load_teacher(teacher_file)
    student = start_encoder(teacher, WIDTHS, crops)
    heads = fit_heads(student, teacher, crops)
    pairs = zip(heads, student(jnp.asarray(crops)), teacher(jnp.asarray(crops)), strict=True)
    for head, ours, theirs in pairs:
        assert head.unexplained(ours, theirs) < 0.02
        squares = np.mean(np.square(ours), axis=(0, 1, 2))
        assert 0.9 < np.median(squares) < 1.1


def test_a_narrow_student_carries_colours_to_the_deepest_level(teacher_file, crops, monkeypatch):
    """One channel in eight, for red; compared with a student that has none for colours."""
    red = crops.reshape(len(crops), 2, 16, 2, 16, 3).mean((2, 4)).reshape(-1, 3)[:, 0]

    def unexplained():
        student = start_encoder(load_teacher(teacher_file), (8, 8, 8, 8, 8), crops)
        deepest = np.asarray(student(jnp.asarray(crops))[-1]).reshape(-1, 8)
        matrix, offset = linear_fit(deepest, red[:, None])
        return np.var(red - (deepest @ matrix + offset)[:, 0])

    reserved = unexplained()
    monkeypatch.setattr(
        start, "_colors", lambda images, height: np.zeros((len(images), height, height, 0))
    )
    assert reserved < 0.7 * unexplained()


def test_doubling_is_upsampling():
    features = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    for found, wanted in zip(start.double(jnp.asarray(features)), features, strict=True):
        np.testing.assert_array_equal(found, oracle.upsample(wanted))


def test_a_decoder_is_fitted_where_one_layer_can_invert(crops):
    encoder = Encoder(WIDTHS, rngs=nnx.Rngs(2))
    bias = encoder.layers["conv1_1"].bias
    encoder.layers["conv1_1"].bias = nnx.Param(jnp.full(bias.shape, 5.0))  # no ReLU cuts anything
    decoder = start_decoder(encoder, 1, crops)
    found = decoder(encoder(jnp.asarray(crops), 1)[0])
    assert np.sqrt(np.mean((found - crops) ** 2)) < 0.01


def test_behind_a_relu_an_error_below_zero_is_none():
    """Targets that are never below zero are met better than by least squares alone."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4, 16, 16, 2)).astype(np.float32)
    positions = np.unravel_index(np.arange(1024), (4, 16, 16))
    kernel = rng.normal(size=(3, 3, 2, 5))
    response = np.stack([oracle.convolve(each, kernel, np.zeros(5)) for each in features])
    targets = np.maximum(response, 0).reshape(-1, 5)
    layer = Encoder((5, 5, 5, 5, 5), rngs=nnx.Rngs(0)).layers["conv1_1"]
    layer.kernel = nnx.Param(jnp.zeros((3, 3, 2, 5)))
    errors = {}
    for rectified in (True, False):
        start._fit(layer, features, targets, positions, rectified=rectified)
        found = np.maximum(start.in_batches(layer, features), 0).reshape(-1, 5)
        errors[rectified] = np.mean((found - targets) ** 2)
    assert errors[True] < 0.5 * errors[False]


def test_features_that_are_asked_for_are_given(crops):
    """Or features would be learned that ask for little. No error of pixels is not endless gain."""
    encoder = Encoder(WIDTHS, rngs=nnx.Rngs(2))
    decoder = Decoder(1, WIDTHS, rngs=nnx.Rngs(0))
    own = encoder.encode(jnp.asarray(crops[:4]), 1)
    decoded = decoder(own)
    phase = replace(load_settings(SMOKE).decoders, pixel=(0.0,) * 5, feature=(0.3,) * 5)

    def loss(own, phase):
        return objectives._reconstruct(encoder, {"1": decoder}, [own], decoded, phase)

    (value, metrics), slope = jax.value_and_grad(loss, has_aux=True)(own, phase)
    assert float(value) == pytest.approx(0.3 * float(metrics["feature/1"]))
    assert value > 0.01
    assert not slope.any()
    more, _ = loss(own, replace(phase, pixel=(0.5,) * 5))
    assert float(more - value) == pytest.approx(0.5 * np.log(1e-6), rel=1e-4)


def test_the_loss_of_a_perfect_student(crops):
    encoder = Encoder(WIDTHS, rngs=nnx.Rngs(2))
    heads = fit_heads(encoder, encoder, crops)
    phase = load_settings(SMOKE).distil
    assert phase is not None
    decoders = {"1": Decoder(1, WIDTHS, rngs=nnx.Rngs(0))}
    images = jnp.asarray(crops[:4])
    loss, metrics = distil_loss(Student(encoder, decoders, heads), encoder, images, phase)
    decoded = decoders["1"](encoder(images, 1)[0])
    error = np.mean((np.asarray(decoded) - crops[:4]) ** 2)
    assert float(metrics["psnr/1"]) == pytest.approx(-10 * np.log10(error), abs=1e-3)
    unexplained = np.array([metrics[f"unexplained/{level}"] for level in range(1, 6)])
    assert unexplained.max() < 0.02
    imitation = np.dot(phase.teacher, np.log(unexplained + 1e-3))
    fidelity = phase.pixel[0] * np.log(error + 1e-6) + phase.feature[0] * metrics["feature/1"]
    assert float(loss) == pytest.approx(float(imitation + fidelity), abs=1e-3)


def test_features_are_asked_for_that_a_picture_can_have(crops):
    """Restyled ones are below zero here and there, as no ReLU's are."""
    encoder = Encoder(WIDTHS, rngs=nnx.Rngs(2))
    decoder = Decoder(2, WIDTHS, rngs=nnx.Rngs(0))
    images = jnp.asarray(0.4 + 0.2 * crops[:6]).at[2].set(jnp.eye(32)[..., None])
    asked = restyle(encoder.encode(images, 2)[::2])
    answered = np.asarray(encoder.encode(decoder(asked), 2), np.float64)
    assert asked.min() < -0.1
    wanted = np.maximum(asked, 0)
    error = np.sum((answered - wanted) ** 2) / np.sum(wanted**2)
    none = (0.0,) * 5
    weights = (0.5, 0.3, 0.0, 0.0, 0.0)
    phase = replace(load_settings(SMOKE).decoders, pixel=none, feature=weights, pattern=none)
    loss, metrics = decoder_loss({"2": decoder}, encoder, images, phase)
    assert float(metrics["feature/2"]) == pytest.approx(error, rel=1e-4)
    assert float(loss) == pytest.approx(0.3 * error, rel=1e-4)


def test_a_heads_units_are_not_learned():
    """Else the share would fall as they grow."""
    rng = np.random.default_rng(0)
    student, teacher, matrix, offset, scale = (
        jnp.asarray(rng.uniform(1, 2, shape), jnp.float32)
        for shape in ((2, 3, 4, 5), (2, 3, 4, 6), (5, 6), 6, 6)
    )
    head = Head(matrix, offset, scale, jnp.float32(0.7))
    share, slope = jax.value_and_grad(lambda head: head.unexplained(student, teacher))(head)
    ours, theirs = np.asarray(student), np.asarray(teacher)
    error = ours @ np.asarray(matrix) + np.asarray(offset) - theirs / np.asarray(scale)
    assert float(share) == pytest.approx(np.mean(np.square(error)) / 0.7, rel=1e-5)
    assert np.abs(slope.matrix).min() > 0
    assert np.abs(slope.offset).min() > 0
    assert not np.any(slope.scale)
    assert not slope.variance


def test_an_equalized_encoder_says_the_same_in_other_units(crops):
    """Its features have a mean square of one; decoders for it, undone, are for the original."""
    encoder = Encoder(WIDTHS, rngs=nnx.Rngs(2))
    for layer in encoder.layers.values():  # of very different sizes, as VGG-19's are
        layer.kernel = nnx.Param(3 * layer.kernel[...])
    before = [np.asarray(values) for values in encoder(jnp.asarray(crops))]
    equal, scales = equalize(encoder, crops)
    after = equal(jnp.asarray(crops))
    for level in range(5):
        wanted, found = before[level], np.asarray(after[level]) * scales[level]
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * wanted.max())
        squares = np.mean(np.square(after[level]), axis=(0, 1, 2))
        sizes = np.sqrt(np.mean(wanted**2, axis=(0, 1, 2)))
        fires = sizes > 0.01 * sizes.max()
        np.testing.assert_allclose(squares[fires], 1, rtol=0.01)
    decoder = Decoder(3, WIDTHS, rngs=nnx.Rngs(0))
    wanted = decoder(after[2])
    original = undo(decoder, scales)
    np.testing.assert_allclose(original(jnp.asarray(before[2])), wanted, atol=1e-4)
    np.testing.assert_allclose(redo(original, scales)(after[2]), wanted, atol=1e-4)


def test_decoders_for_the_teacher_can_be_gone_on_from(tmp_path, pictures, teacher_file):
    """Without a step that changes them they come out as they went in."""
    decoder = Decoder(2, WIDTHS, rngs=nnx.Rngs(0))
    save_model(tmp_path / "model", Model("theirs", load_teacher(teacher_file), {2: decoder}),
               with_encoder=False)  # fmt: skip
    smoke = load_settings(SMOKE)
    phase = replace(smoke.decoders, steps=1, warmup=0, learning_rate=0.0)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # optax's
        directory = train_decoders(
            replace(smoke, decoders=phase), [pictures], tmp_path / "run",
            model=tmp_path / "model", teacher=teacher_file, levels=[2],
        )  # fmt: skip
    [found] = load_decoders(directory).values()
    for name, layer in decoder.layers.items():
        ours = np.asarray(found.layers[name].kernel[...])
        theirs = np.asarray(layer.kernel[...])
        np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max())


def test_decoders_learn_from_features_of_other_styles():
    """The first image's own; the last one's with the moments of the one before it."""
    features = np.random.default_rng(0).uniform(size=(3, 8, 9, 4)).astype(np.float32)
    features[1] = 2 * features[1] + [[[0, 1, 2, 3]]]
    restyled = restyle(jnp.asarray(features))
    np.testing.assert_allclose(restyled[0], features[0], atol=1e-6)
    _, mean, covariance = oracle.moments(features[1])
    _, found_mean, found_covariance = oracle.moments(np.asarray(restyled[2]))
    np.testing.assert_allclose(found_mean, mean, atol=1e-4)
    np.testing.assert_allclose(found_covariance, covariance, atol=1e-4)


def test_features_that_do_not_vary_are_restyled_too():
    """To the neighbour's mean, the further the later in the batch."""
    features = jnp.broadcast_to(jnp.arange(3.0)[:, None, None, None], (3, 4, 5, 6))
    wanted = np.broadcast_to(np.reshape([0, 0.5, 1], (3, 1, 1, 1)), (3, 4, 5, 6))
    np.testing.assert_allclose(restyle(features), wanted, atol=1e-6)


def test_features_fewer_than_channels_are_restyled_as_far_as_they_vary():
    """12 of 20 channels, five of which never fire: S P S, where P projects on their range."""
    features = np.random.default_rng(0).uniform(size=(4, 3, 4, 20)).astype(np.float32)
    features[..., 15:] = 0
    restyled = np.asarray(restyle(jnp.asarray(features)))
    _, _, content = oracle.moments(features[3])
    _, mean, style = oracle.moments(features[2])
    _, found_mean, found = oracle.moments(restyled[3])
    values, vectors = np.linalg.eigh(content)
    projector = (vectors * (values > 1e-6)) @ vectors.T
    values, vectors = np.linalg.eigh(style)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    wanted = root @ projector @ root
    np.testing.assert_allclose(found_mean, mean, atol=1e-4)
    np.testing.assert_allclose(found, wanted, atol=0.02 * np.abs(wanted).max())


@pytest.mark.parametrize("period", [2, 4, 8])
def test_the_share_of_what_repeats(period):
    """White noise, of which a filter leaves (1 − k₀)² + Σ k² of the others, has no period."""
    generator = np.random.default_rng(0)
    pattern = generator.normal(size=(period, period, 3))
    pattern -= pattern.mean((0, 1))
    ramp = np.linspace(0, 9, 160)[:, None, None] + np.linspace(0, 5, 176)[None, :, None]
    repeating = np.tile(pattern, (160 // period, 176 // period, 1)) + ramp
    noise = generator.normal(size=(2, 160, 176, 3))
    triangle = np.convolve(np.ones(period), np.ones(period)) / period**2
    kernel = -np.outer(triangle, triangle)
    kernel[period - 1, period - 1] += 1
    left = np.sum(kernel**2)
    for amount in (0.0, 0.3, 2.0):
        wanted = np.mean(pattern**2) / (np.mean(pattern**2) + amount**2 * left)
        found = repeated(jnp.asarray(repeating + amount * noise, jnp.float32), period)
        np.testing.assert_allclose(found, wanted, atol=0.03)
    np.testing.assert_allclose(repeated(jnp.asarray(noise, jnp.float32), period), 0, atol=0.01)


def test_smoothing_leaves_a_wave_as_much_as_a_gaussian_does():
    wave = np.cos(2 * np.pi * np.arange(160) / 40)
    images = np.broadcast_to(0.5 + 0.2 * wave[:, None, None], (1, 160, 48, 3))
    found = np.asarray(smoothed(jnp.asarray(images, jnp.float32), sigma=5.0))
    left = np.exp(-0.5 * (5 * 2 * np.pi / 40) ** 2)
    wanted = 0.5 + left * (images - 0.5)
    np.testing.assert_allclose(found[:, 20:-20], wanted[:, 20:-20], atol=1e-4)


def test_what_a_decoder_repeats_in_smooth_places_is_part_of_its_loss(crops):
    encoder, decoder = Encoder(WIDTHS, rngs=nnx.Rngs(0)), Decoder(2, WIDTHS, rngs=nnx.Rngs(1))
    images = jnp.asarray(np.tile(crops[:4], (1, 2, 2, 1)))
    smoke = load_settings(SMOKE).decoders
    assert smoke is not None
    none = (0.0,) * 5
    phase = replace(smoke, pixel=none, feature=none, pattern=(0.0, 0.5, 0.0, 0.0, 0.0))
    loss, metrics = decoder_loss({"2": decoder}, encoder, images, phase)
    styles = neighbours_styles(encoder.encode(images[::2], 2))
    drawn = decoder(styles(encoder.encode(smoothed(images[::2]), 2)))
    shares = np.asarray(repeated(drawn, 2))
    share = np.maximum(shares, 0).mean()
    assert share > 0.01
    np.testing.assert_allclose(metrics["pattern/2"], share, rtol=1e-3)
    np.testing.assert_allclose(loss, 0.5 * share, rtol=1e-3)


def test_content_that_a_decoder_loses_is_measured_by_the_teacher(teacher_file, crops):
    """Of equal images, whose style changes nothing, it is the distance of the reconstruction."""
    teacher = load_teacher(teacher_file)
    encoder = Encoder(WIDTHS, rngs=nnx.Rngs(2))
    decoder = Decoder(4, WIDTHS, rngs=nnx.Rngs(0))
    images = jnp.asarray(np.repeat(crops[:1], 8, axis=0))
    smoke = load_settings(SMOKE).distil
    assert smoke is not None
    none = (0.0,) * 5
    phase = replace(
        smoke, teacher=none, pixel=none, feature=none, content=(0.0, 0.0, 0.0, 0.5, 0.0)
    )
    heads = fit_heads(encoder, teacher, crops)
    student = Student(encoder, {"4": decoder}, heads)
    loss, metrics = distil_loss(student, teacher, images, phase)

    def normal(image):
        features = np.asarray(teacher(image[None])[3][0], np.float64)
        return (features - features.mean((0, 1))) / np.sqrt(features.var((0, 1)) + 1e-6)

    wanted = normal(images[0])
    found = normal(decoder(encoder(images[:1])[3])[0])
    distance = np.sum((found - wanted) ** 2) / np.sum(wanted**2)
    assert float(metrics["content/4"]) == pytest.approx(distance, rel=0.03)
    assert float(loss) == pytest.approx(0.5 * float(metrics["content/4"]), rel=1e-5)


TWO_LEVELS = """
import sys
from dataclasses import replace
from pathlib import Path
import jax, numpy as np
from flax import nnx
from training.devices import Devices
from training.loop import train
from training.objectives import decoder_loss
from training.settings import Phase, SettingsError
from wct._networks import Decoder, Encoder

devices, directory = int(sys.argv[1]), Path(sys.argv[2])
assert jax.device_count() == devices
widths = (4, 6, 8, 8, 8)
decoders = {str(level): Decoder(level, widths, rngs=nnx.Rngs(level)) for level in (1, 2)}
phase = Phase(steps=6, batch=4, crop=32, learning_rate=1e-3, warmup=2, pixel=(0.5,) * 5,
              feature=(0.3,) * 5, start_images=4, checkpoint_every=6, sample_every=6)
images = np.random.default_rng(0).uniform(size=(6, 4, 32, 32, 3)).astype(np.float32)
trained = train(decoders, Encoder(widths, rngs=nnx.Rngs(0)), decoder_loss,
                lambda start: iter(images[start:]), phase, directory, lambda *_: None)
kernel = trained["2"].layers["conv1_1"].kernel[...]
assert len(kernel.sharding.device_set) == devices
try:
    Devices().split(images[0, :3])
    assert devices == 1
except SettingsError as error:
    assert str(error).startswith("3 images cannot be shared by 2 devices")
"""


def test_two_devices_train_as_one(tmp_path):
    logs = {}
    for count in (1, 2):
        run_on_devices(TWO_LEVELS, count, tmp_path / str(count), count=count, cwd=ROOT)
        lines = (tmp_path / str(count) / "metrics.jsonl").read_text().splitlines()
        logs[count] = [json.loads(line) for line in lines]
    assert len(logs[1]) == len(logs[2]) == 6
    for one, two in zip(logs[1], logs[2], strict=True):
        assert two == pytest.approx(one, rel=1e-3, abs=1e-4)
    assert logs[1][-1]["loss"] < logs[1][0]["loss"]


def test_two_processes_train_as_one(tmp_path, pictures, tiny_directory):
    """Over jax.distributed; each takes its part of every batch."""

    def start(run_directory, *more):
        command = [sys.executable, "-m", "training", "decoders", SMOKE, "--images", pictures]
        command += ["--model", tiny_directory, "--level", 1, "--run", run_directory, *more]
        return subprocess.Popen(
            list(map(str, command)),
            cwd=ROOT,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    started = [start(tmp_path / "one")]
    started += [
        start(tmp_path / "two", "--distributed", f"{address},{index},2") for index in range(2)
    ]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
    paths = [tmp_path / name / "decoders-1" / "metrics.jsonl" for name in ("one", "two")]
    logs = [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]
    assert len(logs[0]) == len(logs[1]) == 8
    for one, two in zip(*logs, strict=True):
        assert two == pytest.approx(one, rel=1e-3, abs=1e-4)
    assert load_model(tmp_path / "two" / "decoders-1" / "model").decoders.keys() >= {1}


def test_where_other_processes_are_must_be_said(tmp_path, pictures):
    wrong = run("decoders", SMOKE, "--images", pictures, "--run", tmp_path, "--distributed", "here")
    assert wrong.exit_code == 2
    assert "'here' is neither auto nor HOST:PORT,I,N" in wrong.stderr


def test_the_clock_tells_working_from_waiting():
    """The first step, for which programs are compiled, does not count."""

    def late():
        time.sleep(0.3)
        yield None

    def batches():
        for _ in range(3):
            time.sleep(0.02)
            yield None

    clock = Clock(8)
    assert str(clock) == ""
    for _ in clock.watch(chain(late(), batches())):
        time.sleep(0.06)
    reading = clock.reading()
    assert 0.1 < reading["waiting for input"] < 0.4
    assert 40 < reading["images per second"] < 100
    assert "waiting for input" in str(clock)


def test_settings_name_a_missing_entry(tmp_path):
    path = tmp_path / "odd.toml"
    path.write_text(SMOKE.read_text().replace("crop =", "corp ="))
    with pytest.raises(ValueError, match=r"odd\.toml: .*crop"):
        load_settings(path)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("name", "= smoke", "Invalid value"),
        ("levels", "= [7]", "levels are some of 1 to 5"),
        ("levels", "= []", "levels are some of 1 to 5"),
        ("widths", "= [4, 6, 8]", "widths are five integers"),
        ("widths", "= [true, 6, 8, 8, 8]", "widths are five integers"),
        ("widths", "= [0, 6, 8, 8, 8]", "widths are five integers"),
        ("pixel", "= [0.1, 0.1]", "pixel needs five weights"),
        ("pixel", "= [0.0, 0.0, 0.0, 0.0, -1.0]", "pixel must be five numbers, at least 0"),
        ("learning_rate", "= nan", "learning_rate must be a number, at least 0"),
        ("learning_rate", "= -1.0", "learning_rate must be a number, at least 0"),
        ("batch", "= 0", "batch must be an integer, at least 1"),
        ("crop", "= 40", "crop must be a multiple of 16"),
        ("steps", "= true", "steps must be an integer, at least 1"),
        ("warmup", "= 8", "warmup must be less than steps"),
        ("warmup", "= -1", "warmup must be less than steps"),
        ("pattern", "= [0.1, 0.0, 0.0, 0.0, 0.0]", "must be 0 for relu1_1"),
        ("pattern", "= [0.0, 0.0, 0.0, 0.0, 0.1]", "at least 160 for relu5_1"),
    ],
)
def test_values_that_cannot_be_are_told(tmp_path, entry, value, message):
    path, lines = tmp_path / "odd.toml", SMOKE.read_text().splitlines()
    changed = [f"{entry} {value}" if line.startswith(f"{entry} ") else line for line in lines]
    assert changed != lines
    path.write_text("\n".join(changed))
    with pytest.raises(SettingsError, match=rf"odd\.toml: .*{message}"):
        load_settings(path)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere no variable decides it")
def test_settings_are_utf8_whatever_the_system_takes_for_text(tmp_path):
    path = tmp_path / "odd.toml"
    path.write_text(SMOKE.read_text().replace('name = "', 'name = "über-'), "utf-8")
    script = (
        "import sys, pathlib, training.settings as s\n"
        "print(ascii(s.load_settings(pathlib.Path(sys.argv[1])).name))"
    )
    variables = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env=os.environ | variables,
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.startswith("'\\xfcber-"), done.stderr


@pytest.mark.parametrize(
    "config", sorted(ROOT.glob("training/configs/*.toml")), ids=lambda p: p.stem
)
def test_configurations_load(config):
    settings = load_settings(config)
    assert len(settings.widths) == 5
    assert isinstance(settings.distil or settings.decoders, Phase)


def test_everything_trains_and_a_killed_run_ends_as_one_that_was_not(
    tmp_path, pictures, teacher_file
):
    common = (SMOKE, "--images", pictures, "--teacher", teacher_file)
    whole = run_by_itself("distil", *common, "--run", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    model = tmp_path / "whole" / "distil" / "model"
    assert whole.stdout.strip() == str(model)

    command = [sys.executable, "-m", "training", "distil", *common, "--run", tmp_path / "killed"]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    checkpoint = tmp_path / "killed" / "distil" / "checkpoints" / "3" / "commit_success.txt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    killed = tmp_path / "killed" / "distil"
    assert checkpoint.exists()
    assert not (killed / "model").exists()

    resumed = run_by_itself("distil", *common, "--run", tmp_path / "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert "least-squares" not in resumed.stderr
    for file in sorted(model.iterdir()):
        assert (killed / "model" / file.name).read_bytes() == file.read_bytes(), file.name
    lines = (killed / "metrics.jsonl").read_text()
    assert lines == (tmp_path / "whole" / "distil" / "metrics.jsonl").read_text()
    assert [json.loads(line)["step"] for line in lines.splitlines()] == list(range(1, 9))
    assert list((killed / "samples").glob("*.png"))
    assert list((killed / "tensorboard").iterdir())

    other = replace(
        load_settings(SMOKE).distil, learning_rate=1.0, checkpoint_every=1, sample_every=1
    )
    before = (killed / "model" / "model.json").read_bytes()
    with pytest.raises(SettingsError, match=r"begun with other settings \(learning_rate\)"):
        distil(replace(load_settings(SMOKE), distil=other), [pictures], killed.parent, teacher_file)
    with pytest.raises(SettingsError, match=r"begun with other settings \(images\)"):
        distil(load_settings(SMOKE), [pictures] * 2, killed.parent, teacher_file)
    with pytest.raises(SettingsError, match=r"begun with other settings \(model\)"):
        distil(load_settings(SMOKE), [pictures], killed.parent, teacher_file, model=model)
    other_teacher = tmp_path / "teacher.safetensors"
    tensors = safetensors.numpy.load_file(teacher_file)
    safetensors.numpy.save_file(tensors | {"conv1_1.bias": np.ones(8, "f4")}, other_teacher)
    with pytest.raises(SettingsError, match=r"begun with other settings \(teacher\)"):
        distil(load_settings(SMOKE), [pictures], killed.parent, other_teacher)
    assert (killed / "model" / "model.json").read_bytes() == before

    decoders = run_by_itself("decoders", SMOKE, "--images", pictures, "--run", tmp_path / "whole",
                   "--level", 2)  # fmt: skip
    assert decoders.returncode == 0, decoders.stderr
    refined = Path(decoders.stdout.strip())
    with pytest.raises(SettingsError, match=r"begun with other settings \(model\)"):
        train_decoders(
            load_settings(SMOKE), [pictures], tmp_path / "whole", model=refined, levels=(2,)
        )
    same = "encoder.safetensors", "decoder1.safetensors"
    assert all((refined / name).read_bytes() == (model / name).read_bytes() for name in same)
    changed = "decoder2.safetensors"
    assert (refined / changed).read_bytes() != (model / changed).read_bytes()

    shipped = run("export", refined, tmp_path / "shipped")
    assert shipped.exit_code == 0, shipped.stderr
    expected = safetensors.numpy.load_file(tmp_path / "shipped" / export.PROBE)
    for name, values in export.probe(tmp_path / "shipped").items():
        np.testing.assert_array_equal(values, expected[name])

    alone = run("export", model, refined, tmp_path / "alone", "--decoders-only")
    assert alone.exit_code == 0, alone.stderr
    names = {path.name for path in (tmp_path / "alone").iterdir()}
    assert names == {path.name for path in (tmp_path / "shipped").iterdir()} - {
        "encoder.safetensors"
    }
    assert (tmp_path / "alone" / changed).read_bytes() == (refined / changed).read_bytes()
    expected = safetensors.numpy.load_file(tmp_path / "alone" / export.PROBE)
    found = export.probe(tmp_path / "alone")
    assert found.keys() == expected.keys() == {"decoded1", "decoded2"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name])

    shown = run("evaluate", tmp_path / "shipped", "--images", pictures, "--side", "64",
                "--styles", pictures, "--teacher", teacher_file, "--pairs", "1")  # fmt: skip
    assert shown.exit_code == 0, shown.stderr
    reconstruction, explained, distances = shown.stdout.splitlines()
    assert "relu2_1" in reconstruction
    assert "relu5_1" in explained
    assert "covariance" in distances


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    encoder = Encoder(WIDTHS, rngs=nnx.Rngs(2))
    decoders = {level: Decoder(level, WIDTHS, rngs=nnx.Rngs(level)) for level in (1, 4)}
    save_model(directory, Model("odd", encoder, decoders))
    return directory


def test_reconstruction_is_the_mean_psnr(model, pictures):
    found = evaluate.reconstruction(model, pictures, side=64)
    networks = load_model(model)
    assert list(found) == ["relu1_1", "relu4_1"]
    psnr = []
    for file in image_files(pictures, unseen=True):
        with Image.open(file) as image:
            height, width = image.height, image.width
        pixels = wct.read_image(file).pixels
        size = (
            (64, round(width * 64 / height)) if height < width else (round(height * 64 / width), 64)
        )
        pixels = evaluate.resize(pixels, size)
        pixels = pixels[: size[0] // 32 * 32, : size[1] // 32 * 32]
        decoded = networks.decoders[1](networks.encoder(jnp.asarray(pixels)[None], 1)[0])[0]
        psnr.append(-10 * np.log10(np.mean((np.clip(decoded, 0, 1) - pixels) ** 2)))
    assert found["relu1_1"] == pytest.approx(np.mean(psnr), abs=1e-3)


def test_only_if_told_so_all_pictures_are_looked_at(model, tmp_path):
    alone = []
    for index, color in enumerate(("teal", "orange", "white")):
        (tmp_path / str(index)).mkdir()
        Image.new("RGB", (32, 32), color).save(tmp_path / str(index) / "picture.png")
        alone.append(evaluate.reconstruction(model, tmp_path / str(index))["relu1_1"])
    assert evaluate.reconstruction(model, tmp_path)["relu1_1"] == pytest.approx(alone[0])
    shown = run("evaluate", model, "--images", tmp_path, "--all")
    assert f"relu1_1 {np.mean(alone):.3f}" in shown.output


def test_pictures_too_small_for_the_deepest_level_are_enlarged(model, tmp_path):
    Image.new("RGB", (24, 20), "teal").save(tmp_path / "small.png")
    found = evaluate.reconstruction(model, tmp_path)
    assert np.isfinite(list(found.values())).all()


def test_style_is_not_measured_without_a_teacher(model, pictures):
    shown = run("evaluate", model, "--images", pictures, "--styles", pictures)
    assert shown.exit_code == 2
    assert "--styles needs --teacher" in shown.stderr
    assert not shown.stdout


def test_a_recipe_that_cannot_be_is_refused_before_the_work(model, pictures):
    shown = run("evaluate", model, "--images", pictures, "--alpha", "3")
    assert shown.exit_code == 1
    assert shown.stdout == ""
    assert shown.stderr == "Error: alpha must be from 0 to 1, not 3.0\n"


def test_the_model_explains_itself(model, pictures):
    shares = evaluate.explained(model, load_model(model).encoder, pictures, everything=True)
    assert all(share > 0.97 for share in shares.values()), shares


def test_explained_shares_are_of_the_variance_over_all_pictures(model, pictures, monkeypatch):
    monkeypatch.setattr(evaluate, "_EXPLAINED_CROP", 64)
    encoder, teacher = load_model(model).encoder, Encoder(WIDTHS, rngs=nnx.Rngs(9))
    found = evaluate.explained(model, teacher, pictures)
    seen = next(crop_batches(Pictures.load([pictures], 64), crop=64, batch=160, seed=0))
    heads = fit_heads(encoder, teacher, np.asarray(seen))
    images = jnp.stack([jnp.asarray(each) for each in evaluate._squares(pictures, 64, False)])
    assert len(images) == 2
    features = zip(heads, encoder(images), teacher(images), strict=True)
    for name, (head, ours, theirs) in zip(found, features, strict=True):
        wanted = np.asarray(theirs, np.float64) / np.asarray(head.scale)
        error = np.asarray(ours) @ np.asarray(head.matrix) + np.asarray(head.offset) - wanted
        share = 1 - np.mean(error**2) / np.mean(np.var(wanted, (0, 1, 2)))
        assert found[name] == pytest.approx(share, abs=2e-3)


def test_distances_of_the_content_itself(model, tmp_path, teacher_file):
    """At alpha 0 the result is the content: no content distance, and the pictures' own in style.

    Of pictures that are no squares, the middle is looked at.
    """
    generator = np.random.default_rng(0)
    sizes = {"content/0": (256, 320), "styles/0": (288, 256), "styles/1": (256, 256)}
    pictures = {}
    for name, (height, width) in sizes.items():
        coarse = Image.fromarray(generator.integers(0, 256, (9, 9, 3), np.uint8))
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(path)
        top, left = (height - 256) // 2, (width - 256) // 2
        pictures[name] = wct.read_image(path).pixels[top : top + 256, left : left + 256]
    teacher = load_teacher(teacher_file)
    found = evaluate.style_transfer(
        model, teacher, tmp_path / "content", tmp_path / "styles", pairs=2,
        recipe=wct.Recipe(0.0, levels=(1,)), everything=True,
    )  # fmt: skip
    measured = {
        name: [oracle.moments(np.asarray(values[0])) for values in teacher(jnp.asarray(each)[None])]
        for name, each in pictures.items()
    }
    assert found["content"] < 1e-3
    for part, name in ((1, "mean"), (2, "covariance")):
        distances = [
            np.linalg.norm(ours[part] - theirs[part]) / np.linalg.norm(theirs[part])
            for style in ("styles/0", "styles/1")
            for ours, theirs in zip(measured["content/0"], measured[style], strict=True)
        ]
        assert found[name] == pytest.approx(np.mean(distances), rel=1e-3)


def save_drawn(directory, seed, widths=WIDTHS, levels=(2, 1)):
    rngs = nnx.Rngs(seed)
    decoders = {level: Decoder(level, widths, rngs=rngs) for level in levels}
    save_model(directory, Model("drawn", Encoder(widths, rngs=rngs), decoders))
    return directory


def test_average(tmp_path):
    models = [save_drawn(tmp_path / str(seed), seed) for seed in (1, 2)]
    target = tmp_path / "average"
    made = run("average", *models, target)
    assert made.exit_code == 0, made.stderr
    assert made.stdout.strip() == str(target)
    assert load_model(target).decoders.keys() == {1, 2}
    for name in ("encoder", "decoder1", "decoder2"):
        first, second, mean = (
            safetensors.numpy.load_file(directory / f"{name}.safetensors")
            for directory in (*models, target)
        )
        assert first.keys() == mean.keys()
        for tensor, found in mean.items():
            wanted = (first[tensor].astype(float) + second[tensor].astype(float)) / 2
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("other", [{"widths": (8, 8, 10, 10, 12)}, {"levels": (3, 1)}])
def test_networks_that_differ_have_no_average(other, tmp_path):
    models = [save_drawn(tmp_path / "one", 1), save_drawn(tmp_path / "other", 2, **other)]
    made = run("average", *models, tmp_path / "average")
    assert made.exit_code == 1
    assert made.stderr.startswith("Error: ")
    assert "differ in widths or levels" in made.stderr
    assert not (tmp_path / "average").exists()


def test_models_of_other_widths_are_not_exported_together(tmp_path):
    models = [
        save_drawn(tmp_path / "one", 1),
        save_drawn(tmp_path / "other", 2, (8, 8, 10, 10, 12)),
    ]
    made = run("export", *models, tmp_path / "target")
    assert made.exit_code == 1
    assert made.stderr == f"Error: {models[1]} and {models[0]} differ in widths\n"
    assert not (tmp_path / "target").exists()


def test_levels_that_were_trained_apart_are_joined(tmp_path):
    """Each run leaves the others' decoders as they were, which must not win; one is new."""
    begun = load_model(save_drawn(tmp_path / "begun", 1))
    drawn = load_model(save_drawn(tmp_path / "drawn", 2, levels=(3, 2, 1))).decoders
    for level in (3, 2, 1):
        apart = Model("drawn", begun.encoder, begun.decoders | {level: drawn[level]})
        save_model(tmp_path / f"decoders-{level}", apart)
    (tmp_path / "about.toml").write_text('licence = "für alle"', "utf-8")
    names = "begun", "decoders-3", "decoders-2", "decoders-1"
    made = run("export", *(tmp_path / name for name in names), tmp_path / "joined",
               "--about", tmp_path / "about.toml")  # fmt: skip
    assert made.exit_code == 0, made.stderr
    assert json.loads((tmp_path / "joined/model.json").read_text("utf-8"))["licence"] == "für alle"
    for level in (3, 2, 1):
        name = f"decoder{level}.safetensors"
        found, wanted = (tmp_path / where / name for where in ("joined", "drawn"))
        assert found.read_bytes() == wanted.read_bytes()


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ("trained = 2026-01-02", "date is not JSON serializable; it is a TOML file of texts and"),
        ("licence MIT", "; it is a TOML file of texts and numbers"),
        ('name = "mine"\nfiles = 3', "has files, name, which model.json says itself"),
    ],
)
def test_what_a_card_cannot_say(tmp_path, about, said):
    (tmp_path / "about.toml").write_text(about)
    made = run("export", save_drawn(tmp_path / "one", 1), tmp_path / "target",
               "--about", tmp_path / "about.toml")  # fmt: skip
    assert made.exit_code == 1
    assert said in made.stderr
    assert made.stderr.count("\n") == 1
    assert not (tmp_path / "target").exists()


def test_decoders_of_different_encoders_are_not_exported_together(tmp_path):
    models = [save_drawn(tmp_path / name, seed) for name, seed in (("one", 1), ("other", 2))]
    made = run("export", *models, tmp_path / "target")
    assert made.exit_code == 1
    assert made.stderr.startswith(f"Error: {models[1]} and {models[0]} differ in their encoder: ")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("other", [{"level": 2}, {"widths": (5, 8, 10, 10, 10)}])
def test_a_run_is_not_gone_on_from_with_other_networks(other, tmp_path):
    phase = Phase(
        steps=2, batch=2, crop=32, learning_rate=1e-3, warmup=1, pixel=(0.5,) * 5,
        feature=(0.3,) * 5, start_images=2, checkpoint_every=2, sample_every=2,
    )  # fmt: skip

    def go(widths=WIDTHS, level=1):
        decoders = {"some": Decoder(level, widths, rngs=nnx.Rngs(0))}
        encoder = Encoder(widths, rngs=nnx.Rngs(0))
        batches = iter(np.full((2, 2, 32, 32, 3), 0.5, np.float32))
        with jax.numpy_dtype_promotion("standard"):
            train(decoders, encoder, decoder_loss, lambda _: batches, phase, tmp_path, print)

    go()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SettingsError, match="are of networks of other shapes"):
        go(**other)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def slide(tmp_path):
    """A function that trains some arrays by a loss of them and of a step's number."""

    def go(arrays, loss, inputs, sample=lambda *_: None, rates=1.0, **changes):
        def of_batch(trained, frozen, images, phase):
            value = loss(trained, images[0])
            return value, {"loss": value}

        phase = replace(load_settings(SMOKE).decoders, steps=len(inputs), **changes)
        inputs = jnp.asarray(inputs, jnp.float32)[:, None]
        with jax.numpy_dtype_promotion("standard"):
            return train(arrays, jnp.zeros(()), of_batch, lambda start: iter(inputs[start:]),
                         phase, tmp_path, sample, rates)  # fmt: skip

    return go


def test_the_rate_rises_and_falls_along_a_cosine(slide, tmp_path):
    """On a slope that never changes: Adam's steps, by Nesterov, are somewhat larger at first."""
    seen = {}
    slide(
        {"bias": jnp.zeros(3)},
        lambda trained, _: trained["bias"].sum(),
        np.zeros(5),
        lambda trained, step: seen.update({step: np.asarray(trained["bias"])}),
        learning_rate=0.01, warmup=2, sample_every=2, checkpoint_every=2,
    )  # fmt: skip
    rates = [0, 0.5, 1, (1 + np.cos(np.pi / 3)) / 2, (1 + np.cos(2 * np.pi / 3)) / 2]
    left = 1 - 0.9 ** np.arange(1, 7)
    steps = rates * (0.9 * left[:-1] / left[1:] + 0.1 / left[:-1])
    assert list(seen) == [2, 4, 5]
    for step, bias in seen.items():
        np.testing.assert_allclose(bias, -0.01 * np.sum(steps[:step]), rtol=1e-4)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"4", "5"}


def test_steps_are_as_large_as_rates_and_the_root_of_sizes(slide):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(36, 8)))[0].reshape(3, 3, 4, 8)
    sizes, rates = {"small": 0.1, "large": 0.4, "slow": 0.1}, {"small": 1.0, "large": 1.0}
    before = {name: jnp.full((3, 3, 4, 8), size) for name, size in sizes.items()}
    after = slide(
        before,
        lambda trained, _: sum(jnp.sum(kernel * turn) for kernel in trained.values()),
        [0],
        rates=rates | {"slow": 0.25},
        learning_rate=0.01, warmup=0,
    )  # fmt: skip
    steps = {name: np.asarray(after[name] - before[name]) for name in sizes}
    assert np.sqrt(np.mean(steps["small"] ** 2)) == pytest.approx(0.3 * 0.01, rel=0.2)
    assert np.sum(steps["small"] * turn) < 0
    np.testing.assert_allclose(steps["large"], 2 * steps["small"], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(steps["slow"], steps["small"] / 4, rtol=1e-3, atol=1e-6)


def test_one_steep_slope_does_not_turn_a_run_round(slide):
    slopes = [1, 1, -1e6, 1, 1, 1, 1, 1]
    after = slide({"bias": jnp.zeros(1)}, lambda trained, slope: slope * trained["bias"][0],
                  slopes, learning_rate=0.01, warmup=0)  # fmt: skip
    assert after["bias"][0] < -0.02


def test_lines_of_steps_that_were_lost_are_written_anew(slide, tmp_path):
    def go(steps):
        slide({"bias": jnp.zeros(1)}, lambda trained, value: value + 0 * trained["bias"][0],
              np.arange(1, steps + 1), warmup=0)  # fmt: skip

    go(3)
    log = tmp_path / "metrics.jsonl"
    with log.open("a") as file:
        file.write('{"step": 4, "loss": 9.0}\n{"step": 5, "lo')
    go(5)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines == [{"step": step, "loss": float(step)} for step in range(1, 6)]


def test_an_encoder_at_a_rate_of_zero_stays_while_decoders_are_trained(
    tmp_path, pictures, teacher_file
):
    smoke = load_settings(SMOKE)
    model = save_drawn(tmp_path / "model", 1, smoke.widths, levels=(1,))
    phase = replace(smoke.distil, steps=2, warmup=0, encoder_rate=0.0, start_images=8,
                    content=(0.0,) * 5)  # fmt: skip
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        made = distil(replace(smoke, levels=(1,), distil=phase), [pictures], tmp_path / "run",
                      teacher_file, model=model)  # fmt: skip
    before, after = load_model(model), load_model(made)
    for name, values in named_tensors(before.encoder):
        np.testing.assert_array_equal(dict(named_tensors(after.encoder))[name], values)
    for name, layer in before.decoders[1].layers.items():
        change = np.abs(after.decoders[1].layers[name].kernel[...] - layer.kernel[...])
        assert 0 < change.mean() < 0.1 * np.abs(layer.kernel[...]).mean()


@pytest.mark.parametrize("other", [{"widths": (4, 6, 8, 8, 7)}, {"levels": (1,)}])
def test_a_model_of_other_networks_is_not_gone_on_from(other, tmp_path, pictures, teacher_file):
    smoke = load_settings(SMOKE)
    model = save_drawn(tmp_path / "model", 1, **{"widths": smoke.widths, **other})
    with pytest.raises(SettingsError, match=r"needs \[4, 6, 8, 8, 8\] and \[1, 2\]"):
        distil(smoke, [pictures], tmp_path / "run", teacher_file, model=model)


def test_a_student_is_not_wider_than_its_teacher(tmp_path, pictures, teacher_file):
    wide = replace(load_settings(SMOKE), widths=(8, 8, 10, 10, 12))
    with pytest.raises(SettingsError, match=r"must not be more than the teacher's, \[8, 8, 10"):
        distil(wide, [pictures], tmp_path, teacher_file)
    assert not list(tmp_path.iterdir())


def test_decoders_need_settings_of_the_models_widths(tmp_path, pictures):
    model = save_drawn(tmp_path / "model", 1)
    made = run("decoders", SMOKE, "--images", pictures, "--model", model, "--run", tmp_path / "run")
    assert made.exit_code == 1
    assert "has widths [8, 8, 10, 10, 10], but 'smoke' is for [4, 6, 8, 8, 8]" in made.stderr
