"""Training pictures: decoded once, kept on the device as bytes, and cut into random crops there."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from wct._image import read_image
from wct._pixels import resize, to_bytes

from .settings import SettingsError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

UNSEEN_EVERY = 37
"""Of each folder's files, sorted, the first and every 37th after it are kept out of training."""

_LARGEST = 512
"""Shorter side, in pixels, to which larger pictures are reduced, so that many can be kept."""


def image_files(folder: Path, *, unseen: bool | None = False) -> list[Path]:
    """List the image files below a folder.

    Args:
        folder: The folder.
        unseen: Those that training leaves out, for evaluation, and not those for training; `None`
            for all.

    Raises:
        FileNotFoundError: There are none, or one alone, which is kept out of training.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = [
        file for index, file in enumerate(files) if unseen in (None, index % UNSEEN_EVERY == 0)
    ]
    if not chosen:
        raise FileNotFoundError(f"too few image files below {folder}: it has {len(files)}")
    return chosen


class Pictures(NamedTuple):
    """Pictures of many sizes, on the device.

    Attributes:
        pixels: Those of all pictures, row by row, one picture after the other; RGB.
        starts: The index of each picture's first pixel.
        sizes: Each picture's height and width.
    """

    pixels: UInt8[Array, "pixels 3"]
    starts: Int[Array, " pictures"]
    sizes: Int[Array, "pictures 2"]

    @classmethod
    def load(cls, folders: Sequence[Path], crop: int) -> "Pictures":
        """Load the training pictures of some folders, some 0.25 MB for one of 256 pixels.

        Args:
            folders: Folders of image files.
            crop: Side of the crops that will be cut, pixels. Smaller pictures are enlarged to it.

        Raises:
            FileNotFoundError: There are too few image files in a folder.
            SettingsError: They are more than can be numbered.
        """
        files = [file for folder in folders for file in image_files(folder)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            pictures = list(pool.map(partial(_read, crop=crop), files))
        sizes = np.array([picture.shape[:2] for picture in pictures], np.int32)
        if sizes.prod(1, dtype=np.int64).sum() > np.iinfo(np.int32).max:
            raise SettingsError("the pictures have more than 2³¹ pixels in all: give fewer of them")
        starts = np.cumsum([0, *sizes.prod(1)[:-1]], dtype=np.int32)
        pixels = np.concatenate([picture.reshape(-1, 3) for picture in pictures])
        return cls(*map(jnp.asarray, (pixels, starts, sizes)))


def crop_batches(
    pictures: Pictures, *, crop: int, batch: int, seed: int, start: int = 0
) -> Iterator[Float[Array, "batch crop crop 3"]]:
    """Yield batches of random crops, half of them mirrored, for ever and always the same ones.

    Args:
        pictures: Where from.
        crop: Side of the crops, pixels.
        batch: Crops a batch.
        seed: Decides pictures, positions and flips.
        start: How many batches to skip: a resumed run sees what an uninterrupted one would.

    Yields:
        RGB in [0, 1].
    """
    key = jax.random.key(seed)
    for step in count(start):
        yield _cut(pictures, jax.random.fold_in(key, step), crop, batch)


@partial(jax.jit, static_argnames=("crop", "batch"))
def _cut(
    pictures: Pictures, key: Array, crop: int, batch: int
) -> Float[Array, "batch crop crop 3"]:
    which, where, flip = jax.random.split(key, 3)
    chosen = jax.random.randint(which, (batch,), 0, len(pictures.starts))
    sizes = pictures.sizes[chosen]
    top, left = jax.random.randint(where, (batch, 2), 0, sizes - crop + 1).T[..., None, None]
    steps = jnp.arange(crop)
    flipped = jax.random.bernoulli(flip, shape=(batch, 1, 1))
    columns = left + jnp.where(flipped, steps[::-1][None, None], steps[None, None])
    rows = top + steps[None, :, None]
    index = pictures.starts[chosen][:, None, None] + rows * sizes[:, 1, None, None] + columns
    return pictures.pixels[index].astype(jnp.float32) / 255


def _read(file: Path, crop: int) -> np.ndarray:
    """Read a picture as bytes; its shorter side is between a crop's and the largest."""
    pixels = read_image(file).pixels
    height, width, _ = pixels.shape
    shorter = min(height, width)
    side = min(max(shorter, crop), max(crop, _LARGEST))
    if side != shorter:
        scale = side / shorter
        pixels = resize(pixels, (max(side, round(height * scale)), max(side, round(width * scale))))
    return to_bytes(pixels)
