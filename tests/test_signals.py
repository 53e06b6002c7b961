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


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 1)])
def test_an_import_is_not_interrupted(tmp_path, number, status):
    (tmp_path / "slow.py").write_text(
        "import signal, sys, time\n"
        "signal.raise_signal(int(sys.argv[1]))\n"
        "time.sleep(0.3)\n"
        "print('imported')\n"
    )
    script = """
import time
from wct._signals import obey_signals
obey_signals()
try:
    import slow
    time.sleep(10)
except (KeyboardInterrupt, SystemExit) as end:
    raise SystemExit(getattr(end, "code", 1))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(int(number))],
        capture_output=True, text=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("imported\n", "", status)


@pytest.mark.parametrize("struck", [True, False])
def test_what_a_signal_ended_does_not_wait_for_libraries(struck):
    script = """
import atexit, signal, sys
from wct._signals import ending_at_once, obey_signals
atexit.register(print, "at the end")
obey_signals()
with ending_at_once():
    try:
        if sys.argv[1] == "True":
            signal.raise_signal(signal.SIGTERM)
        sys.exit(143)
    finally:
        print("cleaned up")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(struck)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "cleaned up\n" + ("" if struck else "at the end\n")
    assert done.returncode == 143
