"""Makes a data set on a local Ray with two workers, of which one is killed after a few pictures.

Prints the process that was killed. Then makes another, twice, and a third time where a result
cannot be written.
Arguments: content, styles, output, model.
"""

import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

from wct._dataset import stylize_dataset
from wct._errors import WctError

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

    make = partial(stylize_dataset, styles=styles, model=model, alpha=(0.3, 1.0), levels=(2, 1),
                   engine="ray")  # fmt: skip
    report = make(content, output=output, workers=2, progress=kill)
    print("report:", report.done, report.painters, *report.failed, *killed)
    part, other = Path(content).with_name("part"), Path(output).with_name("other")
    shutil.copytree(Path(content, "class0"), part)
    for _ in range(2):
        report = make(part, output=other)
        print("report:", report.done, report.found, report.painters)
    image = next(part.iterdir())
    (other / "more.png").mkdir()
    shutil.copy(image, part / f"more{image.suffix}")
    try:
        make(part, output=other)
    except WctError as error:
        print("report:", error)


if __name__ == "__main__":
    main()
