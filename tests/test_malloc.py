import platform
import subprocess
import sys

import pytest

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


def test_elsewhere_nothing_happens():
    script = "import platform; platform.libc_ver = lambda: ('', '')\n" + SCRIPT
    subprocess.run([sys.executable, "-c", script, "kept"], check=True, capture_output=True)
