"""The command `wct dataset`."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import click

from ._cli_options import Numbers, argument_of, progress_bar
from ._dataset import DatasetReport, stylize_dataset

_SHOWN = 5
"""Failures that are printed; the manifest has them all."""


class _Shard(click.ParamType):
    """A part of the work, such as 2/8."""

    name = "part"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        found = re.fullmatch(r"(\d+)/(\d+)", value) if isinstance(value, str) else None
        if found is None:
            self.fail(f"{value!r} is no part such as 2/8", param, ctx)
        return int(found[1]), int(found[2])


@click.command()
@click.argument("content")
@click.argument("styles")
@click.option("-o", "--output", required=True, help="The folder for the results.")
@argument_of(stylize_dataset, "styles_per_image", "--styles-per-image", type=click.IntRange(1))
@argument_of(stylize_dataset, "alpha", "-a", "--alpha", type=Numbers(float), metavar="A[,B]")
@argument_of(stylize_dataset, "seed", "--seed", type=int)
@argument_of(stylize_dataset, "preset", "-p", "--preset", metavar="NAME")
@argument_of(stylize_dataset, "levels", "--levels", type=Numbers(int), metavar="N[,N…]")
@argument_of(stylize_dataset, "detail", "--detail", type=Numbers(float), metavar="D[,D…]")
@argument_of(stylize_dataset, "format", "--format", metavar="NAME")
@argument_of(
    stylize_dataset, "sidecars", "--sidecar", multiple=True, metavar="PATTERN", default=None
)
@argument_of(stylize_dataset, "shard", "--shard", type=_Shard(), metavar="I/N")
@argument_of(stylize_dataset, "style_size", "--style-size", type=click.IntRange(1))
@argument_of(stylize_dataset, "engine", "--engine", metavar="NAME")
@argument_of(stylize_dataset, "workers", "--workers", type=click.IntRange(1))
@argument_of(stylize_dataset, "address", "--address")
@argument_of(stylize_dataset, "model", "--model")
def dataset(content: str, styles: str, output: str, **options: Any) -> None:
    """Repaint all pictures of the folder CONTENT, each in styles of the folder STYLES.

    STYLES may also be one picture, or a file of styles that were measured before. Which ones, and
    how strong, follows from the seed and a picture's path in its folder. Whatever stops the work,
    the same command goes on from there. Prints what was done; exits with 1 if there are pictures
    that cannot be read.

    Example: wct dataset photos paintings -o stylized --alpha 0.4,1
    """
    with _progress() as progress:
        report = stylize_dataset(content, styles, output, progress=progress, **options)
    click.echo(
        f"{report.done} pictures made, {report.found} there before, "
        f"{report.images_per_s:.2f} a second, {report.waiting:.0%} of the time waiting for files"
    )
    if report.copied:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(report.copied.items()))
        click.echo(f"files copied along: {kinds}")
    for error in list(report.failed.values())[:_SHOWN]:
        click.echo(error, err=True)
    if report.failed:
        raise click.ClickException(
            f"{len(report.failed)} pictures cannot be read: the manifest in {output} tells which"
        )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[DatasetReport], object] | None]:
    """Show how far the work is while the block runs."""
    with progress_bar() as update:
        yield update and (
            lambda report: update(
                completed=report.done, total=report.total or None, description=_describe(report)
            )
        )


def _describe(report: DatasetReport) -> str:
    if not report.total:
        return f"measuring styles: {report.styles}"
    failed = f", {len(report.failed)} failed" if report.failed else ""
    speed = f"{report.images_per_s:.1f}/s, {report.waiting:.0%} waiting"
    return f"{report.done}/{report.total}, {speed}{failed}"
