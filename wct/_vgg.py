"""Getting VGG-19's encoder into the home: from where it is published, or from a file at hand.

A model appears in the home as a whole: it is made in a directory of its own, which is then renamed.
"""

import contextlib
import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.numpy

from ._convert import Tensors, import_h5py, read_encoder, widths_of
from ._errors import WeightsError
from ._models import (
    CARD,
    DOWNLOADS,
    ENCODER,
    Source,
    home,
    list_models,
    read_card,
    verify_model,
)


def pull(name: str, *, progress: Any = False) -> bool:
    """Download the encoder of a model, unless it is there already.

    Args:
        name: The model, one of `DOWNLOADS`.
        progress: A progress bar by pooch's protocol.

    Returns:
        Whether it was downloaded.

    Raises:
        WeightsError: It cannot be downloaded or written, or what is there already is damaged.
    """
    if name not in DOWNLOADS:
        raise WeightsError(f"{name!r} cannot be pulled, only {', '.join(DOWNLOADS)}")
    directory = home() / name
    if directory.exists():
        _check(directory)
        return False
    import_h5py()  # before 80 MB are downloaded in vain
    with _scratch() as scratch:
        file = scratch / "download.h5"
        _download(DOWNLOADS[name], file, progress)
        _, tensors = read_encoder(file)
        return _store(name, tensors, scratch)


def import_file(path: Path, name: str | None = None) -> tuple[str, bool]:
    """Make a model of a published file of VGG-19's weights, unless it is there already.

    Args:
        path: The file, as `read_encoder` takes it.
        name: What to call the model; by default what the published weights are called here.

    Returns:
        The model's name, and whether it is new.

    Raises:
        WeightsError: The file cannot be read, or the model cannot be written; the name is taken, or
            is none.
    """
    if name is not None and not re.fullmatch(r"\w[\w.-]*", name):
        raise WeightsError(f"{name!r} will not do as a name: letters, digits, ., - and _ will")
    usual, tensors = read_encoder(path)
    name = name or usual
    with _scratch() as scratch:
        return name, _store(name, tensors, scratch)


def is_published(path: Path) -> bool:
    """Tell whether a file is one that can be pulled."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() in {
            source.md5 for source in DOWNLOADS.values()
        }


def _download(source: Source, file: Path, progress: Any) -> None:
    import pooch
    import requests

    try:
        pooch.HTTPDownloader(progress, chunk_size=2**18)(source.url, str(file), None)
    except requests.RequestException as error:
        reason: BaseException = error  # the first cause says most: "Connection refused"
        while reason.__context__ is not None:
            reason = reason.__context__
        raise WeightsError(
            f"cannot download {source.url}: {reason}; try again, or get that file in another way "
            "and run `wct models import FILE`"
        ) from error
    if pooch.file_hash(str(file), alg="md5") != source.md5:
        raise WeightsError(
            f"what came from {source.url} is not the published file (its md5 differs): try again"
        )


def _check(directory: Path) -> None:
    try:
        verify_model(directory)
    except WeightsError as error:
        raise WeightsError(f"{error}; delete {directory} first") from error


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A directory beside the models, gone after the block however that ends."""
    directory = home() / f".{uuid.uuid4().hex}"
    try:
        directory.mkdir(parents=True)
        yield directory
    except OSError as error:
        raise WeightsError(
            f"cannot write to {home()}: {error.strerror or error}; WCT_HOME can name another folder"
        ) from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _store(name: str, tensors: Tensors, scratch: Path) -> bool:
    """Put an encoder into the home, and return whether it was not yet there."""
    directory, widths = home() / name, widths_of(tensors)
    content = safetensors.numpy.save(dict(tensors))
    sha256 = hashlib.sha256(content).hexdigest()
    if directory.exists():
        _check(directory)
        if read_card(directory)["files"].get(ENCODER) == sha256:
            return False
        raise WeightsError(
            f"{directory} exists already, with other weights: choose another name (--name), "
            "or delete it first"
        )
    if shipped := list_models().get(name):
        card = read_card(shipped)
        if ENCODER in card["files"]:
            raise WeightsError(f"model {name!r} comes along: choose another name (--name)")
        if card["widths"] != widths:
            raise WeightsError(
                f"the decoders of {name!r} are for widths {card['widths']}, not {widths}: "
                "choose another name (--name)"
            )
    made = scratch / "model"
    made.mkdir()
    (made / ENCODER).write_bytes(content)
    card = {"name": name, "widths": widths, "files": {ENCODER: sha256}}
    (made / CARD).write_text(json.dumps(card, indent=2) + "\n")
    made.rename(directory)
    return True
