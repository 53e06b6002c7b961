"""Pictures moved by parts of a pixel."""

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import picture

from wct._shift import resample, shifted


def move(pixels, first, size):
    return np.asarray(shifted(pixels, np.float32(first), size=size))


def wave(height, width, down=0.0, right=0.0):
    """A picture of waves of five pixels and more, from a place on."""
    rows, columns = np.mgrid[:height, :width].astype(float)
    rows, columns = rows + down, columns + right
    values = [np.sin(rows / 2), np.cos(rows / 3 + columns / 2), np.sin(columns / 1.2)]
    return np.float32(0.5 + 0.3 * np.stack(values, -1))


@pytest.mark.parametrize("first", [(0, 0), (3, 5), (-2, 4)])
def test_whole_pixels_are_copied(first):
    pixels = picture(12, 17, 1)
    rows, columns = (np.arange(start, start + 9) for start in first)
    reach = np.pad(pixels, ((16, 16), (16, 16), (0, 0)), mode="reflect")
    wanted = reach[rows + 16][:, columns + 16]
    np.testing.assert_allclose(move(pixels, first, (9, 9)), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("first", [(8.25, 8.5), (9.9, 8.01), (7.5, 10.75)])
def test_between_pixels_waves_are_what_they_are(first):
    found = move(wave(48, 56), first, (30, 30))
    np.testing.assert_allclose(found, wave(30, 30, *first), rtol=0, atol=0.02)


def test_it_is_lanczos_sum():
    row = picture(1, 20, 2)[0, :, 0]
    away = np.arange(7, 13) - 9.3
    weights = np.sinc(away) * np.sinc(away / 3)
    wanted = (weights * row[7:13]).sum() / weights.sum()
    found = resample(jnp.asarray(row[None]), jnp.asarray([0.0, 9.3], jnp.float32), (1, 1))
    assert float(found[0, 0]) == pytest.approx(wanted, abs=1e-5)


def test_there_and_back():
    pixels = wave(40, 40)
    there = move(pixels, (-4.3, -2.6), (48, 48))
    np.testing.assert_allclose(move(there, (4.3, 2.6), (40, 40)), pixels, rtol=0, atol=0.03)


def test_values_stay_in_their_range():
    edges = np.zeros((16, 16, 3), np.float32)
    edges[:, 8:] = 1
    found = move(edges, (0.0, 0.5), (16, 16))
    assert found.min() == 0
    assert found.max() == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3)])
def test_tiny_pictures_are_reflected(size):
    pixels = picture(*size, 3)
    wanted = np.pad(pixels, ((8, 8), (8, 8), (0, 0)), mode="reflect")
    found = move(pixels, (-8, -8), (size[0] + 16, size[1] + 16))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
