"""How fast training goes, and whether it waits for its input."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


class Clock:
    """Times steps and, within them, the wait for the next batch.

    The first step is left out: it is spent compiling.
    """

    def __init__(self, batch: int):
        self._batch = batch
        self._steps = 0
        self._waited = self._began = self._ended = 0.0

    def watch(self, batches: Iterable[_Item]) -> Iterator[_Item]:
        """Yield the batches, timing how long each takes to come and to be used."""
        asked = time.perf_counter()
        for steps, batch in enumerate(batches):
            if steps > 0:
                self._waited += time.perf_counter() - asked
            yield batch
            asked = self._ended = time.perf_counter()
            self._steps = steps
            if steps == 0:
                self._began = asked

    def reading(self) -> dict[str, float]:
        """Return images per second, and the share of the time that was spent waiting for input."""
        elapsed = self._ended - self._began
        if self._steps <= 0 or elapsed <= 0:
            return {}
        return {
            "images per second": self._batch * self._steps / elapsed,
            "waiting for input": self._waited / elapsed,
        }

    def __str__(self) -> str:
        reading = self.reading()
        if not reading:
            return ""
        rate, waiting = reading.values()
        return f"{rate:.3g} images/s, {waiting:.0%} of the time waiting for input"
