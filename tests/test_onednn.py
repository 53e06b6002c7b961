import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from wct import _onednn
from wct._convolution import Layer
from wct._networks import run_layers


@pytest.fixture(params=[4, 17], ids="{} outputs".format)
def layer(request):
    """With few outputs a kernel's rows are done side by side, with many each output once."""
    rng = np.random.default_rng(0)
    sizes = (2, 6, 7, 3), (3, 3, 3, request.param), request.param
    return tuple(jnp.asarray(rng.normal(size=size), jnp.float32) for size in sizes)


@pytest.fixture
def lacking(monkeypatch):
    """A jaxlib that does not know the call."""
    monkeypatch.setattr(_onednn, "_NAME", "__onednn$no_{}")
    kept = _onednn._convolution, _onednn._product, _onednn._is_there
    for each in kept:
        each.cache_clear()
    yield
    for each in kept:
        each.cache_clear()


def run(layer):
    features, *weights = layer
    [found] = run_layers(features, [Layer(*weights)])
    return found


def wanted(layer):
    features, kernel, bias = map(np.asarray, layer)
    return [oracle.convolve(each, kernel, bias) for each in features]


@pytest.mark.parametrize("relu", [False, True])
def test_it_is_the_definition(layer, relu):
    if not _onednn.is_usable():
        pytest.skip("this jaxlib is without oneDNN")
    features, kernel, bias = layer
    found = _onednn.convolve(jnp.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect"),
                             kernel, bias, relu=relu)  # fmt: skip
    for ours, theirs in zip(found, wanted(layer), strict=True):
        theirs = np.maximum(theirs, 0) if relu else theirs
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_matrices_are_multiplied():
    if not _onednn.is_usable():
        pytest.skip("this jaxlib is without oneDNN")
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 5, 2))
    found = _onednn.multiply(*(jnp.asarray(each, jnp.float32) for each in (left, right)))
    np.testing.assert_allclose(found, left @ right, atol=1e-5)


def test_many_large_matrices_are_multiplied():
    """Where oneDNN has no kernels for them, its products would hang or write elsewhere."""
    if not _onednn.is_usable():
        pytest.skip("this jaxlib is without oneDNN")
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=size) for size in ((36, 30, 256), (36, 256, 512)))
    arrays = [jnp.asarray(each, jnp.float32) for each in (left, right)]
    for found in [_onednn.multiply(*arrays) for _ in range(20)]:
        np.testing.assert_allclose(found, left @ right, atol=1e-3)


@pytest.mark.usefixtures("lacking")
def test_where_it_is_lacking_xla_convolves(layer):
    assert not _onednn.is_usable(*layer)
    for ours, theirs in zip(run(layer), wanted(layer), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_it_stays_out_of_programs(layer):
    used = []
    jax.jit(lambda *arrays: used.append(_onednn.is_usable(*arrays)))(*layer)
    jax.vmap(lambda kernel: used.append(_onednn.is_usable(layer[0], kernel)))(layer[1])
    jax.grad(lambda bias: used.append(_onednn.is_usable(layer, bias)) or bias.sum())(layer[2])
    assert used == [False, False, False]


def test_programs_are_not_written_to_disk(layer, tmp_path):
    """Where they would be, jaxlib warns that it cannot, and warnings are errors here."""
    settings = {
        "jax_enable_compilation_cache": True,
        "jax_compilation_cache_dir": str(tmp_path),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    from jax.experimental.compilation_cache import compilation_cache

    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        _onednn._convolution.cache_clear()
        found = run(layer)
        assert jax.config.jax_persistent_cache_min_compile_time_secs == 0
        jax.jit(lambda array: array * 41)(layer[2])
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
    assert found.shape == (2, 6, 7, len(layer[2]))
    assert any(tmp_path.iterdir())  # others are


def test_nothing_need_be_compiled(layer):
    """As when JAX is told to run step by step, to look for errors."""
    with jax.disable_jit():
        np.testing.assert_allclose(run(layer), wanted(layer), rtol=1e-4, atol=1e-4)
