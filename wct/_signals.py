"""Signals that end the command, wherever in its work they strike."""

import os
import signal
import sys
import threading
from typing import Any

_MEANING: dict[type[BaseException], int] = {
    KeyboardInterrupt: signal.SIGINT,
    SystemExit: signal.SIGTERM,
}

_LATER = 0.05
"""Seconds after which a signal is given again."""

_usual = sys.unraisablehook
_due: threading.Timer | None = None


def obey_signals() -> None:
    """Have SIGTERM end the command as Ctrl-C does, cleaning up, and neither be lost.

    What a signal's handler raises within a callback, of a C library or the garbage collector, is
    thrown away. It is given again, until it strikes elsewhere.
    """
    if threading.current_thread() is not threading.main_thread():  # it cannot be done, nor need be
        return
    signal.signal(signal.SIGTERM, _exit)
    sys.unraisablehook = _again


def _exit(number: int, _: object) -> None:
    sys.exit(128 + number)


def _again(thrown_away: Any) -> None:
    global _due
    number = _MEANING.get(thrown_away.exc_type)
    if number is None:
        _usual(thrown_away)
    elif _due is None or not _due.is_alive():
        _due = threading.Timer(_LATER, _give, (number,))
        _due.daemon = True
        _due.start()


def _give(number: int) -> None:
    """Give this process a signal, as from outside."""
    if os.name == "posix":
        os.kill(os.getpid(), number)
    else:  # on Windows that would end it at once
        signal.raise_signal(number)
