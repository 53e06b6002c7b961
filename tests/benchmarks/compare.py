"""Our chain and PyTorch's, in turn, in one run: `python tests/benchmarks/compare.py`.

Both repaint one picture at full strength with all levels that the model has decoders for, the style
given as a picture of the same size. Each has a process of its own, and they take turns.
"""

import argparse
import multiprocessing
import os
import resource
import time

import numpy as np
from skimage.data import astronaut, coffee


def pictures(size):
    from wct._pixels import resize

    found = [coffee()[:, 100:500], astronaut()]
    return [resize(each.astype(np.float32) / 255, (size, size)) for each in found]


def ours(model, size):
    import jax
    import jax.numpy as jnp

    import wct

    stylizer = wct.Stylizer.from_pretrained(model)
    content, style = map(jnp.asarray, pictures(size))
    levels = tuple(level for level in (5, 4, 3, 2, 1) if f"decoder{level}" in stylizer.decoders)
    recipe = wct.Recipe(1.0, levels=levels)
    run = lambda style: jax.block_until_ready(stylizer(content[None], style, recipe))  # noqa: E731
    ready = stylizer.read_style(style)
    return {
        "ours": lambda: run(stylizer.read_style(style)),
        "ours, style at hand": lambda: run(ready),
    }


def torchs(model, size):
    import torch
    from torch_chain import TorchChain

    from wct._weights import load_model

    content, style = (torch.tensor(each).permute(2, 0, 1)[None] for each in pictures(size))
    chains = {
        f"torch, {name}": TorchChain(load_model(model), channels_last=last)
        for name, last in (("channels first", False), ("channels last", True))
    }
    return {name: lambda chain=chain: chain(content, style) for name, chain in chains.items()}


def work(prepare, model, size, memory, pipe):
    """Time each function whenever told to; in the end, tell the process's peak memory."""
    if memory == "kept":
        from wct._malloc import keep_memory

        keep_memory()
    functions = prepare(model, size)
    while pipe.recv():
        times = {}
        for name, function in functions.items():
            function()  # caches are cold after the other's turn
            start = time.perf_counter()
            function()
            times[name] = time.perf_counter() - start
        pipe.send(times)
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def compare(model, size, rounds, memory):
    context = multiprocessing.get_context("spawn")
    workers = []
    for prepare in (ours, torchs):
        here, there = context.Pipe()
        context.Process(
            target=work, args=(prepare, model, size, memory, there), daemon=True
        ).start()
        workers.append(here)
    times = {}
    for _ in range(rounds):
        for pipe in workers:
            pipe.send(True)
            for name, seconds in pipe.recv().items():
                times.setdefault(name, []).append(seconds)
    peaks = []
    for pipe in workers:
        pipe.send(False)
        peaks.append(pipe.recv())
    return {name: min(found) for name, found in times.items()}, peaks


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vgg19-lite")
    parser.add_argument("--sizes", default="256,512,1024")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--memory",
        choices=("as-is", "kept", "huge"),
        default="as-is",
        help="both as they are, keeping what was freed as the command does, or by huge pages",
    )
    options = parser.parse_args()
    if options.memory == "huge":
        os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    for size in map(int, options.sizes.split(",")):
        times, peaks = compare(options.model, size, options.rounds, options.memory)
        mark = min(seconds for name, seconds in times.items() if name.startswith("torch"))
        print(f"{options.model}, {size} × {size}, memory {options.memory}")
        for name, seconds in times.items():
            print(f"  {name:24} {seconds:8.3f} s   PyTorch's best / this: {mark / seconds:.2f}")
        print(f"  peak memory: ours {peaks[0]:.0f} MB, PyTorch {peaks[1]:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
