"""LAPACK's threads: one while something is decomposed, and as many as before else."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg  # noqa: F401  # what is looked at
from threadpoolctl import threadpool_info, threadpool_limits

from wct._one_thread import by_one_thread
from wct._program import program


def threads():
    """How many each library of linear algebra uses."""
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two():
    with threadpool_limits(2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("no library here that can be told")
        yield
        assert threads() == {2}


def test_what_was_before_is_restored():
    with by_one_thread():
        assert threads() == {1}
    assert threads() == {2}


def test_it_is_restored_after_an_error():
    with pytest.raises(RuntimeError), by_one_thread():
        raise RuntimeError


def test_threads_that_overlap_restore_it():
    """Had the second one remembered what it found, one thread would stay for ever."""
    entered, leave = threading.Event(), threading.Event()

    def other():
        with by_one_thread():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=other)
    with by_one_thread():
        thread.start()
        entered.wait()
        assert threads() == {1}
    leave.set()
    thread.join()
    assert threads() == {2}
    with by_one_thread():
        assert threads() == {1}


@pytest.mark.parametrize(("light", "wanted"), [(True, 1), (False, 2)])
def test_light_programs_run_so_to_their_end(light, wanted):
    def count(number):
        return np.int32(max(threads()) * number)

    found = program(
        lambda number: jax.pure_callback(count, jax.ShapeDtypeStruct((), jnp.int32), number),
        light=light,
    )(jnp.int32(1))
    assert int(found) == wanted
