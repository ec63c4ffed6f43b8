"""The loop around every task: steps, the record of their losses, checkpoints, and the end of a diverging one.

It is plain on purpose. What a step does (closures, targets, closed-form updates) is the task's affair; the loop
seeds, calls, watches for NaN, averages what it logs, and can stop anywhere and go on as if it never had.
"""

from __future__ import annotations

import hashlib
import io
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from retable.bench.task import State, Task

POINTS = 100
"""Points of a loss curve: each is the mean over the steps since the one before."""

EXPLODED = 1e6
"""A watched loss that grows to so many times its first value (or 1, if that is more) has diverged, as has one that
is not finite."""


@dataclass
class Progress:
    """Where a trial stands; with the task's state and the generators', all that a resumed one needs.

    history: (step, seconds since the start, values) per point logged so far.
    """

    index: int = 0
    seconds: float = 0.0
    first: float | None = None
    history: list[tuple[int, float, dict[str, float]]] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """How the loop ended. kind: "finished", "diverged" (reason says at which step) or "stopped"."""

    kind: str
    reason: str
    progress: Progress


@dataclass(frozen=True)
class Hooks:
    """What the loop tells the outside.

    log(step, seconds, values): a point of the curves. checkpoint(bytes, step): keep it. stop(): end soon?
    report(step, value): for a pruner; may raise to end the trial. tick(step): a sign of life, about twice a second.
    """

    log: Callable[[int, float, Mapping[str, float]], None]
    checkpoint: Callable[[bytes, int], None]
    stop: Callable[[], bool] = lambda: False
    tick: Callable[[int], None] = lambda _: None
    report: Callable[[int, float], None] | None = None
    report_every: int = 0
    checkpoint_seconds: float = 60.0


def seed_all(seed: int, trial: str) -> None:
    """Seed torch, numpy and random from (seed, trial id)."""
    mixed = int.from_bytes(hashlib.sha256(f"{seed}/{trial}".encode()).digest()[:4], "big")
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)


def run(task: Task, hooks: Hooks, watch: str, progress: Progress | None = None) -> Outcome:
    """Train `task` to its end from `progress` (a fresh one, or a checkpoint's).

    watch: the metric whose growth ends the trial as diverged and which a pruner sees; where steps do not
        measure it (it is an evaluation's), the first metric that they do.
    """
    progress = progress or Progress()
    every = max(1, math.ceil(task.steps / POINTS))
    pending: list[tuple[int, Mapping[str, torch.Tensor]]] = []
    bucket: list[dict[str, float]] = []
    last_checkpoint = last_fetch = time.perf_counter()

    while progress.index < task.steps:
        pending.append((progress.index + 1, task.step(progress.index)))
        progress.index += 1
        boundary = progress.index % every == 0 or progress.index == task.steps
        now = time.perf_counter()
        if not boundary and now - last_fetch < 0.5:
            continue

        # One synchronisation for all steps since the last: values, divergence, points.
        rows = _fetch(pending)
        spent = time.perf_counter() - last_fetch
        progress.seconds += spent
        progress.step_seconds.append(spent / len(pending))
        pending.clear()
        for step, values in rows:
            trouble = _trouble(values, watch, progress)
            if trouble:
                hooks.log(step, progress.seconds, values)
                return Outcome("diverged", f"{trouble} at step {step}", progress)
            bucket.append(values)
        if boundary:
            mean = {k: statistics.fmean(v[k] for v in bucket) for k in bucket[-1]}
            bucket.clear()
            progress.history.append((progress.index, progress.seconds, mean))
            hooks.log(progress.index, progress.seconds, mean)
            if hooks.report and _crosses(progress.index, every, hooks):
                hooks.report(progress.index, mean[_watched(mean, watch)])
            stopping = hooks.stop()
            due = time.perf_counter() - last_checkpoint > hooks.checkpoint_seconds
            if (stopping or due) and progress.index < task.steps:
                hooks.checkpoint(pack(task, progress), progress.index)
                last_checkpoint = time.perf_counter()
            if stopping and progress.index < task.steps:
                return Outcome("stopped", f"stopped at step {progress.index}", progress)
        hooks.tick(progress.index)
        last_fetch = time.perf_counter()
    return Outcome("finished", "", progress)


def _crosses(step: int, every: int, hooks: Hooks) -> bool:
    return bool(hooks.report_every) and step // hooks.report_every > (step - every) // hooks.report_every


def _watched(values: Mapping[str, float], watch: str) -> str:
    return watch if watch in values else next(iter(values))


def _fetch(pending: list[tuple[int, Mapping[str, torch.Tensor]]]) -> list[tuple[int, dict[str, float]]]:
    flat = [value.detach().reshape(()).to(torch.float64) for _, values in pending for value in values.values()]
    numbers = iter(torch.stack(flat).cpu().tolist() if flat else [])
    return [(step, {key: next(numbers) for key in values}) for step, values in pending]


def _trouble(values: Mapping[str, float], watch: str, progress: Progress) -> str:
    for key, value in values.items():
        if not math.isfinite(value):
            return f"{key} is {value}"
    key = _watched(values, watch)
    if progress.first is None:
        progress.first = values[key]
    elif abs(values[key]) > EXPLODED * max(abs(progress.first), 1.0):
        return f"{key} grew from {progress.first:.3g} to {values[key]:.3g}"
    return ""


def pack(task: Task, progress: Progress) -> bytes:
    """A checkpoint: the task, the generators and the progress, readable with `weights_only=True`."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        "task": task.state_dict(),
        "index": progress.index,
        "seconds": progress.seconds,
        "first": progress.first,
        "history": [[step, seconds, dict(values)] for step, seconds, values in progress.history],
        "step_seconds": list(progress.step_seconds),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "random": random.getstate(),
    }
    return to_bytes(state)


def unpack(data: bytes, task: Task) -> Progress:
    """Bring `task` and the generators to where `pack` took them; return the progress."""
    state = from_bytes(data)
    task.load_state_dict(state["task"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, words, gauss = state["random"]
    random.setstate((version, tuple(words), gauss))
    history = [(int(step), float(seconds), dict(values)) for step, seconds, values in state["history"]]
    return Progress(state["index"], state["seconds"], state["first"], history, list(state["step_seconds"]))


def to_bytes(state: State) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def from_bytes(data: bytes) -> Any:
    """Read a state without running any code in it."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
