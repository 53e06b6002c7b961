"""A style: the moments of pictures at all five levels, and nothing else."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from ._errors import WctError
from ._moments import Moments
from ._write import write_file

_FORMAT = "wct-style"
_PARTS = ("weight", "mean", "covariance")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Style:
    """What a transform needs of a style picture; `Stylizer.read_style` measures it.

    Attributes:
        levels: The moments at relu1_1 … relu5_1.
        model: The model in whose features they were measured: its name and its encoder's mark.
    """

    levels: tuple[Moments, ...]
    model: str = field(metadata={"static": True})

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the style to a small safetensors file.

        Args:
            path: Where to; `.safetensors` by convention.
            overwrite: Replace a file that is there.

        Raises:
            WctError: There is a file already, or it cannot be written.
        """
        tensors = {
            f"level{level}.{part}": np.asarray(getattr(moments, part), np.float32)
            for level, moments in enumerate(self.levels, start=1)
            for part in _PARTS
        }
        about = {"format": _FORMAT, "model": self.model}
        content = safetensors.numpy.save(tensors, metadata=about)
        write_file(content, Path(path), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Style":
        """Read a style from a file that `save` wrote.

        Raises:
            WctError: The file cannot be read, or holds no style.
        """
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except OSError as error:
            raise WctError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from error
        except safetensors.SafetensorError as error:
            raise WctError(f"{os.fspath(path)} is no style: {error}") from error
        if about.get("format") != _FORMAT or "model" not in about:
            raise WctError(f"{os.fspath(path)} is no style: it does not say so")
        try:
            levels = [
                [jnp.asarray(tensors[f"level{level}.{part}"]) for part in _PARTS]
                for level in range(1, 6)
            ]
        except KeyError as error:
            raise WctError(f"{os.fspath(path)} is no style: it lacks {error}") from error
        return cls(tuple(Moments(*parts) for parts in levels), about["model"])
