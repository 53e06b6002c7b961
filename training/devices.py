"""Data parallelism: each device gets a share of the batch and a copy of the networks."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from .settings import SettingsError


class Devices:
    """All devices of all processes, as one row.

    Compiled functions of split batches and copied networks run on all of them, and their means
    over a batch are means over the whole of it.
    """

    def __init__(self):
        mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
        self._split = NamedSharding(mesh, PartitionSpec("data"))
        self._copied = NamedSharding(mesh, PartitionSpec())

    def split(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Give each device its share of a batch, which every process has the whole of.

        Raises:
            SettingsError: The devices cannot have equal shares.
        """
        count = jax.device_count()
        if len(images) % count:
            raise SettingsError(
                f"{len(images)} images cannot be shared by {count} devices: change the batch"
            )
        return jax.make_array_from_callback(images.shape, self._split, lambda part: images[part])

    def copy(self, networks: Any) -> Any:
        """Give each device a copy of all arrays of a pytree."""
        return jax.device_put(networks, self._copied)
