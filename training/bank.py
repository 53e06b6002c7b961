"""The bank of styles that comes along with a model: drawn, and measured in its features."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import wct
from wct._drawn import STYLES, draw_style
from wct._files import write_file
from wct._models import CARD, read_card
from wct._models import STYLES as FILE

PALETTES = {
    "sea": "#06182f #0b3c5d #1d6f8a #2fa4a4 #8fd3c1 #f2e9c9",
    "fire": "#1c0b0b #5a1410 #a8281a #e2571e #f6a623 #fce9b0",
    "forest": "#10190f #2b4420 #5c7a2e #9aa84b #d8c46c #f4ecd0",
    "berry": "#1b0f2b #4a1a5e #8e2a7c #d6518f #f29cb0 #fdeee4",
    "earth": "#1f1611 #4b3324 #87593a #bd8a5a #dcc29a #f3e8d6",
    "primary": "#16161d #1d4fa0 #d32f2f #2e8b57 #f2c12e #f6f1e3",
    "ink": "#101114 #34373d #6b6f76 #a3a7ab #d3d4d2 #f5f3ee",
    "candy": "#3b3a5a #6f7fc1 #6cc5c8 #f6a9b8 #fbd98f #fdf7ec",
}
"""Colours from dark to light."""

SIZES = (192, 256, 320, 448)
"""Heights in pixels: a large picture's strokes and stones are large."""


def draw_bank() -> Iterator[np.ndarray]:
    """Draw each kind of style in each palette, all of them with seeds of their own."""
    for row, kind in enumerate(STYLES):
        for column, palette in enumerate(PALETTES.values()):
            size = SIZES[(row + column) % len(SIZES)]
            yield draw_style(kind, size, len(PALETTES) * row + column, palette)


def write_bank(model: Path, pictures: Iterable[np.ndarray]) -> None:
    """Measure pictures, and store their styles in a model's directory.

    Args:
        model: The directory. Its `model.json` gets the file's sha256.
        pictures: What to measure, each `(height, width, 3)`.
    """
    stylizer = wct.Stylizer.from_pretrained(model)
    bank = wct.stack_styles([stylizer.read_style(picture) for picture in pictures])
    bank.save(model / FILE, overwrite=True, compact=True)
    card = read_card(model)
    card["files"][FILE] = hashlib.sha256((model / FILE).read_bytes()).hexdigest()
    write_file((json.dumps(card, indent=2) + "\n").encode(), model / CARD, overwrite=True)
