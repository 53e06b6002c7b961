"""LAPACK by one thread, as what is decomposed here is small.

OpenBLAS's threads look for more to do for a while before they sleep: for about as long as the chain
takes for a level, and on cores that are to convolve meanwhile.

Reference: https://github.com/OpenMathLib/OpenBLAS/issues/5171
"""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

_limited = threading.Lock()


@contextmanager
def by_one_thread() -> Iterator[None]:
    """Within the context, have LAPACK use one thread; then as many as before.

    That is a setting of the process. If another thread is within, it stays as it is.
    """
    if not _limited.acquire(blocking=False):
        yield
        return
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        _limited.release()


@functools.cache
def _libraries() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401  # whose LAPACK is JAX's

    return ThreadpoolController()
