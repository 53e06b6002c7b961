"""Networks in model directories: how they are read and written.

The files are safetensors of float16 or float32; in use the weights are float32.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx

from ._errors import WeightsError
from ._files import write_file
from ._layers import LEVELS
from ._models import (
    CARD,
    ENCODER,
    decoder_file,
    find_model,
    missing_encoder,
    model_files,
    read_card,
    read_file,
)
from ._networks import Decoder, Encoder

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


def load_model(name_or_directory: str | os.PathLike[str]) -> Model:
    """Load all networks of a model, and verify them.

    Args:
        name_or_directory: The name of a model, or a model directory's path.

    Returns:
        The model, its weights float32.

    Raises:
        WeightsError: The model is not there, incomplete or damaged.
    """
    directory = find_model(name_or_directory)
    card = read_card(directory)
    files = model_files(directory)
    if ENCODER not in files:
        raise missing_encoder(directory)
    encoder = _fill(Encoder(card["widths"]), *files[ENCODER])
    return Model(card["name"], encoder, load_decoders(directory))


def load_decoders(directory: Path) -> dict[int, Decoder]:
    """Load a model's decoders by level, which needs no encoder.

    Raises:
        WeightsError: The model is not there, or a file is missing or damaged.
    """
    card, files = read_card(directory), model_files(directory)
    decoders = {}
    for level in LEVELS:
        if decoder_file(level) in files:
            decoder = Decoder(level, card["widths"], final_relu=card.get("final_relu", False))
            decoders[level] = _fill(decoder, *files[decoder_file(level)])
    return decoders


def save_model(
    directory: Path,
    model: Model,
    *,
    about: Mapping[str, object] | None = None,
    with_encoder: bool = True,
) -> None:
    """Write a model directory: float16 weights, and a `model.json` with their sha256.

    Args:
        directory: Where to; made if need be. Files of the same names are replaced.
        model: What to write.
        about: What else `model.json` is to say: training, figures, licence.
        with_encoder: Write the encoder too, and not the decoders alone.

    Raises:
        WeightsError: A weight is not finite, or too large for float16.
        ImageError: A file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    networks = {ENCODER: model.encoder} if with_encoder else {}
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
        write_file(content, directory / name, overwrite=True)
    card = {"name": model.name, "widths": list(model.encoder.widths), "files": files}
    if any(decoder.final_relu for decoder in model.decoders.values()):
        card["final_relu"] = True
    text = json.dumps(card | dict(about or {}), indent=2) + "\n"
    write_file(text.encode(), directory / CARD, overwrite=True)


def named_tensors(network: Encoder | Decoder) -> Iterable[tuple[str, jax.Array]]:
    """Yield each tensor of a network with its name on disk: `conv1_1.kernel` and so on."""
    for name, layer in network.layers.items():
        yield f"{name}.kernel", layer.kernel[...]
        yield f"{name}.bias", layer.bias[...]


def _fill(network: _Network, path: Path, sha256: str) -> _Network:
    """Fill an abstract network from a safetensors file."""
    content = read_file(path, sha256)
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
            setattr(layer, part, nnx.Param(jax.device_put(np.asarray(found, np.float32))))
    return network
