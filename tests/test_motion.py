"""The shift that most of a picture makes."""

import numpy as np
import pytest

from wct._motion import Tracker

HEIGHT, WIDTH = 96, 128


def scene(seed=0, count=150):
    """A picture of random waves, of 8 pixels and more, known at any place."""
    rng = np.random.default_rng(seed)
    length = 8 * 2 ** rng.uniform(0, 3, count)
    angle, phase = rng.uniform(0, 2 * np.pi, (2, count))
    numbers = 2 * np.pi / length * np.array([np.sin(angle), np.cos(angle)])
    tint = rng.normal(size=(count, 3)) * (length / length.max())[:, None] / 2.5

    def view(down=0.0, right=0.0, height=HEIGHT, width=WIDTH):
        rows, columns = np.arange(height) + down, np.arange(width) + right
        parts = [
            np.exp(1j * number * place)
            for number, place in zip(numbers[..., None], (rows, columns), strict=True)
        ]
        waves = np.einsum("kr,kc,kt->rct", parts[0], parts[1] * np.exp(1j * phase)[:, None], tint)
        return np.float32(np.clip(0.5 + 0.1 * waves.real, 0, 1))

    return view


def follow(frames):
    track = Tracker()
    return np.array([track(frame) for frame in frames])


def noisy(frames, noise, seed=0):
    rng = np.random.default_rng(seed)
    return [np.float32(frame + noise / 255 * rng.normal(size=frame.shape)) for frame in frames]


PATHS = {
    "a pan": [(0, 1.37 * count) for count in range(40)],
    "further than a frame is wide": [(0, 3.3 * count) for count in range(40)],
    "fast": [(2.2 * count, -6.7 * count) for count in range(12)],
    "slow": [(0.01 * count, 0.04 * count) for count in range(40)],
    "by hand": np.cumsum(np.random.default_rng(5).normal(0, 0.8, (40, 2)), 0),
}


@pytest.mark.parametrize("noise", [0, 3])
@pytest.mark.parametrize("name", PATHS)
def test_motion_is_found_to_a_fraction_of_a_pixel(name, noise):
    view, path = scene(), np.array(PATHS[name])
    found = follow(noisy([view(*place) for place in path], noise))
    np.testing.assert_allclose(found, path[0] - path, rtol=0, atol=0.15)
    steps = np.diff(found + path, axis=0)
    assert np.abs(steps).max() < 0.1


def thing(frame, count):
    """Something of bold colours that walks through a frame, over a fifth of it."""
    part = frame[20:68, 3 * count : 3 * count + 50]
    tiles = np.indices(part.shape[:2]).sum(0) // 6 % 2
    part[:] = np.where(tiles[..., None], (0.9, 0.2, 0.1), (0.1, 0.3, 0.9))
    return frame


STILL = {
    "the same": lambda view, count: view(),
    "noise": lambda view, count: noisy([view()], 3, count)[0],
    "something walks through": lambda view, count: thing(view(), count),
    "exposure": lambda view, count: view() * (1 - 0.03 * count) + 0.01 * count,
    "a fade": lambda view, count: view() * (1 - count / 11),
    "other scenes": lambda view, count: scene(count)(),
    "one colour": lambda view, count: np.full((HEIGHT, WIDTH, 3), count / 11, np.float32),
    "black": lambda view, count: np.zeros((HEIGHT, WIDTH, 3), np.float32),
    "nothing but noise": lambda view, count: noisy([np.full((HEIGHT, WIDTH, 3), 0.5)], 4, count)[0],
}


@pytest.mark.parametrize("name", STILL)
def test_what_is_still_does_not_move_at_all(name):
    view = scene()
    frames = [np.float32(STILL[name](view, count)) for count in range(12)]
    np.testing.assert_array_equal(follow(frames), np.zeros((12, 2)))


def test_what_walks_through_a_pan_is_left_out():
    view = scene()
    frames = [thing(view(0.4 * count, 1.3 * count), 2 * count) for count in range(12)]
    wanted = [(-0.4 * count, -1.3 * count) for count in range(12)]
    np.testing.assert_allclose(follow(frames), wanted, rtol=0, atol=0.1)


def test_motion_goes_on_behind_a_cut():
    one, two = scene(1), scene(2)
    frames = [one(0, 2 * count) for count in range(5)] + [two(3 * count, 0) for count in range(5)]
    wanted = [(0, -2 * count) for count in range(5)] + [(-3 * count, -8) for count in range(5)]
    np.testing.assert_allclose(follow(frames), wanted, rtol=0, atol=0.1)


def test_motion_goes_on_through_a_change_of_light():
    view = scene()
    frames = [view(0, 1.5 * count) * (1 - 0.05 * count) for count in range(10)]
    wanted = [(0, -1.5 * count) for count in range(10)]
    np.testing.assert_allclose(follow(frames), wanted, rtol=0, atol=0.1)


def test_of_stripes_only_the_motion_across_is_known():
    stripes = np.sin(np.arange(WIDTH + 20) / 3)[None, :, None] * np.full((HEIGHT, 1, 3), 0.3) + 0.5
    frames = [np.float32(stripes[:, count : count + WIDTH]) for count in range(8)]
    np.testing.assert_allclose(
        follow(frames), [(0, -count) for count in range(8)], rtol=0, atol=0.1
    )


@pytest.mark.parametrize("size", [(1, 1), (31, 200), (32, 33), (33, 40)])
def test_small_frames(size):
    view = scene()
    found = follow([view(0, count, *size) for count in range(3)])
    wanted = [(0, -count) for count in range(3)] if min(size) >= 32 else np.zeros((3, 2))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=0.15)


@pytest.mark.parametrize(("share", "contrast"), [(0.4, 1.0), (0.3, 0.5), (0.3, 0.4), (0.3, 0.3)])
def test_what_moves_most_boldly_does_not_decide(share, contrast):
    """But what most pixels do: here a disc moves, before something that is still."""
    behind, disc = scene(), scene(7)
    rows, columns = np.mgrid[:192, :256]
    inside = np.pi * np.hypot(rows / 96 - 1, columns / 128 - 1) ** 2 < 4 * share
    frames = []
    for down, right in 2 * np.sin(np.outer(np.arange(10), (1.0, 0.7))):
        frame = 0.5 + contrast * (behind(0, 0, 192, 256) - 0.5)
        frame[inside] = disc(-down, -right, 192, 256)[inside]
        frames.append(frame)
    assert np.abs(follow(noisy(frames, 1))).max() == 0
