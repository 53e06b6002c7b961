"""Writing a trained model as one that can be shipped."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

import wct
from wct._files import write_file
from wct._layers import stride
from wct._models import ENCODER, decoder_file, read_card
from wct._weights import Model, load_decoders, load_model, save_model

from .settings import SettingsError

PROBE = "expected.safetensors"
_HEIGHT, _WIDTH = 32, 48


def export_model(
    models: Sequence[Path], target: Path, about: Path | None = None, *, with_encoder: bool = True
) -> None:
    """Write a model directory with float16 weights, sha256s and a probe.

    The probe, `expected.safetensors`, holds what each stage makes of a certain input: by it a test
    can tell that code and weights still agree.

    Args:
        models: The directories of a trained model, or of several of one encoder: of all but the
            first, the decoders that the first does not have, or not so.
        target: Where to.
        about: A TOML file with what `model.json` is to say besides.
        with_encoder: Write the encoder too, and not the decoders alone.

    Raises:
        SettingsError: The models differ in their widths or in their encoder, or what is to be said
            is no TOML, or not for `model.json`.
    """
    cards = [read_card(model) for model in models]
    for model, card in zip(models, cards, strict=True):
        if card["widths"] != cards[0]["widths"]:
            raise SettingsError(f"{model} and {models[0]} differ in widths")
        if card["files"].get(ENCODER) != cards[0]["files"].get(ENCODER):
            raise SettingsError(
                f"{model} and {models[0]} differ in their encoder: decoders fit one alone"
            )
    first = load_model(models[0])
    decoders = load_decoders(models[0])
    for model, card in zip(models, cards, strict=True):
        for level, decoder in load_decoders(model).items():
            name = decoder_file(level)
            if card["files"][name] != cards[0]["files"].get(name):
                decoders[level] = decoder
    said = _read_about(about) if about else None
    save_model(
        target, Model(first.name, first.encoder, decoders), about=said, with_encoder=with_encoder
    )
    write_file(safetensors.numpy.save(probe(target)), target / PROBE, overwrite=True)


def _read_about(path: Path) -> dict[str, Any]:
    try:
        said = tomllib.loads(path.read_text("utf-8"))
        json.dumps(said)
    except (TypeError, ValueError) as error:  # the former of a date
        raise SettingsError(f"{path}: {error}; it is a TOML file of texts and numbers") from error
    if taken := {"name", "widths", "files"} & said.keys():
        raise SettingsError(f"{path} has {', '.join(sorted(taken))}, which model.json says itself")
    return said


def probe(model: Path) -> dict[str, np.ndarray]:
    """Return the outputs of a model's encoder, its decoders and the chain for an input.

    Returns:
        `input` `(32, 48, 3)`; `relu1_1` … `relu5_1`; `decoded1` … for each decoder at hand, from
        those features; `stylized`, the chain at alpha 1 over these levels, with the input, turned
        upside down, as style. Of decoders that are shipped without their encoder it is `decoded1`
        … alone, from drawn features.
    """
    if ENCODER not in read_card(model)["files"]:
        return {
            f"decoded{level}": np.asarray(decoder(_draw_features(decoder))[0])
            for level, decoder in load_decoders(model).items()
        }
    stylizer = wct.Stylizer.from_pretrained(model)
    image = _waves(_HEIGHT, _WIDTH, 3)
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


def _draw_features(decoder: wct.Decoder) -> jnp.ndarray:
    cell = stride(decoder.level)
    channels = decoder.layers[f"conv{decoder.level}_1"].kernel.shape[2]
    return jnp.asarray(_waves(_HEIGHT // cell, _WIDTH // cell, channels))[None]


def _waves(height: int, width: int, channels: int) -> np.ndarray:
    rows, columns = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None]
    waves = [
        0.5 + 0.5 * np.sin(k * rows * columns * 9 + 7 * rows - k * columns)
        for k in range(1, channels + 1)
    ]
    return np.stack(waves, axis=-1).astype(np.float32)
