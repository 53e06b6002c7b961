"""The commands for a first look: `wct demo`, `wct bench`, `wct info`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from ._bench import measure_speed
from ._cli_options import Numbers, argument_of, sharing_progress, with_overwrite
from ._files import check_target
from ._stylize import stylize
from ._write import find_format, write_image


@click.command()
@click.option(
    "-o", "--output", default="wct-demo.png", show_default=True, help="Where to write the sheet."
)
@argument_of(stylize, "alpha", "-a", "--alpha", type=float)
@argument_of(stylize, "model", "--model")
@with_overwrite
def demo(output: str, alpha: float | None, model: str, overwrite: bool) -> None:
    """Repaint a picture that comes along in several styles, and write a sheet of all of them.

    The styles are drawn by the program; no network is needed. Prints the path of the sheet.

    Example: wct demo
    """
    check_target(Path(output), overwrite=overwrite)
    find_format(output)
    from ._demo import draw_sheet

    with sharing_progress() as progress:
        sheet = draw_sheet(alpha=alpha, model=model, progress=progress)
    write_image(sheet, output, overwrite=overwrite)
    click.echo(output)


@click.command()
@argument_of(measure_speed, "sizes", "--sizes", type=Numbers(int), metavar="N[,N…]",
              default="256,512,1024")  # fmt: skip
@argument_of(measure_speed, "batch", "--batch", type=click.IntRange(1))
@argument_of(measure_speed, "preset", "-p", "--preset", metavar="NAME")
@argument_of(measure_speed, "levels", "--levels", type=Numbers(int), metavar="N[,N…]")
@argument_of(measure_speed, "repeats", "--repeats", type=click.IntRange(1))
@argument_of(measure_speed, "tile", "--tile", type=click.IntRange(1), metavar="PIXELS")
@argument_of(measure_speed, "memory", "--memory", metavar="BYTES")
@argument_of(stylize, "model", "--model")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each size.")
def bench(sizes: tuple[int, ...], as_json: bool, **options: Any) -> None:
    """Measure how fast a model is here, and how much memory it takes.

    For each size: the first call, which compiles; the first call of a later process, which finds
    compiled programs on disk; then, warm, measuring a style and repainting in it.

    Example: wct bench --sizes 512
    """
    columns = {
        "size": "{:>6}",
        "first_s": "{:9.2f}",
        "cached_s": "{:10.2f}",
        "style_ms": "{:10.1f}",
        "stylize_ms": "{:12.1f}",
        "images_per_s": "{:14.2f}",
        "s_per_mpx": "{:11.2f}",
        "peak_mb": "{:9.0f}",
    }
    for count, speed in enumerate(measure_speed(sizes=sizes, **options)):
        facts = dataclasses.asdict(speed)
        if as_json:
            click.echo(json.dumps(facts))
            continue
        if count == 0:
            click.echo(f"{speed.model}, {speed.batch} at once, {speed.device}")
            widths = [len(layout.format(0)) for layout in columns.values()]
            click.echo("".join(map(str.rjust, columns, widths)))
        click.echo("".join(layout.format(facts[name]) for name, layout in columns.items()))


@click.command()
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
