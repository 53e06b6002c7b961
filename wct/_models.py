"""Model directories: which there are, where they are, and which files belong to them.

A model directory holds `model.json` (name, widths, the files and their sha256), the encoder, any of
the five decoders and perhaps a bank of styles as safetensors files. Some come along with the
package; others are in the home, where `wct models pull` and `wct models import` put them. A model
that comes along without an encoder takes it from the model of the same name in the home. Nothing
here needs jax.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._errors import WeightsError, suggest
from ._files import kind_of
from ._layers import LEVELS

CARD = "model.json"
ENCODER = "encoder.safetensors"
STYLES = "styles.safetensors"


@dataclass(frozen=True)
class Source:
    """A published file of weights.

    Attributes:
        url: Where it is.
        md5: Its published hash.
    """

    url: str
    md5: str


DOWNLOADS = {
    "vgg19": Source(
        "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"
        "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "253f8cb515780f3b799900260a226db6",
    )
}
"""The models whose encoder can be downloaded."""


def home() -> Path:
    """Return the directory of pulled and imported models: `WCT_HOME`, or the user's cache.

    For a user without a home, as a container may have it, it is one that cannot be.
    """
    if chosen := os.environ.get("WCT_HOME"):
        with contextlib.suppress(RuntimeError):  # there is no such user
            chosen = Path(chosen).expanduser()
        return Path(chosen).absolute()
    import pooch

    with contextlib.suppress(RuntimeError):  # there is no home
        return Path(pooch.os_cache("wct")).expanduser()
    return Path(os.devnull, "wct")


def list_models() -> dict[str, Path]:
    """Return the directories of the models that there are, by name.

    They are the models that come along, and those that `wct models pull` and `wct models import`
    have put into the home. Of two of the same name it is the one that comes along; if that has no
    encoder, it takes the other one's.
    """
    return dict(sorted((_models_in(home()) | _models_in(_pretrained())).items()))


def find_model(name_or_directory: str | os.PathLike[str]) -> Path:
    """Return the directory of a model, given by its name or by that directory's path.

    Raises:
        WeightsError: There is no such model.
    """
    known = list_models()
    if name_or_directory in known:
        return known[os.fspath(name_or_directory)]
    directory = Path(name_or_directory)
    if kind_of(directory / CARD) == "file":
        return directory
    if name_or_directory in DOWNLOADS:
        raise WeightsError(
            f"model {name_or_directory!r} is not here yet: run `wct models pull "
            f"{name_or_directory}`, or `wct models import FILE` if you have the file"
        )
    hint = suggest(os.fspath(name_or_directory), known, "there are")
    raise WeightsError(
        f"no model {os.fspath(name_or_directory)!r}: {hint} "
        f"(a directory with a {CARD} will do as well)"
    )


def model_files(directory: Path) -> dict[str, tuple[Path, str]]:
    """Return path and sha256 of each file of a model, by the file's name.

    The encoder is the directory's own, or that of the model of the same name in the home; without
    either it is left out.

    Raises:
        WeightsError: A `model.json` is missing or damaged, or the two have different widths.
    """
    card = read_card(directory)
    files = {name: (directory / name, str(sha256)) for name, sha256 in card["files"].items()}
    lender = _models_in(home()).get(card["name"])
    if ENCODER in files or lender is None:
        return files
    lent = read_card(lender)
    if lent["widths"] != card["widths"]:
        raise WeightsError(
            f"the encoder in {lender} has widths {_spaced(lent['widths'])}, but the decoders in "
            f"{directory} need {_spaced(card['widths'])}: delete {lender}, and get the right one"
        )
    if ENCODER in lent["files"]:
        files[ENCODER] = (lender / ENCODER, str(lent["files"][ENCODER]))
    return files


def missing_encoder(directory: Path) -> WeightsError:
    """Return the error that a model's encoder is missing, and how to get it."""
    name = read_card(directory)["name"]
    how = (
        f"run `wct models pull {name}`, or `wct models import FILE` if you have the file"
        if name in DOWNLOADS
        else f"run `wct models import FILE --name {name}`"
    )
    return WeightsError(f"model {name!r} ({directory}) has no encoder here: {how}")


def read_file(path: Path, sha256: str) -> bytes:
    """Read a file, and verify it.

    Raises:
        WeightsError: It cannot be read, or is not the file of that sha256.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256.lower():
        raise WeightsError(
            f"{path} is not the file that {CARD} names (its sha256 differs): get the model again"
        )
    return content


def verify_model(directory: Path) -> None:
    """Check each file that a model has.

    Raises:
        WeightsError: A file is missing or damaged.
    """
    for path, sha256 in model_files(directory).values():
        read_file(path, sha256)


def describe(name: str, directory: Path) -> dict[str, Any]:
    """Tell a model's widths, levels with decoders, size, directory, and what is wrong with it."""
    entry = {"name": name, "widths": [], "levels": [], "bytes": 0, "directory": str(directory)}
    try:
        entry["widths"] = read_card(directory)["widths"]
        files = model_files(directory)
        entry["levels"] = [level for level in LEVELS if decoder_file(level) in files]
        entry["bytes"] = sum(path.stat().st_size for path, _ in files.values())
        if ENCODER not in files:
            raise missing_encoder(directory)
    except (WeightsError, OSError) as error:
        return entry | {"problem": str(error)}
    return entry | {"problem": None}


def read_card(directory: Path) -> dict:
    """Read and check a directory's `model.json`.

    Raises:
        WeightsError: It is not there, no JSON, or says too little.
    """
    path = directory / CARD
    try:
        card = json.loads(path.read_bytes())
        name, widths, files = card["name"], card["widths"], card["files"]
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(
            f'{path} is damaged: it must be JSON with "name", "widths" and "files" ({error})'
        ) from error
    if not (
        isinstance(name, str)
        and isinstance(files, dict)
        and all(file.isprintable() for file in files)
        and isinstance(widths, list)
        and len(widths) == len(LEVELS)
        and all(isinstance(width, int) and width > 0 for width in widths)
    ):
        raise WeightsError(
            f"{path} is damaged: it needs a name, five positive widths and a table of files"
        )
    return card


def decoder_file(level: int) -> str:
    """Return the name of the file that holds the decoder of `level`."""
    return f"decoder{level}.safetensors"


def _models_in(directory: Path) -> dict[str, Path]:
    found = [card.parent for card in directory.glob(f"*/{CARD}")]
    return {model.name: model for model in found if not model.name.startswith(".")}


def _pretrained() -> Path:
    """The models that come along: inside the wheel, beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / "pretrained"
    return inside if inside.is_dir() else package.parent / "pretrained"


def _spaced(widths: list[int]) -> str:
    return " ".join(map(str, widths))
