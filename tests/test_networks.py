import types

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from conftest import WIDTHS, fill, picture
from flax import nnx
from scipy.ndimage import correlate

from wct import _tf32
from wct._convolution import Layer, convolve, halve
from wct._layers import LEVELS, layer_channels, layer_names, stride
from wct._networks import Convolution, Decoder, Encoder, run_layers

HEIGHT, WIDTH = 32, 48


def near(actual, wanted, tolerance=1e-5):
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 7), (7, 1), (2, 2), (3, 2), (5, 6)])
def test_convolution_continues_by_reflection(shape):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, *shape, 3)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 3, 4)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    layer = Layer(jnp.asarray(kernel), jnp.asarray(bias))
    [actual] = run_layers(jnp.asarray(features), [layer])
    assert actual.shape == (2, *shape, 4)
    for one, result in zip(features, actual, strict=True):
        near(result, oracle.convolve(one, kernel, bias))


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 2), (4, 5)])
def test_convolution_of_doubled_features(shape, backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, *shape, 3)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 3, 4)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    layer = Layer(jnp.asarray(kernel), jnp.asarray(bias), doubled=True)
    actual = convolve(jnp.asarray(features), layer)
    for one, result in zip(features, actual, strict=True):
        near(result, oracle.convolve(oracle.upsample(one), kernel, bias))


def test_oracles_convolution_is_scipys():
    """Whose "mirror" is numpy's "reflect"."""
    rng = np.random.default_rng(0)
    features, kernel = rng.normal(size=(5, 6, 2)), rng.normal(size=(3, 3, 2, 4))
    wanted = np.stack(
        [
            sum(correlate(features[..., i], kernel[..., i, o], mode="mirror") for i in range(2))
            for o in range(4)
        ],
        axis=-1,
    )
    np.testing.assert_allclose(oracle.convolve(features, kernel, np.zeros(4)), wanted)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 2), (4, 5)])
def test_convolution_is_the_same_on_all_backends(shape, monkeypatch):
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.normal(size=(2, *shape, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 3, 4)), jnp.float32)
    results, paddings = {}, {}
    for backend in ("cpu", "gpu"):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        layer = Layer(kernel, jnp.ones(4))
        results[backend] = convolve(features, layer)
        paddings[backend] = str(jax.make_jaxpr(lambda f: convolve(f, layer))(features))  # noqa: B023
    assert "padding=((1, 1), (1, 1))" in paddings["cpu"]
    assert "padding=((0, 0), (0, 0))" in paddings["gpu"]
    near(results["cpu"], results["gpu"], 1e-6)


def test_convolutions_are_exact_unless_told_otherwise():
    """A GPU would take TF32, which whitening magnifies."""
    layer = Layer(jnp.ones((3, 3, 3, 4)), jnp.zeros(4))

    def traced():
        return str(
            jax.make_jaxpr(lambda features: convolve(features, layer))(jnp.ones((1, 8, 8, 3)))
        )

    assert "Precision.HIGHEST" in traced()
    with jax.default_matmul_precision("tensorfloat32"):
        assert "Precision.HIGHEST" not in traced()


def test_tensor_cores_convolve_as_exactly_as_float32():
    """They cut off what TF32 has no bits for; of three parts that is next to nothing."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, 6, 7, 32)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 32, 4)).astype(np.float32)

    def cut_off(values):
        return (np.asarray(values).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)

    def convolved(features, kernel):
        windows = np.lib.stride_tricks.sliding_window_view(features, (3, 3), (1, 2))
        return np.einsum("nyxirc,rcio->nyxo", *map(np.float64, (windows, kernel)))

    wanted = convolved(features, kernel)
    parts = map(cut_off, _tf32.in_three_parts(features, kernel))
    near(convolved(*parts), wanted, 1e-6)
    with pytest.raises(AssertionError):
        near(convolved(*map(cut_off, (features, kernel))), wanted, 1e-4)


@pytest.mark.parametrize(
    ("capability", "channels", "parts"),
    [("9.0", 32, 3), ("8.0", 64, 3), ("9.0", 16, 1), ("7.5", 48, 1), ("gfx90a", 40, 1)],
)
def test_tensor_cores_are_used_where_they_pay(capability, channels, parts, monkeypatch):
    device = types.SimpleNamespace(compute_capability=capability)
    layer = Layer(jnp.ones((3, 3, channels, 4)), jnp.zeros(4))
    features = jnp.ones((1, 8, 9, channels))
    wanted = convolve(features, layer)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    traced = str(jax.make_jaxpr(lambda features: convolve(features, layer))(features))
    assert f"f32[3,3,{parts * channels},4]" in traced
    assert ("Precision.HIGHEST" in traced) == (parts == 1)
    near(convolve(features, layer), wanted, 1e-6)


def test_encoder(tiny, tensors):
    images = np.stack([picture(HEIGHT, WIDTH, seed) for seed in (1, 2)])
    levels = jax.jit(lambda encoder, images: encoder(images))(tiny.encoder, images)
    assert len(levels) == 5
    for level, features in enumerate(levels, start=1):
        cells = (HEIGHT // stride(level), WIDTH // stride(level))
        assert features.shape == (2, *cells, WIDTHS[level - 1])
        for image, actual in zip(images, features, strict=True):
            near(actual, oracle.encode(tensors["encoder"], image)[level])


@pytest.mark.parametrize("depth", [1, 3])
def test_encoder_stops_at_a_depth(tiny, tensors, depth):
    image = picture(8, 4, 1)  # a multiple of that depth's stride, not of the deepest's
    levels = jax.jit(lambda encoder, images: encoder(images, depth))(tiny.encoder, image[None])
    assert len(levels) == depth
    for level, features in enumerate(levels, start=1):
        near(features[0], oracle.encode(tensors["encoder"], image)[level])


@pytest.mark.parametrize("level", LEVELS)
def test_decoders(tiny, tensors, level):
    shape = (2, HEIGHT // stride(level), WIDTH // stride(level), WIDTHS[level - 1])
    features = np.random.default_rng(level).uniform(0, 2, shape).astype(np.float32)
    decoder = tiny.decoders[f"decoder{level}"]
    assert decoder.level == level
    images = jax.jit(lambda decoder, features: decoder(features))(decoder, features)
    assert images.shape == (2, HEIGHT, WIDTH, 3)
    for one, image in zip(features, images, strict=True):
        near(image, oracle.decode(tensors[level], one, level))


@pytest.mark.parametrize("level", [1, 2])
def test_final_relu(tensors, level):
    features = np.random.default_rng(level).uniform(0, 4, (1, 8, 8, WIDTHS[level - 1]))
    features = features.astype(np.float32)
    linear, clipped = (
        fill(Decoder(level, WIDTHS, final_relu=final, rngs=nnx.Rngs(0)), tensors[level])(
            jnp.asarray(features)
        )
        for final in (False, True)
    )
    assert float(linear.min()) < 0
    near(linear[0], oracle.decode(tensors[level], features[0], level))
    near(clipped[0], oracle.decode(tensors[level], features[0], level, final_relu=True))


def test_pooling():
    features = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    pooled = halve(jnp.asarray(features))
    for index in range(2):
        np.testing.assert_array_equal(pooled[index], oracle.pool(features[index]))


def test_layers_are_vggs():
    assert layer_names() == oracle.LAYERS
    assert layer_names(1) == ["conv1_1"]
    assert layer_names(3) == ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]
    assert [stride(level) for level in (1, 2, 3, 4, 5)] == [1, 2, 4, 8, 16]
    channels = layer_channels((64, 128, 256, 512, 512))
    # VGG-19's own parameters up to conv5_1, as torchvision counts them.
    assert (
        sum(9 * inputs * outputs + outputs for inputs, outputs in channels.values()) == 12_944_960
    )
    encoder, decoder = Encoder(WIDTHS), Decoder(3, WIDTHS)
    assert list(encoder.layers) == oracle.LAYERS
    assert sorted(decoder.layers) == sorted(layer_names(3))
    assert decoder.layers["conv2_1"].kernel.shape == (3, 3, WIDTHS[1], WIDTHS[0])


def test_new_layers_keep_the_size_of_what_runs_through_them():
    """He et al. 2015: a ReLU's input has twice the mean square of the layer's input."""
    layer = Convolution(16, 64, rngs=nnx.Rngs(0))
    features = np.random.default_rng(0).normal(size=(1, 16, 16, 16)).astype(np.float32)
    assert float(jnp.mean(layer(jnp.asarray(features)) ** 2)) == pytest.approx(2, rel=0.1)
    np.testing.assert_array_equal(layer.bias[...], np.zeros(64))
