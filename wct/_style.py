"""A style: the moments of one picture at all five levels, and nothing else."""

from dataclasses import dataclass, field

import jax

from ._moments import Moments


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Style:
    """What a transform needs of a style picture; `Stylizer.read_style` measures it.

    Attributes:
        levels: The moments at relu1_1 … relu5_1.
        model: The name of the model in whose features they were measured.
    """

    levels: tuple[Moments, ...]
    model: str = field(metadata={"static": True})
