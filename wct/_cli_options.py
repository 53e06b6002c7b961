"""What the commands share: options that are told of in the API's docstrings, numbers, a bar."""

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import click

from ._stylize import stylize
from ._write import write_image


class Numbers(click.ParamType):
    """Numbers separated by commas; of floats, one alone is that number."""

    name = "numbers"

    def __init__(self, kind: type[int] | type[float]):
        self._kind = kind

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            numbers = tuple(self._kind(part) for part in value.split(",") if value)
            return numbers[0] if len(numbers) == 1 and self._kind is float else numbers
        except ValueError:
            self.fail(f"{value!r} is no number, nor several with commas between", param, ctx)


def argument_of(function: Callable, name: str, *flags: str, **attributes: Any) -> Callable:
    """A click option with the default of a function's argument and its docstring's first sentence.

    So a default and its help are written once. Without docstrings (`python -OO`) there is no help.
    """
    section = (inspect.getdoc(function) or "").partition("Args:\n")[2].partition("\n\n")[0]
    entries = dict(re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE))
    sentence = re.split(r"(?<=\.)\s", entries.get(name, ""), maxsplit=1)[0]
    default = inspect.signature(function).parameters[name].default
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    attributes = {"default": default, "show_default": default is not None} | attributes
    return click.option(*flags, name, help=" ".join(sentence.split()), **attributes)


def _together(*options: Callable) -> Callable:
    """Make one decorator of several, which adds their options in this order."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


def with_pictures(formats: str, suffix: str) -> Callable:
    """Make what adds the picture, its style, and where to write the result."""
    return _together(
        click.argument("content"),
        click.argument("style"),
        click.option(
            "-o",
            "--output",
            help=f"Where to write the result; its suffix is the format: {formats}. By default "
            f"CONTENT-STYLE.{suffix} in the current directory.",
        ),
    )


with_weights = argument_of(
    stylize,
    "weights",
    "-w",
    "--weight",
    multiple=True,
    type=Numbers(float),
    metavar="W[,W…]",
)
"""Adds how much there is of each of several styles."""

with_strength = _together(
    argument_of(stylize, "alpha", "-a", "--alpha", type=Numbers(float), metavar="A[,A…]"),
    argument_of(stylize, "preset", "-p", "--preset", metavar="NAME"),
)
"""Adds how strong the style is."""

with_styles = _together(
    with_strength,
    click.option(
        "-s",
        "--style",
        "others",
        multiple=True,
        metavar="STYLE",
        help="Another style to mix with the first; may be repeated.",
    ),
    with_weights,
)
"""Adds how strong the style is, and which others there are: `alpha` to `weights`."""

with_recipe = _together(
    argument_of(stylize, "levels", "--levels", type=Numbers(int), metavar="N[,N…]"),
    argument_of(stylize, "detail", "--detail", type=Numbers(float), metavar="D[,D…]"),
    argument_of(stylize, "transform", "--transform", metavar="NAME"),
    argument_of(stylize, "ridge", "--ridge", type=float, metavar="R"),
    argument_of(stylize, "solver", "--solver", metavar="NAME"),
)
"""Adds what a recipe has besides: `levels` to `solver`."""

with_settings = _together(
    argument_of(stylize, "feather", "--feather", type=float, metavar="PIXELS"),
    with_recipe,
    argument_of(stylize, "swap", "--swap", type=Numbers(int), metavar="N[,N…]"),
    argument_of(stylize, "refine", "--refine", type=click.IntRange(0), metavar="STEPS"),
    argument_of(stylize, "colors", "--colors", metavar="NAME"),
    argument_of(stylize, "size", "--size", type=click.IntRange(1)),
    argument_of(stylize, "style_size", "--style-size", type=click.IntRange(1)),
)
"""Adds what there is to say of one picture besides: a recipe, and `feather` to `style_size`."""

with_overwrite = argument_of(write_image, "overwrite", "--overwrite", is_flag=True)
"""Adds whether a file that is there is replaced."""


def is_watched() -> bool:
    """Tell whether standard error is a terminal; it may have been closed."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[..., object] | None]:
    """Show a bar on standard error while the block runs, if that is a terminal.

    Gives what updates it, by rich's names: `completed`, of a `total` of 1, and a `description`.
    """
    if not is_watched():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1)
        yield lambda **values: bar.update(task, **values)


@contextlib.contextmanager
def sharing_progress() -> Iterator[Callable[[float], object] | None]:
    """Show the share of the work that is done while the block runs."""
    with progress_bar() as update:
        yield update and (lambda share: update(completed=share))
