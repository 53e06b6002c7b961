"""The average of networks: of one run's start and its end it is often better than either.

Reference: M. Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models
improves accuracy without increasing inference time", ICML 2022.
"""

from collections.abc import Sequence
from pathlib import Path

import jax

from wct._weights import Model, load_model, save_model

from .settings import SettingsError


def average_models(models: Sequence[Path], target: Path) -> Path:
    """Write a model whose weights are the means of others'.

    Args:
        models: Model directories, of one ancestor: of networks trained apart, means are worth
            nothing.
        target: Where to.

    Raises:
        SettingsError: They differ in their widths or levels.
    """
    loaded = [load_model(model) for model in models]
    networks = [(model.encoder, model.decoders) for model in loaded]
    for path, each in zip(models, networks, strict=True):
        if jax.tree.structure(each) != jax.tree.structure(networks[0]):
            raise SettingsError(f"{path} and {models[0]} differ in widths or levels")
    encoder, decoders = jax.tree.map(lambda *weights: sum(weights) / len(weights), *networks)
    save_model(target, Model(loaded[0].name, encoder, decoders))
    return target
