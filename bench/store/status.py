"""What is done, stale, failed and missing: planned trials held against MLflow's runs and today's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from retable.bench.store import reading, records
from retable.bench.store.owners import is_dead
from retable.bench.store.places import Stores, experiment_name
from retable.bench.suite import fingerprint
from retable.bench.suite.plan import Trial
from retable.bench.suite.schema import Suite
from retable.bench.task import find_task

State = Literal["finished", "diverged", "collapsed", "pruned", "failed", "running", "missing"]

LOST: tuple[State, ...] = ("diverged", "collapsed")
"""Ended without a result to use: by numbers that were not finite, or with finite ones of a useless model."""

DONE: tuple[State, ...] = ("finished", *LOST, "pruned")


@dataclass(frozen=True)
class Status:
    """A trial as its runs tell it.

    state: of its best run: done before running before failed. `missing`: no run, or only killed ones.
    stale: it is done, and the task's code has changed since.
    run: the run that counts, or None. reason: why it failed or collapsed, or at which step it diverged.
    """

    state: State
    stale: bool
    run: records.Run | None
    reason: str = ""

    @property
    def done(self) -> bool:
        return self.state in DONE

    @property
    def seconds(self) -> float | None:
        return self.run.ended - self.run.started if self.run and self.run.ended else None


def code_digests(suite: Suite) -> dict[str, str]:
    """Experiment -> the hash of its task's code as it stands."""
    makes = {name: find_task(e.task, suite.packages).make for name, e in suite.experiments.items()}
    by_make = {make: fingerprint.digest(fingerprint.of(make, suite.packages)) for make in set(makes.values())}
    return {name: by_make[make] for name, make in makes.items()}


def of(
    trials: Sequence[Trial], stores: Stores, digests: Mapping[str, str], *, stale_counts: bool = True
) -> dict[str, Status]:
    """Trial id -> status, from one read of the store.

    stale_counts: whether a finished run of older code counts as done (it does in reports, not in `run --stale`).
    """
    names = {experiment_name(t.suite, t.experiment) for t in trials}
    by_trial: dict[str, list[records.Run]] = {}
    for run in reading.runs(stores.tracking, sorted(names)):
        by_trial.setdefault(run.tags.get("retable.trial", ""), []).append(run)
    return {t.id: _status(by_trial.get(t.id, []), digests[t.experiment], stale_counts) for t in trials}


def _status(runs: Sequence[records.Run], digest: str, stale_counts: bool) -> Status:
    finished = [r for r in runs if r.status == "FINISHED"]
    fresh = [r for r in finished if r.tags.get("retable.code") == digest]
    if fresh or (finished and stale_counts):
        run = fresh[0] if fresh else finished[-1]  # of two equal results the first counts
        outcome = run.tags.get("retable.outcome", "finished")
        state: State = outcome if outcome in DONE else "finished"
        return Status(state, not fresh, run, run.tags.get("retable.reason", ""))
    running = [r for r in runs if r.status == "RUNNING" and not is_dead(r.tags.get("retable.owner", ""))]
    if running:
        return Status("running", False, running[-1])
    failed = [r for r in runs if r.status == "FAILED"]
    if failed:
        return Status("failed", False, failed[-1], failed[-1].tags.get("retable.reason", ""))
    return Status("missing", False, None)
