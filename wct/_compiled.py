"""Compiled programs, kept on disk, so that the next process need not compile them again."""

import contextlib
import os
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from ._models import home

_LIMIT = 2**30
"""Bytes on disk. A limit also makes jax lock the directory, so that processes can share it."""


def keep_programs() -> None:
    """Let jax keep what it compiles in the home's folder `compiled`, the oldest up to a limit.

    Programs are kept apart by their content, the versions of jax and XLA, and the device. Where
    the user has set a directory for that, or has switched it off, nothing changes; nor where the
    home cannot be written.
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
    jax.config.update("jax_compilation_cache_max_size", _LIMIT)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_compilation_cache_dir", str(directory))
    compilation_cache.reset_cache()  # jax asks once, before its first program
