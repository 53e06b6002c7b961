"""Frames on canvases that move along with what they show, so that strokes do, too."""

import jax
import numpy as np
from jaxtyping import Array, Float

from ._denoise import Denoiser
from ._layers import CELL
from ._motion import Tracker
from ._pixels import resize
from ._shift import shifted

Canvas = Float[Array, "height width 3"]


class Steady:
    """Lays frames, one after another, so that the networks' cells stay where they are in the scene.

    What becomes of a pixel depends on where in a cell it is, of 16 × 16 pixels at level 5. So a
    canvas is a cell higher and wider than a frame, which is moved on it as what it shows moves, by
    parts of a pixel, too. Beyond the frame is its reflection.
    """

    def __init__(self, size: tuple[int, int], noise: float):
        """Begin with no frame.

        Args:
            size: Height and width that frames are resized to.
            noise: Standard deviation of their noise, of 255, which is levelled out over time.
        """
        self._size = size
        self._track = Tracker()
        self._denoise = Denoiser(noise / 255) if noise else None
        self._first = np.zeros(2, np.float32)

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of a canvas."""
        height, width = self._size
        return height + CELL, width + CELL

    def lay(self, frame: np.ndarray) -> Canvas:
        """Return the next frame's canvas.

        Args:
            frame: uint8 or floats in [0, 1].
        """
        pixels = jax.device_put(resize(frame, self._size))
        cells, first = np.divmod(CELL // 2 - self._track(pixels), CELL)
        self._first = first.astype(np.float32)
        canvas = shifted(pixels, -self._first, size=self.canvas)
        return canvas if self._denoise is None else self._denoise(canvas, CELL * cells.astype(int))

    def take(self, canvas: Canvas) -> Canvas:
        """Return the frame on a canvas, the last one's or what became of it."""
        return shifted(canvas, self._first, size=self._size)
