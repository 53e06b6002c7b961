"""How the C library hands out memory, for a process that is ours."""

import contextlib
import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def keep_memory() -> None:
    """Let glibc keep memory that was freed, for what is needed next.

    By default it gives the features of a picture of more than half a megapixel back to the system
    at once, and takes them anew page by page, which costs as much as a third of all time.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, 150_000_000)
        mallopt(_TRIM_THRESHOLD, 500_000_000)
