"""What `bench check` holds against a baseline: a suite's trials, or any MLflow experiment's runs, as they ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from retable.bench.errors import RetableError
from retable.bench.judging import platforms
from retable.bench.store import reading, records, status
from retable.bench.store.places import Stores, experiment_name, redact
from retable.bench.suite import yaml12
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.plan import Trial
from retable.bench.suite.values import text
from retable.bench.task import TaskSpec, did_you_mean, find_task

STEPS = (0.05, 0.25, 0.5, 1.0)
"""Shares of a trial's steps at which its curves are held."""

UNDONE = ("failed", "running", "missing", "stale", "gone")
"""States of a trial that has no outcome to compare."""


class GateError(RetableError, ValueError):
    """There is no usable baseline, or nothing to compare with it."""


@dataclass(frozen=True)
class Measured:
    """One trial as its run left it.

    state: of `TrialState`, `stale` (done, by code that has changed since) or `gone` (in a baseline, planned no more).
    reason: why it is so. values: what is held of it -> the number, NaN and infinities included; empty where it is not
    done, or lost its numbers (diverged, pruned; a collapsed one has them). code: the hash of the code that ran.
    """

    trial: Trial
    name: str
    state: str
    reason: str = ""
    run: str = ""
    code: str = ""
    platform: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.state not in UNDONE


@dataclass(frozen=True)
class _Held:
    """What is held of a run: metrics along its curve, and at the end."""

    curves: Sequence[str]
    finals: Sequence[str]


def of_suite(file: SuiteFile, chosen: Sequence[Trial], place: Stores) -> list[Measured]:
    """The chosen trials of a suite as the store has them."""
    found = status.of(chosen, place, status.code_digests(file.suite))
    held = {e: _of_task(find_task(x.task, file.suite.packages)) for e, x in file.suite.experiments.items()}
    whole = [t for t in chosen if found[t.id].done and found[t.id].state not in ("diverged", "pruned")]
    runs = {run.id: held[t.experiment] for t in whole if (run := found[t.id].run) is not None}
    values = _values(place.tracking, runs)
    return [_of_trial(t, found[t.id], values) for t in chosen]


def _of_trial(trial: Trial, found: status.Status, values: Mapping[str, Mapping[str, float]]) -> Measured:
    name = f"{trial.experiment}: {trial.name}"
    if found.run is None:
        return Measured(trial, name, found.state)
    old = found.done and found.stale
    reason = "measured by code that has changed since: bench run --stale" if old else found.reason
    state, run = "stale" if old else found.state, found.run
    code = run.tags.get("retable.code", "")
    return Measured(trial, name, state, reason, run.id, code, _platform(run.tags), values.get(run.id, {}))


def _of_task(spec: TaskSpec) -> _Held:
    """The curve of `loss/total` where the task has one, else of its objective; at the end all but times."""
    curve = "loss/total" if "loss/total" in spec.metrics else spec.objective
    timed = {m for m, meaning in spec.metrics.items() if m.startswith("time/") or meaning.unit in ("s", "ms")}
    return _Held([curve], [m for m in spec.metrics if m not in timed])


def _platform(tags: Mapping[str, str]) -> dict[str, str]:
    return platforms.of({k.removeprefix("retable."): v for k, v in tags.items() if k.startswith("retable.")})


def _values(uri: str, wanted: Mapping[str, _Held]) -> dict[str, dict[str, float]]:
    """run id -> what is held of it -> the number."""
    finals = reading.metrics(uri, list(wanted)) if wanted else {}
    found: dict[str, dict[str, float]] = {run: {} for run in wanted}
    for metric in sorted({m for held in wanted.values() for m in held.curves}):
        points: dict[str, list[tuple[int, float]]] = {}
        for run, step, value in reading.curves(uri, [r for r, h in wanted.items() if metric in h.curves], metric):
            points.setdefault(run, []).append((step, value))
        for run, curve in points.items():
            last = max(step for step, _ in curve)
            for share in STEPS:
                step, value = next(point for point in curve if point[0] >= share * last)
                found[run][f"{metric} at step {step}"] = value
    for run, held in wanted.items():
        found[run] |= {metric: finals[run][metric] for metric in held.finals if metric in finals[run]}
    return found


# Runs of any MLflow experiment


def of_runs(
    uri: str, experiment: str, metrics: Sequence[str], match: Sequence[str] = (), tag: str = ""
) -> list[Measured]:
    """The runs of an MLflow experiment, told apart by the parameters `match` (all, if none is named) or by a tag.

    Of several that are alike the newest counts. Raises `GateError` where they cannot be told apart.
    """
    runs = reading.runs(uri, [experiment])
    if not runs:
        raise GateError(f"no runs of an MLflow experiment '{experiment}' in {redact(uri)}")
    params = reading.params(uri, [r.id for r in runs])
    newest: dict[str, tuple[records.Run, Trial]] = {}
    for run in runs:  # oldest first
        if tag and tag not in run.tags:
            continue
        found = {key: yaml12.scalar(value) for key, value in _identity(run, params[run.id], match).items()}
        known = run.tags[tag] if tag else " ".join(f"{key}={text(found[key])}" for key in sorted(found))
        if not known:
            raise GateError(f"run {run.id} ('{run.name}') has no parameters to tell it by: name a tag of it with --tag")
        seed = found.get("seed", 0)
        newest[known] = run, Trial(known, "", "", experiment, "", {}, found, seed if isinstance(seed, int) else 0)
    if not newest:
        raise GateError(f"no run of '{experiment}' has the tag '{tag}'{did_you_mean(tag, _own_tags(runs))}")
    finished = {r.id: _Held(metrics, metrics) for r, _ in newest.values() if r.status == "FINISHED"}
    values = _values(uri, finished)
    if finished and not any(values.values()):
        logged = sorted({m for found in reading.metrics(uri, list(finished)).values() for m in found})
        raise GateError(f"no run of '{experiment}' has logged {', '.join(metrics)}{did_you_mean(metrics[0], logged)}")
    return [
        Measured(
            trial,
            f"{experiment}: {known}",
            {"FINISHED": "finished", "RUNNING": "running", "SCHEDULED": "missing"}.get(run.status, "failed"),
            "" if run.status == "FINISHED" else f"its newest run, {run.id}, is {run.status}",
            run.id,
            run.tags.get("retable.code", ""),
            _platform(run.tags),
            values.get(run.id, {}),
        )
        for known, (run, trial) in newest.items()
    ]


def _identity(run: records.Run, params: Mapping[str, str], match: Sequence[str]) -> dict[str, str]:
    lacking = [key for key in match if key not in params]
    if lacking:
        raise GateError(
            f"run {run.id} ('{run.name}') has no parameter '{lacking[0]}'{did_you_mean(lacking[0], params)}"
        )
    return {key: params[key] for key in match or params}


def _own_tags(runs: Iterable[records.Run]) -> list[str]:
    return sorted({key for run in runs for key in run.tags if not key.startswith("mlflow.")})


# The same trials of another store


def counterparts(uri: str, measured: Sequence[Measured], other: str, experiments: Mapping[str, str]) -> list[Measured]:
    """For each measured trial, the newest other run of the same parameters (the precision aside) and code in `other`.

    experiments: experiment -> its name in `other`. Trials without such a run are left out.
    """
    mine = {m.trial.id: m for m in measured if m.values}
    params = reading.params(uri, [m.run for m in mine.values()]) if mine else {}
    own = {m.run for m in mine.values()}
    runs = [r for r in reading.runs(other, sorted(set(experiments.values()))) if r.status == "FINISHED"]
    runs = [r for r in runs if r.id not in own]
    theirs = reading.params(other, [r.id for r in runs]) if runs else {}
    alike = {(r.experiment, r.tags.get("retable.code", ""), _same(theirs[r.id])): r for r in runs}
    found = {
        m.trial.id: alike.get((experiments[m.trial.experiment], m.code, _same(params[m.run]))) for m in mine.values()
    }
    values = _values(other, {run.id: _held(mine[trial].values) for trial, run in found.items() if run is not None})
    return [
        replace(mine[trial], run=run.id, platform=_platform(run.tags), values=values[run.id])
        for trial, run in found.items()
        if run is not None
    ]


def _same(params: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((key, value) for key, value in params.items() if key != "precision")


def _held(values: Mapping[str, float]) -> _Held:
    curves = sorted({what.partition(" at step ")[0] for what in values if " at step " in what})
    return _Held(curves, [what for what in values if " at step " not in what])


def suite_experiments(measured: Iterable[Measured]) -> dict[str, str]:
    """Experiment -> its MLflow experiment, of a suite's trials."""
    return {m.trial.experiment: experiment_name(m.trial.suite, m.trial.experiment) for m in measured}
