"""Pictures drawn by code: styles and a scene for demos and tests, no file needed.

`draw_style` paints one of the `STYLES`, `draw_scene` a landscape to repaint with them. All is drawn
in units of the picture's height, so another size shows the same picture, coarser or finer. What
looks like chance comes from the seed.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageColor, ImageDraw

from ._errors import WctError

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A value at every point `x`, `y`."""

_FINE = 2  # pictures are drawn this much larger and then reduced: smooth edges


def draw_style(name: str, size: int = 384, seed: int = 0) -> np.ndarray:
    """Draw a picture in one of the `STYLES`.

    Args:
        name: Which one: a key of `STYLES`.
        size: Height and width in pixels.
        seed: Another seed gives another picture of the same kind.

    Returns:
        float32 `(size, size, 3)`, sRGB in [0, 1]; the same arguments give the same picture.

    Raises:
        WctError: If there is no such style, or `size` is less than 1.
    """
    if name not in STYLES:
        raise WctError(f"There is no drawn style {name!r}; choose one of {', '.join(STYLES)}.")
    _check(size)
    return _reduce(STYLES[name](size * _FINE, np.random.default_rng(seed)))


def draw_scene(height: int = 384, width: int = 512) -> np.ndarray:
    """Draw a lake among hills, with a house, trees, clouds and the sun.

    Returns:
        float32 `(height, width, 3)`, sRGB in [0, 1]; the same size gives the same picture.

    Raises:
        WctError: If a side is less than 1.
    """
    _check(height, width)
    rng = np.random.default_rng(17)  # of the first twenty, the finest sky
    x, y = _grid(height * _FINE, width * _FINE)
    right = width / height
    pixels = _sky(x, y, right, rng)
    for base, relief, colours in _RIDGES:
        ridge = base - relief * _waves(rng, 1.3, 4)(x[:1], np.full_like(x[:1], base))
        light = 0.5 + 0.35 * _waves(rng, 5, 4)(x + 0.6 * y, 2 * y) - 2.2 * (y - ridge)
        pixels = _over(pixels, _ramp(light, colours), _step(y - ridge, 0.002))
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
    return _reduce(pixels)


# Styles: each takes a size and a generator, and returns `(size, size, 3)`.


def _strokes(size: int, rng: np.random.Generator) -> np.ndarray:
    """Thick brush strokes around warm lights in a cool night, the paint's relief lit from above."""
    colours = "#0b1a3a #15397a #1f6fb2 #3fa7c4 #a9d6c3 #f6e7a8 #f7c13d #ec8a1c #b9421a"
    tone = _waves(rng, 1.4)
    ground = _ramp(0.45 + 0.3 * tone(*_grid(size, size)), colours)
    ground = np.dstack(
        [ground, np.full((size, size), 0.4)]
    )  # the fourth channel: how thick it lies
    canvas = Image.fromarray(np.uint8(ground * 255))
    draw = ImageDraw.Draw(canvas)
    for count, length, width in ((350, 0.2, 0.055), (900, 0.14, 0.03), (1300, 0.09, 0.017)):
        x, y = rng.uniform(-0.05, 1.05, (2, count))
        value = 0.45 + 0.3 * tone(x, y) + rng.normal(0, 0.1, count)
        path = []
        for _ in range(10):  # along the contours of the tone
            path.append((x, y))
            slope = np.array([tone(x + 0.01, y) - tone(x, y), tone(x, y + 0.01) - tone(x, y)])
            slope *= length / 10 / np.linalg.norm(slope, axis=0)
            x, y = x + slope[1], y - slope[0]
        points = np.array(path).transpose(2, 0, 1)  # stroke, step, (x, y)
        along = np.gradient(points, axis=1)
        across = along[..., ::-1] * (-width, width) / np.linalg.norm(along, axis=2, keepdims=True)
        bristles = np.linspace(-0.5, 0.5, 6)
        lines = size * (points[:, None] + bristles[:, None, None] * across[:, None])
        shade = _ramp(value, colours)[:, None] * rng.uniform(0.8, 1.15, (count, 6, 1))
        thick = 0.85 - bristles[:, None] ** 2 + rng.normal(0, 0.12, (count, 6, 1))
        inks = np.uint8(np.clip(np.concatenate([shade, thick], 2), 0, 1) * 255)
        ends = rng.integers((0, 14), (7, 21), (count, 6, 2)) // 2 * 2  # bristles lift one by one
        broad = max(1, math.ceil(0.27 * width * size))
        for line, ink, (start, end) in zip(
            lines.reshape(-1, 20).tolist(),
            inks.reshape(-1, 4).tolist(),
            ends.reshape(-1, 2).tolist(),
            strict=True,
        ):
            draw.line(line[start:end], tuple(ink), broad, joint="curve")
    pixels = np.asarray(canvas, np.float32) / 255
    thick = pixels[..., 3:]
    return pixels[..., :3] * (1 + 0.5 * (thick - np.roll(thick, (2, 2), (0, 1))))


def _mosaic(size: int, rng: np.random.Generator) -> np.ndarray:
    """Small stones in dark grout, their colours in bands as in a Roman floor."""
    x, y = _grid(size, size)
    warp, tone = _waves(rng, 1.2), _waves(rng, 1.3)
    x, y = 28 * (x + 0.02 * warp(x, y)) + 4, 28 * (y + 0.02 * warp(y, x)) + 4
    right, down, hue, shade = rng.uniform(-1, 1, (4, 40, 40)).astype(np.float32)
    first = second = np.full_like(x, np.inf)
    middle = np.zeros((2, size, size), np.float32)
    for step in np.ndindex(3, 3):  # one stone to each unit square, so the nearest is a neighbour
        row, column = y.astype(int) + step[0] - 1, x.astype(int) + step[1] - 1
        cx = column + 0.5 + 0.25 * right[row, column]
        cy = row + 0.5 + 0.25 * down[row, column]
        far = np.hypot(x - cx, y - cy)
        second = np.minimum(second, np.maximum(first, far))
        middle = np.where(far < first, (cx, cy), middle)
        first = np.minimum(first, far)
    stone = middle[1].astype(int), middle[0].astype(int)
    colours = "#123a5c #1d6f8a #4fb3a9 #e9dfc0 #e8b34a #d2692d #a5342c #6d2b45"
    value = np.floor(3.6 + 2.2 * tone(*(middle - 4) / 28)) / 8 + 0.06 + 0.05 * hue[stone]
    light = 1.12 + 0.16 * shade[stone] - 0.35 * first
    tiles = _ramp(value, colours) * light[..., None]
    return _over(_hex("#2b2623"), tiles, _step(second - first - 0.13, 0.05))


def _hatching(size: int, rng: np.random.Generator) -> np.ndarray:
    """Crossed pen lines on warm paper, which bend over the forms they shade."""
    x, y = _grid(size, size)
    form = _waves(rng, 1.5)(x, y)
    down, right = np.gradient(form, 1 / size)
    dark = 0.3 - 0.025 * (right + 1.3 * down)
    shake = 0.0012 * _waves(rng, 8, 2)(x, y)
    pixels = _ramp(0.5 + 0.2 * _waves(rng, 6, 4)(x, y), "#e6d3ad #f3e6c8 #f8efd9")
    pens = ((0.1, "#a8462a"), (0.7, "#1f2338"), (-0.6, "#1f2338"), (1.4, "#1f2338"))
    for number, (angle, colour) in enumerate(pens):
        across = 58 * (x * math.sin(angle) + y * math.cos(angle) + 0.035 * form + shake)
        line = np.floor(across)
        uneven = 0.05 * np.sin(12.9898 * line) + 0.05 * _waves(rng, 6)(x, y + line / 7)
        half = 0.55 * (dark - 0.13 * number) + 0.1 + uneven
        beside = np.abs(across - line - 0.5)
        ink = _step(np.minimum(half, 0.3) - beside, 0.08) * _step(half - 0.05, 0.05)
        pixels = _over(pixels, _hex(colour), 0.92 * ink)
    return pixels


def _marbling(size: int, rng: np.random.Generator) -> np.ndarray:
    """Inks on water, drawn out with combs and a stylus, as on Turkish paper."""
    x, y = _grid(size, size)
    for _ in range(5):  # the stylus turns: undone, each turn is a turn the other way
        cx, cy = rng.uniform(0.1, 0.9, 2).tolist()
        turn = float(rng.choice((-2.5, 2.5))) * np.exp(-10 * np.hypot(x - cx, y - cy))
        sin, cos = np.sin(turn), np.cos(turn)
        x, y = cx + (x - cx) * cos - (y - cy) * sin, cy + (x - cx) * sin + (y - cy) * cos
    x, y = x + 0.03 * _waves(rng, 1.5)(x, y), y + 0.02 * _waves(rng, 1.5)(x, y)
    for period, reach in ((0.16, 0.08), (0.08, -0.05)):  # a comb draws the ink along with its teeth
        y = y + reach * np.exp(-5 * np.abs((x / period) % 1 - 0.5))
    level = 26 * y + 0.45 * _waves(rng, 2)(x, y)
    band = np.floor(level)
    colours = "#12355b #f0dcae #c8443a #1f8a8c #f0b541 #6b1f3a #e8956b #2f5fa8"
    inks = np.concatenate([rng.permutation(_hex(colours)) for _ in range(64)])
    pixels = inks[(band.astype(int) + 256) % 512]
    down, right = np.gradient(level)
    slope = np.hypot(down, right)  # bands to the pixel
    vein = (0.5 - np.abs(level - band - 0.5)) / (slope + 1e-6)
    cover = _step(0.0016 * size - vein, 1) * _step(0.25 - slope, 0.2)
    return _over(pixels, _hex("#fdf6e3"), cover)


def _woodcut(size: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of carved waves, printed in indigo with some in vermilion and gold."""
    x, y = _grid(size, size)
    wobble, tone = _waves(rng, 5, 3), _waves(rng, 1.2)
    x, y = x + 0.004 * wobble(x, y), y + 0.004 * wobble(y, x)
    paper = _hex("#f2e6cb")
    inks = _hex("#14213d #1d3f72 #2f6f9f #7fb2b8 #e3a83b #d9542b #a3231f")
    pixels = np.full((size, size, 3), paper)
    radius = 0.105
    for row in range(-1, 21):
        top = row * radius / 2
        part = slice(max(0, int((top - 0.02) * size)), max(0, int((top + 0.25) * size)))
        shift = row % 2 * radius
        column = np.floor((x[part] - shift) / (2 * radius) + 0.5)
        cx = column * 2 * radius + shift
        cy = np.full_like(cx, top + radius)
        far = np.hypot(x[part] - cx, y[part] - cy) / radius
        value = 0.42 + 0.3 * tone(cx, cy) + 0.13 * np.sin(37.7 * column + 91.7 * row)
        ink = inks[np.clip(value * len(inks), 0, len(inks) - 1).astype(int)]
        fan = _over(ink, paper, _step(np.abs((far * 4) % 1 - 0.5) - 0.34, 0.06))
        pixels[part] = _over(pixels[part], fan, _step(1 - far, 0.02))
    grain = _waves(rng, 3)(3 * x, 40 * y)
    return _over(pixels, paper, 0.6 * _step(grain - 1.6, 0.3))


def _glass(size: int, rng: np.random.Generator) -> np.ndarray:
    """Large panes of coloured light, cut by arcs and lines of lead."""
    x, y = _grid(size, size)
    edge = np.full_like(x, np.inf)
    pane = np.zeros(x.shape, np.int64)
    for number in range(18):
        cx, cy = rng.uniform(0, 1, 2).tolist()
        if number % 2:
            side = np.hypot(x - cx, y - cy) - rng.uniform(0.1, 0.4)
        else:
            angle = rng.uniform(0, math.pi)
            side = (x - cx) * math.cos(angle) + (y - cy) * math.sin(angle)
        edge = np.minimum(edge, np.abs(side))
        pane = 2 * pane + (side > 0)
    lights = _hex("#c2182b #e8641b #f6b819 #f9e27d #2c8f4b #128a94 #1c4fa8 #4a2a8c #8e1f6d #7ec8e3")
    pixels = lights[pane * 2654435761 % 2**32 // 7 % len(lights)]
    glow = 1 + 0.1 * _waves(rng, 2.5, 3)(x, y) + 0.03 * _waves(rng, 28, count=24)(x, y)
    bevel = 0.7 + 0.3 * _step(edge - 0.02, 0.04)
    return _over(pixels * (glow * bevel)[..., None], _hex("#14110f"), _step(0.0075 - edge, 0.002))


STYLES: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "strokes": _strokes,
    "mosaic": _mosaic,
    "hatching": _hatching,
    "marbling": _marbling,
    "woodcut": _woodcut,
    "stained-glass": _glass,
}
"""How each style is drawn; the names are for `draw_style`."""


# The scene, from far to near.

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
    pixels = _ramp(y / 0.6, "#2a64ad #5b9bd5 #a9d0e6 #f7e3bd #f8cf9a")
    far = np.hypot(x - 0.72 * right, y - 0.2)
    pixels = _over(pixels, _hex("#fff1c4"), 0.75 * np.exp(-far / 0.11))
    pixels = _over(pixels, _hex("#fffbe6"), _step(0.055 - far, 0.003))
    cloud = _waves(rng, 1.6, 5)
    thick = cloud(x, 2.4 * y) - 0.3
    light = 0.6 + 0.6 * (cloud(x, 2.4 * y) - cloud(x + 0.02, 2.4 * (y - 0.02)))
    return _over(pixels, _ramp(light, "#b9a9b8 #e9dfdf #ffffff"), 0.95 * _step(thick, 0.3))


def _mirror(pixels: np.ndarray, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> None:
    """Fill all below the waterline with the reflection of what is above it, in ripples."""
    height, width = y.shape
    depth = np.maximum(y - _WATER, 0)
    ripple = _waves(rng, 4)(x, 22 * y / (1 + 4 * depth))
    row = height * (_WATER - 1.15 * depth + 0.06 * (depth + 0.03) * ripple)
    column = height * (x + 0.02 * ripple * depth)
    row, column = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
    water = 0.9 * pixels[row.astype(int), column.astype(int)]
    water = _over(water, _hex("#2d6a86"), 0.25 + 0.5 * depth)
    water = _over(water, _hex("#dff1f2"), 0.3 * _step(ripple - 1.5, 0.3))
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
    colours = _ramp(rng.uniform(0, 1, len(foot)), "#23491f #4f8a34 #93b54a #d7d873")
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
        pen.dots(places, _ramp(light, "#15331c #2c5a2a #5b8a35 #a3b84a #dcd873"), leaf)


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


# Tools.


def _check(*sides: int) -> None:
    if min(sides) < 1:
        raise WctError(f"A picture of {min(sides)} pixels cannot be drawn; ask for 1 or more.")


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `x` and `y` of every pixel's centre, in units of the height."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return (x + 0.5) / height, (y + 0.5) / height


def _waves(rng: np.random.Generator, cycles: float, octaves: int = 1, count: int = 9) -> Field:
    """Return a smooth random field of variance 1: waves of about `cycles` to the unit.

    Each octave more adds waves half as long and half as high.
    """
    octave = np.repeat(0.5 ** np.arange(octaves), count)
    angle, phase = rng.uniform(0, 2 * math.pi, (2, len(octave)))
    number = 2 * math.pi * cycles / octave * rng.uniform(0.5, 1.5, len(octave))
    weight = math.sqrt(2 / count) * octave
    # Python's floats, unlike NumPy's, leave float32 as it is.
    waves = np.transpose([weight, number * np.cos(angle), number * np.sin(angle), phase]).tolist()

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total = np.zeros_like(x)
        for height, right, down, start in waves:
            total += height * np.cos(right * x + down * y + start)
        return total

    return field


def _hex(codes: str) -> np.ndarray:
    """Return the colour `(3,)` of one code, or the colours `(number, 3)` of several."""
    colours = [ImageColor.getrgb(code) for code in codes.split()]
    return np.array(colours, np.float32).squeeze() / 255


def _ramp(value: np.ndarray, codes: str) -> np.ndarray:
    """Map values from 0 to 1 to colours that blend from the first to the last."""
    colours = _hex(codes)
    knots = np.linspace(0, 1, len(colours))
    channels = [np.interp(value, knots, channel) for channel in colours.T]
    return np.stack(channels, axis=-1, dtype=np.float32)


def _step(value: np.ndarray, soft: float) -> np.ndarray:
    """Return 0 below zero and 1 above, with a ramp `soft` wide between."""
    return np.clip(value / soft + 0.5, 0, 1)


def _over(below: np.ndarray, above: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Lay one picture over another where `cover` is 1."""
    return below + (above - below) * cover[..., None]


def _reduce(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[0] // _FINE, pixels.shape[1] // _FINE
    blocks = np.clip(pixels, 0, 1).reshape(height, _FINE, width, _FINE, 3)
    return blocks.mean((1, 3), dtype=np.float32)
