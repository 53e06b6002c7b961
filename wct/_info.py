"""What is installed here: versions, devices, models."""

import platform
from importlib.metadata import version

import jax

from ._models import describe, list_models
from ._version import __version__


def collect() -> dict[str, dict[str, str]]:
    """Collect versions, jax's devices and the models found, by section and name."""
    packages = ("jax", "jaxlib", "flax", "numpy", "pillow", "safetensors")
    return {
        "versions": {"wct": __version__, "python": platform.python_version()}
        | {package: version(package) for package in packages},
        "devices": {str(device): device.device_kind for device in jax.devices()},
        "models": {
            name: found["problem"] or f"{directory} (widths {' '.join(map(str, found['widths']))})"
            for name, directory in list_models().items()
            for found in [describe(name, directory)]
        },
    }
