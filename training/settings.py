"""What a training run is told: the tables of a TOML file, as dataclasses."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from wct._layers import CELL, LEVELS, stride

Weights = tuple[float, float, float, float, float]

_WEIGHTS = ("pixel", "feature", "teacher", "content", "pattern")
"""The entries that are weights."""


class SettingsError(ValueError):
    """Settings with an unknown entry, without a needed one, or with a value that cannot be."""


@dataclass(frozen=True)
class Phase:
    """One training run of gradient steps.

    Attributes:
        steps: Gradient steps.
        batch: Crops a step.
        crop: Side of a crop, pixels; a multiple of 16.
        learning_rate: Muon's at its peak, for weights of the size 0.1. It decays to zero along a
            cosine.
        encoder_rate: The encoder's learning rate relative to the decoders', which must follow it.
        warmup: Steps over which the learning rate rises from zero.
        pixel: Weights of the logarithm of the pixel error, for relu1_1 … relu5_1.
        feature: Likewise of the relative error of restyled features, decoded and encoded again.
        teacher: Likewise of the logarithm of the share of the teacher's features left unexplained.
        content: Likewise of the distance of restyled images from their contents, in the teacher's
            relu4_1.
        pattern: Likewise of the share of a decoder's fine detail that repeats from cell to cell
            where a picture is smooth; none for relu1_1, whose cells are pixels.
        start_images: Crops that the least-squares start is fitted to.
        checkpoint_every: Steps between checkpoints.
        sample_every: Steps between sample sheets.
        seed: Of crops, flips, order and everything else that is random.
    """

    steps: int
    batch: int
    crop: int
    learning_rate: float
    warmup: int
    pixel: Weights
    feature: Weights
    start_images: int
    checkpoint_every: int
    sample_every: int
    teacher: Weights = (0.0, 0.0, 0.0, 0.0, 0.0)
    content: Weights = (0.0, 0.0, 0.0, 0.0, 0.0)
    pattern: Weights = (0.0, 0.0, 0.0, 0.0, 0.0)
    encoder_rate: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Settings:
    """A model and how it is trained.

    Attributes:
        name: The model's name.
        widths: Channels of the encoder's five blocks.
        levels: Levels that get a decoder.
        distil: The joint training of encoder and decoders under the teacher.
        decoders: The training of decoders for a finished encoder.
    """

    name: str
    widths: tuple[int, ...]
    levels: tuple[int, ...]
    distil: Phase | None = None
    decoders: Phase | None = None


def load_settings(path: Path) -> Settings:
    """Read settings from a TOML file.

    Raises:
        SettingsError: The file is no TOML, has an unknown entry or a value that cannot be, or lacks
            a needed entry.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
        for phase in {"distil", "decoders"} & table.keys():
            table[phase] = _phase(table[phase])
        for key in {"widths", "levels"} & table.keys():
            table[key] = tuple(table[key])
        settings = Settings(**table)
        _check(settings)
        return settings
    except (TypeError, ValueError) as error:
        known = ", ".join(field.name for field in (*fields(Settings), *fields(Phase)))
        raise SettingsError(f"{path}: {error}; the entries are {known}") from error


def _check(settings: Settings) -> None:
    """Raise a `ValueError` if a value cannot be."""
    if len(settings.widths) != len(LEVELS) or not all(_is_count(each) for each in settings.widths):
        raise ValueError("widths are five integers, at least 1 each")
    if not settings.levels or not set(settings.levels) <= set(LEVELS):
        raise ValueError("levels are some of 1 to 5")
    for phase in filter(None, (settings.distil, settings.decoders)):
        for name in ("steps", "batch", "crop", "start_images", "checkpoint_every", "sample_every"):
            if not _is_count(getattr(phase, name)):
                raise ValueError(f"{name} must be an integer, at least 1")
        for name in ("learning_rate", "encoder_rate"):
            if not _is_amount(getattr(phase, name)):
                raise ValueError(f"{name} must be a number, at least 0")
        for name in _WEIGHTS:
            if not all(map(_is_amount, getattr(phase, name))):
                raise ValueError(f"{name} must be five numbers, at least 0")
        if phase.crop % CELL:
            raise ValueError(f"crop must be a multiple of {CELL}")
        if phase.pattern[0]:
            raise ValueError("pattern must be 0 for relu1_1, whose cells are pixels")
        for level, weight in enumerate(phase.pattern, start=1):
            if weight and phase.crop < (least := 10 * stride(level)):  # two squares, and an edge
                raise ValueError(f"pattern needs a crop of at least {least} for relu{level}_1")
        if not 0 <= phase.warmup < phase.steps:
            raise ValueError("warmup must be less than steps")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < float("inf")


def _phase(table: Any) -> Phase:
    if not isinstance(table, dict):
        raise ValueError("a phase is a table of entries")
    for key in table.keys() & _WEIGHTS:
        table[key] = tuple(table[key])
        if len(table[key]) != 5:
            raise ValueError(f"{key} needs five weights, for relu1_1 … relu5_1")
    return Phase(**table)
