"""Makes a data set on a local Ray with two workers, of which one is killed after a few pictures.

Prints the process that was killed. Arguments: content, styles, output, model.
"""

import os
import signal
import sys
from pathlib import Path

from wct._dataset import stylize_dataset

ACTOR = b"_Actor"


def workers():
    """The processes of the actors that paint, by what Ray calls them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = path.read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::") and ACTOR in name:
            found.append(int(path.parent.name))
    return sorted(found)


def main():
    content, styles, output, model = sys.argv[1:]
    killed = []

    def kill(report):
        if report.done >= 2 and not killed:
            killed.append(workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    report = stylize_dataset(
        content, styles, output, model=model, alpha=(0.3, 1.0), levels=(2, 1), engine="ray",
        workers=2, progress=kill,
    )  # fmt: skip
    print("report:", report.done, report.painters, *report.failed, *killed)


if __name__ == "__main__":
    main()
