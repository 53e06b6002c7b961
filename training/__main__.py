"""The command `python -m training`."""

from pathlib import Path
from typing import Any

import click

from wct._errors import WctError

from .settings import SettingsError, load_settings

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Group(click.Group):
    """Shows an error that the user can mend as one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (FileNotFoundError, SettingsError, WctError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
def main() -> None:
    """Train, measure and export the networks of wct."""


def _join_processes(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    import jax

    if value == "auto":
        jax.distributed.initialize()
        return
    try:
        address, process, processes = value.split(",")
        place = int(process), int(processes)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither auto nor HOST:PORT,I,N") from None
    jax.distributed.initialize(address, num_processes=place[1], process_id=place[0])


def _run_options(command):
    for option in (
        click.argument("config", type=_FILE),
        click.option(
            "--images", type=_FOLDER, multiple=True, required=True,
            help="A folder of training pictures; may be repeated.",
        ),
        click.option(
            "--run", type=click.Path(file_okay=False, path_type=Path), required=True,
            help="The run's directory: checkpoints, metrics, samples, networks. "
            "A run that was interrupted goes on where it was.",
        ),
        click.option(
            "--distributed", metavar="auto|HOST:PORT,I,N", expose_value=False,
            callback=_join_processes,
            help="Train as one of several processes, on one host or many: auto where a cluster "
            "such as Slurm tells JAX which; else the address of the first process, the number of "
            "this one, from 0, and the number of all.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@main.command()
@_run_options
@click.option("--teacher", type=_FILE, required=True, help="A file of VGG-19's weights.")
@click.option("--model", type=_FOLDER, help="A model to go on from.")
def distil(config: Path, images: tuple[Path, ...], run: Path, **options: Any) -> None:
    """Train an encoder of any widths from VGG-19's features, together with its decoders.

    CONFIG is a TOML file, such as training/configs/vgg19-lite.toml.
    """
    from . import phases

    click.echo(phases.distil(load_settings(config), images, run, **options))


@main.command()
@_run_options
@click.option(
    "--model",
    type=_FOLDER,
    help="The model with the encoder, and decoders to go on from; "
    "by default what distil left in the run's directory. With --teacher, the decoders alone.",
)
@click.option("--teacher", type=_FILE, help="Train decoders for VGG-19 itself: its weights.")
@click.option(
    "--level",
    "levels",
    type=click.IntRange(1, 5),
    multiple=True,
    help="Only this level's decoder; may be repeated.",
)
def decoders(config: Path, images: tuple[Path, ...], run: Path, **options: Any) -> None:
    """Train one or all decoders of a finished encoder: pixel plus feature loss."""
    from . import phases

    click.echo(phases.train_decoders(load_settings(config), images, run, **options))


@main.command()
@click.argument("model", type=_FOLDER)
@click.option(
    "--images",
    type=_FOLDER,
    required=True,
    help="A folder of photographs; those that training left out are looked at.",
)
@click.option("--styles", type=_FOLDER, help="A folder of paintings, for the style distance.")
@click.option("--teacher", type=_FILE, help="VGG-19's convolutions, in which style is measured.")
@click.option("--all", "everything", is_flag=True, help="Look at all pictures of the folders.")
@click.option(
    "--side", type=click.IntRange(32), help="Resize photographs to this shorter side first."
)
@click.option("--pairs", type=click.IntRange(1), default=60, show_default=True,
              help="Pairs of photograph and painting.")  # fmt: skip
@click.option("--alpha", type=float, default=1.0, show_default=True,
              help="Strength of the paper's chain at which style is measured.")  # fmt: skip
@click.option("--preset", help="A preset to measure style by, in place of the paper's chain.")
def evaluate(
    model: Path,
    images: Path,
    styles: Path | None,
    teacher: Path | None,
    everything: bool,
    side: int | None,
    pairs: int,
    alpha: float,
    preset: str | None,
) -> None:
    """Print reconstruction PSNR a level, and how near results come to style and content."""
    from wct import Recipe
    from wct._models import describe

    from .evaluate import explained, reconstruction, style_transfer
    from .teacher import load_teacher

    if styles is not None and teacher is None:
        raise click.UsageError("--styles needs --teacher: style is measured in VGG-19's features")

    def show(title: str, values: dict) -> None:
        click.echo(f"{title}: " + "  ".join(f"{key} {value:.3f}" for key, value in values.items()))

    levels = describe(model.name, model)["levels"]
    recipe = Recipe.preset(preset or "paper", levels=levels, alpha=None if preset else alpha)
    recipe.steps()  # which would be refused after minutes of work
    show("reconstruction, dB", reconstruction(model, images, side=side, everything=everything))
    if teacher is not None:
        vgg = load_teacher(teacher)
        show("explained share", explained(model, vgg, images, everything=everything))
        if styles is not None:
            distances = style_transfer(
                model, vgg, images, styles, pairs=pairs, recipe=recipe, everything=everything
            )
            show("distances", distances)


@main.command()
@click.argument("models", type=_FOLDER, nargs=-1, required=True, metavar="MODEL…")
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option("--about", type=_FILE, help="TOML file: what model.json is to say besides.")
@click.option("--decoders-only", is_flag=True, help="Leave out the encoder.")
def export(models: tuple[Path, ...], target: Path, about: Path | None, decoders_only: bool) -> None:
    """Write a trained MODEL to TARGET, say pretrained/vgg19-lite, with sha256s and a probe.

    Of several models with one encoder, TARGET gets all decoders; of a level that several have, the
    one that is not the first model's.
    """
    from .export import export_model

    export_model(models, target, about, with_encoder=not decoders_only)


@main.command()
@click.argument("models", type=_FOLDER, nargs=-1, required=True, metavar="MODEL…")
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
def average(models: tuple[Path, ...], target: Path) -> None:
    """Write the mean of the weights of MODELs, of a run's start and its end say, to TARGET."""
    from .average import average_models

    click.echo(average_models(models, target))


@main.command()
@click.argument("model", type=_FOLDER)
def bank(model: Path) -> None:
    """Draw the styles that come along with a MODEL, measure them, and store them with it."""
    from .bank import draw_bank, write_bank

    write_bank(model, draw_bank())


if __name__ == "__main__":
    main(prog_name="python -m training")
