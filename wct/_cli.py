"""The command `wct`: what all of its commands share, and which they are."""

import atexit
import codecs
import contextlib
import errno
import gc
import io
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import click

from ._cli_dataset import dataset
from ._cli_look import bench, demo, info
from ._cli_models import models
from ._cli_serve import serve
from ._cli_stylize import style, stylize, texture
from ._cli_video import video
from ._errors import WctError, in_one_line
from ._malloc import keep_memory
from ._version import __version__


class _Group(click.Group):
    """Shows an error that the user can mend as one line, and exits with status 1."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _as_click_says():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _as_click_says():
            return super().invoke(ctx)


@contextlib.contextmanager
def _as_click_says() -> Iterator[None]:
    try:
        yield
    except WctError as error:
        raise click.ClickException(in_one_line(error)) from error
    except OSError as error:
        if error.filename is not None:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from error
        # Of standard output, then.
        if error.errno != errno.EPIPE:  # that is click's
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to be written
            reason = error.strerror or error
            raise click.ClickException(f"cannot write the output: {reason}") from error
        raise


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="wct")
def main() -> None:
    """Repaint any picture in the style of any other."""
    keep_memory()
    _collect_seldom()
    # Where programs cannot be kept, they are compiled again.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("wct", _escape)
        sys.stdout.reconfigure(errors="wct")


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Have names of files that are no text written as they are; escape what an encoding lacks."""
    with contextlib.suppress(UnicodeError):
        return codecs.lookup_error("surrogateescape")(error)
    return codecs.lookup_error("backslashreplace")(error)


def _collect_seldom() -> None:
    """Look for garbage seldom: what is imported is a million objects, and compiling makes more."""
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)  # else Python looks through all of them when it ends, for 0.4 s


for command in (stylize, texture, style, video, dataset, serve, models, demo, bench, info):
    main.add_command(command)
