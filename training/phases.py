"""The two phases of training, each from settings to a model directory.

A phase that was interrupted goes on from its latest checkpoint when it is run again, and ends with
the same weights as one that was not.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from rich.console import Console

from wct._files import make_folder, write_file
from wct._models import read_card
from wct._networks import Decoder, Encoder
from wct._weights import Model, load_decoders, load_model, save_model

from .data import Pictures, crop_batches, image_files
from .loop import has_checkpoint, train
from .objectives import Head, Student, decoder_loss, distil_loss, fit_heads
from .settings import Phase, Settings, SettingsError
from .sheet import write_reconstructions
from .start import start_decoder, start_encoder
from .teacher import equalize, load_teacher, redo, undo

_say = Console(stderr=True).print


def distil(
    settings: Settings,
    images: Sequence[Path],
    run: Path,
    teacher: Path,
    *,
    model: Path | None = None,
) -> Path:
    """Train an encoder of any widths from VGG-19's features, together with its decoders.

    Args:
        settings: The model, with a table `[distil]`.
        images: Folders of training pictures.
        run: The run's directory.
        teacher: The file of VGG-19's weights; see `load_teacher`.
        model: The directory of a model of these widths and levels, to go on from; a least-squares
            start by default.

    Returns:
        The directory of the trained model.
    """
    phase = _phase(settings, "distil")
    directory = run / "distil"
    vgg = load_teacher(teacher)
    if any(ours > theirs for ours, theirs in zip(settings.widths, vgg.widths, strict=True)):
        raise SettingsError(
            f"widths {list(settings.widths)} must not be more than the teacher's, "
            f"{list(vgg.widths)}"
        )
    _claim(directory, settings, settings.levels, phase, images, teacher, model)
    pictures = Pictures.load(images, phase.crop)
    if has_checkpoint(directory):
        student = _blank_student(settings, vgg)
    else:
        crops = _start_crops(pictures, phase)
        if model is not None:
            encoder, ready = _load(model, settings)
            decoders = {str(level): ready[level] for level in settings.levels}
        else:
            _say("least-squares start: encoder")
            encoder = start_encoder(vgg, settings.widths, crops, phase.seed)
            decoders = _start_decoders(encoder, settings.levels, crops, phase)
        student = Student(encoder, decoders, fit_heads(encoder, vgg, crops))
    student = _train(
        student, vgg, distil_loss, pictures, phase, directory,
        lambda student: (student.encoder, student.decoders),
        Student(phase.encoder_rate, 1.0, 1.0),  # pyright: ignore[reportArgumentType] rates
    )  # fmt: skip
    return _save(directory / "model", settings, student.encoder, student.decoders)


def train_decoders(
    settings: Settings,
    images: Sequence[Path],
    run: Path,
    *,
    model: Path | None = None,
    teacher: Path | None = None,
    levels: Sequence[int] = (),
) -> Path:
    """Train one or all decoders of a finished encoder: pixel plus feature loss.

    Args:
        settings: The model, with a table `[decoders]`.
        images: Folders of training pictures.
        run: The run's directory.
        model: The directory of a model: its encoder, and decoders to go on from. By default, what
            `distil` left in `run`.
        teacher: Train decoders for VGG-19 itself instead: the file of its weights. Of `model`, the
            decoders alone are used, if it is given.
        levels: Only these levels' decoders.

    Returns:
        The directory of the trained model.

    Raises:
        SettingsError: The settings have no such table, or other widths than the model.
    """
    phase = _phase(settings, "decoders")
    directory = run / "-".join(["decoders", *map(str, levels)])
    wanted = levels or settings.levels
    distilled = run / "distil" / "model"
    origin = model if teacher else model or distilled
    _claim(directory, settings, wanted, phase, images, teacher, origin)
    pictures = Pictures.load(images, phase.crop)
    scales = None
    if teacher is not None:
        original = load_teacher(teacher)
        encoder, scales = equalize(original, _start_crops(pictures, phase))
        found = load_decoders(model) if model else {}
        ready = {level: redo(decoder, scales) for level, decoder in found.items()}
    else:
        path = model or distilled
        loaded = load_model(path)
        if loaded.encoder.widths != settings.widths:
            raise SettingsError(
                f"{path} has widths {list(loaded.encoder.widths)}, but {settings.name!r} is for "
                f"{list(settings.widths)}"
            )
        original, ready = loaded.encoder, loaded.decoders
        encoder = original
    missing = [level for level in wanted if level not in ready]
    decoders = {str(level): ready[level] for level in wanted if level in ready}
    if missing and has_checkpoint(directory):
        decoders |= _blank_decoders(encoder.widths, missing)
    elif missing:
        decoders |= _start_decoders(encoder, missing, _start_crops(pictures, phase), phase)
    decoders = _train(
        decoders, encoder, decoder_loss, pictures, phase, directory,
        lambda decoders: (encoder, decoders),
    )  # fmt: skip
    everything = {str(level): decoder for level, decoder in ready.items()} | decoders
    if scales is not None:
        everything = {level: undo(decoder, scales) for level, decoder in everything.items()}
    return _save(directory / "model", settings, original, everything)


def _load(model: Path, settings: Settings) -> tuple[Encoder, dict[int, Decoder]]:
    loaded = load_model(model)
    missing = sorted(set(settings.levels) - loaded.decoders.keys())
    if loaded.encoder.widths != settings.widths or missing:
        raise SettingsError(
            f"{model} cannot be gone on from: it has widths {list(loaded.encoder.widths)} and "
            f"decoders {sorted(loaded.decoders)}, but {settings.name!r} needs "
            f"{list(settings.widths)} and {sorted(settings.levels)}"
        )
    return loaded.encoder, loaded.decoders


def _phase(settings: Settings, name: str) -> Phase:
    phase = getattr(settings, name)
    if phase is None:
        raise SettingsError(f"the settings of {settings.name!r} have no table [{name}]")
    return phase


def _claim(
    directory: Path,
    settings: Settings,
    levels: Sequence[int],
    phase: Phase,
    images: Sequence[Path],
    teacher: Path | None,
    model: Path | None,
) -> None:
    """Write down what a run is told that decides its weights.

    Raises:
        SettingsError: The run was begun with something else.
    """
    files = [file.relative_to(folder) for folder in images for file in image_files(folder)]
    names = "\n".join(file.as_posix() for file in files)
    told = {"widths": settings.widths, "levels": levels, **asdict(phase)}
    told |= {"images": _sha256(names.encode(errors="surrogateescape"))}
    told |= {"teacher": teacher and _sha256(teacher.read_bytes())}
    told |= {"model": model and read_card(model)["files"]}
    del told["checkpoint_every"], told["sample_every"]
    written = json.dumps(told, indent=2)
    path = directory / "settings.json"
    if path.exists() and has_checkpoint(directory):
        there = json.loads(path.read_text())
        changed = [name for name, value in json.loads(written).items() if there.get(name) != value]
        if changed:
            raise SettingsError(
                f"{directory} was begun with other settings ({', '.join(changed)}): go on with "
                f"those in {path}, or give another --run"
            )
    elif jax.process_index() == 0:
        make_folder(directory)
        write_file(written.encode(), path, overwrite=True)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _start_crops(pictures: Pictures, phase: Phase) -> np.ndarray:
    return _crops(pictures, phase, phase.start_images, phase.seed + 1)


def _crops(pictures: Pictures, phase: Phase, count: int, seed: int) -> np.ndarray:
    return np.asarray(next(crop_batches(pictures, crop=phase.crop, batch=count, seed=seed)))


def _start_decoders(
    encoder: Encoder, levels: Sequence[int], crops: np.ndarray, phase: Phase
) -> dict[str, Decoder]:
    decoders = {}
    for level in levels:
        _say(f"least-squares start: decoder {level}")
        decoders[str(level)] = start_decoder(encoder, level, crops, phase.seed)
    return decoders


def _blank_decoders(widths: Sequence[int], levels: Sequence[int]) -> dict[str, Decoder]:
    """Networks of the right shapes, for a checkpoint to be read into."""
    return {str(level): Decoder(level, widths, rngs=nnx.Rngs(0)) for level in levels}


def _blank_student(settings: Settings, teacher: Encoder) -> Student:
    heads = [
        Head(jnp.zeros((ours, theirs)), jnp.zeros(theirs), jnp.zeros(theirs), jnp.zeros(()))
        for ours, theirs in zip(settings.widths, teacher.widths, strict=True)
    ]
    encoder = Encoder(settings.widths, rngs=nnx.Rngs(0))
    return Student(encoder, _blank_decoders(settings.widths, settings.levels), heads)


def _train(
    trained: Any,
    frozen: Encoder,
    loss: Callable,
    pictures: Pictures,
    phase: Phase,
    directory: Path,
    networks_of: Callable[[Any], tuple[Encoder, dict[str, Decoder]]],
    rates: Any = 1.0,
) -> Any:
    """Run the loop; every so often, write a sheet of pictures and what decoders make of them."""
    shown = _crops(pictures, phase, 8, phase.seed + 2)

    def sample(trained: Any, step: int) -> None:
        encoder, decoders = networks_of(trained)
        write_reconstructions(directory / "samples" / f"{step:06d}.png", encoder, decoders, shown)

    def batches(start: int) -> Iterator[jax.Array]:
        return crop_batches(
            pictures, crop=phase.crop, batch=phase.batch, seed=phase.seed, start=start
        )

    return train(trained, frozen, loss, batches, phase, directory, sample, rates)


def _save(
    directory: Path, settings: Settings, encoder: Encoder, decoders: dict[str, Decoder]
) -> Path:
    by_level = {decoder.level: decoder for decoder in decoders.values()}
    if jax.process_index() == 0:
        save_model(directory, Model(settings.name, encoder, by_level))
    return directory
