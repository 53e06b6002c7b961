"""The command `wct video`."""

from pathlib import Path
from typing import Any

import click

from ._cli_options import argument_of, sharing_progress, with_pictures, with_recipe, with_styles
from ._stylize import stylize
from ._video import stylize_video


@click.command()
@with_pictures("mp4, m4v, mov or mkv", "mp4")
@with_styles
@with_recipe
@argument_of(stylize, "colors", "--colors", metavar="NAME")
@argument_of(stylize_video, "noise", "--noise", type=float, metavar="N")
@argument_of(stylize_video, "size", "--size", type=click.IntRange(1))
@argument_of(stylize, "style_size", "--style-size", type=click.IntRange(1))
@argument_of(stylize_video, "memory", "--memory", metavar="BYTES")
@argument_of(stylize, "model", "--model")
@argument_of(stylize_video, "overwrite", "--overwrite", is_flag=True)
def video(
    content: str,
    style: str,
    output: str | None,
    others: tuple[str, ...],
    weights: tuple[tuple[float, ...], ...],
    **options: Any,
) -> None:
    """Repaint the video CONTENT in the style of the picture STYLE, or of several.

    What does not move does not flicker. The sound stays as it is. A style may also be a file that
    `wct style` wrote. Prints the path of the result.

    Example: wct video clip.mp4 painting.jpg --size 640
    """
    output = output or f"{Path(content).stem}-{Path(style).stem}.mp4"
    with sharing_progress() as progress:
        stylize_video(
            content,
            [style, *others],
            weights=weights or None,
            output=output,
            progress=progress,
            **options,
        )
    click.echo(output)
