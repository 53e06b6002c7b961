"""Compiled programs, kept on disk, so that the next process need not compile them again."""

import contextlib
import os
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from ._models import home

_LIMIT = 2**30
"""Bytes on disk when a process starts. jax's own limit costs time: for each program that it adds it
looks at all that are there, 0.4 s with two thousand of them.
"""


def keep_programs() -> None:
    """Let jax keep what it compiles in the home's folder `compiled`, the oldest up to a limit.

    Programs are kept apart by their content, the versions of jax and XLA, and the device. Where
    the user has set a directory for that, or has switched it off, nothing changes; nor where the
    home cannot be written. Processes share it: one that finds a file half written compiles anew.
    """
    settings: Any = jax.config  # its type tells of methods only
    chosen = settings.jax_compilation_cache_dir is not None
    if chosen or not settings.jax_enable_compilation_cache:
        return
    directory = home() / "compiled"
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
    if not os.access(directory, os.W_OK):
        return
    _drop_oldest(directory, _LIMIT)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_compilation_cache_dir", str(directory))
    compilation_cache.reset_cache()  # jax asks once, before its first program


def _drop_oldest(directory: Path, limit: int) -> None:
    """Remove the files that were not used for longest, until all are within a limit, in bytes."""
    found = []
    for path in directory.iterdir():
        with contextlib.suppress(OSError):  # another process may have removed it
            file = path.stat()
            found.append((max(file.st_atime, file.st_mtime), file.st_size, path))
    excess = sum(size for _, size, _ in found) - limit
    for _, size, path in sorted(found):
        if excess <= 0:
            break
        with contextlib.suppress(OSError):
            path.unlink()
        excess -= size
