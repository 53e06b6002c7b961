"""Sample sheets: what decoders make of pictures, to look at while training."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from PIL import Image

from wct._networks import Decoder, Encoder
from wct._pixels import to_bytes


def write_reconstructions(
    path: Path, encoder: Encoder, decoders: dict[str, Decoder], images: np.ndarray
) -> None:
    """Write a PNG: a row of pictures `(count, height, width, 3)`, below it a row a decoder."""
    features = encoder(jnp.asarray(images), max(decoder.level for decoder in decoders.values()))
    rows = [images]
    rows += [np.asarray(decoder(features[decoder.level - 1])) for decoder in decoders.values()]
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_bytes(sheet)).save(path)
