"""Draws the pictures of the pages with the default model: `python docs/images/draw.py`."""

from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import wct
from training import bank
from wct import _demo
from wct._drawn import draw_style
from wct._pixels import to_bytes
from wct._scene import draw_scene
from wct._steady import Steady

HERE = Path(__file__).parent
SIDE, GAP = 256, 6


def write_row(name: str, pictures: list[np.ndarray]) -> None:
    """Write pictures side by side."""
    framed = [
        np.pad(picture, ((0, 0), (0, GAP), (0, 0)), constant_values=1) for picture in pictures
    ]
    row = np.concatenate(framed, axis=1)[:, :-GAP]
    Image.fromarray(to_bytes(row)).save(HERE / f"{name}.jpg", quality=88)


def full(content: np.ndarray, style: np.ndarray, **options: Any) -> np.ndarray:
    """The paper's chain at full strength."""
    return wct.stylize(content, style, 1.0, preset="paper", **options)


def draw_bank() -> None:
    """Show the bank of styles, and what `augment` makes of a picture."""
    side = 96
    crops = [to_bytes(picture[:side, :side]) for picture in bank.draw_bank()]
    columns = len(bank.PALETTES)
    rows = [np.concatenate(crops[i : i + columns], 1) for i in range(0, len(crops), columns)]
    Image.fromarray(np.concatenate(rows)).save(HERE / "bank.jpg", quality=85)
    scenes = np.stack([draw_scene(side, side)] * 8)
    restyled = np.asarray(wct.augment(jax.random.key(1), scenes, probability=1.0))
    write_row("augment", list(restyled))


def draw_video() -> None:
    """Show frames that are repainted one by one, and as those of a video."""
    scene = draw_scene(SIDE, SIDE)
    style, other = draw_style("strokes", SIDE), draw_style("mosaic", SIDE)
    stylizer = wct.Stylizer.from_pretrained()
    frames = np.stack([scene] * 3)
    for frame, width in zip(frames, (0, 48, 96), strict=True):
        frame[SIDE // 2 :, SIDE - width :] = other[SIDE // 2 :, :width]
    read = stylizer.read_style(style)
    measured = stylizer.measure(frames, read)
    alone = [np.asarray(stylizer(frame[None], read)[0]) for frame in frames]
    rows = [frames, alone, np.asarray(stylizer(frames, read, measured=measured))]
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    Image.fromarray(to_bytes(sheet)).save(HERE / "video.jpg", quality=88)


def draw_pan() -> None:
    """Show a house in frames of a pan, repainted one by one, and as those of a video."""
    starts = 0, 5, 10
    scene = draw_scene(SIDE, SIDE + max(starts))
    frames = [scene[:, start : start + SIDE] for start in starts]
    stylizer, steady = wct.Stylizer.from_pretrained(), Steady((SIDE, SIDE), noise=2.0)
    read = stylizer.read_style(draw_style("strokes", SIDE))
    measured = stylizer.measure(frames, read)
    alone = [stylizer(frame[None], read)[0] for frame in frames]
    together = [
        steady.take(stylizer(steady.lay(frame)[None], read, measured=measured)[0])
        for frame in frames
    ]
    rows = [
        [
            np.asarray(each)[96:192, 122 - start : 218 - start]
            for start, each in zip(starts, row, strict=True)
        ]
        for row in (frames, alone, together)
    ]
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    picture = Image.fromarray(to_bytes(sheet))
    twice = picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.BICUBIC)
    twice.save(HERE / "pan.jpg", quality=88)


def draw_frontier() -> None:
    """Plot docs/control.md's figures, and those of other methods."""
    # (content distance, covariance distance)
    ours = {
        "balanced": (0.766, 0.590),
        "faithful": (0.630, 0.654),
        "strong": (0.843, 0.574),
        "paper": (0.800, 0.609),
        "paper, alpha 1": (1.140, 0.538),
    }
    others = {
        "MicroAST": (0.767, 0.677),
        "Magenta": (0.689, 0.730),
        "16× smaller WCT, alpha 0.6": (1.103, 0.598),
        "16× smaller WCT, alpha 1": (1.371, 0.573),
        "AdaIN map": (1.021, 0.863),
    }
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for points, marker, label in (
        (ours, "o", "wct, one pass"),
        (others, "x", "others"),
    ):
        axes.scatter(*zip(*points.values(), strict=True), marker=marker, label=label)
        for name, place in points.items():
            axes.annotate(name, place, xytext=(5, 3), textcoords="offset points", fontsize=8)
    axes.set_xlabel("content distance")
    axes.set_ylabel("style distance (covariance)")
    axes.set_xlim(0.6, 1.5)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(HERE / "frontier.svg", metadata={"Date": None})


def main() -> None:
    """Draw all of them."""
    _demo._content = lambda: draw_scene(512, 512)
    sheet = _demo.draw_sheet()
    sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3)).save(HERE / "demo.jpg", quality=88)
    scene, mosaic, strokes = (
        draw_scene(SIDE, SIDE),
        draw_style("mosaic", SIDE),
        draw_style("strokes", SIDE),
    )
    write_row(
        "mixing",
        [
            strokes,
            *(
                wct.stylize(scene, [strokes, mosaic], weights=(1 - share, share))
                for share in (0.0, 0.5, 1.0)
            ),
            mosaic,
        ],
    )
    ramp = np.clip((np.arange(SIDE) / SIDE - 0.5) * 5 + 0.5, 0, 1)[None].repeat(SIDE, 0)
    masks = [1 - ramp, ramp]
    write_row(
        "masks",
        [
            scene,
            strokes,
            wct.stylize(scene, [strokes, mosaic], masks=masks),
            mosaic,
        ],
    )
    halves = [np.round(mask) for mask in masks]
    write_row(
        "feather",
        [
            wct.stylize(scene, [strokes, mosaic], masks=halves, feather=width)
            for width in (0.0, 30.0, 120.0)
        ],
    )
    ridges = (0.0, 0.01, 0.1, 1.0)
    write_row("ridge", [scene, strokes, *(full(scene, strokes, ridge=each) for each in ridges)])
    write_row(
        "detail",
        [scene, *(full(scene, strokes, detail=detail) for detail in (0.0, 0.5, 1.0))],
    )
    write_row(
        "colors",
        [
            scene,
            mosaic,
            *(
                wct.stylize(scene, mosaic, colors=colors)
                for colors in ("style", "luminance", "matched")
            ),
        ],
    )
    plain, tile = (
        np.asarray(wct.texture(mosaic, size, seamless=seamless), np.float32) / 255
        for size, seamless in (((SIDE, SIDE), False), ((SIDE // 2, SIDE // 2), True))
    )
    write_row("textures", [mosaic, plain, np.tile(tile, (2, 2, 1))])
    write_row(
        "transforms",
        [
            scene,
            *(full(scene, strokes, transform=name) for name in ("wct", "ot", "adain", "mean")),
        ],
    )
    presets = ("paper", "balanced", "faithful", "strong")
    write_row(
        "presets",
        [scene, strokes, *(wct.stylize(scene, strokes, preset=name) for name in presets)],
    )
    write_row(
        "swap",
        [
            scene,
            mosaic,
            *(
                wct.stylize(scene, mosaic, 0.6, preset="paper", swap=levels)
                for levels in ((), (5,), (5, 4))
            ),
        ],
    )
    results = (wct.stylize(scene, strokes, refine=steps) for steps in (0, 50))
    write_row("refine", [scene, strokes, *results])
    networks = wct.Stylizer.from_pretrained()
    features = networks.encoder(scene[None])
    decoded = [
        networks.decoders[f"decoder{level}"](features[level - 1])[0] for level in range(1, 6)
    ]
    write_row("reconstructions", [scene, *(np.asarray(each) for each in decoded)])
    draw_frontier()
    draw_bank()
    draw_video()
    draw_pan()


if __name__ == "__main__":
    main()
