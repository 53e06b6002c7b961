import platform
import subprocess
import sys

import pytest

from wct import _malloc

SCRIPT = """
import resource, sys
import wct._malloc
if sys.argv[1] == "kept":
    wct._malloc.keep_memory()
def work():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        values = bytearray(b"1") * 60_000_000
        del values
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
work()
print(work())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's")
def test_memory_is_not_taken_anew():
    faults = [
        int(subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True,
                           check=True).stdout)
        for how in ("kept", "as it is")
    ]  # fmt: skip
    assert faults[0] < 100 < faults[1]


HOLES = """
import wct._malloc
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
wct._malloc.keep_memory()
kept, freed = [], []
for _ in range(100):
    freed.append(bytearray(b"1") * 1_000_000)
    kept.append(bytearray(b"1") * 1_000)
del freed
before = resident()
wct._malloc.give_back()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's")
def test_holes_are_given_back():
    command = [sys.executable, "-c", HOLES]
    freed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(freed) > 50e6


@pytest.mark.parametrize("answer", ["('', '')", "open(''), ''"])
def test_elsewhere_nothing_happens(answer):
    """Also where Python may not look into its own program, as that from Windows' store."""
    script = f"import platform; platform.libc_ver = lambda: ({answer})\n" + SCRIPT
    subprocess.run([sys.executable, "-c", script, "kept"], check=True, capture_output=True)


def test_what_the_library_is_is_asked_once(monkeypatch):
    asked = []
    monkeypatch.setattr(platform, "libc_ver", lambda: asked.append(1) or ("", ""))
    _malloc._glibc.cache_clear()
    _malloc.keep_memory()
    _malloc.give_back()
    _malloc._glibc.cache_clear()
    assert len(asked) == 1
