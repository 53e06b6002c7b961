"""How the C library hands out memory: glibc's, where it is that."""

import contextlib
import ctypes
import functools
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def keep_memory() -> None:
    """Let the process keep memory that was freed, for what is needed next: up to 1 GB.

    By default glibc gives the features of a picture of more than half a megapixel back to the
    system at once, and takes them anew page by page, which costs as much as half of all time.
    """
    _call("mallopt", _ARENA_MAX, 1)
    _call("mallopt", _MMAP_THRESHOLD, 200_000_000)
    _call("mallopt", _TRIM_THRESHOLD, 1_000_000_000)


def give_back() -> None:
    """Give all memory back that was freed, holes between what is in use included."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    if (library := _glibc()) is not None:
        with contextlib.suppress(AttributeError):
            getattr(library, name)(*arguments)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc.

    Where it is another one, Python reads all of its own program to find that out, if it may.
    """
    with contextlib.suppress(OSError):
        if platform.libc_ver()[0] == "glibc":
            return ctypes.CDLL(None)
    return None
