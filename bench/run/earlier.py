"""What earlier attempts at a trial left in MLflow, and what the next makes of it: checkpoints, final states."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from retable.bench.run import finals, training
from retable.bench.run.orders import Orders
from retable.bench.run.training import BROKEN
from retable.bench.store import artifacts, closing, owners, reading, recorder, records
from retable.bench.store.digests import Damaged
from retable.bench.store.places import experiment_name
from retable.bench.suite.plan import Trial
from retable.bench.suite.values import text
from retable.bench.task import State, Task


def close_abandoned(uri: str, runs: Iterable[records.Run], found: optuna.Study) -> list[records.Run]:
    """End the MLflow runs that are RUNNING and have nobody: their process is gone, or (of another machine's nothing is
    known) Optuna has given their trial up. A run's final status comes before Optuna's, so none of these is alive and
    right. Returns them."""
    running = [run for run in runs if run.status == "RUNNING"]
    states = {t.number: t.state for t in found.get_trials(deepcopy=False)} if running else {}
    closed = []
    for run in running:
        name, _, number = run.tags.get("retable.optuna", "").rpartition(":")
        given_up = name == found.study_name and states.get(int(number), TrialState.RUNNING).is_finished()
        if given_up or owners.is_dead(run.tags.get("retable.owner", "")):
            closing.terminate(uri, run.id, "KILLED", reason="its process died")
            closed.append(run)
    return closed


def of_same_point(orders: Orders, earlier: list[records.Run], chosen: Mapping[str, Any]) -> list[records.Run]:
    """Attempts at the same point of a search's space: the checkpoint of another point is of no use."""
    told = reading.params(orders.tracking, [run.id for run in earlier])
    return [run for run in earlier if all(told[run.id].get(key) == text(value) for key, value in chosen.items())]


def start_state(orders: Orders, trial: Trial) -> State | None:
    """The final state of the trial that this one starts from. Raises RuntimeError where there is none to read."""
    if trial.start is None:
        return None
    names = [experiment_name(orders.suite, name) for name in orders.mlflow]
    finished = [r for r in reading.runs(orders.tracking, names, trial=trial.start) if r.status == "FINISHED"]
    if not finished:
        raise RuntimeError(f"its start, trial {trial.start}, has no finished run; run that experiment first")
    run = finished[-1]
    try:
        return finals.state(orders.tracking, run, orders.stores.folder / "fetched")
    except Damaged as error:
        closing.disown(orders.tracking, run, f"its {error.path} {error.what}")
        raise RuntimeError(
            f"its start, trial {trial.start}, is to be run again, for {error}; "
            f"`bench run {orders.suite} --scale {trial.scale}` does that, and then runs this one"
        ) from error


def resume(
    orders: Orders,
    make: Callable[[], Task],
    recorder: recorder.Recorder,
    earlier: list[records.Run],
    note: Callable[[str], None],
) -> tuple[Task, training.Standing | None]:
    """The task, brought to the newest checkpoint of its earlier attempts that can be read; their curve is repeated.

    make: makes the task anew. note: told of a checkpoint that is whole and cannot be used all the same.
    """
    task = make()
    for run, data in _checkpoints(orders, earlier):
        try:
            progress = training.unpack(data, task)
        except BROKEN as error:
            note(
                f"a checkpoint of run {run.id} cannot be used ({type(error).__name__}: {error}); the one before serves"
            )
            task = make()  # part of it may have been taken over
            continue
        recorder.rebase(progress.seconds)
        for step, seconds, values in progress.history:
            recorder.log(step, seconds, values)
        recorder.tag(resumed=f"run {run.id} at step {progress.index}")
        return task, progress
    return task, None


def _checkpoints(orders: Orders, earlier: list[records.Run]) -> Iterator[tuple[records.Run, bytes]]:
    """The checkpoints that are as they were written, newest first; one torn by a crash is not."""
    for run in reversed(earlier):
        for line in run.tags.get("retable.checkpoint", "").splitlines():
            path, digest, *_ = [*line.split(" "), ""]
            try:
                data = artifacts.artifact_bytes(orders.tracking, run, path, orders.stores.folder / "fetched")
            except (FileNotFoundError, Damaged):
                continue
            if hashlib.sha256(data).hexdigest() == digest:
                yield run, data
