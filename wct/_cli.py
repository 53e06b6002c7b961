"""The command `wct`."""

import atexit
import codecs
import contextlib
import dataclasses
import errno
import gc
import io
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import click

from ._bench import measure_speed
from ._cli_dataset import dataset
from ._cli_models import models
from ._cli_options import (
    Numbers,
    argument_of,
    sharing_progress,
    with_settings,
    with_styles,
    with_weights,
)
from ._cli_serve import serve
from ._cli_video import video
from ._errors import WctError
from ._files import check_target
from ._malloc import keep_memory
from ._styles import read_style as measure_style
from ._stylize import stylize as stylize_image
from ._texture import texture as make_texture
from ._version import __version__
from ._write import find_format, write_image


class _Group(click.Group):
    """Shows an error that the user can mend as one line, and exits with status 1."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _in_one_line():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _in_one_line():
            return super().invoke(ctx)


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except WctError as error:
        raise click.ClickException(" ".join(str(error).split())) from error
    except OSError as error:
        if error.filename is not None:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from error
        # Of standard output, then.
        if error.errno != errno.EPIPE:  # that is click's
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to be written
            reason = error.strerror or error
            raise click.ClickException(f"cannot write the output: {reason}") from error
        raise


_overwrite = argument_of(write_image, "overwrite", "--overwrite", is_flag=True)


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


@main.command()
@click.argument("content")
@click.argument("style")
@click.option(
    "-o",
    "--output",
    help="Where to write the result; its suffix is the format: png, jpg, webp, avif or tiff. "
    "By default CONTENT-STYLE.png in the current directory.",
)
@with_styles
@click.option(
    "--mask",
    "masks",
    multiple=True,
    metavar="FILE",
    help="Where a style goes, one for each style in their order: an image, white where it is "
    "wanted. What no mask covers stays as it is, but for a soft transition.",
)
@click.option(
    "--labels",
    metavar="FILE",
    help="One image in place of masks, with a value for each style, in ascending order.",
)
@with_settings
@argument_of(stylize_image, "tile", "--tile", type=click.IntRange(1), metavar="PIXELS")
@argument_of(stylize_image, "memory", "--memory", metavar="BYTES")
@argument_of(
    stylize_image, "scratch", "--scratch", type=click.Path(file_okay=False), metavar="DIRECTORY"
)
@argument_of(stylize_image, "allow_large", "--allow-large", is_flag=True)
@argument_of(stylize_image, "model", "--model")
@_overwrite
def stylize(
    content: str,
    style: str,
    output: str | None,
    others: tuple[str, ...],
    weights: tuple[tuple[float, ...], ...],
    masks: tuple[str, ...],
    labels: str | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Repaint the picture CONTENT in the style of the picture STYLE, or of several.

    A style may also be a file that `wct style` wrote. Prints the path of the result. A dash stands
    for standard input, or as the output for standard output, in PNG.

    Example: wct stylize photo.jpg painting.jpg -o result.png
    """
    styles = (style, *others)
    _read_once(content, *styles)
    if output is None:
        painted = "stdin" if style == "-" else Path(style).stem
        output = "-" if content == "-" else f"{Path(content).stem}-{painted}.png"
    with sharing_progress() as progress:
        result = stylize_image(
            _source(content),
            [_source(each) for each in styles],
            weights=weights or None,
            masks=_masks(masks, labels, styles, allow_large=options["allow_large"]),
            progress=progress,
            output=None if output == "-" else output,
            overwrite=overwrite,
            **options,
        )
    if result is None:
        click.echo(output)
    elif sys.stdout is None:
        raise WctError("standard output is closed: name a file for the result (-o)")
    else:
        write_image(result, sys.stdout.buffer, format="png")


@main.command()
@click.argument("styles", nargs=-1, required=True, metavar="STYLE…")
@click.option("-o", "--output", default="texture.png", show_default=True, help="Where to write it.")
@argument_of(make_texture, "size", "--size", type=Numbers(int), metavar="H,W")
@argument_of(make_texture, "seed", "--seed", type=int)
@with_weights
@argument_of(make_texture, "passes", "--passes", type=click.IntRange(1))
@argument_of(make_texture, "levels", "--levels", type=Numbers(int), metavar="N[,N…]")
@argument_of(make_texture, "seamless", "--seamless", is_flag=True)
@argument_of(make_texture, "transform", "--transform", metavar="NAME")
@argument_of(make_texture, "style_size", "--style-size", type=click.IntRange(1))
@argument_of(make_texture, "memory", "--memory", metavar="BYTES")
@argument_of(make_texture, "model", "--model")
@_overwrite
def texture(
    styles: tuple[str, ...],
    output: str,
    size: tuple[int, ...],
    weights: tuple[Any, ...],
    overwrite: bool,
    **options: Any,
) -> None:
    """Synthesize a texture from one STYLE or a mixture of several.

    Prints the path of the texture.

    Example: wct texture painting.jpg --size 256,1024 --seamless
    """
    _read_once(*styles)
    if len(size) != 2:
        raise click.UsageError("--size takes height and width, such as 256,1024")
    check_target(Path(output), overwrite=overwrite)
    find_format(output)
    with sharing_progress() as progress:
        result = make_texture(
            [_source(each) for each in styles],
            (size[0], size[1]),
            weights=weights or None,
            progress=progress,
            **options,
        )
    write_image(result, output, overwrite=overwrite)
    click.echo(output)


@main.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@click.option(
    "-o", "--output", required=True, help="Where to write the style: a .safetensors file."
)
@argument_of(measure_style, "style_size", "--style-size", type=click.IntRange(1))
@argument_of(measure_style, "memory", "--memory", metavar="BYTES")
@argument_of(measure_style, "allow_large", "--allow-large", is_flag=True)
@argument_of(measure_style, "model", "--model")
@_overwrite
def style(images: tuple[str, ...], output: str, overwrite: bool, **options: Any) -> None:
    """Measure the style of a picture, or of several as if they were one, and write it to a file.

    The file is small and stands for its pictures wherever a style is asked for, with the same
    model. Prints its path.

    Example: wct style painting.jpg drawing.jpg -o painter.safetensors
    """
    _read_once(*images)
    if Path(output).suffix != ".safetensors":
        raise click.UsageError(f"a style is a .safetensors file, but the output is {output!r}")
    check_target(Path(output), overwrite=overwrite)
    measure_style(*map(_source, images), **options).save(output, overwrite=overwrite)
    click.echo(output)


@main.command()
@click.option(
    "-o", "--output", default="wct-demo.png", show_default=True, help="Where to write the sheet."
)
@argument_of(stylize_image, "alpha", "-a", "--alpha", type=float)
@argument_of(stylize_image, "model", "--model")
@_overwrite
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


@main.command()
@argument_of(measure_speed, "sizes", "--sizes", type=Numbers(int), metavar="N[,N…]",
              default="256,512,1024")  # fmt: skip
@argument_of(measure_speed, "batch", "--batch", type=click.IntRange(1))
@argument_of(measure_speed, "preset", "-p", "--preset", metavar="NAME")
@argument_of(measure_speed, "levels", "--levels", type=Numbers(int), metavar="N[,N…]")
@argument_of(measure_speed, "repeats", "--repeats", type=click.IntRange(1))
@argument_of(measure_speed, "tile", "--tile", type=click.IntRange(1), metavar="PIXELS")
@argument_of(measure_speed, "memory", "--memory", metavar="BYTES")
@argument_of(stylize_image, "model", "--model")
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


main.add_command(video)
main.add_command(dataset)
main.add_command(models)
main.add_command(serve)


def _masks(
    masks: tuple[str, ...], labels: str | None, styles: Sequence[str], *, allow_large: bool
) -> Sequence[Any] | None:
    if labels is None:
        return masks or None
    if masks:
        raise click.UsageError("give --mask or --labels, not both")
    from ._masks import split_labels

    return split_labels(labels, styles, allow_large=allow_large)


def _read_once(*sources: str) -> None:
    if sources.count("-") > 1:
        raise click.UsageError("only one picture can be read from standard input")


def _source(argument: str) -> str | IO[bytes]:
    if argument != "-":
        return argument
    data = b"" if sys.stdin is None else sys.stdin.buffer.read()
    if not data:
        raise click.ClickException("there is nothing on standard input: give it a picture's file")
    return io.BytesIO(data)
