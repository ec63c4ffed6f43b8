"""One attempt at a trial, inside its own MLflow run: from the claim to the value that Optuna sees.

The order at its end is metrics, artifacts, FINISHED, then Optuna, which may refuse; a refused one ends as KILLED.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import resource
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from retable.bench.queue import versions
from retable.bench.run import earlier, events, ranks, training
from retable.bench.run.orders import Orders
from retable.bench.store import codes, records
from retable.bench.store.places import redact
from retable.bench.store.recorder import Recorder
from retable.bench.suite.plan import Trial
from retable.bench.suite.schema import Experiment
from retable.bench.task import Context, Evaluation, Task, TaskSpec, did_you_mean, load


class TrialFailed(Exception):
    """A task raised; the run and the event carry the reason."""


class TrialStopped(Exception):
    """The trial was asked to stop and has left a checkpoint."""


@dataclass
class Worker:
    """A worker process as its attempts see it: its orders, whom it tells, and whether it was asked to stop.

    facts: tags of every run. current: the attempt that Optuna has not heard the end of. concluded: whether the run of
    that one is FINISHED. told: what need not be told again. verified: experiments whose code is known to be imported as
    planned. archives: by experiment, code that a tracking server is to keep among the artifacts of the next run.
    """

    orders: Orders
    tell: Callable[[events.Event], None]
    facts: dict[str, str]
    stopping: threading.Event = field(default_factory=threading.Event)
    current: Attempt | None = None
    concluded: bool = False
    told: set[str] = field(default_factory=set)
    verified: set[str] = field(default_factory=set)
    archives: dict[str, bytes] = field(default_factory=dict)

    def tell_once(self, text: str, event: events.Event) -> None:
        """Tell of what `text` says, if that was not said before."""
        if text not in self.told:
            self.told.add(text)
            self.tell(event)

    def note(self, text: str) -> None:
        """Tell a person something, once."""
        self.tell_once(text, events.Note(text))

    def has(self, name: str) -> dict[str, str]:
        """The code and packages that this process has for an experiment."""
        return versions.of(self.orders.codes[name], self.orders.experiments[name].get("search"))


@dataclass(frozen=True)
class Attempt:
    """What a running trial has. claimed: Optuna's trial; before: the runs of earlier attempts, oldest first."""

    worker: Worker
    claimed: optuna.Trial
    trial: Trial
    spec: TaskSpec
    experiment: Experiment
    before: list[records.Run]
    recorder: Recorder
    began: float

    @property
    def metric(self) -> str:
        """What counts: the objective of a search, else the task's."""
        return metric_of(self.experiment, self.spec)

    @property
    def state(self) -> TrialState:
        """What Optuna's storage says of the trial now."""
        return self.claimed.study._storage.get_trial(self.claimed._trial_id).state

    @property
    def is_ours(self) -> bool:
        """Whether Optuna has not given the trial to another worker."""
        return self.state == TrialState.RUNNING


def metric_of(experiment: Experiment, spec: TaskSpec) -> str:
    """The metric that Optuna sees."""
    return experiment.search.metric if experiment.search else spec.objective


def worst(claimed: optuna.Trial) -> float:
    """The value of a trial that has none."""
    return math.inf if claimed.study.direction == optuna.study.StudyDirection.MINIMIZE else -math.inf


def begin(
    worker: Worker,
    claimed: optuna.Trial,
    trial: Trial,
    spec: TaskSpec,
    experiment: Experiment,
    before: list[records.Run],
) -> Attempt:
    """Open the MLflow run of an attempt. before: the runs of earlier ones, whose checkpoints may serve it."""
    orders, began = worker.orders, time.perf_counter()
    tags = {
        **worker.facts,
        "retable.trial": trial.id,
        "retable.suite": trial.suite,
        "retable.scale": trial.scale,
        "retable.code": orders.codes[trial.experiment],
        "retable.optuna": f"{claimed.study.study_name}:{claimed.number}",
        "mlflow.note.content": f"{experiment.about}\n\n`bench show {trial.id}` tells more.",
    }
    differs = versions.differences(claimed.user_attrs.get("needs", {}), worker.has(trial.experiment))
    if differs:
        tags["retable.differs"] = versions.told(differs)
    recorder = Recorder(orders.stores, orders.mlflow[trial.experiment], trial, tags)
    earlier.close_abandoned(orders.tracking, before, claimed.study)
    worker.current = Attempt(worker, claimed, trial, spec, experiment, before, recorder, began)
    return worker.current


def run(attempt: Attempt) -> float:
    """Train and evaluate; the value that Optuna sees. Raises `TrialStopped`, `TrialFailed`, or as Optuna's pruners."""
    recorder, tell = attempt.recorder, attempt.worker.tell
    try:
        outcome, task = _train(attempt)
        if outcome.kind == "stopped":
            recorder.tag(reason=outcome.reason)
            recorder.finish("KILLED")
            tell(events.Stopped(attempt.trial.id))
            raise TrialStopped(outcome.reason)
        evaluation = task.evaluate() if outcome.kind == "finished" else Evaluation()
        return _conclude(attempt, outcome, evaluation)
    except (TrialStopped, optuna.TrialPruned):
        raise
    except UpdateFinishedTrialError:  # a pruner's report was refused
        _refused(attempt)
        raise
    except (Exception, SystemExit) as error:
        reason = reason_of(error)
        recorder.artifacts({"traceback.txt": redact(_plain(traceback.format_exc())).encode()})
        recorder.tag(outcome="failed", reason=reason)
        recorder.finish("FAILED")
        attempt.claimed.set_user_attr("failed", reason)
        tell(events.Failed(attempt.trial.id, reason))
        raise TrialFailed(reason) from error


def _refused(attempt: Attempt) -> None:
    attempt.recorder.tag(reason="given to another worker")
    attempt.recorder.finish("KILLED")
    attempt.worker.tell(events.Refused(attempt.trial.id))


def reason_of(error: BaseException) -> str:
    """Why a trial failed, in a line that every store takes: the error, its first words, where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    try:
        text = str(error)
    except Exception as another:  # an error whose own text raises is still the reason
        text = f"(its text raises {type(another).__name__})"
    said = redact(_plain(text)).strip().splitlines()
    return f"{type(error).__name__}: {said[0] if said else ''} ({Path(frame.filename).name}:{frame.lineno})"


def _plain(text: str) -> str:
    """Text that can be stored: what is not UTF-8 (a file name, say) is written as an escape, and so is a zero."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _train(attempt: Attempt) -> tuple[training.Outcome, Task]:
    worker, trial, spec, recorder = attempt.worker, attempt.trial, attempt.spec, attempt.recorder
    start = earlier.start_state(worker.orders, trial)
    with ranks.together(worker.orders, trial, spec, start, worker.note) as count:
        context = Context(worker.orders.device, trial.seed, start, ranks=count)

        def make() -> Task:
            training.seed_all(trial.seed, trial.id)
            made: Task = load(spec.make)(spec.settings.model_validate(dict(trial.settings)), context)
            return made

        task, progress = earlier.resume(worker.orders, make, recorder, attempt.before, worker.note)
        told: Mapping[str, Any] = getattr(task, "facts", {})
        recorder.tag(**{key: value if isinstance(value, str) else json.dumps(value) for key, value in told.items()})
        if count > 1:
            recorder.tag(ranks=str(count))
            ranks.follow(task, progress)
        return training.run(task, _hooks(attempt, task), attempt.metric, progress), task


def _hooks(attempt: Attempt, task: Task) -> training.Hooks:
    """What the training loop tells this attempt."""
    worker, trial, recorder, claimed = attempt.worker, attempt.trial, attempt.recorder, attempt.claimed
    search = attempt.experiment.search
    kept: list[str] = []

    def log(step: int, seconds: float, values: Mapping[str, float]) -> None:
        _declared(attempt, values)
        recorder.log(step, seconds, values)

    def checkpoint(data: bytes, step: int) -> None:
        if not kept:
            _readable(data, "state_dict()")
        # Two files take turns: while one is written over, the other is whole, and a long trial keeps two of them.
        path = f"checkpoint/{'ab'[len(kept) % 2]}.pt"
        if not recorder.checkpoint(path, data, wait=worker.stopping.is_set()):
            return
        kept.append(f"{path} {hashlib.sha256(data).hexdigest()} at step {step}")
        recorder.tag(checkpoint="\n".join(reversed(kept[-2:])))

    def report(step: int, value: float) -> None:
        claimed.report(value, step)
        if claimed.should_prune():
            recorder.tag(outcome="pruned", reason=f"pruned at step {step}")
            recorder.finish("FINISHED")
            worker.tell(events.Done(trial.id, "pruned", value=value))
            raise optuna.TrialPruned(f"at step {step}")

    return training.Hooks(
        log=log,
        checkpoint=checkpoint,
        stop=worker.stopping.is_set,
        tick=lambda step: worker.tell(events.Tick(trial.id, step, task.steps)),
        report=report if search else None,
        report_every=search.report_every if search else 0,
        checkpoint_seconds=worker.orders.checkpoint_seconds,
    )


def _conclude(attempt: Attempt, outcome: training.Outcome, evaluation: Evaluation) -> float:
    """Metrics, artifacts, FINISHED, in that order; then Optuna, which may refuse."""
    worker, recorder, metric, progress = attempt.worker, attempt.recorder, attempt.metric, outcome.progress
    _declared(attempt, evaluation.metrics)
    measured = evaluation.metrics.get(metric, training.newest(progress, metric))
    kind, reason = outcome.kind, outcome.reason
    if kind == "finished":
        if measured is None:
            raise RuntimeError(f"the task '{attempt.trial.task}' never measured '{metric}'")
        unsound = training.unsound(evaluation.model)
        if not math.isfinite(float(measured)):
            kind, reason = "diverged", f"{metric} is {float(measured)} at the end"
        elif unsound:
            kind, reason = "diverged", f"{unsound} in the model at the end"
        elif evaluation.collapsed:
            kind, reason = "collapsed", evaluation.collapsed
    value = math.nan if measured is None else float(measured)
    engine = {"time/train": progress.seconds, "memory/peak": _peak_memory(worker.orders.device)}
    if progress.step_seconds:
        engine["time/step"] = 1000 * sorted(progress.step_seconds)[len(progress.step_seconds) // 2]
    recorder.artifacts(_files(attempt, evaluation))
    elapsed = time.perf_counter() - attempt.began
    engine["time/logging"] = 100 * recorder.spent / max(elapsed, 1e-9)
    # Later than the last point of the curves, which is at the same step: of two values at one time MLflow calls the
    # higher one the latest, and a metric that steps and evaluation both measure would keep the steps'.
    recorder.log(progress.index, progress.seconds + 0.002, {**evaluation.metrics, **engine})
    recorder.flush()
    recorder.tag(outcome=kind, reason=reason)
    if not attempt.is_ours:
        _refused(attempt)
        raise TrialStopped("given to another worker")
    worker.concluded = True
    recorder.finish("FINISHED")
    recorder.drop_checkpoints(attempt.before)
    shown = value if kind == "finished" else None
    seconds = time.perf_counter() - attempt.began
    worker.tell(events.Done(attempt.trial.id, kind, seconds, shown, metric, reason))
    return value if kind == "finished" else worst(attempt.claimed)


def _peak_memory(device: str) -> float:
    """MiB: the device's peak where there is one, else the process's."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _files(attempt: Attempt, evaluation: Evaluation) -> Mapping[str, bytes]:
    """The artifacts of a run, by their paths in it."""
    trial, code = attempt.trial, attempt.worker.orders.code_files[attempt.trial.experiment]
    files = {"trial.json": trial.to_json().encode(), "code.json": code.encode()}
    if evaluation.images:
        from PIL import Image

        for stem, pixels in evaluation.images.items():
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            files[f"images/{stem}.png"] = buffer.getvalue()
    if evaluation.arrays:
        import numpy as np

        for stem, arrays in evaluation.arrays.items():
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **dict(arrays))  # type: ignore[arg-type]
            files[f"arrays/{stem}.npz"] = buffer.getvalue()
    kept = attempt.worker.archives.pop(trial.experiment, None)
    if kept is not None:
        files[codes.NAME] = kept
        attempt.recorder.tag(keeps_code="yes")
    if evaluation.model:
        files["model.pt"] = training.to_bytes(evaluation.model)
        _readable(files["model.pt"], "Evaluation.model")
    return files


def _declared(attempt: Attempt, values: Mapping[str, float]) -> None:
    """Raises RuntimeError for a metric that the task's declaration does not have: no view or check would know it."""
    unknown = [name for name in values if name not in attempt.spec.metrics]
    if unknown:
        known = did_you_mean(unknown[0], list(attempt.spec.metrics))
        raise RuntimeError(f"the task '{attempt.trial.task}' measured '{unknown[0]}', which it does not declare{known}")


def _readable(data: bytes, what: str) -> None:
    """Raises RuntimeError where what was written cannot be read again: better now than when it is needed."""
    try:
        training.from_bytes(data)
    except pickle.UnpicklingError as error:
        said = str(error).strip().splitlines()[0]
        raise RuntimeError(f"{what} cannot be read again; it may hold tensors, numbers, texts: {said}") from None
