"""Training pictures: random crops of every image file in some folders, by grain."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import grain
import numpy as np

from wct._image import read_image, resize

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

UNSEEN_EVERY = 37
"""Of each folder's files, sorted, the first and every 37th after it are kept out of training."""


def image_files(folder: Path, *, unseen: bool = False) -> list[Path]:
    """List the image files below a folder, for training or, unseen by it, for evaluation.

    Raises:
        FileNotFoundError: There are none, or one alone, which is kept out of training.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = [file for index, file in enumerate(files) if (index % UNSEEN_EVERY == 0) == unseen]
    if not chosen:
        raise FileNotFoundError(f"too few image files below {folder}: it has {len(files)}")
    return chosen


def crop_batches(
    folders: Sequence[Path],
    *,
    crop: int,
    batch: int,
    seed: int,
    start: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Iterator[np.ndarray]:
    """Yield batches of random, randomly flipped crops, for ever and always in the same order.

    Args:
        folders: Folders of image files.
        crop: Side of the crops, pixels. Smaller pictures are enlarged to it.
        batch: Crops a batch.
        seed: Decides order, positions and flips.
        start: How many batches to skip: a resumed run sees what an uninterrupted one would.
        share: (i, n) for the i-th of n equal parts of every batch.

    Yields:
        `(batch / n, crop, crop, 3)`, float32, RGB in [0, 1].
    """
    files = [file for folder in folders for file in image_files(folder)]
    dataset = (
        grain.MapDataset.source(files)  # pyright: ignore[reportArgumentType] a list is a source
        .seed(seed)
        .shuffle()
        .repeat()
        .random_map(lambda file, generator: _random_crop(file, crop, generator))
    )
    part, parts = share
    dataset = dataset[part::parts].batch(batch // parts)
    options = grain.ReadOptions(num_threads=os.cpu_count() or 1, prefetch_buffer_size=4)
    yield from dataset[start:].to_iter_dataset(options)


def _random_crop(file: Path, crop: int, generator: np.random.Generator) -> np.ndarray:
    pixels = read_image(file).pixels
    height, width, _ = pixels.shape
    if min(height, width) < crop:
        scale = crop / min(height, width)
        pixels = resize(pixels, (max(crop, round(height * scale)), max(crop, round(width * scale))))
        height, width, _ = pixels.shape
    top = generator.integers(height - crop + 1)
    left = generator.integers(width - crop + 1)
    pixels = pixels[top : top + crop, left : left + crop]
    return np.ascontiguousarray(pixels[:, ::-1] if generator.integers(2) else pixels)
