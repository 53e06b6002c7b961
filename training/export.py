"""Writing a trained model as one that can be shipped."""

import tomllib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

import wct
from wct._weights import load_model, save_model

PROBE = "expected.safetensors"


def export_model(model: Path, target: Path, about: Path | None = None) -> None:
    """Write a model directory with float16 weights, sha256s and a probe.

    The probe, `expected.safetensors`, holds an input and what each stage makes of it: by it a test
    can tell that code and weights still agree.

    Args:
        model: The trained model's directory.
        target: Where to.
        about: A TOML file with what `model.json` is to say besides.
    """
    save_model(target, load_model(model), about=tomllib.loads(about.read_text()) if about else None)
    (target / PROBE).write_bytes(safetensors.numpy.save(probe(target)))


def probe(model: Path) -> dict[str, np.ndarray]:
    """Return an input and the outputs of the encoder, the decoders and the chain for it.

    Returns:
        `input` `(32, 48, 3)`; `relu1_1` … `relu5_1`; `decoded1` … for each decoder at hand, from
        those features; `stylized`, the chain at alpha 1 over these levels, with the input, turned
        upside down, as style.
    """
    stylizer = wct.Stylizer.from_pretrained(model)
    rows, columns = np.linspace(0, 1, 32)[:, None], np.linspace(0, 1, 48)[None]
    waves = [0.5 + 0.5 * np.sin(k * rows * columns * 9 + 7 * rows - k * columns) for k in (1, 2, 3)]
    image = np.stack(waves, axis=-1).astype(np.float32)
    batch = jnp.asarray(image)[None]
    stages = {"input": image}
    features = stylizer.encoder(batch)
    for level, values in enumerate(features, start=1):
        stages[f"relu{level}_1"] = np.asarray(values[0])
    levels = tuple(sorted((d.level for d in stylizer.decoders.values()), reverse=True))
    for level in levels:
        decoder = stylizer.decoders[f"decoder{level}"]
        stages[f"decoded{level}"] = np.asarray(decoder(features[level - 1])[0])
    style = stylizer.read_style(image[::-1].copy())
    recipe = wct.Recipe(1.0, levels=levels)
    stages["stylized"] = np.asarray(stylizer(batch, style, recipe)[0])
    return stages
