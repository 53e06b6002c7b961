"""Published files of VGG-19's weights, read as the tensors of an encoder of RGB in [0, 1].

Each trained network expects its input normalised in its own way: x ↦ s x + t, channel by channel,
in its own channel order. That is linear, so it is folded into the first convolution; with the
encoder's reflection padding this is exact at the borders too.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from ._errors import WeightsError
from ._layers import layer_channels, layer_names
from ._models import CARD, ENCODER

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Training:
    """A published training run of VGG-19.

    Attributes:
        name: What its model is called.
        order: Which of R, G, B the network takes as its first, second and third channel.
        scale: s: what each of these is multiplied by, from [0, 1].
        shift: t: what is added to it then.
    """

    name: str
    order: tuple[int, int, int]
    scale: tuple[float, float, float]
    shift: tuple[float, float, float]


OXFORD = Training(
    "vgg19", order=(2, 1, 0), scale=(255.0, 255.0, 255.0), shift=(-103.939, -116.779, -123.68)
)
"""The original weights: BGR in [0, 255] minus the mean of ImageNet."""

TORCHVISION = Training(
    "vgg19-torchvision",
    order=(0, 1, 2),
    scale=(1 / 0.229, 1 / 0.224, 1 / 0.225),
    shift=(-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
)
"""torchvision's: RGB in [0, 1], minus the mean, divided by the standard deviation."""

# The first digits of its sha256 stand in the name of torchvision's file. Other files of the same
# form hold Oxford's weights, and nothing in them tells.
_TORCHVISION_SHA256 = "dcbb9e9d"
_TORCHVISION_LAYERS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)


def read_encoder(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    """Read a published file of VGG-19's weights.

    Args:
        path: Keras's `.h5`, torchvision's `.pth`, or `.npz` or `.safetensors` with Oxford's weights
            under the names `conv1_1.kernel` (height, width, in, out), `conv1_1.bias`, ….

    Returns:
        The name of the model, and the float32 tensors of its encoder, for RGB in [0, 1].

    Raises:
        WeightsError: The file cannot be read, is of no such format, or lacks a layer; or the
            package that reads it is missing.
    """
    if path.suffix.lower() not in _FORMATS:
        raise WeightsError(f"{path} is of no known format: {', '.join(_FORMATS)}")
    if path.name == ENCODER and path.with_name(CARD).exists():
        raise WeightsError(
            f"{path} belongs to a model directory already: give {path.parent} as the model"
        )
    read, training = _FORMATS[path.suffix.lower()]
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    try:
        tensors = read(path)
    except WeightsError:
        raise
    except Exception as error:  # of a damaged file, each of these libraries raises nearly anything
        raise WeightsError(f"{path} is no readable {path.suffix} file: {error}") from error
    return training.name, fold_input(_checked(tensors, path), training)


def fold_input(tensors: Tensors, training: Training) -> dict[str, np.ndarray]:
    """Fold the input normalisation of a training run into the first convolution, in float64.

    With y = s x + t, in the network's channel order, W y + b = (W s) x + (W t + b).

    Args:
        tensors: `conv1_1.kernel` and so on, for inputs y as that training run had them.
        training: The training run.

    Returns:
        The same tensors as float32, for RGB in [0, 1].
    """
    kernel = tensors["conv1_1.kernel"].astype(np.float64)
    bias = tensors["conv1_1.bias"].astype(np.float64)
    scaled = kernel * np.array(training.scale)[:, None]
    first = {
        "conv1_1.kernel": scaled[:, :, np.argsort(training.order)],
        "conv1_1.bias": bias + np.einsum("hwio,i->o", kernel, training.shift),
    }
    return {
        name: np.ascontiguousarray(value, np.float32)
        for name, value in (dict(tensors) | first).items()
    }


def widths_of(tensors: Tensors) -> list[int]:
    """Return the channels of the five blocks."""
    return [tensors[f"conv{block}_1.bias"].size for block in range(1, 6)]


def _checked(tensors: Tensors, path: Path) -> Tensors:
    """Return the encoder's tensors of these, each of its shape and finite."""
    names = [f"{layer}.{part}" for layer in layer_names() for part in ("kernel", "bias")]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise WeightsError(f"{path} holds no VGG-19: {missing[0]} is missing")
    wanted = {}
    for layer, (inputs, outputs) in layer_channels(widths_of(tensors)).items():
        wanted |= {f"{layer}.kernel": (3, 3, inputs, outputs), f"{layer}.bias": (outputs,)}
    for name in names:
        value = tensors[name]
        if value.shape != wanted[name] or value.dtype.kind != "f":
            raise WeightsError(
                f"{path} holds no VGG-19: {name} must be floats of shape {wanted[name]}, "
                f"but is {value.dtype} of {value.shape}"
            )
        if not np.isfinite(value).all():
            raise WeightsError(f"{path} is damaged: {name} is not finite")
    return {name: tensors[name] for name in names}


def _read_keras(path: Path) -> Tensors:
    """Read the datasets of layers such as `block1_conv2`, however deep they lie."""
    h5py = import_h5py()
    tensors = {}

    def visit(name: str, item: object) -> None:
        layer = re.search(r"\bblock(\d)_conv(\d)/", name)
        if layer and isinstance(item, h5py.Dataset) and len(item.shape) in (1, 4):
            part = "kernel" if len(item.shape) == 4 else "bias"
            key = f"conv{layer[1]}_{layer[2]}.{part}"
            if key in tensors:
                raise WeightsError(f"{path} is ambiguous: it has two tensors for {key}")
            tensors[key] = item[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return tensors


def _read_torchvision(path: Path) -> Tensors:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not sha256.startswith(_TORCHVISION_SHA256):
        raise WeightsError(
            f"{path} is not torchvision's vgg19-{_TORCHVISION_SHA256}.pth (its sha256 differs): "
            "in which order and range it wants its input cannot be told"
        )
    try:
        import torch  # pyright: ignore[reportMissingImports] (it is optional)
    except ImportError as error:
        raise WeightsError("reading a .pth file takes PyTorch: pip install torch") from error
    state = torch.load(path, map_location="cpu", weights_only=True)
    tensors = {}
    for layer, index in zip(layer_names(), _TORCHVISION_LAYERS, strict=True):
        if (kernel := state.get(f"features.{index}.weight")) is not None:
            tensors[f"{layer}.kernel"] = kernel.numpy().transpose(2, 3, 1, 0)
        if (bias := state.get(f"features.{index}.bias")) is not None:
            tensors[f"{layer}.bias"] = bias.numpy()
    return tensors


def _read_npz(path: Path) -> Tensors:
    with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read_safetensors(path: Path) -> Tensors:
    return safetensors.numpy.load_file(path)


def import_h5py():
    """Import h5py.

    Raises:
        WeightsError: It is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise WeightsError("reading Keras's file takes h5py: pip install h5py") from error
    return h5py


_FORMATS: dict[str, tuple[Callable[[Path], Tensors], Training]] = {
    ".h5": (_read_keras, OXFORD),
    ".pth": (_read_torchvision, TORCHVISION),
    ".npz": (_read_npz, OXFORD),
    ".safetensors": (_read_safetensors, OXFORD),
}
