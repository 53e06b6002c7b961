"""The chain's speed and accuracy on a GPU: `python tests/benchmarks/gpu.py [--quick] [MODEL…]`.

Each section prints what it finds at once, and one that fails says so and lets the others go on.
A model that lacks networks is drawn at random with the widths of VGG-19: its times count, its
pictures do not. XLA's flags are those of the environment, `XLA_FLAGS`.
"""

import argparse
import contextlib
import os
import statistics
import time
import traceback
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

import wct
from wct._drawn import draw_style
from wct._scene import draw_scene

VGG = (64, 128, 256, 512, 512)


def say(*words):
    print(f"[{time.perf_counter() - START:6.1f} s]", *words, flush=True)


@contextlib.contextmanager
def section(name):
    try:
        yield
    except Exception as error:
        say(f"{name} FAILED: {type(error).__name__}: {str(error)[:300]}")
        traceback.print_exc(limit=-3)


def milliseconds(function, *arguments, repeats=30, most=5.0):
    """The median of calls each waited for, in at most so many seconds; and the first call's."""
    times = []
    start = time.perf_counter()
    while not times or (len(times) <= repeats and time.perf_counter() - start < most + times[0]):
        before = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - before)
    first, *others = times
    return 1e3 * statistics.median(others or times), first


def pictures(size):
    drawn = draw_scene(size, size), draw_style("strokes", size)
    return [jnp.asarray(np.asarray(each, np.float32)) for each in drawn]


def load(model):
    try:
        stylizer = wct.Stylizer.from_pretrained(model)
        if len(stylizer.decoders) == 5:
            return stylizer
        say(f"{model} has not all decoders: RANDOM weights of widths {VGG}")
    except wct.WctError as error:
        say(f"{model}: {str(error)[:100]}… RANDOM weights of widths {VGG}")
    rngs = nnx.Rngs(0)
    decoders = [wct.Decoder(level, VGG, rngs=rngs) for level in range(1, 6)]
    return wct.Stylizer(f"{model}, random", wct.Encoder(VGG, rngs=rngs), decoders)


def roof(precision, quick):
    """TFLOP/s of a large convolution, several in one program."""
    batch, side, channels, count = (1, 32, 64, 2) if quick else (16, 128, 256, 10)
    features = jnp.ones((batch, side, side, channels))
    kernel = jnp.full((3, 3, channels, channels), 1e-3)

    @jax.jit
    def run(features):
        for _ in range(count):
            numbers = ("NHWC", "HWIO", "NHWC")
            features = lax.conv_general_dilated(
                features, kernel, (1, 1), "SAME", dimension_numbers=numbers, precision=precision
            )
        return features

    taken, _ = milliseconds(run, features, repeats=10)
    return count * 2 * 9 * channels**2 * features[..., 0].size / taken / 1e9


def convolution_flops(function, *arguments):
    """Multiplications and additions of all convolutions that a function comes down to."""

    def count(jaxpr):
        total = 0
        for equation in jaxpr.eqns:
            if equation.primitive.name == "conv_general_dilated":
                kernel = equation.invars[1].aval.shape
                total += 2 * equation.outvars[0].aval.size * int(np.prod(kernel[:3]))
            for value in jax.tree.leaves(
                list(equation.params.values()), is_leaf=lambda value: hasattr(value, "eqns")
            ):
                inner = getattr(value, "jaxpr", value)
                total += count(inner) if hasattr(inner, "eqns") else 0
        return total

    return count(jax.make_jaxpr(function)(*arguments).jaxpr)


class Bench:
    """One model, and what is measured of it."""

    def __init__(self, model, size, roofs):
        self.stylizer, self.size, self.roofs = load(model), size, roofs
        self.name = self.stylizer.name
        self.content, painting = pictures(size)
        self.style = jax.block_until_ready(self.stylizer.read_style(painting))
        taken, _ = milliseconds(self.stylizer.read_style, painting, most=1)
        say(f"{self.name}: a style is read in {taken:.2f} ms")

    def speed(self, label, batch=1, **changes):
        recipe = replace(RECIPES[label], **changes)
        many = jnp.broadcast_to(self.content, (batch, *self.content.shape))
        taken, first = milliseconds(self.stylizer, many, self.style, recipe, most=2)
        say(
            f"{self.name}, {self.size}², {label}, batch {batch}{changes or ''}: {taken:.2f} ms, "
            f"{1e3 * batch / taken:.1f} images/s; first call {first:.1f} s"
        )
        work = convolution_flops(lambda many: self.stylizer(many, self.style, recipe), many)
        rate = work / taken / 1e9
        shares = ", ".join(f"{rate / each:.0%} of {kind}" for kind, each in self.roofs.items())
        say(
            f"    convolutions: {work / batch / 1e9:.1f} GFLOP an image; {rate:.2f} TFLOP/s, "
            f"{shares}"
        )

    def dispatch(self):
        taken = []
        for _ in range(20):
            before = time.perf_counter()
            result = self.stylizer(self.content[None], self.style, RECIPES["paper"])
            taken.append(time.perf_counter() - before)
            jax.block_until_ready(result)
        peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
        say(f"{self.name}: a call returns after {1e3 * statistics.median(taken):.2f} ms")
        say(f"{self.name}: peak memory so far {peak / 1e6:.0f} MB")

    def accuracy(self, label):
        def run(solver):
            recipe = replace(RECIPES[label], solver=solver)
            return 255 * np.asarray(self.stylizer(self.content[None], self.style, recipe))

        exact, plain = run("newton-schulz"), run("eigh")
        with jax.default_matmul_precision("tensorfloat32"):
            fast = run("newton-schulz")
        for what, difference in (("TF32", fast - exact), ("the solver", exact - plain)):
            say(
                f"{self.name}, {label}: {what} changes the picture by "
                f"{np.abs(difference).max():.3f}/255 at most, {np.abs(difference).mean():.4f} in "
                "the mean (2e-3 is 0.51)"
            )


PRECISIONS = {"float32": lax.Precision.HIGHEST, "TF32": lax.Precision.HIGH}

RECIPES = {"paper": wct.Recipe(1.0), "balanced": wct.Recipe.preset("balanced")}


def with_tf32(bench, label):
    with jax.default_matmul_precision("tensorfloat32"):
        bench.speed(label)


SECTIONS = {
    "paper": lambda bench: (bench.speed("paper"), bench.dispatch()),
    "balanced": lambda bench: bench.speed("balanced"),
    "paper, with TF32": lambda bench: with_tf32(bench, "paper"),
    "accuracy of paper": lambda bench: bench.accuracy("paper"),
    "batch 8": lambda bench: bench.speed("paper", 8),
    "eigh": lambda bench: bench.speed("paper", solver="eigh"),
    "batch 32": lambda bench: bench.speed("paper", 32),
    "accuracy of balanced": lambda bench: bench.accuracy("balanced"),
}
"""The most wanted first."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["vgg19-lite", "vgg19"])
    parser.add_argument("--quick", action="store_true", help="small pictures, to try the script")
    parser.add_argument("--size", type=int, help="side of the pictures")
    parser.add_argument("--seconds", type=float, default=100, help="begin nothing after so long")
    options = parser.parse_args()
    size = options.size or (48 if options.quick else 512)
    say(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {os.environ.get('XLA_FLAGS')}")
    roofs = {}
    for kind, precision in PRECISIONS.items():
        with section(f"roof of {kind}"):
            roofs[kind] = roof(precision, options.quick)
            say(f"convolutions reach {roofs[kind]:.1f} TFLOP/s with {kind}")
    benches = []
    for model in options.models:
        with section(model):
            benches.append(Bench(model, size, roofs))
    for name, measure in SECTIONS.items():
        for bench in benches:
            if time.perf_counter() - START > options.seconds:
                say(f"no time for: {bench.name}, {name}")
                continue
            if name.startswith("accuracy") and bench.name.endswith("random"):
                continue
            with section(f"{bench.name}, {name}"):
                measure(bench)
    say("done")


START = time.perf_counter()
if __name__ == "__main__":
    main()
