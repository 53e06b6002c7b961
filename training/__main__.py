"""The command `python -m training`."""

from pathlib import Path

import click
import numpy as np

from .settings import Phase, Settings, load_settings

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Train, measure and export the networks of wct."""


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
    ):  # fmt: skip
        command = option(command)
    return command


@main.command()
@_run_options
@click.option("--teacher", type=_FILE, required=True, help="VGG-19's convolutions, safetensors.")
def distil(config: Path, images: tuple[Path, ...], run: Path, teacher: Path) -> None:
    """Train an encoder of any widths from VGG-19's features, together with its decoders.

    CONFIG is a TOML file, such as training/configs/vgg19-lite.toml.
    """
    from .objectives import Student, distil_loss, fit_heads
    from .start import start_decoder, start_encoder
    from .teacher import load_teacher

    settings = load_settings(config)
    phase = _phase(settings, "distil")
    vgg = load_teacher(teacher)
    crops = _start_crops(images, phase)
    click.echo("least-squares start: encoder", err=True)
    encoder = start_encoder(vgg, settings.widths, crops, phase.seed)
    decoders = {}
    for level in settings.levels:
        click.echo(f"least-squares start: decoder {level}", err=True)
        decoders[str(level)] = start_decoder(encoder, level, crops, phase.seed)
    student = Student(encoder, decoders, fit_heads(encoder, vgg, crops))
    student = _train(student, vgg, distil_loss, images, phase, run / "distil",
                     lambda student: (student.encoder, student.decoders))  # fmt: skip
    _save(run / "distil" / "model", settings, student.encoder, student.decoders)


@main.command()
@_run_options
@click.option("--model", type=click.Path(path_type=Path),
              help="Model directory with the encoder, and decoders to go on from; "
              "by default what `distil` left in the run's directory.")  # fmt: skip
@click.option("--teacher", type=_FILE, help="Train decoders for VGG-19 itself instead.")
@click.option("--level", "levels", type=click.IntRange(1, 5), multiple=True,
              help="Only this level's decoder; may be repeated.")  # fmt: skip
def decoders(
    config: Path,
    images: tuple[Path, ...],
    run: Path,
    model: Path | None,
    teacher: Path | None,
    levels: tuple[int, ...],
) -> None:
    """Train one or all decoders of a finished encoder: pixel plus feature loss."""
    from wct._weights import load_model

    from .objectives import decoder_loss
    from .start import start_decoder
    from .teacher import load_teacher

    settings = load_settings(config)
    phase = _phase(settings, "decoders")
    if teacher is not None:
        encoder, trained = load_teacher(teacher), {}
    else:
        loaded = load_model(model or run / "distil" / "model")
        encoder, trained = loaded.encoder, loaded.decoders
    crops = _start_crops(images, phase)
    networks = {}
    for level in levels or settings.levels:
        if level not in trained:
            click.echo(f"least-squares start: decoder {level}", err=True)
        networks[str(level)] = trained.get(level) or start_decoder(
            encoder, level, crops, phase.seed
        )
    name = "decoders" + "".join(map(str, levels))
    networks = _train(networks, encoder, decoder_loss, images, phase, run / name,
                      lambda networks: (encoder, networks))  # fmt: skip
    everything = {str(level): decoder for level, decoder in trained.items()} | networks
    _save(run / name / "model", settings, encoder, everything)


@main.command()
@click.argument("model", type=_FOLDER)
@click.option("--images", type=_FOLDER, required=True,
              help="A folder of photographs; those that training left out are looked at.")  # fmt: skip
@click.option("--styles", type=_FOLDER, help="A folder of paintings, for the style distance.")
@click.option("--teacher", type=_FILE, help="VGG-19's convolutions, in which style is measured.")
@click.option("--all", "everything", is_flag=True, help="Look at all pictures of the folders.")
@click.option("--side", type=int, help="Resize photographs to this shorter side first.")
@click.option("--pairs", type=int, default=60, show_default=True,
              help="Pairs of photograph and painting.")  # fmt: skip
@click.option("--alpha", type=float, default=1.0, show_default=True,
              help="Strength at which style is measured.")  # fmt: skip
def evaluate(
    model: Path,
    images: Path,
    styles: Path | None,
    teacher: Path | None,
    everything: bool,
    side: int | None,
    pairs: int,
    alpha: float,
) -> None:
    """Print reconstruction PSNR a level, and how near results come to style and content."""
    from .evaluate import explained, reconstruction, style_transfer
    from .teacher import load_teacher

    def show(title: str, values: dict) -> None:
        click.echo(f"{title}: " + "  ".join(f"{key} {value:.3f}" for key, value in values.items()))

    show("reconstruction, dB", reconstruction(model, images, side=side, everything=everything))
    if teacher is not None:
        vgg = load_teacher(teacher)
        show("explained share", explained(model, vgg, images, everything=everything))
        if styles is not None:
            distances = style_transfer(
                model, vgg, images, styles, pairs=pairs, alpha=alpha, everything=everything
            )
            show("distances", distances)


@main.command()
@click.argument("model", type=_FOLDER)
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option("--about", type=_FILE, help="TOML file: what model.json is to say besides.")
def export(model: Path, target: Path, about: Path | None) -> None:
    """Write a trained MODEL to TARGET, say pretrained/vgg19-lite, with sha256s and a probe."""
    from .export import export_model

    export_model(model, target, about)


def _phase(settings: Settings, name: str) -> Phase:
    phase = getattr(settings, name)
    if phase is None:
        raise click.UsageError(f"the configuration has no table [{name}]")
    return phase


def _start_crops(images: tuple[Path, ...], phase: Phase) -> np.ndarray:
    from .data import crop_batches

    crops = crop_batches(images, crop=phase.crop, batch=phase.start_images, seed=phase.seed + 1)
    return next(crops)


def _train(trained, frozen, loss, images, phase: Phase, directory: Path, networks_of):
    """Run the loop; every so often, write a sheet of pictures and what decoders make of them."""
    from .data import crop_batches
    from .loop import train
    from .sheet import write_reconstructions

    shown = next(crop_batches(images, crop=phase.crop, batch=8, seed=phase.seed + 2))

    def batches(start: int):
        return crop_batches(
            images, crop=phase.crop, batch=phase.batch, seed=phase.seed, start=start
        )

    def sample(trained, step: int) -> None:
        path = directory / "samples" / f"{step:06d}.png"
        write_reconstructions(path, *networks_of(trained), shown)

    return train(trained, frozen, loss, batches, phase, directory, sample)


def _save(directory: Path, settings: Settings, encoder, decoders) -> None:
    from wct._weights import Model, save_model

    by_level = {decoder.level: decoder for decoder in decoders.values()}
    save_model(directory, Model(settings.name, encoder, by_level))
    click.echo(directory)


if __name__ == "__main__":
    main(prog_name="python -m training")
