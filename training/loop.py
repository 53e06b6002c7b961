"""The training loop: steps, metrics, checkpoints, exact resume."""

import contextlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import rich.console
import rich.progress
from optax.contrib import MuonDimensionNumbers, muon
from tensorboardX import SummaryWriter

from .clock import Clock
from .devices import Devices
from .settings import Phase, SettingsError


def has_checkpoint(directory: Path) -> bool:
    """Tell whether a run in this directory can be resumed."""
    with _checkpoints(directory) as manager:
        return manager.latest_step() is not None


def train(
    trained: Any,
    frozen: Any,
    loss: Callable,
    batches: Callable[[int], Iterator[jax.Array | np.ndarray]],
    phase: Phase,
    directory: Path,
    sample: Callable[[Any, int], None],
    rates: Any = 1.0,
) -> Any:
    """Train by Muon with a warm-up and cosine decay; go on from the latest checkpoint, if any.

    Args:
        trained: A pytree of networks to train.
        frozen: A pytree of what the loss needs besides.
        loss: `(trained, frozen, images, phase) → (loss, metrics)`.
        batches: Given the first step, yields that step's batch and those after it, the same ones
            in every process.
        phase: Steps, learning rate and so on.
        directory: For checkpoints, `metrics.jsonl` and TensorBoard's files.
        sample: Called every so often with the networks and the step.
        rates: Factors of the learning rate, a pytree that `trained` begins like: one number for
            all, or one for each of its parts.

    Returns:
        `trained`, after `phase.steps` steps.

    Raises:
        SettingsError: The checkpoints in the directory are of other networks.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, phase.learning_rate, phase.warmup, phase.steps
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        muon(1.0, consistent_rms=0.3, adam_b2=0.95, muon_weight_dimension_numbers=_kernels),
        _scale_by_size(),
        optax.scale_by_schedule(schedule),
    )

    @jax.jit
    @jax.default_matmul_precision("tensorfloat32")  # twice as fast on GPUs, and enough for steps
    def update(state, frozen, images):
        trained, moments = state
        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(
            trained, frozen, images, phase
        )
        updates, moments = optimizer.update(gradient, moments, trained)
        updates = jax.tree.map(
            lambda rate, part: jax.tree.map(lambda update: rate * update, part), rates, updates
        )
        return (optax.apply_updates(trained, updates), moments), metrics

    devices = Devices()
    state = (trained, optimizer.init(trained))
    with _checkpoints(directory) as manager:
        done = manager.latest_step() or 0
        if done:
            state = _restore(manager, done, state)
        state, frozen = devices.copy(state), devices.copy(frozen)
        clock = Clock(phase.batch)
        first = jax.process_index() == 0
        with _Log(directory if first else None, done) as log, _progress() as progress:
            task = progress.add_task(directory.name, total=phase.steps, completed=done, speed="")
            steps = zip(range(done + 1, phase.steps + 1), clock.watch(batches(done)), strict=False)
            for step, images in steps:
                state, metrics = update(state, frozen, devices.split(images))
                log.write(step, metrics, clock.reading() if step % 10 == 0 else {})
                progress.update(task, completed=step, speed=str(clock))
                if step % phase.checkpoint_every == 0 or step == phase.steps:
                    log.flush()
                    manager.save(step, args=ocp.args.StandardSave(jax.tree.leaves(state)))
                if first and (step % phase.sample_every == 0 or step == phase.steps):
                    sample(state[0], step)
            progress.console.print(f"{directory.name}: {clock}")
        manager.wait_until_finished()
    return state[0]


def _kernels(trained: Any) -> Any:
    """Tell Muon which weights are convolutions' kernels, HWIO; Adam is for the others."""
    kernel = MuonDimensionNumbers(reduction_axis=(0, 1, 2), output_axis=3)
    return jax.tree.map(lambda weights: kernel if weights.ndim == 4 else None, trained)


def _scale_by_size() -> optax.GradientTransformation:
    """Scale a kernel's step by the root of its own size, relative to a size of 0.1.

    After a least-squares start the sizes differ a hundredfold, and one absolute rate is too small
    for some and too large for others. Steps in proportion to the size (LAMB) overdo it.
    """

    def scale(update: jax.Array, weights: jax.Array) -> jax.Array:
        if weights.ndim == 1:  # a bias
            return update
        return update * jnp.sqrt(10 * jnp.sqrt(jnp.mean(weights**2)))

    return optax.stateless(lambda updates, weights: jax.tree.map(scale, updates, weights))


def _checkpoints(directory: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True)
    handler = ocp.StandardCheckpointHandler()
    return ocp.CheckpointManager(
        directory.absolute() / "checkpoints", options=options, item_handlers=handler
    )


def _restore(manager: ocp.CheckpointManager, step: int, like: Any) -> Any:
    """Return what was saved after a step, a pytree like this one."""
    leaves, structure = jax.tree.flatten(like)
    saved = jax.tree.leaves(manager.item_metadata(step))
    if [each.shape for each in saved] != [each.shape for each in leaves]:
        raise SettingsError(
            f"the checkpoints in {manager.directory} are of networks of other shapes: give these "
            "a run's directory of their own"
        )
    leaves = manager.restore(step, args=ocp.args.StandardRestore(leaves))
    return jax.tree.unflatten(structure, leaves)


class _Log:
    """Metrics, as JSON lines and for TensorBoard; lines after the step resumed from are dropped.

    Each step's are written when the next one has been started: devices need not wait for that.
    Without a directory, nothing is written: of several processes one is enough.
    """

    def __init__(self, directory: Path | None, done: int):
        self._closing = contextlib.ExitStack()
        self._file = self._board = None
        self._due: Callable[[], None] = lambda: None
        if directory is None:
            return
        path = directory / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= done]
        path.write_text("".join(line + "\n" for line in kept))
        self._file = self._closing.enter_context(path.open("a"))
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=done + 1)
        self._closing.callback(self._board.close)
        self._closing.callback(self.flush)

    def write(self, step: int, metrics: dict[str, jax.Array], speed: dict[str, float]) -> None:
        self.flush()
        self._due = partial(self._write, step, metrics, speed)

    def flush(self) -> None:
        self._due()
        self._due = lambda: None

    def _write(self, step: int, metrics: dict[str, jax.Array], speed: dict[str, float]) -> None:
        if self._file is None or self._board is None:
            return
        fetched = jax.device_get(metrics)
        numbers = {name: round(float(value), 6) for name, value in fetched.items()}
        self._file.write(json.dumps({"step": step, **numbers}) + "\n")
        self._file.flush()
        for name, value in (numbers | speed).items():
            self._board.add_scalar(name, value, step)

    def __enter__(self) -> "_Log":
        return self

    def __exit__(self, *_) -> None:
        self._closing.close()


def _progress() -> rich.progress.Progress:
    return rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[speed]}"),
        console=rich.console.Console(stderr=True),
    )
