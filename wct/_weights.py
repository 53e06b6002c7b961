"""Model directories: where they are, and how networks are read from and written to them.

A model directory holds `model.json` (name, widths, the files and their sha256), the encoder and
any of the five decoders as safetensors files, float16 or float32.
"""

import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx

from ._errors import WeightsError
from ._networks import LEVELS, Decoder, Encoder

CARD = "model.json"
ENCODER = "encoder.safetensors"

_Network = TypeVar("_Network", Encoder, Decoder)


@dataclass(frozen=True)
class Model:
    """The networks of one model directory.

    Attributes:
        name: What `model.json` calls it.
        encoder: The encoder.
        decoders: The decoders at hand, by level.
    """

    name: str
    encoder: Encoder
    decoders: dict[int, Decoder]


def find_model(name_or_directory: str | os.PathLike[str]) -> Path:
    """Return the directory of a model that comes along, or of one given by its path.

    Raises:
        WeightsError: There is no such model.
    """
    known = list_models()
    if name_or_directory in known:
        return known[os.fspath(name_or_directory)]
    directory = Path(name_or_directory)
    if (directory / CARD).is_file():
        return directory
    nearest = difflib.get_close_matches(os.fspath(name_or_directory), known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(known) or 'none'}"
    raise WeightsError(
        f"no model {os.fspath(name_or_directory)!r}: {hint} "
        f"(a directory with a {CARD} will do as well)"
    )


def list_models() -> dict[str, Path]:
    """Return the directories of the models that come along, by name."""
    return {card.parent.name: card.parent for card in sorted(_pretrained().glob(f"*/{CARD}"))}


def load_model(name_or_directory: str | os.PathLike[str]) -> Model:
    """Load all networks of a model, and verify them.

    Args:
        name_or_directory: The name of a model that comes along, or a model directory's path.

    Returns:
        The model, its weights float32.

    Raises:
        WeightsError: The model is not there, incomplete or damaged.
    """
    directory = find_model(name_or_directory)
    card = read_card(directory)
    files: dict[str, str] = card["files"]
    abstract_encoder = nnx.eval_shape(lambda: Encoder(card["widths"], rngs=nnx.Rngs(0)))
    encoder = _fill(abstract_encoder, directory / ENCODER, files.get(ENCODER))
    decoders = {}
    for level in LEVELS:
        if decoder_file(level) not in files:
            continue
        abstract = nnx.eval_shape(
            lambda level=level: Decoder(
                level,
                card["widths"],
                final_relu=card.get("final_relu", False),
                rngs=nnx.Rngs(0),
            )
        )
        path = directory / decoder_file(level)
        decoders[level] = _fill(abstract, path, files[path.name])
    return Model(card["name"], encoder, decoders)


def save_model(directory: Path, model: Model, *, about: Mapping[str, object] | None = None) -> None:
    """Write a model directory: float16 weights, and a `model.json` with their sha256.

    Args:
        directory: Where to; made if need be. Files of the same names are replaced.
        model: What to write.
        about: What else `model.json` is to say: training, figures, licence.

    Raises:
        WeightsError: A weight is not finite, or too large for float16.
    """
    directory.mkdir(parents=True, exist_ok=True)
    networks = {ENCODER: model.encoder}
    networks |= {decoder_file(level): decoder for level, decoder in model.decoders.items()}
    files = {}
    for name, network in networks.items():
        tensors = {key: np.asarray(value) for key, value in named_tensors(network)}
        largest = max(np.abs(value).max() for value in tensors.values())
        if not largest <= np.finfo(np.float16).max:
            raise WeightsError(f"{name} cannot be written as float16: its largest is {largest:g}")
        content = safetensors.numpy.save(
            {key: value.astype(np.float16) for key, value in tensors.items()}
        )
        files[name] = hashlib.sha256(content).hexdigest()
        _replace(directory / name, content)
    card = {"name": model.name, "widths": list(model.encoder.widths), "files": files}
    if any(decoder.final_relu for decoder in model.decoders.values()):
        card["final_relu"] = True
    _replace(directory / CARD, (json.dumps(card | dict(about or {}), indent=2) + "\n").encode())


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
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f'{path} is damaged: it must be JSON with "name", "widths" and "files" ({error})'
        ) from error
    if not (
        isinstance(name, str)
        and isinstance(files, dict)
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


def named_tensors(network: Encoder | Decoder) -> Iterable[tuple[str, jax.Array]]:
    """Yield each tensor of a network with its name on disk: `conv1_1.kernel` and so on."""
    for name, layer in network.layers.items():
        yield f"{name}.kernel", layer.kernel[...]
        yield f"{name}.bias", layer.bias[...]


def _fill(network: _Network, path: Path, sha256: str | None) -> _Network:
    """Fill a network's abstract tensors from a safetensors file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != str(sha256).lower():
        raise WeightsError(
            f"{path} is not the file that {CARD} names (its sha256 differs): get the model again"
        )
    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError) as error:  # a type unknown to numpy: KeyError
        raise WeightsError(
            f"{path} is no safetensors file of float16 or float32: {error}"
        ) from error
    for name, layer in network.layers.items():
        for part in ("kernel", "bias"):
            wanted = getattr(layer, part)
            found = tensors.get(f"{name}.{part}")
            if found is None or found.shape != wanted.shape or found.dtype.kind != "f":
                what = "is missing" if found is None else f"is {found.dtype} of {found.shape}"
                raise WeightsError(
                    f"{path}: {name}.{part} must be floats of shape {wanted.shape}, but {what}"
                )
            setattr(layer, part, nnx.Param(jnp.asarray(found, jnp.float32)))
    return network


def _pretrained() -> Path:
    """The models that come along: inside the wheel, beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / "pretrained"
    return inside if inside.is_dir() else package.parent / "pretrained"


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
