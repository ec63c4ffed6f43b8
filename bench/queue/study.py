"""Optuna as the queue: every trial enqueued once, claimed through `study.optimize`, kept by heartbeats.

Optuna's claim of a waiting trial is a compare-and-set under a row lock (on SQLite, see `storage`). Where a worker dies,
its heartbeat stops, and whoever next starts a trial fails the stale one and enqueues it again, its number of retries
bounded.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from retable.bench.queue.storage import MAX_KILLS
from retable.bench.store import locks
from retable.bench.store.places import Stores
from retable.bench.suite.plan import Trial
from retable.bench.suite.schema import Experiment, Named
from retable.bench.suite.values import canonical, text
from retable.bench.task import did_you_mean

WINDOW = 16
"""Waiting trials in a study at a time. Optuna reads all waiting ones at each claim, so a full queue of thousands
would cost quadratic time; the window keeps a claim's cost flat. Four per worker where there are many workers."""


Space = dict[str, list[Any]]


def space(trials: Iterable[Trial]) -> Space:
    """Varied setting -> the values it takes over an experiment's trials."""
    found: dict[str, dict[tuple[type, Any], Any]] = {}
    for trial in trials:
        for key, value in trial.varied.items():
            # A list, which cannot be looked up, by its text.
            known = value if value.__hash__ else canonical(value)
            found.setdefault(key, {}).setdefault((type(value), known), value)
    return {key: list(values.values()) for key, values in found.items()}


def study_name(suite: str, scale: str, experiment: Experiment, name: str, values: Space) -> str:
    """The study of an experiment's search space. Optuna's studies have one space for life, so a grid that grows
    by a value gets a new study; what is finished is known from MLflow and not run again."""
    search = experiment.search.model_dump(exclude={"trials", "source"}) if experiment.search else None
    digest = hashlib.sha256(canonical([values, search]).encode()).hexdigest()[:6]
    return f"{suite}/{name}@{scale}#{digest}"


def names_of(made: RDBStorage, suite: str, scale: str = "") -> dict[str, str]:
    """The studies that a storage holds of a suite (at one scale, if given): name -> experiment."""
    found = {}
    for name in optuna.get_all_study_names(made):
        matched = _NAME.fullmatch(name)
        if matched and matched["suite"] == suite and scale in ("", matched["scale"]):
            found[name] = matched["experiment"]
    return found


_NAME = re.compile(r"(?P<suite>[^/]+)/(?P<experiment>.+)@(?P<scale>[^@#]+)#[0-9a-f]{6}")


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
    running: int = 0
    _final: int = 0
    """So many trials at the beginning are finished and looked at: they never change again."""
    _killed_since: dict[str, float] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read what has changed (Optuna's cache keeps finished trials)."""
        trials = self.study.get_trials(deepcopy=False)
        self.waiting = self.running = 0
        for frozen in trials[self._final :]:
            cell = frozen.user_attrs.get("cell")
            if cell is None or "duplicate" in frozen.user_attrs:
                continue
            if frozen.state == TrialState.WAITING:
                before = self.latest.get(cell)
                if before is not None and before.state == TrialState.WAITING and before.number != frozen.number:
                    self._duplicate(frozen)
                    continue
                self.waiting += 1
            self.running += frozen.state == TrialState.RUNNING
            self.latest[cell] = frozen
        while self._final < len(trials) and trials[self._final].state.is_finished():
            self._final += 1

    def _fail(self, frozen: FrozenTrial) -> None:
        with suppress(UpdateFinishedTrialError):  # claimed and finished in this instant
            self.study._storage.set_trial_state_values(frozen._trial_id, state=TrialState.FAIL)

    def _duplicate(self, frozen: FrozenTrial) -> None:
        """Enqueued twice, as when the server's answer to the first time was lost: the first one counts."""
        with suppress(UpdateFinishedTrialError):
            self.study._storage.set_trial_user_attr(frozen._trial_id, "duplicate", True)
        self._fail(frozen)

    def given_up(self, number: int) -> bool:
        """Whether the attempt of this number is over for Optuna. Its run's final status was set before, if ever."""
        return any(t.number == number and t.state.is_finished() for t in self.study.get_trials(deepcopy=False))

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

    def enqueue(self, trial: Trial, *, again: bool, needs: Mapping[str, str] | None = None) -> None:
        """Put a trial in the queue; `again` if it had a run before, so that the worker looks for its checkpoint.
        needs: what a worker's code and packages must be (`versions.of`)."""
        frozen = self.latest.get(trial.id)
        history = list(frozen.system_attrs.get("retry_history", [])) if frozen else []
        if trial.slot is None:
            params = {k: _choice(v) for k, v in trial.varied.items()}
            spaces: dict[str, Any] = {
                k: CategoricalDistribution([_choice(v) for v in self.space[k]]) for k in trial.varied
            }
        else:  # a search's parameters are its sampler's to choose, once
            params, spaces = (frozen.params, frozen.distributions) if frozen else ({}, {})
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=params,
                distributions=spaces,
                user_attrs={"cell": trial.id, "trial": trial.to_json(), "again": again, "needs": dict(needs or {})},
                system_attrs={"retry_history": history} if history else {},
            )
        )

    def withdraw(self, trials: set[str]) -> None:
        """Take waiting trials back out of the queue."""
        self.refresh()
        for cell, frozen in self.latest.items():
            if cell in trials and frozen.state == TrialState.WAITING:
                self._fail(frozen)


def put_back(study: optuna.Study, trial: FrozenTrial, *, again: bool) -> None:
    """Enqueue a trial once more that its worker gave up of its own accord, behind what waits."""
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,  # a search's too: its checkpoint is of the point it was given
            distributions=trial.distributions,
            user_attrs={**trial.user_attrs, "again": trial.user_attrs["again"] or again},
            system_attrs={k: v for k, v in trial.system_attrs.items() if k == "retry_history"},
        )
    )


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


def give_up(study: optuna.Study, number: int, reason: str) -> None:
    """Fail a running trial for good, with the reason, as its worker would have."""
    made = study._storage
    for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if frozen.number == number:
            with suppress(UpdateFinishedTrialError):  # it has ended in this instant
                made.set_trial_user_attr(frozen._trial_id, "failed", reason)
                made.set_trial_state_values(frozen._trial_id, state=TrialState.FAIL)


def enqueue_lock(stores: Stores, study: str) -> AbstractContextManager[None]:
    """Held while trials are enqueued, so that two commands do not enqueue the same one."""
    return locks.held(stores, f"enqueue-{study}")
