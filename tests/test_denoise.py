"""Noise of a video, levelled out over time."""

import numpy as np
import pytest
from conftest import picture

from wct._denoise import Denoiser

NOISE = 2 / 255


STILL = np.zeros(2, int)


def denoise(frames, noise=NOISE):
    step = Denoiser(noise)
    return [np.asarray(step(np.float32(frame), STILL)) for frame in frames]


def formula(mean, frame, noise):
    """One step, pixel by pixel, as the docstring has it."""
    change = np.pad(np.abs(frame - mean).mean(-1), 1, mode="edge")
    height, width, _ = frame.shape
    gain = np.empty((height, width, 1))
    for row, column in np.ndindex(height, width):
        change_here = change[row : row + 3, column : column + 3].mean()
        gain[row, column] = np.clip((change_here / (3 * noise)) ** 2, 0.1, 1)
    return mean + gain * (frame - mean)


@pytest.mark.parametrize("size", [(9, 12), (1, 1), (2, 7)])
def test_it_is_the_formula(size):
    first, second, third = (np.float64(picture(*size, 1)) + 0.02 * k for k in (0, 1, -1))
    second[size[0] // 2 :] += 0.1
    wanted = [first, formula(first, second, NOISE)]
    wanted.append(formula(wanted[1], third, NOISE))
    for found, value in zip(denoise([first, second, third]), wanted, strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=1e-6)


def test_what_does_not_change_stays():
    image = picture(16, 16, 1)
    for found in denoise([image] * 4):
        np.testing.assert_array_equal(found, image)


def test_what_changes_is_seen_at_once():
    one, two = picture(24, 24, 1), picture(24, 24, 2)
    two[:, :8] = one[:, :8] + np.sign(two[:, :8] - 0.5) * 0.03
    _, found = denoise([one, two])
    np.testing.assert_allclose(found[:, :8], two[:, :8], rtol=0, atol=1e-6)


def test_noise_comes_to_what_averages_have_left():
    """A recursion with gain k leaves k / (2 − k) of the variance."""
    rng = np.random.default_rng(0)
    frames = [0.5 + NOISE * rng.normal(size=(64, 64, 3)) for _ in range(80)]
    left = denoise(frames)[-1].std() / NOISE
    assert left == pytest.approx((0.1 / 1.9) ** 0.5, rel=0.1)


def test_a_slow_change_comes_through():
    frames = [np.full((8, 8, 3), 0.2 + count / 255) for count in range(100)]
    assert frames[-1].mean() - denoise(frames)[-1].mean() < 3 * NOISE


@pytest.mark.parametrize("move", [(0, 16), (-16, 0), (5, -3)])
def test_the_average_moves_along(move):
    rng = np.random.default_rng(0)
    scene = rng.uniform(0.2, 0.8, (64, 64, 3))
    step, places = Denoiser(NOISE), [STILL + 20, STILL + 20 + np.array(move)]
    for place in places * 6:
        rows, columns = (slice(start, start + 24) for start in place)
        noisy = scene[rows, columns] + NOISE * rng.normal(size=(24, 24, 3))
        found = step(np.float32(noisy), place)
    common = tuple(
        slice(max(-way, 0) + 1, 24 - max(way, 0) - 1) for way in places[1] - places[0]
    )  # of the last frame, and not next to what is new in it
    left = np.asarray(found)[common] - scene[rows, columns][common]
    assert np.std(left) < 0.5 * NOISE
