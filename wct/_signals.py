"""Signals that end the command, wherever in its work they strike."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_MEANING: dict[type[BaseException], int] = {
    KeyboardInterrupt: signal.SIGINT,
    SystemExit: signal.SIGTERM,
}

_LATER = 0.05
"""Seconds after which a signal is given again."""

_IMPORT = "<frozen importlib._bootstrap>"
"""Where what imports a module is, in a stack."""

_usual = sys.unraisablehook
_due: threading.Timer | None = None
_obeyed = False


def obey_signals() -> None:
    """Have Ctrl-C and SIGTERM end the command, cleaning up, and neither be lost nor do harm.

    What a signal's handler raises within a callback, of a C library or the garbage collector, is
    thrown away; within an import it can crash Python, as modules in C fail to be made. In both
    cases the signal is given again, until it strikes elsewhere.
    """
    if threading.current_thread() is not threading.main_thread():  # it cannot be done, nor need be
        return
    signal.signal(signal.SIGTERM, _obey)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
        signal.signal(signal.SIGINT, _obey)
    sys.unraisablehook = _again


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """If a signal ends this block, end the process without what libraries do at its end.

    For threads of XLA that still compile, that is too early: they crash. What was unfinished has
    been cleaned up by then, on the way out of the block.
    """
    try:
        yield
    except SystemExit as end:
        if not _obeyed:
            raise
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # it may be closed
                stream.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


def _obey(number: int, frame: FrameType | None) -> None:
    global _obeyed
    if _is_importing(frame):
        _give_later(number)
        return
    _obeyed = True
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        sys.exit(128 + number)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False


def _again(thrown_away: Any) -> None:
    number = _MEANING.get(thrown_away.exc_type)
    if number is None:
        _usual(thrown_away)
    else:
        _give_later(number)


def _give_later(number: int) -> None:
    global _due
    if _due is None:
        _due = threading.Timer(_LATER, _give, (number,))
        _due.daemon = True
        _due.start()


def _give(number: int) -> None:
    """Give this process a signal, as from outside."""
    global _due
    _due = None
    if os.name == "posix":
        os.kill(os.getpid(), number)
    else:  # on Windows that would end it at once
        signal.raise_signal(number)
