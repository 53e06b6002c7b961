"""VGG-19's plan up to relu5_1: its levels, its layers and their channels.

Channel widths are data: the same plan is the full VGG-19 (64 128 256 512 512) and its small
relatives. This needs no jax, so that commands which only look at files start at once.
"""

from collections.abc import Sequence

LEVELS = (5, 4, 3, 2, 1)
"""All levels, coarse to fine, in the order of the chain."""

_LAYERS_OF_BLOCK = (2, 2, 4, 4, 1)


def stride(level: int) -> int:
    """Image pixels that one feature of `level` spans along each axis: 1, 2, 4, 8, 16."""
    return 2 ** (level - 1)


CELL = stride(max(LEVELS))
"""Pixels of which sides are multiples that every level can encode."""


def layer_names(level: int = 5) -> list[str]:
    """Names of the layers up to relu`level`_1, in the encoder's order."""
    names = [
        f"conv{block}_{layer}"
        for block, layers in enumerate(_LAYERS_OF_BLOCK, start=1)
        for layer in range(1, layers + 1)
    ]
    return names[: names.index(f"conv{level}_1") + 1]


def layer_channels(widths: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Channels (in, out) of each encoder layer for the `widths` of the five blocks."""
    outputs = [widths[int(name[4]) - 1] for name in layer_names()]
    return dict(zip(layer_names(), zip([3, *outputs], outputs, strict=False), strict=True))
