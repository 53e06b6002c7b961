import signal
import subprocess
import sys

import pytest

SCRIPT = """
import gc, os, signal, sys, time
from wct._signals import obey_signals
number = signal.Signals(int(sys.argv[1]))
if "Windows" in sys.argv:
    os.name, os.kill = "nt", lambda process, number: os._exit(number)
obey_signals()
strikes = [number, number]

def strike(phase, about):
    if strikes and phase == "start":
        signal.raise_signal(strikes.pop())

gc.callbacks.append(strike)  # what is raised in there is thrown away
try:
    gc.collect()
    gc.collect()
    for _ in range(100):
        time.sleep(0.1)
    print("still there")
finally:
    print("cleaned up")
"""


@pytest.mark.parametrize("system", ["this", "Windows"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, None)])
def test_a_signal_within_a_callback_is_obeyed_after_it(number, status, system):
    """Also on Windows, where `os.kill` ends a process at once."""
    command = [sys.executable, "-c", SCRIPT, str(int(number)), system]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "cleaned up\n"
    assert done.returncode == status or (status is None and "KeyboardInterrupt" in done.stderr)
    assert "Exception ignored" not in done.stderr


def test_other_errors_that_are_thrown_away_are_told_of():
    script = """
from wct._signals import obey_signals
obey_signals()
class Broken:
    def __del__(self):
        raise ValueError("broken")
Broken()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    assert "ValueError: broken" in done.stderr
