"""`check_task`: whether a task is what the training loop, the queue and the store take it for."""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from pydantic import ValidationError

from retable.bench import data
from retable.bench.task import (
    ENGINE_METRICS,
    Context,
    Evaluation,
    Settings,
    State,
    Task,
    TaskSpec,
    find_task,
    listed,
    load,
)
from retable.bench.testing import fresh, states
from retable.bench.testing.errors import ConformanceError

METRIC = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)+")
"""A group and a name, of the characters that MLflow takes: loss/total."""

STEM = re.compile(r"[\w-][\w.-]*")
"""The stem of a file that an evaluation names."""

_IMPORT = """
import importlib
for module in given:
    importlib.import_module(module)
"""


def check_task(
    task: TaskSpec | str,
    settings: Mapping[str, Any] | None = None,
    *,
    packages: Sequence[str] = ("retable.models",),
    steps: int = 6,
    seed: int = 0,
    start: State | None = None,
    device: str = "cpu",
) -> None:
    """Hold a task to what the engine relies on, by running it: about four times `steps` of its steps.

    task: its spec, or its name in `packages`. settings: as a suite's trial would give them; small ones, please.
    steps: at most so many are run. start: the model that it starts from, if it does (`model_of` makes one).
    Raises `ConformanceError`.
    """
    spec = find_task(task, packages) if isinstance(task, str) else task
    trial = _Trial(spec, _settings(spec, settings or {}), seed, start, device)
    _declared(trial)
    _light(trial, packages)
    _data(trial, packages)
    with _generators():
        _runs(trial, steps)


def model_of(
    task: str,
    settings: Mapping[str, Any],
    *,
    packages: Sequence[str] = ("retable.models",),
    steps: int = 6,
    seed: int = 0,
    start: State | None = None,
    device: str = "cpu",
) -> State:
    """What a task leaves after so many steps for another to start from, read back as from a store."""
    from retable.bench.run import training

    spec = find_task(task, packages)
    trial = _Trial(spec, _settings(spec, settings), seed, start, device)
    with _generators():
        made = trial.make()
        for index in range(min(made.steps, steps)):
            made.step(index)
        model: State = training.from_bytes(training.to_bytes(made.evaluate().model))
        return model


@dataclass(frozen=True)
class _Trial:
    """One resolved configuration of the task on trial."""

    spec: TaskSpec
    settings: Settings
    seed: int
    start: State | None
    device: str

    def make(self, seed: int | None = None) -> Task:
        """The task as a worker makes it: everything seeded, then built."""
        from retable.bench.run import training

        seed = self.seed if seed is None else seed
        training.seed_all(seed, "conformance")
        made: Task = load(self.spec.make)(self.settings, Context(self.device, seed, self.start))
        return made

    def fail(self, said: str) -> NoReturn:
        raise ConformanceError(f"task '{self.spec.name}': {said}")


@contextmanager
def _generators() -> Iterator[None]:
    """The caller's random generators, put back."""
    import numpy as np
    import torch

    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])
        random.setstate(kept[2])


# What it says of itself


def _settings(spec: TaskSpec, given: Mapping[str, Any]) -> Settings:
    """Validated, and the same after the queue: a trial's settings travel as JSON."""
    what = f"task '{spec.name}'"
    try:
        made = spec.settings.model_validate(dict(given))
    except ValidationError as error:
        item = error.errors(include_url=False)[0]
        key = ".".join(map(str, item["loc"]))
        raise ConformanceError(f"{what}: setting {key}: {item['msg']}; give settings that it takes") from None
    try:
        again = spec.settings.model_validate(json.loads(json.dumps(made.model_dump())))
    except (TypeError, ValidationError) as error:
        raise ConformanceError(f"{what}: its settings do not survive JSON ({error}); use plain types") from None
    if again != made:
        raise ConformanceError(f"{what}: its settings are others after JSON: {made} and {again}; use plain types")
    return made


def _declared(trial: _Trial) -> None:
    spec = trial.spec
    for name in spec.metrics:
        _legal(trial, name)
        if name in ENGINE_METRICS:
            trial.fail(f"declares '{name}', which the engine measures; give it another name")
    if spec.objective not in spec.metrics:
        trial.fail(f"its objective '{spec.objective}' is not among its metrics; declare it there")


def _legal(trial: _Trial, name: str) -> None:
    if not METRIC.fullmatch(name):
        trial.fail(f"the metric name '{name}' is none for MLflow and reports; write group/name: letters, digits, _ . -")


def _light(trial: _Trial, packages: Sequence[str]) -> None:
    families = [module for module, spec in listed(packages, "TASKS") if spec.name == trial.spec.name]
    modules = list(dict.fromkeys([*families, type(trial.settings).__module__]))
    seen = _imported(tuple(modules))
    if seen.pulled:
        trial.fail(f"its family imports {seen.pulled}; planning must stay light: import that where the task is made")


@cache
def _imported(modules: tuple[str, ...]) -> fresh.Look:
    return fresh.look(" and ".join(modules), _IMPORT, modules)


def _data(trial: _Trial, packages: Sequence[str]) -> None:
    for name in trial.spec.data(trial.settings):
        try:
            missing = data.missing(name, packages)
        except LookupError as error:
            trial.fail(f"reads {error}")
        if missing:
            trial.fail(f"reads data that is not here: {missing}")


# What it does


def _runs(trial: _Trial, most: int) -> None:
    """Two runs of one seed, one that is broken off and goes on, one of another seed."""
    from retable.bench.run import training

    task = trial.make()
    if type(task.steps) is not int or task.steps < 0:
        trial.fail(f"steps is {task.steps!r}; it must be a whole number, 0 for a task that is only evaluated")
    _facts(trial, task)
    count, half = min(task.steps, most), min(task.steps, most) // 2
    losses = _steps(trial, task, 0, count)
    state = _state(trial, task)
    evaluation = task.evaluate()
    if changed := states.difference(state, _copy(task), "state"):
        trial.fail(f"evaluate() changes the state: {changed}, before and after; it must only look")
    _storable(trial, evaluation)
    if trial.spec.objective not in {*evaluation.metrics, *(losses[-1] if losses else ())}:
        trial.fail(f"never measures its objective '{trial.spec.objective}'; evaluate() or the last step must")

    again = trial.make()
    told = _steps(trial, again, 0, half)
    kept = training.pack(again, training.Standing(index=half))
    told += _steps(trial, again, half, count)
    if different := _different(losses, told, state, again):
        trial.fail(f"two runs of seed {trial.seed} differ: {different}; draw from torch, numpy or random alone")

    resumed = trial.make()
    training.unpack(kept, resumed)
    told = losses[:half] + _steps(trial, resumed, half, count)
    if different := _different(losses, told, state, resumed):
        trial.fail(
            f"broken off after {half} steps it goes on as another: {different}; all that changes belongs into "
            "state_dict(), and load_state_dict() must bring it back"
        )
    if different := states.difference(_lasting(evaluation), _lasting(resumed.evaluate()), "evaluation"):
        trial.fail(
            f"evaluated after a break it differs: {different}; measure the state, draw from the context's seed, "
            "and call what times the machine time"
        )
    if count and trial.start is None:  # else there is nothing to draw, or it was drawn for the start
        _other_seed(trial, losses, state, evaluation)


def _facts(trial: _Trial, task: Task) -> None:
    told = getattr(task, "facts", {})
    for name, value in told.items():
        try:
            legal = isinstance(name, str) and re.fullmatch(r"[\w.-]+", name) and json.dumps(value)
        except TypeError:
            legal = None
        if not legal:
            trial.fail(f"facts[{name!r}] is {value!r}; a fact is a word and a text, or what JSON knows")


def _steps(trial: _Trial, task: Task, first: int, end: int) -> list[dict[str, float]]:
    """What steps `first` to `end` measure, as the loop takes it."""
    import torch

    rows: list[dict[str, float]] = []
    for index in range(first, end):
        values = task.step(index)
        for name, value in values.items():
            where = f"step({index})"
            _measured(trial, name, where)
            if not isinstance(value, torch.Tensor) or value.numel() != 1:
                trial.fail(f"{where} returns '{name}' as {_said(value)}; it must be a tensor of one number")
            if value.requires_grad:
                trial.fail(f"{where} returns '{name}' with its graph, which fills the memory; detach it")
        rows.append({name: float(value.detach().reshape(()).to(torch.float64)) for name, value in values.items()})
        if not values:
            trial.fail(f"step({index}) measures nothing; return what it minimises, or have steps = 0")
    return rows


def _measured(trial: _Trial, name: str, where: str) -> None:
    if name not in trial.spec.metrics:
        _legal(trial, name)
        trial.fail(f"{where} returns the metric '{name}', which its TaskSpec does not declare; add it to metrics")


def _state(trial: _Trial, task: Task) -> Any:
    for said in states.unsafe(task.state_dict(), "state"):
        trial.fail(f"{said}, which no checkpoint can hold; use tensors, numbers, texts, lists and dicts")
    return _copy(task)


def _copy(task: Task) -> Any:
    from retable.bench.run import training

    return training.from_bytes(training.to_bytes(task.state_dict()))


def _different(losses: list[dict[str, float]], told: list[dict[str, float]], state: Any, task: Task) -> str:
    """Where a run differs from the first one, bit by bit: its losses, else its final state."""
    for index, (one, other) in enumerate(zip(losses, told, strict=True)):
        if found := states.difference(one, other, f"step({index})"):
            return found
    return states.difference(state, _copy(task), "state")


def _other_seed(trial: _Trial, losses: list[dict[str, float]], state: Any, evaluation: Evaluation) -> None:
    seeds = f"seeds {trial.seed} and {trial.seed + 1}"
    task = trial.make(trial.seed + 1)
    told = _steps(trial, task, 0, len(losses))
    differs = _different(losses, told, state, task)
    differs = differs or states.difference(_lasting(evaluation), _lasting(task.evaluate()), "evaluation")
    if not differs and trial.spec.seeded:
        trial.fail(f"{seeds} make no difference; draw from the seed, or say seeded=False in its TaskSpec")
    if differs and not trial.spec.seeded:
        trial.fail(f"says seeded=False, and {seeds} differ: {differs}")


# What it leaves


def _storable(trial: _Trial, evaluation: Evaluation) -> None:
    """Everything of an evaluation, written and read as the store does."""
    if not isinstance(evaluation, Evaluation):
        trial.fail(f"evaluate() returns {_said(evaluation)}; it must be an Evaluation")
    for name, value in evaluation.metrics.items():
        _measured(trial, name, "evaluate()")
        try:
            float(value)
        except (TypeError, ValueError):
            trial.fail(f"evaluate() returns '{name}' as {_said(value)}; it must be a number")
    if not isinstance(evaluation.collapsed, str):
        trial.fail(f"evaluate() returns collapsed as {_said(evaluation.collapsed)}; it is a text, empty if it is not")
    for stem, pixels in evaluation.images.items():
        _stem(trial, f"images['{stem}']", stem)
        _image(trial, f"images['{stem}']", pixels)
    for stem, arrays in evaluation.arrays.items():
        _stem(trial, f"arrays['{stem}']", stem)
        for name, array in arrays.items():
            _array(trial, f"arrays['{stem}']['{name}']", name, array)
    for said in states.unsafe(dict(evaluation.model), "model"):
        trial.fail(f"{said}, which no other trial can read; use tensors, numbers, texts, lists and dicts")


def _stem(trial: _Trial, what: str, stem: str) -> None:
    if not STEM.fullmatch(stem):
        trial.fail(f"{what} has a name that no file gets; use letters, digits, _, . and -")


def _image(trial: _Trial, what: str, pixels: Any) -> None:
    import numpy as np
    from PIL import Image

    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        trial.fail(f"{what} is {_said(pixels)}; an image is a uint8 array, 0 to 255")
    if not pixels.size or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        trial.fail(f"{what} has the shape {list(pixels.shape)}; an image is [H, W, 3], or grey [H, W]")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")


def _array(trial: _Trial, what: str, name: str, array: Any) -> None:
    import numpy as np

    if not STEM.fullmatch(name) or not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        trial.fail(f"{what} is {_said(array)}; it must be an array of numbers under a plain name")
    if np.isinf(array).any():
        trial.fail(f"{what} holds an infinite number, which no figure can draw; write NaN where there is no value")


def _lasting(evaluation: Evaluation) -> dict[str, Any]:
    """What of an evaluation must repeat: all but what the machine measures of itself."""
    import torch

    def kept(value: Any) -> Any:
        return torch.from_numpy(value.copy()) if hasattr(value, "__array_interface__") else value

    def lasts(name: str) -> bool:
        return not re.search(r"(^|/)(times?|seconds|memory)(?![a-z])", name)  # of several repeats too: repeat/time03

    return {
        "metrics": {name: float(value) for name, value in evaluation.metrics.items() if lasts(name)},
        "images": {stem: kept(pixels) for stem, pixels in evaluation.images.items()},
        "arrays": {
            s: {name: kept(a) for name, a in arrays.items()} for s, arrays in evaluation.arrays.items() if lasts(s)
        },
        "model": evaluation.model,
    }


def _said(value: Any) -> str:
    """An object in a word or two, for an error."""
    kind, dtype = type(value), getattr(value, "dtype", None)
    shape = list(getattr(value, "shape", ()))
    return f"a {kind.__module__}.{kind.__qualname__}" + (f" of {dtype} {shape}" if dtype is not None else "")
