"""The commands `wct models …`."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ._cli_options import is_watched
from ._errors import WeightsError


@click.group()
def models() -> None:
    """Get, list and check models."""


@models.command()
@click.argument("name")
def pull(name: str) -> None:
    """Download the encoder of the model NAME: vgg19.

    These are the weights of the University of Oxford, 80 MB. Nothing is done if they are there
    already. Prints the directory they are in.

    Example: wct models pull vgg19
    """
    from . import _vgg

    with _bar() as bar:
        new = _vgg.pull(name, progress=bar)
    _say_where(name, new)


@models.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="What to call the model. By default vgg19, or vgg19-torchvision.")
def import_(path: Path, name: str | None) -> None:
    """Make a model of VGG-19's weights in the file PATH.

    It may be Keras's vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5, torchvision's
    vgg19-dcbb9e9d.pth, or a .npz or .safetensors file. Prints the model's directory.

    Example: wct models import vgg19-dcbb9e9d.pth
    """
    from . import _vgg
    from ._models import DOWNLOADS

    name, new = _vgg.import_file(path, name)
    if name in DOWNLOADS and not _vgg.is_published(path):
        click.echo(
            f"Note: {path} is not the published file; decoders for {name!r} are trained for "
            "the weights in that one.",
            err=True,
        )
    _say_where(name, new)


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the models that there are.

    Of each, its name, widths, levels, size and directory, and what it lacks.

    Example: wct models list --json
    """
    from ._models import describe, list_models

    entries = [describe(name, directory) for name, directory in list_models().items()]
    if as_json:
        click.echo(json.dumps(entries, indent=2))
        return
    longest = max((len(entry["name"]) for entry in entries), default=0)
    for entry in entries:
        widths = " ".join(map(str, entry["widths"]))
        levels = " ".join(map(str, entry["levels"])) or "none"
        click.echo(
            f"{entry['name']:{longest}}  widths {widths or 'unknown'}, levels {levels}, "
            f"{entry['bytes'] / 1e6:.1f} MB, {entry['directory']}"
        )
        if entry["problem"]:
            click.echo(f"{'':{longest}}  {entry['problem']}")


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]…")
def verify(names: tuple[str, ...]) -> None:
    """Check the files of all models, or of each NAME, against their sha256.

    Prints a line for each model, and exits with status 1 if one of them is damaged.

    Example: wct models verify vgg19
    """
    from ._models import ENCODER, find_model, list_models, model_files, verify_model

    damaged = False
    for name in names or list_models():
        try:
            directory = find_model(name)
            verify_model(directory)
            lacking = "" if ENCODER in model_files(directory) else ", but there is no encoder"
            click.echo(f"{name}: ok{lacking}")
        except WeightsError as error:
            damaged = True
            click.echo(f"{name}: {error}")
    sys.exit(damaged)


@models.command()
@click.argument("name")
def path(name: str) -> None:
    """Print the directory of the model NAME.

    Example: wct models path vgg19-lite
    """
    from ._models import find_model

    click.echo(find_model(name))


def _say_where(name: str, new: bool) -> None:
    from ._models import describe, find_model, home

    if not new:
        click.echo(f"{name} is there already.", err=True)
    if not describe(name, find_model(name))["levels"]:
        click.echo(
            f"Note: {name} has no decoders yet; train them with `python -m training decoders`.",
            err=True,
        )
    click.echo(home() / name)


class _Bar:
    """A progress bar as pooch wants it: with a `total`, and told of the bytes that came."""

    def __init__(self, bar: Any):
        self._bar = bar
        self._task = bar.add_task("Downloading", total=None)

    @property
    def total(self) -> float | None:
        return self._bar.tasks[0].total

    @total.setter
    def total(self, size: int) -> None:
        self._bar.update(self._task, total=size or None)  # 0: the server does not say

    def update(self, size: int) -> None:
        self._bar.advance(self._task, size)

    def reset(self) -> None:
        self._bar.update(self._task, completed=0)

    def close(self) -> None:
        self._bar.refresh()


@contextlib.contextmanager
def _bar() -> Iterator[_Bar | bool]:
    """Show a bar on standard error while the block runs, if that is a terminal."""
    if not is_watched():
        yield False
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)
