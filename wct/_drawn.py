"""Styles drawn by code, no file needed: for the demonstration and for tests."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from ._canvas import FINE, grid, over, parse_hex, ramp, reduce, step, waves
from ._errors import check_counts, look_up


def draw_style(name: str, size: int = 384, seed: int = 0, palette: str | None = None) -> np.ndarray:
    """Draw a picture in one of the `STYLES`.

    Args:
        name: Which one: a key of `STYLES`.
        size: Height and width in pixels.
        seed: Another seed gives another picture of the same kind.
        palette: Hex codes of five colours or more, from dark to light, in place of the style's own.

    Returns:
        float32 `(size, size, 3)`, sRGB in [0, 1]; the same arguments give the same picture.

    Raises:
        WctError: If there is no such style, or `size` is less than 1.
    """
    draw, colours = look_up("drawn style", name, STYLES)
    check_counts(size=size)
    return reduce(draw(size * FINE, np.random.default_rng(seed), parse_hex(palette or colours)))


def _strokes(size: int, rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Thick brush strokes around warm lights in a cool night, the paint's relief lit from above."""
    tone = waves(rng, 1.4)
    ground = ramp(0.45 + 0.3 * tone(*grid(size, size)), colours)
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
        shade = ramp(value, colours)[:, None] * rng.uniform(0.8, 1.15, (count, 6, 1))
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


def _mosaic(size: int, rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Small stones in dark grout, their colours in bands as in a Roman floor."""
    x, y = grid(size, size)
    warp, tone = waves(rng, 1.2), waves(rng, 1.3)
    x, y = 28 * (x + 0.02 * warp(x, y)) + 4, 28 * (y + 0.02 * warp(y, x)) + 4
    right, down, hue, shade = rng.uniform(-1, 1, (4, 40, 40)).astype(np.float32)
    first = second = np.full_like(x, np.inf)
    middle = np.zeros((2, size, size), np.float32)
    for shift in np.ndindex(3, 3):  # one stone to each unit square, so the nearest is a neighbour
        row, column = y.astype(int) + shift[0] - 1, x.astype(int) + shift[1] - 1
        cx = column + 0.5 + 0.25 * right[row, column]
        cy = row + 0.5 + 0.25 * down[row, column]
        far = np.hypot(x - cx, y - cy)
        second = np.minimum(second, np.maximum(first, far))
        middle = np.where(far < first, (cx, cy), middle)
        first = np.minimum(first, far)
    stone = middle[1].astype(int), middle[0].astype(int)
    value = np.floor(3.6 + 2.2 * tone(*(middle - 4) / 28)) / 8 + 0.06 + 0.05 * hue[stone]
    light = 1.12 + 0.16 * shade[stone] - 0.35 * first
    tiles = ramp(value, colours[1:]) * light[..., None]
    return over(colours[0], tiles, step(second - first - 0.13, 0.05))


def _hatching(size: int, rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Crossed pen lines on warm paper, which bend over the forms they shade."""
    x, y = grid(size, size)
    form = waves(rng, 1.5)(x, y)
    down, right = np.gradient(form, 1 / size)
    dark = 0.3 - 0.025 * (right + 1.3 * down)
    shake = 0.0012 * waves(rng, 8, 2)(x, y)
    pixels = ramp(0.5 + 0.2 * waves(rng, 6, 4)(x, y), colours[-3:])
    for number, angle in enumerate((0.1, 0.7, -0.6, 1.4)):
        across = 58 * (x * math.sin(angle) + y * math.cos(angle) + 0.035 * form + shake)
        line = np.floor(across)
        uneven = 0.05 * np.sin(12.9898 * line) + 0.05 * waves(rng, 6)(x, y + line / 7)
        half = 0.55 * (dark - 0.13 * number) + 0.1 + uneven
        beside = np.abs(across - line - 0.5)
        ink = step(np.minimum(half, 0.3) - beside, 0.08) * step(half - 0.05, 0.05)
        pixels = over(pixels, colours[0 if number else 1], 0.92 * ink)
    return pixels


def _marbling(size: int, rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Inks on water, drawn out with combs and a stylus, as on Turkish paper."""
    x, y = grid(size, size)
    for _ in range(5):  # the stylus turns: undone, each turn is a turn the other way
        cx, cy = rng.uniform(0.1, 0.9, 2).tolist()
        turn = float(rng.choice((-2.5, 2.5))) * np.exp(-10 * np.hypot(x - cx, y - cy))
        sin, cos = np.sin(turn), np.cos(turn)
        x, y = cx + (x - cx) * cos - (y - cy) * sin, cy + (x - cx) * sin + (y - cy) * cos
    x, y = x + 0.03 * waves(rng, 1.5)(x, y), y + 0.02 * waves(rng, 1.5)(x, y)
    for period, reach in ((0.16, 0.08), (0.08, -0.05)):  # a comb draws the ink along with its teeth
        y = y + reach * np.exp(-5 * np.abs((x / period) % 1 - 0.5))
    level = 26 * y + 0.45 * waves(rng, 2)(x, y)
    band = np.floor(level)
    inks = np.concatenate([rng.permutation(colours[:-1]) for _ in range(64)])
    pixels = inks[(band.astype(int) + len(inks) // 2) % len(inks)]
    down, right = np.gradient(level)
    slope = np.hypot(down, right)  # bands to the pixel
    vein = (0.5 - np.abs(level - band - 0.5)) / (slope + 1e-6)
    cover = step(0.0016 * size - vein, 1) * step(0.25 - slope, 0.2)
    return over(pixels, colours[-1], cover)


def _woodcut(size: int, rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Rows of carved waves, printed in indigo with some in vermilion and gold."""
    x, y = grid(size, size)
    wobble, tone = waves(rng, 5, 3), waves(rng, 1.2)
    x, y = x + 0.004 * wobble(x, y), y + 0.004 * wobble(y, x)
    inks, paper = colours[:-1], colours[-1]
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
        fan = over(ink, paper, step(np.abs((far * 4) % 1 - 0.5) - 0.34, 0.06))
        pixels[part] = over(pixels[part], fan, step(1 - far, 0.02))
    grain = waves(rng, 3)(3 * x, 40 * y)
    return over(pixels, paper, 0.6 * step(grain - 1.6, 0.3))


def _glass(size: int, rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Large panes of coloured light, cut by arcs and lines of lead."""
    x, y = grid(size, size)
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
    lights = colours[1:]
    pixels = lights[pane * 2654435761 % 2**32 // 7 % len(lights)]
    glow = 1 + 0.1 * waves(rng, 2.5, 3)(x, y) + 0.03 * waves(rng, 28, count=24)(x, y)
    bevel = 0.7 + 0.3 * step(edge - 0.02, 0.04)
    return over(pixels * (glow * bevel)[..., None], colours[0], step(0.0075 - edge, 0.002))


def _weave(size: int, rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Coarse cloth: threads over two and under two, in the stripes of a tartan."""
    x, y = grid(size, size)
    threads = 44
    sway = 4 + 0.18 * waves(rng, 2)(x, y)
    x, y = threads * x + sway, threads * y + sway
    warp, weft = x.astype(int), y.astype(int)
    number = len(colours)
    stripes = []
    for _ in range(2):  # each is followed by its mirror image, as weavers thread them
        order = np.repeat(rng.permutation(number), rng.integers(1, 5, size=number))
        stripes.append(colours[np.resize([*order, *order[::-1]], threads + 9)])
    turn = (warp + weft) % 4
    upright = turn < 2
    pixels = np.where(upright[..., None], stripes[0][warp], stripes[1][weft])
    across, along = np.where(upright, x, y) % 1, np.where(upright, y, x) % 1
    along = (along + turn % 2) / 2  # of the two threads that it lies on
    bulge = np.sqrt(1 - (1.9 * (across - 0.5)) ** 2) * (0.55 + 0.45 * np.sin(math.pi * along))
    twist = np.sin(2 * math.pi * (3 * along + across)) + waves(rng, 9, 3)(x, y)
    return pixels * (0.3 + 0.75 * bulge + 0.06 * twist)[..., None]


def _dots(size: int, rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Points of pure colour, some of them the opposite one, as pointillists set them."""
    tone = waves(rng, 1.3)
    ground = ramp(0.5 + 0.25 * tone(*grid(size, size)), colours)
    canvas = Image.fromarray(np.uint8(ground * 255))
    draw = ImageDraw.Draw(canvas)
    for count, radius in ((2500, 0.016), (5000, 0.011), (4000, 0.008)):
        x, y = rng.uniform(-0.02, 1.02, (2, count))
        value = 0.5 + 0.25 * tone(x, y) + rng.normal(0, 0.16, count)
        value = np.where(rng.uniform(size=count) < 0.12, 1 - value, value)
        shade = ramp(value, colours) * rng.uniform(0.85, 1.15, (count, 1))
        inks = (np.clip(shade, 0, 1) * 255).astype(np.uint8)
        reach = radius * rng.uniform(0.75, 1.25, count)
        boxes = size * np.transpose([x - reach, y - reach, x + reach, y + reach])
        for box, ink in zip(boxes.tolist(), inks.tolist(), strict=True):
            draw.ellipse(box, tuple(ink))
    return np.asarray(canvas, np.float32) / 255


STYLES: dict[str, tuple[Callable[[int, np.random.Generator, np.ndarray], np.ndarray], str]] = {
    "strokes": (
        _strokes,
        "#0b1a3a #15397a #1f6fb2 #3fa7c4 #a9d6c3 #f6e7a8 #f7c13d #ec8a1c #b9421a",
    ),
    "mosaic": (
        _mosaic,
        "#2b2623 #123a5c #1d6f8a #4fb3a9 #e9dfc0 #e8b34a #d2692d #a5342c #6d2b45",
    ),
    "hatching": (_hatching, "#1f2338 #a8462a #e6d3ad #f3e6c8 #f8efd9"),
    "marbling": (
        _marbling,
        "#12355b #f0dcae #c8443a #1f8a8c #f0b541 #6b1f3a #e8956b #2f5fa8 #fdf6e3",
    ),
    "woodcut": (_woodcut, "#14213d #1d3f72 #2f6f9f #7fb2b8 #e3a83b #d9542b #a3231f #f2e6cb"),
    "stained-glass": (
        _glass,
        "#14110f #c2182b #e8641b #f6b819 #f9e27d #2c8f4b #128a94 #1c4fa8 #4a2a8c #8e1f6d #7ec8e3",
    ),
    "weave": (_weave, "#1d2a1f #2f5d3a #7a1f2b #c9a24b #efe6cf"),
    "dots": (_dots, "#1a2a5e #2b6cb0 #3fa34d #9ac94a #f4d35e #f28e2b #e4572e #f7d9e3"),
}
"""How each style is drawn, and in which colours; the names are for `draw_style`."""
