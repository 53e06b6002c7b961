"""A picture in bands, with its intermediate pictures in files and, if wanted, checkpoints."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from ._files import locked, make_folder
from ._pixels import strips
from ._recipe import Recipe
from ._scratch import Scratch, drop_unfinished
from ._style import Style
from ._stylizer import Stylizer
from ._tiled import Area, repaint_tiles
from ._version import __version__


def repaint_large(
    stylizer: Stylizer,
    pixels: np.ndarray,
    style: Style,
    recipe: Recipe,
    masks: Sequence[np.ndarray] | None,
    *,
    tile: int,
    files: Scratch,
    scratch: str | os.PathLike[str] | None,
    paste: Callable[[np.ndarray, Area], object],
    finish: Callable[[], object],
    progress: Callable[[float], object] | None,
) -> None:
    """Repaint a picture in bands.

    Args:
        stylizer: The networks.
        pixels: `(height, width, 3)`, uint8 or floats in [0, 1].
        style: The style, or those of the masks along a leading axis of its moments.
        recipe: How to.
        masks: `(height, width)` each, or None.
        tile: As in `repaint_tiles`.
        files: Where intermediate pictures are.
        scratch: A directory for checkpoints, or None.
        paste: Takes parts of the result, as in `repaint_tiles`.
        finish: Called when all parts are there; until it is done, checkpoints stay.
        progress: Called with the share of the work that is done.

    Raises:
        WctError: There is no room for intermediate pictures, or another process is at the same
            picture in this directory.
    """
    with contextlib.ExitStack() as stack:
        if scratch is not None:
            key = _digest(stylizer, style, recipe, pixels, *(masks or ()))
            files.folder = stack.enter_context(_checkpoints(Path(scratch), key))
        files.release()
        repaint_tiles(
            stylizer, pixels, style, recipe,
            tile=tile, scratch=files, paste=paste, progress=progress,
            masks=None if masks is None else _side_by_side(masks, files),
        )  # fmt: skip
        finish()


def _side_by_side(masks: Sequence[np.ndarray], files: Scratch) -> np.ndarray:
    """Return masks along a last axis, in a file."""
    regions = files.new((*masks[0].shape, len(masks)), np.float32)
    for index, mask in enumerate(masks):
        regions[..., index] = mask
    return regions


@contextlib.contextmanager
def _checkpoints(directory: Path, key: str) -> Iterator[Path]:
    """Lock and give a folder for one picture; it goes when the picture is done, else stays."""
    folder = directory / f"wct-{key}"
    make_folder(folder)
    with locked(folder / "lock", f"this picture in {directory}"):
        try:
            yield folder
        except BaseException:
            drop_unfinished(folder)
            raise
        shutil.rmtree(folder, ignore_errors=True)  # while it is locked: nobody is to begin in it
    with contextlib.suppress(OSError):  # Windows and NFS keep the folder of what is open
        folder.rmdir()


def _digest(stylizer: Stylizer, style: Style, recipe: Recipe, *pictures: np.ndarray) -> str:
    """Return a name for all that a result depends on."""
    digest = hashlib.sha256(f"{__version__} {recipe}".encode())
    for array in jax.tree.leaves((nnx.state(stylizer), style)):
        digest.update(np.asarray(array).tobytes())
    for picture in pictures:
        digest.update(f"{picture.shape} {picture.dtype}".encode())
        for rows in strips(len(picture)):
            digest.update(picture[rows].tobytes())
    return digest.hexdigest()[:16]
