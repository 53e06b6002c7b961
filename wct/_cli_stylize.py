"""The commands that make pictures and styles: `wct stylize`, `wct texture`, `wct style`."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import click

from ._cli_options import (
    Numbers,
    argument_of,
    sharing_progress,
    with_overwrite,
    with_pictures,
    with_settings,
    with_styles,
    with_weights,
)
from ._errors import WctError
from ._files import check_target
from ._styles import read_style as measure_style
from ._stylize import stylize as stylize_image
from ._texture import texture as make_texture
from ._write import find_format, write_image


@click.command()
@with_pictures("png, jpg, webp, avif or tiff", "png")
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
@with_overwrite
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


@click.command()
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
@with_overwrite
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


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@click.option(
    "-o", "--output", required=True, help="Where to write the style: a .safetensors file."
)
@argument_of(measure_style, "style_size", "--style-size", type=click.IntRange(1))
@argument_of(measure_style, "memory", "--memory", metavar="BYTES")
@argument_of(measure_style, "allow_large", "--allow-large", is_flag=True)
@argument_of(measure_style, "model", "--model")
@with_overwrite
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
