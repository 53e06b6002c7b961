"""Draws the pictures of the pages with the default model: `python docs/images/draw.py`."""

from pathlib import Path

import numpy as np
from PIL import Image

import wct
from wct import _demo
from wct._drawn import draw_style
from wct._image import to_bytes
from wct._scene import draw_scene

HERE = Path(__file__).parent
SIDE, GAP = 256, 6


def write_row(name: str, pictures: list[np.ndarray]) -> None:
    """Write pictures side by side."""
    framed = [
        np.pad(picture, ((0, 0), (0, GAP), (0, 0)), constant_values=1) for picture in pictures
    ]
    row = np.concatenate(framed, axis=1)[:, :-GAP]
    Image.fromarray(to_bytes(row)).save(HERE / f"{name}.jpg", quality=88)


def main() -> None:
    """Draw all of them."""
    _demo._content = lambda: draw_scene(512, 512)
    sheet = _demo.draw_sheet(alpha=0.6)
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
                wct.stylize(scene, [strokes, mosaic], 1.0, weights=(1 - share, share), detail=0.5)
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
            wct.stylize(scene, [strokes, mosaic], 1.0, masks=masks, detail=0.5),
            mosaic,
        ],
    )
    write_row(
        "detail",
        [scene, *(wct.stylize(scene, strokes, 1.0, detail=detail) for detail in (0.0, 0.5, 1.0))],
    )
    write_row(
        "colors",
        [
            scene,
            mosaic,
            *(
                wct.stylize(scene, mosaic, 1.0, detail=0.5, colors=colors)
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
            *(
                wct.stylize(scene, strokes, 1.0, transform=name)
                for name in ("wct", "ot", "adain", "mean")
            ),
        ],
    )


if __name__ == "__main__":
    main()
