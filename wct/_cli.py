"""The command `wct`."""

import contextlib
import inspect
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import click

from ._errors import WctError
from ._stylize import stylize as stylize_image
from ._version import __version__
from ._write import find_format, refuse_existing, write_image


class _Group(click.Group):
    """Shows an error that the user can mend as one line, and exits with status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WctError as error:
            raise click.ClickException(" ".join(str(error).split())) from error


class _Numbers(click.ParamType):
    """Numbers separated by commas."""

    name = "numbers"

    def __init__(self, kind: type[int] | type[float]):
        self._kind = kind

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return tuple(self._kind(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of numbers such as 5,4,3", param, ctx)


def _argument_of(function: Callable, name: str, *flags: str, **attributes: Any) -> Callable:
    """A click option with the default of a function's argument and its docstring's first sentence.

    So a default and its help are written once.
    """
    section = (inspect.getdoc(function) or "").partition("Args:\n")[2].partition("\n\n")[0]
    entries = dict(re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE))
    sentence = re.split(r"(?<=\.)\s", entries[name], maxsplit=1)[0]
    default = inspect.signature(function).parameters[name].default
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    attributes = {"default": default, "show_default": default is not None} | attributes
    return click.option(*flags, name, help=" ".join(sentence.split()), **attributes)


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="wct")
def main() -> None:
    """Repaint any picture in the style of any other."""


@main.command()
@click.argument("content")
@click.argument("style")
@click.option(
    "-o",
    "--output",
    help="Where to write the result; its suffix is the format: png, jpg, webp, avif or tiff. "
    "By default CONTENT-STYLE.png in the current directory.",
)
@_argument_of(stylize_image, "alpha", "-a", "--alpha", type=_Numbers(float), metavar="A[,A…]")
@_argument_of(stylize_image, "levels", "--levels", type=_Numbers(int), metavar="N[,N…]")
@_argument_of(stylize_image, "size", "--size", type=click.IntRange(1))
@_argument_of(stylize_image, "style_size", "--style-size", type=click.IntRange(1))
@_argument_of(stylize_image, "model", "--model")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def stylize(
    content: str,
    style: str,
    output: str | None,
    alpha: float | tuple[float, ...],
    levels: tuple[int, ...],
    overwrite: bool,
    **options: Any,
) -> None:
    """Repaint the picture CONTENT in the style of the picture STYLE.

    Prints the path of the result. A dash stands for standard input, or as the output for standard
    output, in PNG.

    Example: wct stylize photo.jpg painting.jpg -o result.png
    """
    if content == style == "-":
        raise click.UsageError("only one of CONTENT and STYLE can be read from standard input")
    if output is None:
        output = "-" if content == "-" else f"{Path(content).stem}-{Path(style).stem}.png"
    if output != "-":
        find_format(output)
        if not overwrite:
            refuse_existing(Path(output))
    strengths = alpha[0] if isinstance(alpha, tuple) and len(alpha) == 1 else alpha
    with _progress(len(levels)) as progress:
        result = stylize_image(
            _source(content),
            _source(style),
            strengths,
            levels=levels,
            progress=progress,
            **options,
        )
    if output == "-":
        write_image(result, sys.stdout.buffer, format="png")
    else:
        write_image(result, output, overwrite=overwrite)
        click.echo(output)


@main.command()
@click.option(
    "-o", "--output", default="wct-demo.png", show_default=True, help="Where to write the sheet."
)
@_argument_of(stylize_image, "alpha", "-a", "--alpha", type=float)
@_argument_of(stylize_image, "model", "--model")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def demo(output: str, alpha: float, model: str, overwrite: bool) -> None:
    """Repaint a picture that comes along in several styles, and write a sheet of all of them.

    The styles are drawn by the program; no network is needed. Prints the path of the sheet.

    Example: wct demo
    """
    find_format(output)
    if not overwrite:
        refuse_existing(Path(output))
    from ._demo import STYLES, draw_sheet

    with _progress(len(STYLES)) as progress:
        sheet = draw_sheet(alpha=alpha, model=model, progress=progress)
    write_image(sheet, output, overwrite=overwrite)
    click.echo(output)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(as_json: bool) -> None:
    """Print versions, devices and the models that are there.

    Example: wct info --json
    """
    from ._info import collect

    facts = collect()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for section, entries in facts.items():
        click.echo(section)
        for name, value in entries.items():
            click.echo(f"  {name}  {value}")


def _source(argument: str) -> str | IO[bytes]:
    return io.BytesIO(sys.stdin.buffer.read()) if argument == "-" else argument


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[object], object] | None]:
    """Show a bar on standard error while the block runs, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("level" if total else "", total=total)
        yield lambda _: bar.advance(task)
