"""What paints the pictures of a data set: networks and styles at hand, a few pictures at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from ._bank import Bank
from ._buckets import to_bucket
from ._chain import repaint
from ._memory import DEFAULT_MEMORY, choose_tile, read_memory
from ._pixels import to_bytes, to_floats
from ._recipe import Recipe
from ._stylizer import Stylizer
from ._tasks import Task
from ._tiled import repaint_into


@dataclass(frozen=True)
class Painter:
    """Repaints pictures of one size, each in its own style and as strong as it is to be.

    Attributes:
        stylizer: The networks.
        bank: The styles.
        recipe: How to.
    """

    stylizer: Stylizer
    bank: Bank
    recipe: Recipe

    @property
    def batch(self) -> int:
        """Pictures to paint at once: one keeps a CPU busy."""
        return 1 if jax.default_backend() == "cpu" else 8

    def __call__(self, pictures: Sequence[np.ndarray], tasks: Sequence[Task]) -> list[np.ndarray]:
        """Repaint pictures of one size.

        Args:
            pictures: At most `batch`, each `(height, width, 3)`, uint8 or floats in [0, 1].
            tasks: What is to be made of each.

        Returns:
            uint8 arrays.
        """
        size = pictures[0].shape[:2]
        widths, levels = self.stylizer.encoder.widths, self.recipe.levels
        side = choose_tile(size, widths, levels, read_memory(DEFAULT_MEMORY) / self.batch)
        if side is None:
            return self._paint(pictures, tasks)
        return [
            self._paint_large(picture, task, side)
            for picture, task in zip(pictures, tasks, strict=True)
        ]

    def _paint(self, pictures: Sequence[np.ndarray], tasks: Sequence[Task]) -> list[np.ndarray]:
        height, width, _ = pictures[0].shape
        # Fewer pictures than a batch are filled up: one program makes the same of each, always.
        filled = [*range(len(tasks)), *[0] * (self.batch - len(tasks))]
        canvas = np.zeros((self.batch, to_bucket(height), to_bucket(width), 3), np.float32)
        for index, source in enumerate(filled):
            canvas[index, :height, :width] = to_floats(pictures[source])
        work = self._plan([tasks[source] for source in filled])
        size = height, width
        encoder, canvas = self.stylizer.encoder, jax.device_put(canvas)
        [result] = repaint(encoder, canvas, size, work, self.recipe, together=True)
        painted = np.asarray(result)[: len(tasks), :height, :width]
        return [to_bytes(picture) for picture in painted]

    def _paint_large(self, picture: np.ndarray, task: Task, tile: int) -> np.ndarray:
        result = np.empty(picture.shape, np.uint8)
        recipe = self.recipe if task.alpha is None else replace(self.recipe, alpha=task.alpha)
        style = self.bank.pick([task.style])
        repaint_into(result, self.stylizer, picture, style, recipe, tile=tile)
        return result

    def _plan(self, tasks: Sequence[Task]):
        recipe = self.recipe
        if tasks[0].alpha is not None:
            alphas = jax.device_put(np.array([task.alpha for task in tasks], np.float32))
            recipe = replace(recipe, alpha=[alphas] * len(recipe.levels))
        return self.stylizer.plan(self.bank.pick([task.style for task in tasks]), recipe)
