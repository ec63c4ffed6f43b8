"""The loop around every task: steps, the record of their losses, checkpoints, and the end of a diverging one.

It is plain on purpose. What a step does (closures, targets, closed-form updates) is the task's affair; the loop
seeds, calls, watches losses and weights for what is not finite, averages what it logs, and can stop anywhere and go on
as if it never had.
"""

from __future__ import annotations

import hashlib
import io
import math
import pickle
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from retable.bench.task import State, Task

POINTS = 100
"""Points of a loss curve: each is the mean over the steps since the one before."""

LOOK_SECONDS = 0.5
"""So often values are fetched and it is asked whether to stop or to write a checkpoint, however long a point is."""

EXPLODED = 1e6
"""A watched loss that grows to so many times its first value (or 1, if that is more) has diverged, as has one that
is not finite."""


@dataclass
class Standing:
    """Where a trial stands; with the task's state and the generators', all that a resumed one needs.

    history: (step, seconds since the start, values) per point logged so far. since: the
        steps since the last and their values.
    """

    index: int = 0
    seconds: float = 0.0
    first: dict[str, float] = field(default_factory=dict)
    history: list[tuple[int, float, dict[str, float]]] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    since: list[tuple[int, dict[str, float]]] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """How the loop ended. kind: "finished", "diverged" (reason says at which step) or "stopped"."""

    kind: str
    reason: str
    progress: Standing


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


def run(task: Task, hooks: Hooks, watch: str, progress: Standing | None = None) -> Outcome:
    """Train `task` to its end from `progress` (a fresh one, or a checkpoint's).

    watch: the metric whose growth ends the trial as diverged and which a pruner sees; where steps do not
        measure it (it is an evaluation's), the first metric that they do.
    """
    progress = progress or Standing()
    every = max(1, math.ceil(task.steps / POINTS))
    pending: list[tuple[int, Mapping[str, torch.Tensor]]] = []
    last_checkpoint = last_fetch = time.perf_counter()

    while progress.index < task.steps:
        pending.append((progress.index + 1, task.step(progress.index)))
        progress.index += 1
        boundary = progress.index % every == 0 or progress.index == task.steps
        now = time.perf_counter()
        if not boundary and now - last_fetch < LOOK_SECONDS:
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
            progress.since.append((step, values))
        if boundary:
            trouble = unsound(task.state_dict())
            if trouble:
                return Outcome("diverged", f"{trouble} at step {progress.index}", progress)
            points = _points(progress.since)
            progress.since.clear()
            for step, values in points:
                progress.history.append((step, progress.seconds, values))
                hooks.log(step, progress.seconds, values)
            if hooks.report and _crosses(progress.index, every, hooks):
                found = newest(progress, watch)
                hooks.report(progress.index, next(iter(points[-1][1].values())) if found is None else found)
        if progress.index < task.steps:
            stopping = hooks.stop()
            if stopping or time.perf_counter() - last_checkpoint > hooks.checkpoint_seconds:
                hooks.checkpoint(pack(task, progress), progress.index)
                last_checkpoint = time.perf_counter()
            if stopping:
                return Outcome("stopped", f"stopped at step {progress.index}", progress)
        hooks.tick(progress.index)
        last_fetch = time.perf_counter()
    return Outcome("finished", "", progress)


def _points(rows: list[tuple[int, dict[str, float]]]) -> list[tuple[int, dict[str, float]]]:
    """What is logged of some steps: at the last of them the mean of each value that all of them measured; before it
    what only some measured, at its own step and as it was."""
    always = [key for key in rows[0][1] if all(key in values for _, values in rows)]
    some = [(step, {k: v for k, v in values.items() if k not in always}) for step, values in rows]
    mean = {key: statistics.fmean(values[key] for _, values in rows) for key in always}
    return [*((step, values) for step, values in some if values), (rows[-1][0], mean)]


NOT_WEIGHTS = ("optimizer", "log")
"""Keys of a task's state below which nothing needs to be finite."""


def unsound(state: State) -> str:
    """What in a task's state holds a NaN or an infinity, in words; empty if all weights are finite.

    ReLUs and bf16 swallow NaN: a network of nothing else can go on with finite losses. One synchronisation.
    """
    named = [(name, t) for name, t in _tensors(state, "") if t.is_floating_point() and t.numel()]
    if not named:
        return ""
    largest = torch.stack([t.detach().abs().max().to("cpu", torch.float64, non_blocking=True) for _, t in named])
    bad = [name for (name, _), finite in zip(named, largest.isfinite().tolist(), strict=True) if not finite]
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return f"{bad[0]}{more} is not finite" if bad else ""


def _tensors(value: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, (Mapping, list, tuple)):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, inner in items:
            if key not in NOT_WEIGHTS:
                yield from _tensors(inner, f"{name}.{key}" if name else str(key))


def _crosses(step: int, every: int, hooks: Hooks) -> bool:
    return bool(hooks.report_every) and step // hooks.report_every > (step - every) // hooks.report_every


def newest(progress: Standing, metric: str) -> float | None:
    """The newest point of a metric, None where no step has measured it."""
    return next((values[metric] for _, _, values in reversed(progress.history) if metric in values), None)


def _fetch(pending: list[tuple[int, Mapping[str, torch.Tensor]]]) -> list[tuple[int, dict[str, float]]]:
    flat = [value.detach().reshape(()).to(torch.float64) for _, values in pending for value in values.values()]
    numbers = iter(torch.stack(flat).cpu().tolist() if flat else [])
    return [(step, {key: next(numbers) for key in values}) for step, values in pending]


def _trouble(values: Mapping[str, float], watch: str, progress: Standing) -> str:
    for key, value in values.items():
        if not math.isfinite(value):
            return f"{key} is {value}"
    key = watch if watch in values or watch in progress.first else next(iter(values))
    if key not in values:
        return ""  # not measured at this step
    first = progress.first.setdefault(key, values[key])
    if abs(values[key]) > EXPLODED * max(abs(first), 1.0):
        return f"{key} grew from {first:.3g} to {values[key]:.3g}"
    return ""


def pack(task: Task, progress: Standing) -> bytes:
    """A checkpoint: the task, the generators and the progress, readable with `weights_only=True`."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        "task": task.state_dict(),
        "index": progress.index,
        "seconds": progress.seconds,
        "first": dict(progress.first),
        "history": [[step, seconds, dict(values)] for step, seconds, values in progress.history],
        "step_seconds": list(progress.step_seconds),
        "since": [[step, dict(values)] for step, values in progress.since],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "random": random.getstate(),
    }
    return to_bytes(state)


def unpack(data: bytes, task: Task) -> Standing:
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
    since = [(int(step), dict(values)) for step, values in state["since"]]
    return Standing(state["index"], state["seconds"], dict(state["first"]), history, list(state["step_seconds"]), since)


BROKEN = (OSError, EOFError, pickle.UnpicklingError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)
"""What reading a state raises, in torch or in the task that takes it over, for a file that is broken or of old form."""


def to_bytes(state: State) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def from_bytes(data: bytes) -> Any:
    """Read a state without running any code in it."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
