"""Random layers, and what they make of pictures in float64 NumPy."""

import jax.numpy as jnp
import numpy as np
import oracle
from hypothesis import strategies as st

from wct._convolution import Layer

KINDS = st.sampled_from(
    [(False, False), (False, False), (True, False), (False, True), (True, True)]
)


def one_by_one(features, layers, size):
    """The features after each layer, of the picture alone."""
    pictures = [np.asarray(each[: size[0], : size[1]], np.float64) for each in features]
    found = []
    for kernel, bias, doubled, relu, halved in layers:
        if doubled:
            pictures = [oracle.upsample(each) for each in pictures]
        pictures = [oracle.convolve(each, kernel, bias) for each in pictures]
        if relu:
            pictures = [oracle.relu(each) for each in pictures]
        if halved:
            pictures = [oracle.pool(each) for each in pictures]
        found.append(np.stack(pictures))
    return found


@st.composite
def cases(draw):
    """Some layers, and features of which a part is the picture."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    channels, layers = draw(st.integers(1, 3)), []
    inputs = channels
    for doubled, halved in draw(st.lists(KINDS, min_size=1, max_size=4)):
        outputs = draw(st.sampled_from([2, 5, 17]))
        kernel, bias = rng.normal(size=(3, 3, inputs, outputs)), rng.normal(size=outputs)
        weights = [jnp.asarray(each, jnp.float32) for each in (kernel, bias)]
        layers.append(Layer(*weights, doubled, relu=draw(st.booleans()), halved=halved))
        inputs = outputs
    halvings = 2 ** sum(layer.halved for layer in layers)
    size, beyond = (
        tuple(halvings * draw(st.integers(least, 4)) for _ in range(2)) for least in (1, 0)
    )
    canvas = (side + more for side, more in zip(size, beyond, strict=True))
    features = jnp.asarray(rng.normal(size=(2, *canvas, channels)), jnp.float32)
    return features, layers, size
