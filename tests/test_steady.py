"""Frames on canvases that move along with what they show."""

import numpy as np
import pytest
from conftest import picture
from test_motion import scene

from wct._steady import Steady


def lay(frames, noise=0.0):
    steady = Steady(frames[0].shape[:2], noise)
    for frame in frames:
        canvas = steady.lay(frame)
        assert canvas.shape[:2] == steady.canvas
        yield np.asarray(canvas), np.asarray(steady.take(canvas))


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (48, 64)])
def test_a_still_frame_lies_in_the_middle(size):
    frame = picture(*size, 1)
    wanted = np.pad(frame, ((8, 8), (8, 8), (0, 0)), mode="reflect")
    for canvas, taken in lay([frame] * 3):
        np.testing.assert_allclose(canvas, wanted, rtol=0, atol=1e-6)
        np.testing.assert_allclose(taken, frame, rtol=0, atol=1e-6)


@pytest.mark.parametrize("step", [(0, 1), (0.7, -1.3), (-3, 2.5)])
def test_the_scene_stays_where_it_is_among_the_cells(step):
    """But for whole cells."""
    view, path = scene(), np.outer(np.arange(8), step)
    frames = [view(*place) for place in path]
    for (canvas, taken), place, frame in zip(lay(frames), path, frames, strict=True):
        cells = (place + 8) // 16
        wanted = view(*(16 * cells - 8), *canvas.shape[:2])
        inner = tuple(slice(20, side - 20) for side in frame.shape[:2])
        np.testing.assert_allclose(canvas[inner], wanted[inner], rtol=0, atol=0.03)
        np.testing.assert_allclose(taken[inner], frame[inner], rtol=0, atol=0.02)


def test_noise_is_levelled_out_also_of_what_moves():
    view, rng = scene(), np.random.default_rng(0)
    clear = [view(0, 2.3 * count) for count in range(16)]
    frames = [np.float32(frame + 2 / 255 * rng.normal(size=frame.shape)) for frame in clear]
    (_, loud), (_, quiet) = list(lay(frames))[-1], list(lay(frames, 2.0))[-1]
    inner = slice(20, -40), slice(20, -40)
    assert np.std((loud - clear[-1])[inner]) > 1.5 / 255
    assert np.std((quiet - clear[-1])[inner]) < 1 / 255
