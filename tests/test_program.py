"""Programs of their own: compiled sooner on CPUs, and part of others as any function."""

import gc
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wct import _program
from wct._program import is_traced, program


@partial(program, static_argnames="power")
def scaled(values, scale, *, power=1):
    return scale * jnp.sin(values) ** power


VALUES = jnp.linspace(0, 1, 1000).reshape(10, 100)
WANTED = 2 * np.sin(np.asarray(VALUES, np.float64)) ** 3


@partial(program, light=True)
def root(matrix):
    values, vectors = jnp.linalg.eigh(matrix)
    return (vectors * jnp.sqrt(values)[None]) @ vectors.T


def test_a_light_one_is_the_function_too():
    matrix = np.diag([1.0, 4.0, 9.0]).astype(np.float32)
    for function in (root, jax.jit(root)):
        np.testing.assert_allclose(function(matrix), np.diag([1, 2, 3]), atol=1e-5)


def test_alone_and_as_a_part_it_is_the_function():
    np.testing.assert_allclose(scaled(VALUES, 2.0, power=3), WANTED, rtol=1e-5)
    inside = jax.jit(lambda values: scaled(values, 2.0, power=3))
    np.testing.assert_allclose(inside(VALUES), WANTED, rtol=1e-5)
    each = jax.vmap(lambda values: scaled(values, 2.0, power=3))
    np.testing.assert_allclose(each(VALUES), WANTED, rtol=1e-5)
    slopes = jax.grad(lambda values: scaled(values, 2.0, power=3).sum())(VALUES)
    angles = np.asarray(VALUES, np.float64)
    np.testing.assert_allclose(slopes, 6 * np.sin(angles) ** 2 * np.cos(angles), atol=1e-5)


def test_of_constants_within_jit_it_is_a_part():
    found = jax.jit(lambda number: number + scaled(VALUES, 2.0, power=3))(1.0)
    np.testing.assert_allclose(found, 1 + WANTED, rtol=1e-5)


def test_so_many_programs_are_kept_and_no_more(monkeypatch):
    monkeypatch.setattr(_program, "_MOST", 10)
    cubed = program(lambda values: values**3)
    live = jax.devices()[0].client.live_executables
    gc.collect()
    gc.freeze()  # what there is stays, so that collecting is quick
    before = len(live())
    found = set()
    for length in range(1, 40):
        values = np.arange(length, dtype=np.float32)
        np.testing.assert_array_equal(cubed(values), values**3)
        gc.collect()
        found.add(len(live()) - before)
    gc.unfreeze()
    assert max(found) <= 10
    assert len(found) > 5


def test_an_option_that_the_compiler_does_not_know_is_left_out(monkeypatch):
    monkeypatch.setattr(_program, "_SOONER", {"xla_cpu_make_it_so": True})
    assert not _program._is_known("xla_cpu_make_it_so", True)
    np.testing.assert_allclose(program(jnp.square)(VALUES), np.square(VALUES))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the options are a CPU's")
def test_the_options_are_known():
    """If they are not, programs are compiled as others are: slower, that is all."""
    options = dict(_program._LIGHT)
    if jax.__version_info__ < (0, 11, 2):
        options |= _program._SOONER
    assert all(_program._is_known(*option) for option in options.items())


def test_what_is_traced():
    found = []
    ask = lambda *values: found.append(is_traced(*values)) or 0.0  # noqa: E731
    ask(VALUES)
    jax.jit(lambda value: ask(value, VALUES))(1.0)
    jax.jit(lambda _: ask(VALUES))(1.0)
    jax.vmap(ask)(VALUES)
    jax.grad(lambda value: ask(value) + value)(1.0)
    assert found == [False, True, True, True, True]
