"""Results written where arrays were that are needed no more: the same, and nothing else is hurt."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wct
from wct import _reuse
from wct._onednn import is_usable
from wct._reuse import compiled_to_reuse, leave, reusing, take


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch):
    monkeypatch.setattr(_reuse, "_LARGE", 1)


def place(array):
    return array.block_until_ready().unsafe_buffer_pointer()


@compiled_to_reuse
def twice(array):
    return 2 * array


def test_a_result_goes_where_an_array_was_left():
    given, spare = jnp.arange(6.0).reshape(2, 3), jnp.ones((2, 3)) + 1
    was = place(spare)
    with reusing([]):
        leave(spare)
        result = twice(given)
    assert place(result) == was
    assert spare.is_deleted()
    np.testing.assert_array_equal(result, 2 * np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(given, np.arange(6.0).reshape(2, 3))


def test_only_one_of_the_same_shape_is_taken_and_only_once():
    with reusing([]):
        spare = jnp.ones((3, 2)) + 1
        leave(spare)
        assert take((2, 3)) is None
        assert take((3, 2)) is spare
        assert take((3, 2)) is None


def test_nothing_is_left_without_a_context_or_after_it():
    leave(jnp.ones(3))
    with reusing([]):
        assert take((3,)) is None
        leave(jnp.ones(3))
    assert take((3,)) is None


def test_what_is_left_outlives_a_context_where_its_list_does():
    spares = []
    with reusing(spares):
        leave(jnp.ones(3))
    with reusing(spares):
        assert take((3,)) is not None


def test_the_inner_context_counts():
    with reusing([]):
        leave(jnp.ones(3))
        with reusing([]):
            assert take((3,)) is None
        assert take((3,)) is not None


def test_threads_do_not_share():
    found = []
    with reusing([]):
        leave(jnp.ones(3))
        thread = threading.Thread(target=lambda: found.append(take((3,))))
        thread.start()
        thread.join()
        assert found == [None]
        assert take((3,)) is not None


def test_small_arrays_are_not_kept(monkeypatch):
    monkeypatch.setattr(_reuse, "_LARGE", 4 * 100)
    with reusing([]):
        leave(jnp.ones(99), jnp.ones(100))
        assert take((99,)) is None
        assert take((100,)) is not None


@given(st.lists(st.integers(1, 50), max_size=20))
def test_the_largest_are_kept_up_to_a_bound(lengths):
    spares = []
    with reusing(spares):
        for length in lengths:
            leave(jax.device_put(np.zeros(length, np.float32)))
    kept = sorted(len(spare) for spare in spares)
    assert sum(kept) <= _reuse._KEPT * max(lengths, default=0)
    assert kept[-3:] == sorted(lengths)[-len(kept[-3:]) :]


def test_other_types_are_not_kept():
    with reusing([]):
        leave(jnp.ones(3, jnp.int32))
        assert take((3,)) is None


def test_nothing_is_kept_or_taken_where_it_is_traced():
    @jax.jit
    def function(array):
        middle = 3 * array
        result = twice(middle)
        leave(middle)
        return twice(result)

    with reusing([]):
        leave(jnp.ones(()))
        assert float(function(jnp.ones(()))) == 12
        assert take(()) is not None
        assert take(()) is None


@pytest.mark.skipif(not is_usable(), reason="oneDNN is not usable here")
@pytest.mark.parametrize("options", [{}, {"detail": 0.5}, {"tile": 176}, {"swap": [1]}])
def test_pictures_are_the_same_to_the_last_bit(tiny, monkeypatch, options):
    rng = np.random.default_rng(0)
    content, style = (rng.random((*size, 3), np.float32) for size in ((250, 200), (40, 50)))
    taken = []
    monkeypatch.setattr("wct._onednn.take", lambda shape: taken.append(take(shape)) or taken[-1])

    def result():
        return wct.stylize(content, style, 0.7, preset="paper", model=tiny, **options)

    with_reuse = result()
    assert any(spare is not None for spare in taken)
    monkeypatch.setattr(_reuse, "_LARGE", np.inf)
    np.testing.assert_array_equal(with_reuse, result())
