"""MLflow -> tidy pandas frames: what the runs of one suite at one scale measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from retable.bench.store import looks, reading, status
from retable.bench.store.places import Stores
from retable.bench.suite import plan, yaml12
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.schema import Suite

TrialState = status.State


@dataclass(frozen=True)
class Results:
    """Everything a report is built from.

    trials: one row per trial that the suite declares at this scale, run or not. Columns:
        trial (id), experiment, task, seed (int), state (`TrialState`), stale (bool: its task's code has
        changed since), reason (why it failed or collapsed, or at which step it diverged), run_id ("" if none),
        started, ended (UTC timestamps or NaT), seconds (wall time of the run), then every setting by its
        name (typed; NaN/None where the experiment's task has no such setting) and every final metric by
        its name, which holds a "/" (float, NaN where there is none).
    facts: run_id -> the system facts of that run (tags such as git commit, device, torch, threads, host).
    curves(run_ids, metric): a frame run_id, step, value, in order of step.
    artifact(run_id, path): local path of an artifact; raises FileNotFoundError.
    looks: claim -> the numbers of seeds at which it was judged before.
    """

    suite: Suite
    scale: str
    trials: pd.DataFrame
    facts: dict[str, dict[str, str]]
    curves: Callable[[Sequence[str], str], pd.DataFrame]
    artifact: Callable[[str, str], Path]
    looks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def load(
    file: SuiteFile,
    scale: str,
    stores: Stores,
    *,
    overrides: Mapping[str, Any] | None = None,
    seeds: int | None = None,
) -> Results:
    """What the runs of a suite at a scale measured, every declared trial in its row."""
    planned = plan.trials(file.suite, scale, overrides=overrides, seeds=seeds)
    seen = looks.read(file.suite, scale, stores.tracking)
    added = _added(file, scale, planned, seen, overrides)
    statuses = status.of([*planned, *added], stores, status.code_digests(file.suite))
    planned += [trial for trial in added if statuses[trial.id].done]
    run_of = {t.id: s.run for t, s in ((t, statuses[t.id]) for t in planned) if s.run is not None}
    by_id = {run.id: run for run in run_of.values()}
    measured = reading.metrics(stores.tracking, list(by_id)) if by_id else {}
    searched = [run_of[t.id].id for t in planned if t.slot is not None and t.id in run_of]
    chosen = reading.params(stores.tracking, searched) if searched else {}
    rows = [_row(file, trial, statuses[trial.id], measured, chosen) for trial in planned]

    def curves(run_ids: Sequence[str], metric: str) -> pd.DataFrame:
        found = reading.curves(stores.tracking, list(run_ids), metric) if run_ids else []
        return pd.DataFrame(found, columns=["run_id", "step", "value"])

    def artifact(run_id: str, path: str) -> Path:
        from retable.bench.store import artifacts

        if run_id not in by_id:
            raise FileNotFoundError(f"no run '{run_id}' in these results")
        return artifacts.artifact(stores.tracking, by_id[run_id], path, stores.folder / "fetched")

    facts = {run.id: _facts(run.tags) for run in by_id.values()}
    return Results(file.suite, scale, pd.DataFrame(rows), facts, curves, artifact, seen)


def _added(
    file: SuiteFile,
    scale: str,
    planned: Sequence[plan.Trial],
    seen: Mapping[str, Sequence[int]],
    overrides: Mapping[str, Any] | None,
) -> list[plan.Trial]:
    """The trials of seeds that the suite does not ask for and that some look at a claim has added."""
    most = max((n for counts in seen.values() for n in counts), default=0)
    if not most:
        return []
    have = {t.id for t in planned}
    every = plan.trials(file.suite, scale, overrides=overrides, seeds=most)
    return [trial for trial in every if trial.id not in have]


def _row(
    file: SuiteFile,
    trial: plan.Trial,
    found: status.Status,
    measured: Mapping[str, Mapping[str, float]],
    chosen: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    run = found.run
    settings = {**trial.settings, **trial.varied}
    if run is not None and trial.slot is not None:
        search = file.suite.experiments[trial.experiment].search
        assert search is not None
        settings |= {key: yaml12.scalar(chosen[run.id][key]) for key in search.space if key in chosen[run.id]}
    return {
        "trial": trial.id,
        "experiment": trial.experiment,
        "task": trial.task,
        "seed": trial.seed,
        "state": found.state,
        "stale": found.stale,
        "reason": found.reason,
        "run_id": run.id if run else "",
        "started": pd.Timestamp(run.started, unit="s", tz="UTC") if run else pd.NaT,
        "ended": pd.Timestamp(run.ended, unit="s", tz="UTC") if run and run.ended else pd.NaT,
        "seconds": found.seconds if found.seconds is not None else float("nan"),
        **settings,
        **(measured.get(run.id, {}) if run and found.done else {}),
    }


def _facts(tags: Mapping[str, str]) -> dict[str, str]:
    facts = {key.removeprefix("retable."): value for key, value in tags.items() if key.startswith("retable.")}
    facts["commit"] = tags.get("mlflow.source.git.commit", "")
    return facts
