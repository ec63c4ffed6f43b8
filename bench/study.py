"""Optuna as the queue: every trial enqueued once, claimed through `study.optimize`, kept by heartbeats.

Optuna's claim of a waiting trial is a compare-and-set under a row lock; SQLite has none, so there every
transaction of the storage's engine begins IMMEDIATE, which serialises them (without: 25 of 200 trials ran twice
with six workers; with: none, at the same speed). Where a worker dies, its heartbeat stops, and whoever next
starts a trial fails the stale one and enqueues it again, its number of retries bounded.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from filelock import FileLock
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event

from bench.plan import Trial
from bench.schema import Experiment, Named
from bench.stores import Stores
from bench.task import did_you_mean
from bench.values import canonical, text

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=ExperimentalWarning)

HEARTBEAT_SECONDS = 10
GRACE_SECONDS = 60
MAX_KILLS = 5
"""A trial whose worker died is run again at most so often: one that kills its worker must not do so for ever."""

WINDOW = 16
"""Waiting trials in a study at a time. Optuna reads all waiting ones at each claim, so a full queue of thousands
would cost quadratic time; the window keeps a claim's cost flat. Four per worker where there are many workers."""


def storage(url: str) -> RDBStorage:
    """Optuna's storage with heartbeats and, on SQLite, transactions that serialise."""
    sqlite = url.startswith("sqlite:")
    made = RDBStorage(
        url,
        engine_kwargs={"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True},
        heartbeat_interval=HEARTBEAT_SECONDS,
        grace_period=GRACE_SECONDS,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MAX_KILLS),
    )
    if sqlite:
        event.listen(made.engine, "connect", _manual_transactions)
        event.listen(made.engine, "begin", _begin_immediate)
        made.engine.dispose()  # connections opened before the listeners
    return made


def _manual_transactions(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def prepare(stores: Stores) -> None:
    """Make the storage's tables if they are not there, once, under a lock; SQLite in WAL mode."""
    stores.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(stores.folder / "optuna.lock"):
        if stores.storage.startswith("sqlite:"):
            import sqlite3

            path = Path(stores.storage.removeprefix("sqlite:///"))
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=60)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.close()
        storage(stores.storage).engine.dispose()


Space = dict[str, list[Any]]


def space(trials: Iterable[Trial]) -> Space:
    """Varied setting -> the values it takes over an experiment's trials."""
    found: Space = {}
    for trial in trials:
        for key, value in trial.varied.items():
            values = found.setdefault(key, [])
            if not any(type(value) is type(v) and value == v for v in values):
                values.append(value)
    return found


def study_name(suite: str, scale: str, experiment: Experiment, name: str, values: Space) -> str:
    """The study of an experiment's search space. Optuna's studies have one space for life, so a grid that grows
    by a value gets a new study; what is finished is known from MLflow and not run again."""
    search = experiment.search.model_dump(exclude={"trials", "source"}) if experiment.search else None
    digest = hashlib.sha256(canonical([values, search]).encode()).hexdigest()[:6]
    return f"{suite}/{name}@{scale}#{digest}"


def create(made: RDBStorage, name: str, experiment: Experiment, seed: int = 0) -> optuna.Study:
    """The study of an experiment, made or opened. A grid's samples nothing; a search's has the YAML's sampler."""
    search = experiment.search
    if search is None:
        sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
        pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
        direction: Literal["minimize", "maximize"] = "minimize"
    else:
        sampler = _named(optuna.samplers, search.sampler, {"seed": seed})
        pruner = _named(optuna.pruners, search.pruner, {})
        direction = search.direction
    return optuna.create_study(
        storage=made, study_name=name, sampler=sampler, pruner=pruner, direction=direction, load_if_exists=True
    )


def _named(module: Any, named: Named, extra: dict[str, Any]) -> Any:
    suffix = "Sampler" if module is optuna.samplers else "Pruner"
    known = [name for name in dir(module) if name.endswith(suffix) and not name.startswith("Base")]
    if named.name not in known:
        raise ValueError(f"Optuna has no {suffix.lower()} '{named.name}'{did_you_mean(named.name, known)}")
    made = getattr(module, named.name)
    try:
        return made(**{**extra, **named.options})
    except TypeError:
        return made(**named.options)  # not every sampler takes a seed; a wrong option raises again here


@dataclass
class Queue:
    """What one study holds of our trials: the latest Optuna trial of each, refreshed from the storage."""

    study: optuna.Study
    space: Space
    latest: dict[str, FrozenTrial] = field(default_factory=dict)
    waiting: int = 0
    _killed_since: dict[str, float] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read what has changed (Optuna's cache keeps finished trials)."""
        latest: dict[str, FrozenTrial] = {}
        waiting = 0
        for frozen in self.study.get_trials(deepcopy=False):
            cell = frozen.user_attrs.get("cell")
            if cell is not None:
                latest[cell] = frozen
                waiting += frozen.state == TrialState.WAITING
        self.latest, self.waiting = latest, waiting

    def state(self, trial: str) -> str:
        """`none`, `waiting`, `running`, `done`, `failed` (with a reason) or `killed` (will be enqueued again)."""
        frozen = self.latest.get(trial)
        if frozen is None:
            return "none"
        if frozen.state == TrialState.FAIL:
            gave_up = len(frozen.system_attrs.get("retry_history", [])) >= MAX_KILLS
            return "failed" if "failed" in frozen.user_attrs or gave_up else "killed"
        return {TrialState.WAITING: "waiting", TrialState.RUNNING: "running"}.get(frozen.state, "done")

    def forgotten(self, trial: str, patience: float = 5.0) -> bool:
        """Whether a killed trial has waited so long that nobody will enqueue it again but us."""
        if self.state(trial) != "killed":
            self._killed_since.pop(trial, None)
            return False
        return time.monotonic() - self._killed_since.setdefault(trial, time.monotonic()) > patience

    def enqueue(self, trial: Trial, *, again: bool) -> None:
        """Put a trial in the queue; `again` if it had a run before, so that the worker looks for its checkpoint."""
        frozen = self.latest.get(trial.id)
        history = list(frozen.system_attrs.get("retry_history", [])) if frozen else []
        varied = trial.varied if trial.slot is None else {}  # a search's parameters are its sampler's to choose
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params={k: _choice(v) for k, v in varied.items()},
                distributions={k: CategoricalDistribution([_choice(v) for v in self.space[k]]) for k in varied},
                user_attrs={"cell": trial.id, "trial": trial.to_json(), "again": again},
                system_attrs={"retry_history": history} if history else {},
            )
        )

    def withdraw(self, trials: set[str]) -> None:
        """Take waiting trials back out of the queue."""
        self.refresh()
        for cell, frozen in self.latest.items():
            if cell in trials and frozen.state == TrialState.WAITING:
                try:
                    self.study._storage.set_trial_state_values(frozen._trial_id, state=TrialState.FAIL)
                except UpdateFinishedTrialError:
                    continue  # claimed and finished in this instant


def _choice(value: Any) -> Any:
    """A value that Optuna can hold."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else text(value)


def give_back(study: optuna.Study, numbers: Iterable[int]) -> None:
    """Fail running trials whose worker is known to be dead, and enqueue them again, as a stale heartbeat would."""
    made = study._storage
    retry = RetryHeartbeatStaleTrialCallback(max_retry=MAX_KILLS)
    by_number = {t.number: t for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}
    for number in numbers:
        frozen = by_number.get(number)
        if frozen is None:
            continue
        try:
            made.set_trial_state_values(frozen._trial_id, state=TrialState.FAIL)
        except UpdateFinishedTrialError:
            continue  # somebody noticed before us
        retry(study, made.get_trial(frozen._trial_id))


def enqueue_lock(stores: Stores, study: str) -> FileLock:
    """Held while trials are enqueued, so that two commands on one machine do not enqueue the same one."""
    return FileLock(stores.folder / f"enqueue-{study.replace('/', '-')}.lock")
