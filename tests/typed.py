"""Typed use of the library: type checkers must find all of it right. It is never run."""

from pathlib import Path
from typing import assert_type

import jax
import numpy as np
from PIL import Image

import wct


def a_picture_gives_a_picture(file: Path, pixels: np.ndarray) -> None:
    assert_type(wct.stylize("content.jpg", "style.jpg"), Image.Image)
    assert_type(wct.stylize(file, [pixels, file], 0.6, weights=[0.5, 0.5]), Image.Image)
    assert_type(wct.stylize(Image.open(file), wct.read_style(file)), Image.Image)
    with file.open("rb") as stream:
        assert_type(wct.stylize(stream, stream, model=wct.Stylizer.from_pretrained()), Image.Image)


def an_array_gives_an_array(pixels: np.ndarray, values: jax.Array) -> None:
    assert_type(wct.stylize(pixels, "style.jpg", preset="paper"), np.ndarray)
    assert_type(wct.stylize(values, values, masks=[values]), np.ndarray)


def moments_of_frames(stylizer: wct.Stylizer, frames: np.ndarray, style: wct.Style) -> None:
    measured = stylizer.measure(frames, style, "faithful")
    assert_type(measured, tuple[wct.Moments, ...])
    stylizer(frames, style, measured=measured)


def what_is_written_is_not_returned(file: Path, pixels: np.ndarray) -> None:
    assert_type(wct.stylize_video(file, [pixels, file], output=file, size=640), None)
    assert_type(wct.stylize(file, pixels, output="result.png", overwrite=True), None)
