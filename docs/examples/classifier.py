"""Trains a small classifier with and without `wct.augment`, and prints both accuracies.

The training set has light shapes on dark, plain ground; in the test set ground and shapes have any
colour, hardly differ, and are blotchy. With random styles, the network learns to expect that.
"""

import time
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import wct

SIDE, BATCH, STEPS = 32, 32, 100


def draw_shapes(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw discs, squares, crosses and rings: masks `(count, 32, 32, 1)`, and which they are."""
    y, x = np.mgrid[:SIDE, :SIDE]
    labels = rng.integers(0, 4, count)
    masks = []
    for label in labels:
        (cy, cx), radius = rng.uniform(13, 19, 2), rng.uniform(7, 11)
        down, right = np.abs(y - cy), np.abs(x - cx)
        disc = np.hypot(down, right) < radius
        square = np.maximum(down, right) < 0.85 * radius
        cross = (np.minimum(down, right) < 0.3 * radius) & (np.maximum(down, right) < radius)
        ring = disc & (np.hypot(down, right) > 0.6 * radius)
        masks.append((disc, square, cross, ring)[label])
    return np.stack(masks)[..., None], labels


def draw_training_set(rng: np.random.Generator, count: int = 512) -> tuple[jax.Array, jax.Array]:
    """Draw light grey shapes on dark grey ground, with a little noise."""
    masks, labels = draw_shapes(count, rng)
    light, dark = rng.uniform(0.8, 0.95, (count, 1, 1, 1)), rng.uniform(0.1, 0.25, (count, 1, 1, 1))
    return finish(np.where(masks, light, dark), rng), jnp.asarray(labels)


def draw_test_set(rng: np.random.Generator, count: int = 512) -> tuple[jax.Array, jax.Array]:
    """Draw shapes a little lighter than their ground, which is of any colour, under blotches."""
    masks, labels = draw_shapes(count, rng)
    ground, more = rng.uniform(0.1, 0.5, (count, 1, 1, 3)), rng.uniform(0.1, 0.2, (count, 1, 1, 3))
    blotches = jax.image.resize(rng.normal(size=(count, 8, 8, 3)), (count, SIDE, SIDE, 3), "cubic")
    return finish(ground + more * masks + 0.05 * np.asarray(blotches), rng), jnp.asarray(labels)


def finish(images: np.ndarray, rng: np.random.Generator) -> jax.Array:
    """Add noise, and make them RGB in [0, 1]."""
    noise = 0.05 * rng.normal(size=(*images.shape[:3], 3))
    return jnp.asarray(np.clip(images + noise, 0, 1), jnp.float32)


class Classifier(nnx.Module):
    """Three convolutions and a linear layer."""

    def __init__(self, rngs: nnx.Rngs):
        self.layers = nnx.List(
            [
                nnx.Conv(inputs, outputs, (3, 3), strides=2, rngs=rngs)
                for inputs, outputs in pairwise((3, 16, 32, 64))
            ]
        )
        self.last = nnx.Linear(64 * (SIDE // 8) ** 2, 4, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Return the logits of each image."""
        for layer in self.layers:
            images = nnx.relu(layer(images))
        return self.last(images.reshape(len(images), -1))


@nnx.jit
def take_step(model, optimizer, images, labels):
    """One step of gradient descent."""

    def loss(model):
        return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()

    optimizer.update(model, nnx.grad(loss)(model))


def train(images, labels, augment=None) -> Classifier:
    """Train a classifier; `augment` takes a key and a batch."""
    model = Classifier(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(2e-3), wrt=nnx.Param)
    rng, key = np.random.default_rng(0), jax.random.key(0)
    for step in range(STEPS):
        chosen = rng.integers(0, len(images), BATCH)
        batch = images[chosen]
        if augment is not None:
            batch = augment(jax.random.fold_in(key, step), batch)
        take_step(model, optimizer, batch, labels[chosen])
    return model


def main() -> None:
    """Train both, and compare them."""
    training = draw_training_set(np.random.default_rng(1))
    images, labels = draw_test_set(np.random.default_rng(2))
    stylizer, bank = wct.Stylizer.from_pretrained(), wct.Style.from_pretrained()
    restyle = partial(jax.jit(wct.augment), bank=bank, stylizer=stylizer)
    for name, augment in (("without", None), ("with", restyle)):
        start = time.perf_counter()
        accuracy = (train(*training, augment)(images).argmax(-1) == labels).mean()
        seconds = time.perf_counter() - start
        print(f"{name} augmentation: {accuracy:.3f} ({seconds:.0f} s)")


if __name__ == "__main__":
    main()
