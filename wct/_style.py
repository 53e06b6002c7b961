"""A style: the moments of pictures at all five levels, and nothing else.

A file has, for each level, `weight`, `mean`, and `covariance` or, in the compact form, `root`: of
the symmetric Σ^(1/2) what is not above the diagonal, row by row, in float16. Rounding Σ itself so
would cost ten times as much, as its entries are squares.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy
from jax.core import eval_context
from jaxtyping import Array

from ._errors import WctError, WeightsError
from ._files import kind_of, write_file
from ._layers import LEVELS
from ._models import STYLES, find_model, model_files, read_file
from ._moments import Moments
from ._program import has_tracers, program
from ._transform import coloring

_FORMAT = "wct-style"


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Style:
    """What a transform needs of a style picture; `Stylizer.read_style` measures it.

    Attributes:
        levels: The moments at relu1_1 … relu5_1.
        model: The model in whose features they were measured: its name and its encoder's mark.
    """

    levels: tuple[Moments, ...]
    model: str = field(metadata={"static": True})

    @classmethod
    def from_pretrained(cls, model: str | os.PathLike[str] = "vgg19-lite") -> "Style":
        """Load the bank of styles that comes along with a model, as `stack_styles` makes one.

        Args:
            model: The name of a model, or the path of a model directory.

        Returns:
            The styles, each at its index along the leading axis of the moments.

        Raises:
            WeightsError: There is no such model, it has no styles, or they are damaged.
        """
        directory = find_model(model)
        files = model_files(directory)
        if STYLES not in files:
            raise WeightsError(
                f"the model in {directory} has no styles: take those of vgg19-lite, or stack your "
                "own with stack_styles"
            )
        path, sha256 = files[STYLES]
        read_file(path, sha256)
        return cls.load(path)

    def at_hand(self, levels: Sequence[int], solver: str | None = None) -> list[Moments]:
        """Return the moments of levels as a chain takes them: along a leading axis, and rooted.

        They are made ready once, however many pictures are painted in the style.

        Args:
            levels: The levels.
            solver: By what the roots Σ^(1/2) are taken; None for no roots.
        """
        moments = [self.levels[level - 1] for level in levels]
        if has_tracers(moments):
            return _make_ready(moments, solver)
        key = *levels, solver
        if key not in self._ready:
            with eval_context():  # what is kept must not be part of a trace
                self._ready[key] = _make_ready(moments, solver)
        return self._ready[key]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_ready"}

    @cached_property
    def _ready(self) -> dict[tuple[int | str | None, ...], list[Moments]]:
        return {}

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        compact: bool = False,
    ) -> None:
        """Write the style to a small safetensors file.

        Args:
            path: Where to; `.safetensors` by convention.
            overwrite: Replace a file that is there.
            compact: A quarter of the size; pictures differ by about 1/255 at most.

        Raises:
            WctError: There is a file already, or it cannot be written, or its numbers are too large
                for the compact form.
        """
        tensors = {}
        for level, moments in enumerate(self.levels, start=1):
            tensors[f"level{level}.weight"] = np.asarray(moments.weight, np.float32)
            tensors[f"level{level}.mean"] = np.asarray(moments.mean, np.float32)
            if compact:
                tensors[f"level{level}.root"] = _lower_half(coloring(moments.covariance))
            else:
                tensors[f"level{level}.covariance"] = np.asarray(moments.covariance, np.float32)
        about = {"format": _FORMAT, "model": self.model}
        content = safetensors.numpy.save(tensors, metadata=about)
        write_file(_in_order(content), Path(path), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Style":
        """Read a style from a file that `save` wrote.

        Args:
            path: The file.

        Returns:
            The style.

        Raises:
            WctError: The file cannot be read, or holds no style.
        """
        if kind_of(Path(path)) == "other":
            raise WctError(f"{os.fspath(path)} is no style: it is a pipe or a device, and no file")
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except OSError as error:
            raise WctError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from error
        except safetensors.SafetensorError as error:
            raise WctError(f"{os.fspath(path)} is no style: {error}") from error
        except (AttributeError, TypeError) as error:  # so safetensors says it of F8 and F4
            raise WctError(
                f"{os.fspath(path)} is no style: it has numbers of a type unknown to NumPy"
            ) from error
        if about.get("format") != _FORMAT or "model" not in about:
            raise WctError(f"{os.fspath(path)} is no style: it does not say so")
        try:
            levels = tuple(_read_moments(tensors, f"level{level}") for level in sorted(LEVELS))
        except KeyError as error:
            raise WctError(f"{os.fspath(path)} is no style: it lacks {error}") from error
        except ValueError as error:
            raise WctError(f"{os.fspath(path)} is no style: {error}") from error
        if len({moments.weight.shape for moments in levels}) > 1:
            raise WctError(f"{os.fspath(path)} is no style: its levels have different axes")
        return cls(levels, about["model"])


def check_styles(*given: object) -> None:
    """Raise a `WctError` if something is given for a style that is none, such as a file's name."""
    for each in given:
        if not isinstance(each, Style):
            raise WctError(f"a style is what read_style or Style.load returns, not {each!r:.60}")


@partial(program, light=True, static_argnames="solver")
def _make_ready(levels: list[Moments], solver: str | None) -> list[Moments]:
    if levels and levels[0].mean.ndim == 1:
        levels = jax.tree.map(lambda value: value[None], levels)
    if solver is None:
        return levels
    return [
        replace(moments, root=coloring(moments.covariance, solver=solver)) for moments in levels
    ]


def _in_order(content: bytes) -> bytes:
    """Return a safetensors file with its metadata in order: equal styles are to be equal files."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def _read_moments(tensors: Mapping[str, np.ndarray], level: str) -> Moments:
    weight, mean = (tensors[f"{level}.{part}"] for part in ("weight", "mean"))
    channels = mean.shape[-1] if mean.ndim else 0
    root = tensors.get(f"{level}.root")
    if root is not None and root.shape != (*mean.shape[:-1], channels * (channels + 1) // 2):
        raise ValueError(f"{level}'s mean and root are of shapes {mean.shape}, {root.shape}")
    covariance = tensors[f"{level}.covariance"] if root is None else _square(root, channels)
    parts = [np.asarray(part, np.float32) for part in (weight, mean, covariance)]
    shapes = [part.shape for part in parts]
    if not mean.ndim or shapes != [mean.shape[:-1], mean.shape, (*mean.shape, channels)]:
        given = ", ".join(map(str, shapes))
        raise ValueError(f"{level}'s weight, mean and covariance are of shapes {given}")
    if not all(np.isfinite(part).all() for part in parts):
        raise ValueError(f"{level} has values that are no numbers")
    return Moments(*jax.device_put(parts))


def _lower_half(root: Array) -> np.ndarray:
    """Return what is not above the diagonal, in the order of the axes: so it is written."""
    half = np.asarray(root)[..., *np.tril_indices(root.shape[-1])]
    if np.abs(half).max() > np.finfo(np.float16).max:
        raise WctError("the style's numbers are too large for float16: save it without compact")
    return np.asarray(half, np.float16, order="C")


def _square(half: np.ndarray, channels: int) -> np.ndarray:
    """Return Σ, of what is not above the diagonal of Σ^(1/2)."""
    rows, columns = np.tril_indices(channels)
    root = np.zeros((*half.shape[:-1], channels, channels), np.float32)
    root[..., rows, columns] = half
    root[..., columns, rows] = half
    return root @ root
