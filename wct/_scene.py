"""A landscape drawn by code, no file needed: a picture to repaint."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from ._canvas import FINE, grid, over, parse_hex, ramp, reduce, step, waves
from ._errors import check_counts


def draw_scene(height: int = 384, width: int = 512) -> np.ndarray:
    """Draw a lake among hills, with a house, trees, clouds and the sun.

    Returns:
        float32 `(height, width, 3)`, sRGB in [0, 1]; the same size gives the same picture.

    Raises:
        WctError: If a side is less than 1.
    """
    check_counts(height=height, width=width)
    rng = np.random.default_rng(17)  # of the first twenty, the finest sky
    x, y = grid(height * FINE, width * FINE)
    right = width / height
    pixels = _sky(x, y, right, rng)
    for base, relief, colours in _RIDGES:
        ridge = base - relief * waves(rng, 1.3, 4)(x[:1], np.full_like(x[:1], base))
        light = 0.5 + 0.35 * waves(rng, 5, 4)(x + 0.6 * y, 2 * y) - 2.2 * (y - ridge)
        pixels = over(pixels, ramp(light, colours), step(y - ridge, 0.002))
    with _Pen(pixels) as pen:
        for place in rng.uniform(0, right, 16):
            if abs(place - 0.62 * right) > 0.16:
                _tree(pen, place, _WATER, rng.uniform(0.07, 0.14), rng)
        for colour, *corners in _HOUSE:
            pen.shape(np.add(corners, (0.62 * right, _WATER)), colour)
    _mirror(pixels, x, y, rng)
    with _Pen(pixels) as pen:
        _bank(pen, right, rng)
        _tree(pen, 0.17 * right, 0.93, 0.62, rng)
    return reduce(pixels)


_WATER = 0.66  # where the lake begins
_RIDGES = (
    (0.42, 0.07, "#5d6f99 #7f92b8 #a9b7d1 #dfe3ea"),
    (0.53, 0.05, "#33524f #4d7465 #7c9a78 #a8bb8a"),
    (0.61, 0.03, "#2a5230 #47773a #7da045 #b5c25c"),
)
_HOUSE = (
    ("#f3e7d3", (-0.11, 0), (-0.11, -0.1), (0.05, -0.1), (0.05, 0)),
    ("#cdb9a3", (0.05, 0), (0.05, -0.1), (0.085, -0.16), (0.12, -0.1), (0.12, 0)),
    ("#b5402f", (-0.125, -0.095), (-0.085, -0.17), (0.085, -0.17), (0.05, -0.095)),
    ("#8a2d24", (0.085, -0.17), (0.135, -0.095), (0.12, -0.095), (0.083, -0.155)),
    ("#7a3b2a", (-0.06, -0.15), (-0.06, -0.2), (-0.03, -0.2), (-0.03, -0.15)),
    ("#5b3423", (-0.045, 0), (-0.045, -0.065), (-0.015, -0.065), (-0.015, 0)),
    ("#2f4a66", (-0.09, -0.035), (-0.09, -0.07), (-0.065, -0.07), (-0.065, -0.035)),
    ("#2f4a66", (0.01, -0.035), (0.01, -0.07), (0.035, -0.07), (0.035, -0.035)),
    ("#2f4a66", (0.075, -0.035), (0.075, -0.07), (0.1, -0.07), (0.1, -0.035)),
)


def _sky(x: np.ndarray, y: np.ndarray, right: float, rng: np.random.Generator) -> np.ndarray:
    pixels = ramp(y / 0.6, "#2a64ad #5b9bd5 #a9d0e6 #f7e3bd #f8cf9a")
    far = np.hypot(x - 0.72 * right, y - 0.2)
    pixels = over(pixels, parse_hex("#fff1c4"), 0.75 * np.exp(-far / 0.11))
    pixels = over(pixels, parse_hex("#fffbe6"), step(0.055 - far, 0.003))
    cloud = waves(rng, 1.6, 5)
    thick = cloud(x, 2.4 * y) - 0.3
    light = 0.6 + 0.6 * (cloud(x, 2.4 * y) - cloud(x + 0.02, 2.4 * (y - 0.02)))
    return over(pixels, ramp(light, "#b9a9b8 #e9dfdf #ffffff"), 0.95 * step(thick, 0.3))


def _mirror(pixels: np.ndarray, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> None:
    """Fill all below the waterline with the reflection of what is above it, in ripples."""
    height, width = y.shape
    depth = np.maximum(y - _WATER, 0)
    ripple = waves(rng, 4)(x, 22 * y / (1 + 4 * depth))
    row = height * (_WATER - 1.15 * depth + 0.06 * (depth + 0.03) * ripple)
    column = height * (x + 0.02 * ripple * depth)
    row, column = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
    water = 0.9 * pixels[row.astype(int), column.astype(int)]
    water = over(water, parse_hex("#2d6a86"), 0.25 + 0.5 * depth)
    water = over(water, parse_hex("#dff1f2"), 0.3 * step(ripple - 1.5, 0.3))
    pixels[y > _WATER] = water[y > _WATER]


def _bank(pen: "_Pen", right: float, rng: np.random.Generator) -> None:
    """The near bank and its grass."""
    across = np.linspace(0, right, 60)
    edge = 1.02 - 0.2 * (1 - across / right) ** 2 - 0.03 * np.sin(9 * across / right)
    pen.shape([(0, 2), *np.transpose([across, edge]), (right, 2)], "#3c6a2c")
    count = int(900 * right)
    foot = rng.uniform((0, 0.8), (right, 1.05), (count, 2))
    foot = foot[foot[:, 1] > np.interp(foot[:, 0], across, edge)]
    tip = foot + rng.normal((0, -0.03), (0.012, 0.008), foot.shape)
    colours = ramp(rng.uniform(0, 1, len(foot)), "#23491f #4f8a34 #93b54a #d7d873")
    pen.lines(foot, tip, colours, 0.004)


def _tree(pen: "_Pen", x: float, y: float, height: float, rng: np.random.Generator) -> None:
    """A trunk, and leaves in round clumps, each light from the upper right."""
    half, top = 0.035 * height, y - 0.6 * height
    pen.shape([(x - half, y), (x - half / 2, top), (x + half / 2, top), (x + half, y)], "#4a3325")
    leaf = 0.004 + 0.01 * height
    clumps, leaves = _disk(rng, 16), _disk(rng, int(3 * height / leaf))
    leaves = leaves[np.argsort(leaves @ (1, -2))]  # the light ones lie on top
    for clump in clumps[np.argsort(clumps[:, 1])]:
        places = (x, y - 0.68 * height) + height * (0.2 * clump + 0.135 * leaves)
        light = rng.normal(0.45 + leaves @ (0.22, -0.29) + clump @ (0.1, -0.1), 0.1)
        pen.dots(places, ramp(light, "#15331c #2c5a2a #5b8a35 #a3b84a #dcd873"), leaf)


def _disk(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return random points `(count, 2)` of the unit disk."""
    angle, far = rng.uniform(0, 2 * math.pi, count), np.sqrt(rng.uniform(0, 1, count))
    return np.stack([far * np.cos(angle), far * np.sin(angle)], axis=1)


class _Pen:
    """Draw on `pixels` with Pillow, in units of their height; the end of `with` leaves it there."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels, self._unit = pixels, len(pixels)
        self._image = Image.fromarray(np.uint8(np.clip(pixels, 0, 1) * 255 + 0.5))
        self._draw = ImageDraw.Draw(self._image)

    def __enter__(self) -> "_Pen":
        return self

    def __exit__(self, *_: object) -> None:
        self._pixels[:] = np.asarray(self._image, np.float32) / 255

    def shape(self, corners: ArrayLike, colour: str) -> None:
        self._draw.polygon(np.multiply(corners, self._unit).ravel().tolist(), colour)

    def lines(self, start: np.ndarray, end: np.ndarray, colours: np.ndarray, broad: float) -> None:
        for line, ink in self._each(start, end, colours):
            self._draw.line(line, ink, math.ceil(broad * self._unit))

    def dots(self, places: np.ndarray, colours: np.ndarray, radius: float) -> None:
        for box, ink in self._each(places - radius, places + radius, colours):
            self._draw.ellipse(box, ink)

    def _each(
        self, start: np.ndarray, end: np.ndarray, colours: np.ndarray
    ) -> Iterator[tuple[list[float], tuple[int, ...]]]:
        points = self._unit * np.concatenate([start, end], axis=1)
        for line, colour in zip(points, colours * 255, strict=True):
            yield line.tolist(), tuple(colour.astype(int).tolist())
