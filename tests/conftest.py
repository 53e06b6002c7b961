"""What all tests share: strict settings, checked shapes, and a tiny model."""

import gc
import os
import subprocess
import sys
import tempfile

# Compiling is most of what tests do. Machine code need not be the best there is, and what one
# process of the run has compiled, be it a worker or one that a test starts, the others read.
if "PYTEST_XDIST_WORKER" not in os.environ:
    COMPILED = tempfile.TemporaryDirectory(prefix="wct-tests-", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
    )

import jax

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

import jaxtyping  # noqa: E402

# Left out are those whose annotations are never evaluated, and `wct._recipe`, which takes
# whole numbers for floats, as users write them.
CHECKED = [
    "wct._at_hand",
    "wct._augment",
    "wct._border",
    "wct._by_name",
    "wct._chain",
    "wct._convert",
    "wct._convolution",
    "wct._given",
    "wct._in_place",
    "wct._layers",
    "wct._level",
    "wct._masks",
    "wct._meshes",
    "wct._models",
    "wct._moments",
    "wct._networks",
    "wct._onednn",
    "wct._winograd",
    "wct._padding",
    "wct._reuse",
    "wct._published",
    "wct._refine",
    "wct._style",
    "wct._swap",
    "wct._stylizer",
    "wct._passes",
    "wct._tiled",
    "wct._tiles",
    "wct._transform",
    "wct._vgg",
    "wct._weights",
    "training",
]
jaxtyping.install_import_hook(CHECKED, "beartype.beartype")

import hypothesis  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import oracle  # noqa: E402
import pytest  # noqa: E402
from flax import nnx  # noqa: E402

hypothesis.settings.register_profile("wct", deadline=None, derandomize=True)
hypothesis.settings.load_profile("wct")

WIDTHS = (4, 6, 8, 8, 8)
SOFT = 0.3  # share of the mean variance; with less, layers amplify rounding errors


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The home of pulled and imported models: the test's own, and not yet there."""
    monkeypatch.setenv("WCT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True, scope="module")
def forget():
    """Programs of one file serve few others; a worker that keeps all of them grows to 5 GB."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(params=[jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 3 GB"), MemoryError()])
def exhaust(request):
    """A function that fails for want of memory, on a device or at all."""

    def fail(*_, **__):
        raise request.param

    return fail


def run_on_devices(script, *arguments, count=2, **options):
    """Run a script in a process with so many simulated devices."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={count}"
    subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        check=True,
        timeout=300,
        **options,
    )


def picture(height, width, seed):
    """A float32 picture of blobs and noise, away from black and white, of full rank everywhere."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 16
    waves = [np.sin(rng.normal(0, 2, 3) @ (y.ravel(), x.ravel(), 1 + 0 * x.ravel())) for _ in "rgb"]
    blobs = np.stack(waves, -1).reshape(height, width, 3)
    tint = rng.uniform(0.4, 0.6, 3)
    mixed = tint + 0.12 * blobs + 0.08 * rng.normal(size=(height, width, 3))
    return mixed.clip(0.02, 0.98).astype(np.float32)


def assert_picture(actual, content):
    """It is a float picture of the content's size, in range."""
    assert actual.shape == content.shape
    assert actual.dtype == np.float32
    assert np.isfinite(actual).all()
    assert actual.min() >= 0
    assert actual.max() <= 1


def fit_layer(features, inputs, outputs, rng, mean, deviation):
    """A random kernel and bias whose outputs on `features` are uncorrelated, of given moments.

    Only so is every covariance of the tiny model well conditioned, as comparing whitening in
    float32 with float64 needs; plain random layers make ever more correlated features.
    """
    kernel = rng.normal(size=(3, 3, inputs, outputs))
    response = oracle.convolve(features, kernel, np.zeros(outputs)).reshape(-1, outputs)
    values, vectors = np.linalg.eigh(np.cov(response.T).reshape(outputs, outputs))
    kernel = kernel @ (vectors / np.sqrt(values + SOFT * values.mean())) @ vectors.T * deviation
    response = oracle.convolve(features, kernel, np.zeros(outputs)).reshape(-1, outputs)
    return kernel.astype(np.float32), (mean - response.mean(0)).astype(np.float32)


def random_tensors(seed):
    """Tensors of an encoder and five decoders, by "encoder" and level, named as on disk."""
    rng = np.random.default_rng(seed)
    sample = picture(96, 112, seed)
    encoder, levels = {}, []
    features, inputs = np.asarray(sample, np.float64), 3
    for name in oracle.LAYERS:
        outputs = WIDTHS[int(name[4]) - 1]
        if name.endswith("_1") and name != "conv1_1":
            features = oracle.pool(features)
        kernel, bias = fit_layer(features, inputs, outputs, rng, 0.7, 1.0)
        encoder |= {f"{name}.kernel": kernel, f"{name}.bias": bias}
        features, inputs = oracle.relu(oracle.convolve(features, kernel, bias)), outputs
        if name.endswith("_1"):
            levels.append(features)
    networks = {"encoder": encoder}
    for level, features in enumerate(levels, start=1):
        decoder = {}
        for name in reversed(oracle.LAYERS[: oracle.LAYERS.index(f"conv{level}_1") + 1]):
            last = name == "conv1_1"
            inputs, outputs = encoder[f"{name}.kernel"].shape[:1:-1]
            moments = (0.5, 0.15) if last else (0.7, 1.0)
            kernel, bias = fit_layer(features, inputs, outputs, rng, *moments)
            decoder |= {f"{name}.kernel": kernel, f"{name}.bias": bias}
            features = oracle.relu(oracle.convolve(features, kernel, bias))
            if name.endswith("_1") and not last:
                features = oracle.upsample(features)
        networks[level] = decoder
    return networks


def fill(network, tensors):
    """Give a network these tensors."""
    for name, layer in network.layers.items():
        layer.kernel = nnx.Param(jnp.asarray(tensors[f"{name}.kernel"]))
        layer.bias = nnx.Param(jnp.asarray(tensors[f"{name}.bias"]))
    return network


@pytest.fixture(scope="session")
def tensors():
    """The tiny model's tensors, as the oracle takes them."""
    return random_tensors(0)


@pytest.fixture(scope="session")
def tiny(tensors):
    """A Stylizer of widths 4, 6, 8, 8, 8."""
    from wct._networks import Decoder, Encoder
    from wct._stylizer import Stylizer

    encoder = fill(Encoder(WIDTHS), tensors["encoder"])
    decoders = [fill(Decoder(level, WIDTHS), tensors[level]) for level in range(1, 6)]
    return Stylizer("tiny", encoder, decoders)


@pytest.fixture
def tiny_model(tiny):
    """The tiny model, as `save_model` takes it."""
    from wct._weights import Model

    decoders = {decoder.level: decoder for decoder in tiny.decoders.values()}
    return Model(tiny.name, tiny.encoder, decoders)


@pytest.fixture
def tiny_directory(tiny_model, tmp_path):
    """The tiny model as a model directory, the test's own."""
    from wct._weights import save_model

    save_model(tmp_path / "tiny", tiny_model)
    return tmp_path / "tiny"
