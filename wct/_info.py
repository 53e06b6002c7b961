"""What is installed here: versions, devices, models."""

import platform
from importlib.metadata import version

import jax

from ._models import list_models, read_card
from ._version import __version__


def collect() -> dict[str, dict[str, str]]:
    """Collect versions, jax's devices and the models found, by section and name."""
    packages = ("jax", "jaxlib", "flax", "numpy", "pillow", "safetensors")
    return {
        "versions": {"wct": __version__, "python": platform.python_version()}
        | {package: version(package) for package in packages},
        "devices": {str(device): device.device_kind for device in jax.devices()},
        "models": {
            name: f"{directory} (widths {' '.join(map(str, read_card(directory)['widths']))})"
            for name, directory in list_models().items()
        },
    }
