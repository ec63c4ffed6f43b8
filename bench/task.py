"""The Task interface: all that a paper and the engine know of each other.

A family in `models/` describes its tasks without importing torch (`TaskSpec`), so that a suite
can be checked and planned in a tenth of a second; a worker imports `TaskSpec.make` and runs it.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    import torch

State = Mapping[str, Any]
"""Nested dicts and lists of tensors, numbers, strings and bools: what `torch.load(weights_only=True)` reads."""


class Settings(BaseModel):
    """Base of a task's settings: typed, closed (an unknown key is an error) and immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Metric:
    """What a number means. `unit` is empty for a plain number; `better` is None where neither end is."""

    about: str
    better: Literal["lower", "higher"] | None = "lower"
    unit: str = ""


ENGINE_METRICS: dict[str, Metric] = {
    "time/train": Metric("seconds spent in training steps, evaluation and checkpoints left out", unit="s"),
    "time/step": Metric("median milliseconds of a training step", unit="ms"),
    "time/logging": Metric("share of the trial's wall time spent on logging", unit="%"),
    "memory/peak": Metric("peak resident memory of the worker, or of the device where there is one", unit="MiB"),
}
"""What the engine measures of every trial, beside the task's own metrics."""


@dataclass(frozen=True)
class TaskSpec:
    """A task as a suite sees it. Torch-free.

    name: the word in the YAML.
    settings: its settings; a default is a documented choice, a suite states the rest.
    make: "module:callable", called as `make(settings, context)` in a worker only.
    metrics: every metric that its `step` and `evaluate` return, by name ("loss/total").
    objective: the metric that Optuna sees.
    data: names of everything the task reads, given its settings: of sources in `retable.bench.data`, and of those
        that its package lists as `SOURCES`.
    apply: "module:callable" that uses a trained model on one's own pictures (`bench apply`), called as
        `apply(model, settings, request, device)` with an `Evaluation.model`, the trial's settings and a
        `Request`; it yields a uint8 array [H, W, 3] for each content, in order, and raises ValueError saying
        what it can't do. Empty: the task's models are not for that.
    alone: called as `alone(settings, ranks)`: why a trial can't be spread over so many processes, each with its share
        of every batch; empty if it can, with the losses of a single process. None: such a task's trials never can.
    seeded: what it trains differs with the seed. False: it never does; `retable.bench.testing` holds a task to either.
    """

    name: str
    settings: type[Settings]
    make: str
    metrics: Mapping[str, Metric]
    objective: str
    data: Callable[[Any], Sequence[str]]
    apply: str = ""
    alone: Callable[[Any, int], str] | None = None
    seeded: bool = True


@dataclass(frozen=True)
class Context:
    """What the engine gives a task beside its settings.

    device: "cpu", "cuda", "cuda:1".
    seed: the trial's seed. Torch, numpy and random are seeded already, from (seed, trial id);
        use `seed` alone for what trials are to share (data order, evaluation pairs).
    start: the final state of the trial that this one starts `from`, or None.
    rank, ranks: this process's number and how many train the same trial, joined by torch.distributed's default group.
        Each takes its share of every batch; number 0's losses are logged, and it alone is evaluated and saved.
    """

    device: str
    seed: int
    start: State | None = None
    rank: int = 0
    ranks: int = 1


@dataclass(frozen=True)
class Evaluation:
    """What a finished task shows. Everything ends up in MLflow.

    metrics: final numbers by metric name.
    images: file stem -> uint8 array [H, W, 3] (or [H, W]), saved as PNG.
    arrays: file stem -> named float arrays, saved as one .npz; figures are drawn from them.
    model: what another trial may start from and `bench apply` uses: the weights, without the optimizer.
    collapsed: why the result is degenerate though its numbers are finite (a constant output, a score below a
        reference), in a few words that are the same for every such trial; empty if it is not. Such a trial counts as
        the worst possible in verdicts and selections, and what it measured is kept and shown.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    images: Mapping[str, np.ndarray] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    model: State = field(default_factory=dict)
    collapsed: str = ""


@dataclass(frozen=True)
class Request:
    """What a person asks of a trained model.

    contents: uint8 [H, W, 3]; several are the frames of a film, in order, if `film`, else pictures of their own.
    names: what each content is called in an error, or empty.
    styles: uint8 [H, W, 3] each. weights: one a style, sum 1, or empty for equal shares. masks: uint8 [H, W] in the
    contents' size, one a style, or empty for everywhere; a pixel that is black in all of them stays as it is.
    intensity: of the style, 1 is as trained. photo: keep it photorealistic. upscale: enlarge so many times (1: not).
    """

    contents: Sequence[np.ndarray]
    styles: Sequence[np.ndarray] = ()
    weights: Sequence[float] = ()
    masks: Sequence[np.ndarray] = ()
    film: bool = False
    photo: bool = False
    upscale: int = 1
    intensity: float = 1.0
    names: Sequence[str] = ()

    def smaller(self, side: int) -> str:
        """What is wrong with the first content that has a side below `side`, for a ValueError; empty if none has."""
        for i, content in enumerate(self.contents):
            height, width = content.shape[:2]
            if min(height, width) < side:
                name = self.names[i] if self.names else "a content"
                return f"{name} is {width}x{height} pixels; both sides must be at least {side}"
        return ""


def legal_metric(name: str) -> bool:
    """Whether a metric may be called so: a group and a name, of what every MLflow store and every file takes."""
    return (
        re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)+", name) is not None and len(name) <= 200
    )


class Task(Protocol):
    """A trainable or evaluable problem, built from settings and a context.

    The loop calls `step(0) ... step(steps - 1)`, then `evaluate()` once. A task keeps all that
    changes in `state_dict()`: a trial that is killed goes on from it as if it had never stopped. What it settled
    by itself and a reader must know (precision used, loss network) it may give as a mapping `facts`: tags of the run.
    """

    steps: int

    def step(self, index: int) -> Mapping[str, torch.Tensor]:
        """Do update number `index`; return detached scalars by metric name, unsynchronised.

        A value that is measured now and then is returned by the steps that measured it alone: it is logged there.
        """
        ...

    def evaluate(self) -> Evaluation:
        """Measure the task as it stands. Must not change the state."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that changes. Every tensor must stay finite, those below a key `optimizer` or `log` aside: the loop ends
        a trial whose weights are not."""
        ...

    def load_state_dict(self, state: State) -> None: ...


class UnknownTask(LookupError):
    """No family knows the task; `.known` lists the names there are."""

    def __init__(self, name: str, known: Sequence[str]):
        super().__init__(f"unknown task '{name}'{did_you_mean(name, known)}")
        self.known = list(known)


def did_you_mean(word: object, known: Iterable[object], *, show: int = 12) -> str:
    """The helpful end of an error: `; did you mean 'adam'? (adam, adamax, ...)`, or the known words."""
    words = [str(k) for k in known]
    near = difflib.get_close_matches(str(word), words, n=2, cutoff=0.6)
    hint = f"; did you mean {' or '.join(repr(w) for w in near)}?" if near else ";"
    shown = ", ".join(words[:show]) + (", ..." if len(words) > show else "")
    return f"{hint} known: {shown}" if words else f"{hint} none are known"


def find_task(name: str, packages: Sequence[str] = ("retable.models",)) -> TaskSpec:
    """The spec of task `name`, from the families (sub-packages) of `packages`.

    A family lists its tasks as `TASKS = [TaskSpec(...), ...]` in its `__init__.py`, which must
    stay free of torch. Raises `UnknownTask`.
    """
    specs: dict[str, TaskSpec] = {spec.name: spec for _, spec in listed(packages, "TASKS")}
    if name not in specs:
        raise UnknownTask(name, sorted(specs))
    return specs[name]


def listed(packages: Iterable[str], word: str) -> Iterator[tuple[str, Any]]:
    """What `packages` and their families list under `word` ("TASKS", "SOURCES") in their `__init__.py`, each with
    the module that lists it."""
    for package in packages:
        root = importlib.import_module(package)
        families = [f"{package}.{i.name}" for i in pkgutil.iter_modules(getattr(root, "__path__", ())) if i.ispkg]
        for name in (package, *families):
            for entry in getattr(importlib.import_module(name), word, ()):
                yield name, entry


def load(reference: str) -> Any:
    """The object that "package.module:name" names."""
    module_name, _, attribute = reference.partition(":")
    module: ModuleType = importlib.import_module(module_name)
    return getattr(module, attribute)
