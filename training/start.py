"""Least-squares starts: networks fitted layer by layer, before any gradient step.

An encoder layer is fitted from the student's own features to the pre-activations of those channels
of the teacher that a pivoted QR decomposition picks, and after relu3_1 a few channels to the
picture's colours; a decoder layer to what the encoder's layer of the same name was given. Behind a
ReLU, an error below zero is none: the fit is repeated with such targets moved to the prediction.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from flax import nnx
from jaxtyping import Array

from wct._convolution import halve
from wct._layers import layer_names
from wct._networks import Convolution, Decoder, Encoder

_SAMPLES = 40_000
_REFITS = 3


def start_encoder(
    teacher: Encoder, widths: Sequence[int], images: np.ndarray, seed: int = 0
) -> Encoder:
    """Fit an encoder of the given widths to a teacher's features, scaled to a unit mean square.

    Args:
        teacher: The network to imitate.
        widths: Channels of the five blocks, none wider than the teacher's.
        images: `(count, height, width, 3)`, RGB in [0, 1].
        seed: Of the sampled positions.
    """
    generator = np.random.default_rng(seed)
    encoder = Encoder(widths, rngs=nnx.Rngs(0))
    theirs, ours = images, images
    for name in layer_names():
        if name.endswith("_1") and name != "conv1_1":
            theirs, ours = in_batches(halve, theirs), in_batches(halve, ours)
        theirs = in_batches(teacher.layers[name], theirs)  # before the activation
        positions = _sample(theirs.shape, generator)
        rectified = np.maximum(theirs[positions], 0)
        width = encoder.layers[name].kernel.shape[-1]
        # Features finer than these, or as many as the teacher's, hold the colours anyway.
        coarse_and_few = name > "conv3_1" and width < theirs.shape[-1]
        colors = _colors(images, theirs.shape[1])[..., : width // 8 if coarse_and_few else 0]
        kept = _most_independent(rectified)[: width - colors.shape[-1]]
        scale = np.sqrt(np.mean(rectified[:, kept] ** 2, axis=0))
        scale = np.maximum(scale, 0.01 * scale.max() + 1e-12)  # some may never fire
        targets = np.concatenate([theirs[positions][:, kept] / scale, colors[positions]], -1)
        _fit(encoder.layers[name], ours, targets, positions, rectified=True)
        ours = np.maximum(in_batches(encoder.layers[name], ours), 0)
        np.maximum(theirs, 0, out=theirs)
    return encoder


def start_decoder(encoder: Encoder, level: int, images: np.ndarray, seed: int = 0) -> Decoder:
    """Fit a decoder to an encoder.

    Args:
        encoder: The network to invert.
        level: From which features, 1 … 5.
        images: `(count, height, width, 3)`, RGB in [0, 1].
        seed: Of the sampled positions.
    """
    generator = np.random.default_rng(seed)
    decoder = Decoder(level, encoder.widths, rngs=nnx.Rngs(0))
    inputs, features = {}, images
    for name in layer_names(level):
        if name.endswith("_1") and name != "conv1_1":
            features = in_batches(halve, features)
        inputs[name] = features
        features = np.maximum(in_batches(encoder.layers[name], features), 0)
    for name in reversed(layer_names(level)):
        last = name == "conv1_1"
        positions = _sample(inputs[name].shape, generator)
        targets = inputs[name][positions]
        _fit(decoder.layers[name], features, targets, positions, rectified=not last)
        if last:
            break
        features = np.maximum(in_batches(decoder.layers[name], features), 0)
        if name.endswith("_1"):
            features = in_batches(double, features)
    return decoder


def linear_fit(inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit `inputs @ matrix + offset` to targets by (very slightly ridged) least squares.

    Args:
        inputs: `(samples, inputs)`.
        targets: `(samples, outputs)`.

    Returns:
        The matrix and the offset, float64.
    """
    return _fitter(inputs)(targets)


def set_layer(layer: Convolution, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Replace a layer's weights."""
    layer.kernel = nnx.Param(jnp.asarray(kernel, jnp.float32))
    layer.bias = nnx.Param(jnp.asarray(bias, jnp.float32))


def _colors(images: np.ndarray, height: int) -> np.ndarray:
    """Colours, and their complements, averaged over the cells of features of this height.

    VGG-19's deep features tell little of colour, yet a decoder needs it.
    """
    cell = images.shape[1] // height
    count, rows, columns, _ = images.shape
    cells = images.reshape(count, rows // cell, cell, columns // cell, cell, 3).mean((2, 4))
    return np.concatenate([cells, 1 - cells], -1)


def _most_independent(vectors: np.ndarray) -> np.ndarray:
    """Order channels, the last axis, by how little those before them tell of them."""
    decomposition = scipy.linalg.qr(vectors - vectors.mean(0), mode="r", pivoting=True)
    return decomposition[-1]  # pyright: ignore[reportReturnType] its stub knows no modes


def _fit(
    layer: Convolution,
    features: np.ndarray,
    targets: np.ndarray,
    positions: tuple[np.ndarray, ...],
    *,
    rectified: bool,
) -> None:
    """Set a layer's kernel and bias so that it maps features to targets at some positions."""
    patches = _patches(features, positions)
    fit = _fitter(patches)
    matrix, offset = fit(targets)
    for _ in range(_REFITS if rectified else 0):
        predicted = patches @ matrix + offset
        matrix, offset = fit(np.where(targets <= 0, np.minimum(predicted, 0), targets))
    kernel = matrix.reshape(layer.kernel.shape)
    set_layer(layer, kernel, offset)


def _fitter(inputs: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return what fits targets by these inputs; the inputs are decomposed once."""
    mean = inputs.mean(0, dtype=np.float64)
    centred = inputs - mean
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += 1e-5 * np.trace(gram) / len(gram) + 1e-30
    factor = scipy.linalg.cho_factor(gram)

    def fit(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        middle = targets.mean(0, dtype=np.float64)
        matrix = scipy.linalg.cho_solve(factor, centred.T @ (targets - middle))
        return matrix, middle - mean @ matrix

    return fit


def _sample(shape: tuple[int, ...], generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Choose positions (image, row, column) of features of a shape, without repeats."""
    count = int(np.prod(shape[:3]))
    chosen = generator.choice(count, min(count, _SAMPLES), replace=False)
    return np.unravel_index(chosen, shape[:3])


def _patches(features: np.ndarray, positions: tuple[np.ndarray, ...]) -> np.ndarray:
    """The 3×3 neighbourhoods of some positions, flattened as an HWIO kernel is."""
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # pyright: ignore
    chosen = windows[positions]
    return np.moveaxis(chosen, 1, -1).reshape(len(chosen), -1)


def in_batches(function, features: np.ndarray, size: int = 8) -> np.ndarray:
    """Apply a function of a batch to many images, a few at a time."""
    compiled = jax.jit(lambda batch: function(batch))  # anew: a layer's weights may have changed
    return np.concatenate(
        [np.asarray(compiled(features[i : i + size])) for i in range(0, len(features), size)]
    )


def double(features: Array) -> Array:
    """Nearest-neighbour upsampling by two, NHWC."""
    return jnp.repeat(jnp.repeat(features, 2, axis=1), 2, axis=2)
