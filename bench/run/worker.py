"""A worker process: claims trials from Optuna, runs their tasks, writes their MLflow runs. Engine and task meet here.

It reads its orders as one JSON line on standard input and reports events as JSON lines on standard output. When
the input closes without a "stop", the supervisor is gone and the worker ends at once, as if killed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from retable.bench.queue import storage, study, versions
from retable.bench.run import attempts, ranks, training
from retable.bench.run.orders import Orders
from retable.bench.store import client, closing, making, owners, patience, reading, records
from retable.bench.store.places import StoreError, experiment_name, redact
from retable.bench.store.recorder import Recorder
from retable.bench.suite.plan import Trial
from retable.bench.suite.schema import Experiment, Range
from retable.bench.task import Context, Evaluation, Task, TaskSpec, find_task, load


class TrialFailed(Exception):
    """A task raised; the run and the event carry the reason."""


class TrialStopped(Exception):
    """The trial was asked to stop and has left a checkpoint."""


@dataclass
class Worker:
    """The process's state: its orders, its event stream, and whether it was asked to stop."""

    orders: Orders
    emit: Callable[..., None]
    facts: dict[str, str]
    stopping: threading.Event = field(default_factory=threading.Event)
    concluding: list[tuple[str, int]] = field(default_factory=list)
    """MLflow run and Optuna's id of the trial that has just ended, until Optuna has taken its value."""
    unfit: set[str] = field(default_factory=set)
    """Reasons told already why waiting trials are not for this worker."""
    told: set[str] = field(default_factory=set)
    """Notes told already."""


def main() -> None:
    """Entry point of `python -m retable.bench.run.worker`."""
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a task prints must not end up between the events
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to answer
    sys.excepthook = _last_words
    orders = Orders(**json.loads(sys.stdin.readline()))
    lock = threading.Lock()

    def emit(event: str, **values: Any) -> None:
        with lock:
            events.write(json.dumps({"event": event, **values}) + "\n")

    sys.path.append(orders.project)
    worker = Worker(orders, emit, {**orders.facts, **_facts(orders)})
    signal.signal(signal.SIGTERM, lambda *_: worker.stopping.set())
    threading.Thread(target=_obey, args=(worker,), daemon=True).start()
    patience.allow()
    patience.tell = lambda text: emit("note", text=text)
    try:
        with client.explained(orders.tracking), storage.explained(orders.storage):
            work(worker)
    except (StoreError, OSError) as error:  # a full disk, a store that stayed away: not the trial's fault
        _last_words(*sys.exc_info())
        emit("broken", reason=redact(str(error)))
        sys.exit(1)
    emit("bye")


def _last_words(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _obey(worker: Worker) -> None:
    for line in sys.stdin:
        if line.strip() == "stop":
            worker.stopping.set()
            return
    os._exit(137)  # the supervisor died


def _facts(orders: Orders) -> dict[str, str]:
    import torch

    torch.set_num_threads(orders.threads)
    facts = {
        "retable.owner": owners.owner(),
        "retable.threads": str(orders.threads),
        "retable.device": orders.device,
        "retable.torch": torch.__version__,
    }
    if orders.device.startswith("cuda"):
        facts["retable.gpu"] = torch.cuda.get_device_name(orders.device)
    return facts


def work(worker: Worker) -> None:
    """Run trials until asked to stop. Studies are served in the suite's order."""
    orders = worker.orders
    making.warm_up(orders.tracking)
    made = storage.connect(orders.storage)
    served: dict[str, tuple[optuna.Study, str, Experiment]] = {}
    _find_studies(worker, made, served)
    looked = checked = time.monotonic()
    worker.emit("ready", pid=os.getpid())
    while not worker.stopping.is_set():
        if time.monotonic() - looked > 2.0:
            _find_studies(worker, made, served)
            looked = time.monotonic()
        for found, name, experiment in served.values():
            if _something_waits(worker, found, name):
                _one(worker, found, name, experiment)
                break
        else:
            if orders.guest and time.monotonic() - checked > storage.HEARTBEAT_SECONDS:
                for found, _, _ in served.values():
                    optuna.storages.fail_stale_trials(found)
                checked = time.monotonic()
            worker.stopping.wait(0.2 if orders.storage.startswith("sqlite:") else 0.5)


def _find_studies(
    worker: Worker, made: storage.Storage, served: dict[str, tuple[optuna.Study, str, Experiment]]
) -> None:
    """Open the studies to serve: those we were told of, for a guest all that are there by now."""
    orders = worker.orders
    names = (
        study.names_of(made, orders.suite, orders.scale) if orders.guest else {v: k for k, v in orders.studies.items()}
    )
    for full, name in names.items():
        if full not in served and name in orders.experiments:
            # A sampler's own seed differs between workers, or they would propose the same points.
            experiment = Experiment.model_validate(orders.experiments[name])
            served[full] = study.create(made, full, experiment, seed=os.getpid()), name, experiment


def _something_waits(worker: Worker, found: optuna.Study, name: str) -> bool:
    """Whether a trial waits that this worker may run; of those it may not, it tells why, once."""
    for frozen in found.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        differs = _differs(worker, frozen.user_attrs, name)
        if not differs:
            return True
        if differs not in worker.unfit:
            worker.unfit.add(differs)
            worker.emit("unfit", experiment=name, reason=differs)
    return False


def _differs(worker: Worker, attributes: Mapping[str, Any], name: str) -> str:
    """How this worker's code or packages differ from what a trial was planned with; empty if it may run it."""
    found = versions.differences(attributes.get("needs", {}), _has(worker.orders, name))
    strict = not worker.orders.mixed or any(name in found for name in versions.OURS)
    return versions.told(found) if found and strict else ""


def _has(orders: Orders, name: str) -> dict[str, str]:
    return versions.of(orders.codes[name], orders.experiments[name].get("search"))


def _one(worker: Worker, found: optuna.Study, name: str, experiment: Experiment) -> None:
    """Claim and run one trial of a study."""
    try:
        found.optimize(
            lambda claimed: _objective(worker, claimed, name, experiment),
            n_trials=1,
            catch=(TrialFailed, TrialStopped),
        )
    except (UpdateFinishedTrialError, ValueError) as error:
        if not worker.concluding and not isinstance(error, UpdateFinishedTrialError):
            raise
        for run_id, trial_id in worker.concluding:
            if found._storage.get_trial(trial_id).state == TrialState.FAIL:
                # The trial was given to another worker while we finished it.
                closing.terminate(worker.orders.tracking, run_id, "KILLED", reason="given to another worker")
                worker.emit("refused")
            # Else Optuna has our value; its answer was lost when the database went away.
    worker.concluding.clear()


def _objective(worker: Worker, claimed: optuna.Trial, name: str, experiment: Experiment) -> float:
    attributes = claimed.user_attrs
    if "trial" not in attributes:
        raise optuna.TrialPruned("the queue was empty")
    trial = Trial.from_json(attributes["trial"])
    if _differs(worker, attributes, name):  # it stood before the one that we may run
        study.put_back(claimed.study, claimed.study._storage.get_trial(claimed._trial_id), again=False)
        raise TrialStopped("not for this worker")
    worker.emit("claimed", trial=trial.id, number=claimed.number, study=claimed.study.study_name, name=trial.name)
    spec = find_task(trial.task, worker.orders.packages)
    metric = experiment.search.metric if experiment.search else spec.objective
    retried = "retry_history" in claimed.study._storage.get_trial_system_attrs(claimed._trial_id)
    earlier: list[records.Run] = []
    if attributes["again"] or retried:
        names = [experiment_name(trial.suite, name)]
        earlier = reading.runs(worker.orders.tracking, names, trial=trial.id)
        code = worker.orders.codes[name]
        earlier = [run for run in earlier if run.tags.get("retable.code") == code]
        done = [run for run in earlier if run.status == "FINISHED"]
        if done:  # killed between the end of its run and telling Optuna
            outcome = done[0].tags.get("retable.outcome", "finished")
            worker.emit("done", trial=trial.id, outcome=outcome, seconds=0.0, value=None)
            if outcome == "pruned":
                raise optuna.TrialPruned
            values = reading.metrics(worker.orders.tracking, [done[0].id])[done[0].id]
            return values.get(metric, _worst(claimed))
    if experiment.search:
        chosen = {key: _suggest(claimed, key, space) for key, space in experiment.search.space.items()}
        trial = Trial(
            **{**trial.__dict__, "settings": {**trial.settings, **chosen}, "varied": {**trial.varied, **chosen}}
        )
        earlier = attempts.of_same_point(worker.orders, earlier, chosen)
    try:
        return _run(worker, claimed, trial, spec, experiment, metric, earlier)
    except TrialStopped:
        if worker.orders.guest:  # nobody here waits for it; another machine may go on at once
            study.put_back(claimed.study, claimed.study._storage.get_trial(claimed._trial_id), again=True)
        raise


def _suggest(claimed: optuna.Trial, key: str, space: Range | list[Any]) -> Any:
    if isinstance(space, list):
        return claimed.suggest_categorical(key, space)
    if space.integer:
        return claimed.suggest_int(key, int(space.low), int(space.high), log=space.log)
    return claimed.suggest_float(key, space.low, space.high, log=space.log)


def _worst(claimed: optuna.Trial) -> float:
    return math.inf if claimed.study.direction == optuna.study.StudyDirection.MINIMIZE else -math.inf


def _run(
    worker: Worker,
    claimed: optuna.Trial,
    trial: Trial,
    spec: TaskSpec,
    experiment: Experiment,
    metric: str,
    earlier: list[records.Run],
) -> float:
    """Train and evaluate one trial inside its own MLflow run; return the value that Optuna sees."""
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
    differs = versions.differences(claimed.user_attrs.get("needs", {}), _has(orders, trial.experiment))
    if differs:
        tags["retable.differs"] = versions.told(differs)
    recorder = Recorder(orders.stores, orders.mlflow[trial.experiment], trial, tags)
    attempts.close_abandoned(orders.tracking, earlier, claimed.study)  # their checkpoints may serve this attempt
    try:
        outcome, task = _train(worker, claimed, trial, spec, experiment, metric, recorder, earlier)
        if outcome.kind == "stopped":
            recorder.tag(reason=outcome.reason)
            recorder.finish("KILLED")
            worker.emit("stopped", trial=trial.id)
            raise TrialStopped(outcome.reason)
        evaluation = task.evaluate() if outcome.kind == "finished" else Evaluation()
        value = _conclude(worker, claimed, trial, outcome, evaluation, metric, recorder, began)
    except (TrialStopped, optuna.TrialPruned):
        raise
    except UpdateFinishedTrialError:  # a pruner's report was refused
        recorder.tag(reason="given to another worker")
        recorder.finish("KILLED")
        worker.emit("refused")
        raise
    except Exception as error:
        reason = _reason(error)
        recorder.artifacts({"traceback.txt": redact(traceback.format_exc()).encode()})
        recorder.tag(outcome="failed", reason=reason)
        recorder.finish("FAILED")
        claimed.set_user_attr("failed", reason)
        worker.emit("failed", trial=trial.id, reason=reason)
        raise TrialFailed(reason) from error
    return value


def _reason(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    said = redact(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {said[0] if said else ''} ({Path(frame.filename).name}:{frame.lineno})"


def _train(
    worker: Worker,
    claimed: optuna.Trial,
    trial: Trial,
    spec: TaskSpec,
    experiment: Experiment,
    metric: str,
    recorder: Recorder,
    earlier: list[records.Run],
) -> tuple[training.Outcome, Task]:
    kept: list[str] = []

    def checkpoint(data: bytes, step: int) -> None:
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
            worker.emit("done", trial=trial.id, outcome="pruned", seconds=0.0, value=value)
            raise optuna.TrialPruned(f"at step {step}")

    hooks = training.Hooks(
        log=recorder.log,
        checkpoint=checkpoint,
        stop=worker.stopping.is_set,
        tick=lambda step: worker.emit("tick", trial=trial.id, step=step, steps=task.steps),
        report=report if experiment.search else None,
        report_every=experiment.search.report_every if experiment.search else 0,
        checkpoint_seconds=worker.orders.checkpoint_seconds,
    )
    start = attempts.start_state(worker.orders, trial)
    with ranks.together(worker.orders, trial, spec, start, lambda text: _tell_once(worker, text)) as count:
        training.seed_all(trial.seed, trial.id)
        context = Context(worker.orders.device, trial.seed, start, ranks=count)
        task: Task = load(spec.make)(spec.settings.model_validate(dict(trial.settings)), context)
        told: Mapping[str, Any] = getattr(task, "facts", {})
        recorder.tag(**{key: value if isinstance(value, str) else json.dumps(value) for key, value in told.items()})
        progress = attempts.resume(worker.orders, task, recorder, earlier)
        if count > 1:
            recorder.tag(ranks=str(count))
            ranks.follow(task, progress)
        return training.run(task, hooks, metric, progress), task


def _tell_once(worker: Worker, text: str) -> None:
    if text not in worker.told:
        worker.told.add(text)
        worker.emit("note", text=text)


def _conclude(
    worker: Worker,
    claimed: optuna.Trial,
    trial: Trial,
    outcome: training.Outcome,
    evaluation: Evaluation,
    metric: str,
    recorder: Recorder,
    began: float,
) -> float:
    """Metrics, artifacts, FINISHED, in that order; then Optuna, which may refuse."""
    progress = outcome.progress
    last = progress.history[-1][2] if progress.history else {}
    value = float(evaluation.metrics.get(metric, last.get(metric, math.nan)))
    kind, reason = outcome.kind, outcome.reason
    if kind == "finished" and not math.isfinite(value):
        if metric not in evaluation.metrics and metric not in last:
            raise RuntimeError(f"the task '{trial.task}' never measured '{metric}'")
        kind, reason = "diverged", f"{metric} is {value} at the end"
    engine = {"time/train": progress.seconds, "memory/peak": _peak_memory(worker)}
    if progress.step_seconds:
        engine["time/step"] = 1000 * sorted(progress.step_seconds)[len(progress.step_seconds) // 2]
    recorder.artifacts(attempts.files(worker.orders, trial, evaluation))
    elapsed = time.perf_counter() - began
    engine["time/logging"] = 100 * recorder.spent / max(elapsed, 1e-9)
    # Later than the last point of the curves, which is at the same step: of two values at one time MLflow calls the
    # higher one the latest, and a metric that steps and evaluation both measure would keep the steps'.
    recorder.log(progress.index, progress.seconds + 0.002, {**evaluation.metrics, **engine})
    recorder.flush()
    recorder.tag(outcome=kind, reason=reason)
    if claimed.study._storage.get_trial(claimed._trial_id).state != TrialState.RUNNING:
        recorder.tag(reason="given to another worker")
        recorder.finish("KILLED")
        worker.emit("refused")
        raise TrialStopped("given to another worker")
    worker.concluding.append((recorder.run_id, claimed._trial_id))
    recorder.finish("FINISHED")
    recorder.drop_checkpoints()
    shown = value if kind == "finished" else None
    seconds = time.perf_counter() - began
    worker.emit("done", trial=trial.id, outcome=kind, seconds=seconds, value=shown, metric=metric, reason=reason)
    return value if kind == "finished" else _worst(claimed)


def _peak_memory(worker: Worker) -> float:
    """MiB: the device's peak where there is one, else the process's."""
    if worker.orders.device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(worker.orders.device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
