"""What a worker does all day: look for trials that wait in its studies, claim one through Optuna, and attempt it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from retable.bench.queue import storage, study, versions
from retable.bench.run import attempt, earlier, events, imported
from retable.bench.run.attempt import TrialFailed, TrialStopped, Worker
from retable.bench.store import closing, codes, making, reading, records
from retable.bench.store.places import experiment_name
from retable.bench.store.status import LOST
from retable.bench.suite.plan import Trial
from retable.bench.suite.schema import Experiment, Range
from retable.bench.task import TaskSpec, find_task

Served = dict[str, tuple[optuna.Study, str, Experiment]]
"""The studies that a worker serves, in the suite's order: full name -> study, experiment's name, experiment."""


def work(worker: Worker) -> None:
    """Run trials until asked to stop. Studies are served in the suite's order."""
    orders = worker.orders
    making.warm_up(orders.tracking)
    made = storage.connect(orders.storage)
    served: Served = {}
    _find_studies(worker, made, served)
    looked = checked = time.monotonic()
    worker.tell(events.Ready(os.getpid()))
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


def _find_studies(worker: Worker, made: storage.Storage, served: Served) -> None:
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
        worker.tell_once(differs, events.Unfit(name, differs))
    return False


def _differs(worker: Worker, attributes: Mapping[str, Any], name: str) -> str:
    """How this worker's code or packages differ from what a trial was planned with; empty if it may run it."""
    found = versions.differences(attributes.get("needs", {}), worker.has(name))
    strict = not worker.orders.mixed or any(name in found for name in versions.OURS)
    return versions.told(found) if found and strict else ""


def _one(worker: Worker, found: optuna.Study, name: str, experiment: Experiment) -> None:
    """Claim and run one trial of a study."""
    try:
        found.optimize(
            lambda claimed: _objective(worker, claimed, name, experiment),
            n_trials=1,
            catch=(TrialFailed, TrialStopped),
        )
    except (UpdateFinishedTrialError, ValueError) as error:
        ended = worker.current
        if not isinstance(error, UpdateFinishedTrialError) and (ended is None or ended.is_ours):
            raise
        if ended is not None and worker.concluded and ended.state == TrialState.FAIL:
            # The trial was given to another worker while we finished it.
            run_id = ended.recorder.run_id
            closing.terminate(worker.orders.tracking, run_id, "KILLED", reason="given to another worker")
            worker.tell(events.Refused(ended.trial.id))
        # Else its run is closed already, or Optuna has our value and its answer was lost when the database went away.
    worker.current, worker.concluded = None, False


def _objective(worker: Worker, claimed: optuna.Trial, name: str, experiment: Experiment) -> float:
    attributes = claimed.user_attrs
    if "trial" not in attributes:
        raise optuna.TrialPruned("the queue was empty")
    trial = Trial.from_json(attributes["trial"])
    if _differs(worker, attributes, name):  # it stood before the one that we may run
        study.put_back(claimed.study, claimed.study._storage.get_trial(claimed._trial_id), again=False)
        raise TrialStopped("not for this worker")
    worker.tell(events.Claimed(trial.id, trial.name, claimed.study.study_name, claimed.number))
    spec = find_task(trial.task, worker.orders.packages)
    _verify(worker, claimed, trial, spec)
    retried = "retry_history" in claimed.study._storage.get_trial_system_attrs(claimed._trial_id)
    before: list[records.Run] = []
    if attributes["again"] or retried:
        names = [experiment_name(trial.suite, name)]
        before = reading.runs(worker.orders.tracking, names, trial=trial.id)
        before = [run for run in before if run.tags.get("retable.code") == worker.orders.codes[name]]
        done = [run for run in before if run.status == "FINISHED"]
        if done:
            return _told_late(worker, claimed, trial, done[0], attempt.metric_of(experiment, spec))
    if experiment.search:
        chosen = {key: _suggest(claimed, key, space) for key, space in experiment.search.space.items()}
        trial = replace(trial, settings={**trial.settings, **chosen}, varied={**trial.varied, **chosen})
        before = earlier.of_same_point(worker.orders, before, chosen)
    try:
        return attempt.run(attempt.begin(worker, claimed, trial, spec, experiment, before))
    except TrialStopped:
        if worker.orders.guest and worker.current is not None and worker.current.is_ours:
            # Nobody here waits for it; another machine may go on at once.
            study.put_back(claimed.study, claimed.study._storage.get_trial(claimed._trial_id), again=True)
        raise


def _verify(worker: Worker, claimed: optuna.Trial, trial: Trial, spec: TaskSpec) -> None:
    """Import the task's code, once; where it is not what the run was planned with, give the trial back and end."""
    if trial.experiment in worker.verified:
        return
    digest = worker.orders.codes[trial.experiment]
    try:
        kept = imported.verify(spec.make, worker.orders.packages, digest)
    except imported.CodeChanged:
        study.put_back(claimed.study, claimed.study._storage.get_trial(claimed._trial_id), again=False)
        worker.tell(events.Refused(trial.id))
        raise
    worker.verified.add(trial.experiment)
    if not codes.keep(worker.orders.stores, digest, kept):
        worker.archives[trial.experiment] = kept


def _told_late(worker: Worker, claimed: optuna.Trial, trial: Trial, done: records.Run, metric: str) -> float:
    """The value of a run whose worker was killed between its end and telling Optuna."""
    outcome = done.tags.get("retable.outcome", "finished")
    worker.tell(events.Done(trial.id, outcome, reason=done.tags.get("retable.reason", "")))
    if outcome == "pruned":
        raise optuna.TrialPruned
    if outcome in LOST:
        return attempt.worst(claimed)
    values = reading.metrics(worker.orders.tracking, [done.id])[done.id]
    return values.get(metric, attempt.worst(claimed))


def _suggest(claimed: optuna.Trial, key: str, space: Range | list[Any]) -> Any:
    if isinstance(space, list):
        return claimed.suggest_categorical(key, space)
    if space.integer:
        return claimed.suggest_int(key, int(space.low), int(space.high), log=space.log)
    return claimed.suggest_float(key, space.low, space.high, log=space.log)
