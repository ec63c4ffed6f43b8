"""What `bench list`, `plan`, `status`, `show` and `why` say; each as plain data first, then as text.

Torch-, MLflow- and matplotlib-free, as long as the tracking store is a database.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retable.bench import data
from retable.bench.numbers import duration
from retable.bench.store import places, reading, records, status
from retable.bench.suite import fingerprint, loader
from retable.bench.suite import plan as planning
from retable.bench.suite.plan import PlanError, Trial
from retable.bench.suite.values import text as value_text
from retable.bench.task import did_you_mean, find_task


@dataclass(frozen=True)
class Selection:
    """Which trials a command looks at: of one suite at one scale, those that `--only` and `--where` leave.

    seeds, overrides: over what the suite says (`--seeds`, `--set`). tracking: MLflow's store, None for the default.
    """

    suite: str
    scale: str = "quick"
    where: str = ""
    only: Sequence[str] = ()
    seeds: int | None = None
    overrides: Sequence[str] = ()
    tracking: str | None = None

    @property
    def forced(self) -> dict[str, Any]:
        """The settings that `--set` forces. Raises `PlanError`."""
        return planning.parse_overrides(self.overrides)


def suites() -> list[dict[str, Any]]:
    """Every suite of the project: name, paper, scales, and how many views it declares."""
    rows = []
    for path in loader.available():
        found = loader.load(path).suite
        rows.append(
            {
                "suite": found.suite,
                "file": str(path),
                "paper": f"{found.paper.title} ({found.paper.year})",
                "scales": ", ".join(found.scales),
                "tables": len(found.tables),
                "figures": len(found.figures),
                "claims": len(found.claims),
            }
        )
    return rows


def one(name: str) -> dict[str, Any]:
    """One suite: its experiments with their trials by scale, and its views with their titles."""
    file = loader.load(name)
    found = file.suite
    counts = {s: Counter(t.experiment for t in planning.trials(found, s)) for s in found.scales}
    return {
        "suite": found.suite,
        "about": found.about,
        "paper": found.paper.model_dump(),
        "scales": {name: scale.about for name, scale in found.scales.items()},
        "experiments": {
            name: {"task": e.task, "about": e.about, "trials": {s: counts[s][name] for s in found.scales}}
            for name, e in found.experiments.items()
        },
        "tables": {name: t.title for name, t in found.tables.items()},
        "figures": {name: f.title for name, f in found.figures.items()},
        "claims": {name: c.quote for name, c in found.claims.items()},
    }


def text(found: Mapping[str, Any]) -> str:
    """`one` for a person."""
    paper = found["paper"]
    lines = [f"{found['suite']}: {paper['title']} ({', '.join(paper['authors'])}, {paper['year']})", found["about"], ""]
    lines += ["scales", *(f"  {name}: {about}" for name, about in found["scales"].items()), "", "experiments"]
    for name, e in found["experiments"].items():
        trials = ", ".join(f"{n} at {s}" for s, n in e["trials"].items())
        lines.append(f"  {name} ({e['task']}): {trials}. {e['about']}")
    for kind in ("tables", "figures", "claims"):
        if found[kind]:
            lines += ["", kind, *(f"  {name}: {title}" for name, title in found[kind].items())]
    return "\n".join(lines)


def _planned(selection: Selection) -> tuple[loader.SuiteFile, list[Trial], places.Stores, dict[str, status.Status]]:
    file = loader.load(selection.suite)
    planned = planning.trials(file.suite, selection.scale, overrides=selection.forced, seeds=selection.seeds)
    chosen = planning.select(planned, selection.where, selection.only, file.suite)
    place = places.locate(file.project, selection.tracking)
    return file, chosen, place, status.of(chosen, place, status.code_digests(file.suite))


def plan(selection: Selection, workers: int) -> dict[str, Any]:
    """What a run would do: suite, scale, trials (id, experiment, params, seed, state), data, estimate."""
    file, chosen, _, statuses = _planned(selection)
    rows = [
        {
            "id": t.id,
            "experiment": t.experiment,
            "params": dict(t.varied),
            "seed": t.seed,
            "state": "stale" if statuses[t.id].stale else statuses[t.id].state,
        }
        for t in chosen
    ]
    todo = [t for t in chosen if not statuses[t.id].done]
    seconds, unknown = _estimate(file, selection.scale, chosen, todo, statuses)
    wanted = sorted({d for t in chosen for d in t.data})
    return {
        "suite": file.suite.suite,
        "scale": selection.scale,
        "trials": rows,
        "todo": len(todo),
        "data": {d: data.missing(d, file.suite.packages) or "here" for d in wanted},
        "seconds": seconds / workers if seconds else None,
        "unestimated": unknown,
        "workers": workers,
    }


def _estimate(
    file: loader.SuiteFile,
    scale: str,
    chosen: Sequence[Trial],
    todo: Sequence[Trial],
    statuses: Mapping[str, status.Status],
) -> tuple[float, int]:
    """(seconds of one worker, trials without an estimate): from the runs there are, else from the suite."""
    known: dict[str, float] = {}
    for name in {t.experiment for t in todo}:
        spent = [s for t in chosen if t.experiment == name and (s := statuses[t.id].seconds) is not None]
        declared = file.suite.experiments[name].seconds_at.get(scale)
        if spent or declared:
            known[name] = sum(spent) / len(spent) if spent else declared or 0.0
    return sum(known.get(t.experiment, 0.0) for t in todo), sum(t.experiment not in known for t in todo)


def plan_text(found: Mapping[str, Any]) -> str:
    """`plan` for a person."""
    lines = [f"{found['suite']} at scale {found['scale']}"]
    by_experiment: dict[str, Counter[str]] = {}
    for row in found["trials"]:
        by_experiment.setdefault(row["experiment"], Counter())[row["state"]] += 1
    for name, states in by_experiment.items():
        lines.append(f"  {name}: {sum(states.values())} trials ({', '.join(f'{n} {s}' for s, n in states.items())})")
    lines += [f"  data {name}: {here}" for name, here in found["data"].items()]
    if not found["todo"]:
        lines.append("nothing to run")
    elif found["seconds"] is None:
        lines.append(f"{found['todo']} trials to run; no time known yet")
    else:
        rest = f", and {found['unestimated']} trials of unknown length" if found["unestimated"] else ""
        time = duration(found["seconds"])
        lines.append(f"{found['todo']} trials to run: about {time} with {found['workers']} workers{rest}")
    stale = sum(row["state"] == "stale" for row in found["trials"])
    if stale:
        lines.append(
            f"{stale} trials are stale (their code has changed): --stale runs them again, `bench why` explains"
        )
    return "\n".join(lines)


def progress(selection: Selection) -> dict[str, Any]:
    """Counts of states by experiment."""
    file, chosen, _, statuses = _planned(selection)
    rows: dict[str, Counter[str]] = {}
    for trial in chosen:
        found = statuses[trial.id]
        rows.setdefault(trial.experiment, Counter()).update(
            ["declared", found.state, *(["stale"] if found.stale else [])]
        )
    states = ("declared", "finished", "diverged", "pruned", "failed", "running", "missing", "stale")
    return {
        "suite": file.suite.suite,
        "scale": selection.scale,
        "experiments": [
            {"suite": file.suite.suite, "experiment": e, **{s: n[s] for s in states}} for e, n in rows.items()
        ],
    }


def _find(chosen: Sequence[Trial], word: str) -> Trial:
    fits = [t for t in chosen if t.id.startswith(word)]
    if len(fits) != 1:
        raise PlanError(
            f"{len(fits)} trials have an id that begins with '{word}'"
            f"{'' if fits else did_you_mean(word, [t.id for t in chosen], show=3)}; `bench plan --json` lists them"
        )
    return fits[0]


def show(selection: Selection, word: str) -> dict[str, Any]:
    """One trial: what it is, how it stands, what it measured, on what."""
    _, chosen, place, statuses = _planned(selection)
    trial = _find(chosen, word)
    found = statuses[trial.id]
    result: dict[str, Any] = {
        "id": trial.id,
        "name": trial.name,
        "experiment": trial.experiment,
        "task": trial.task,
        "seed": trial.seed,
        "settings": dict(trial.settings),
        "data": dict(trial.data),
        "starts_from": trial.start,
        "state": found.state,
        "stale": found.stale,
        "reason": found.reason,
    }
    if found.run is not None:
        result |= {
            "run": found.run.id,
            "started": datetime.datetime.fromtimestamp(found.run.started, datetime.UTC).isoformat(timespec="seconds"),
            "seconds": found.seconds,
            "artifacts": found.run.artifact_uri,
            "metrics": reading.metrics(place.tracking, [found.run.id])[found.run.id],
            "facts": {k.removeprefix("retable."): v for k, v in found.run.tags.items() if k != "mlflow.note.content"},
        }
    return result


def show_text(found: Mapping[str, Any]) -> str:
    """`show` for a person."""
    lines = []
    for key, value in found.items():
        if isinstance(value, dict):
            lines.append(f"{key}:")
            lines += [f"  {k}: {v if isinstance(v, str) else value_text(v)}" for k, v in sorted(value.items())]
        elif value not in (None, ""):
            lines.append(f"{key}: {value_text(value)}")
    return "\n".join(lines)


def why(selection: Selection, word: str) -> dict[str, Any]:
    """Why a trial is done, stale, failed or missing."""
    file, chosen, place, statuses = _planned(selection)
    trial = _find(chosen, word)
    found = statuses[trial.id]
    because = [found.reason] if found.reason else []
    if found.stale and found.run is not None:
        because += _changes(file, trial, found.run, place)
    elif found.state == "missing":
        names = [places.experiment_name(trial.suite, trial.experiment)]
        because += _why_missing(trial, reading.runs(place.tracking, names), place)
    elif found.done:
        because.append("finished, and neither its settings, its data nor its task's code have changed since")
    state = "stale" if found.stale else found.state
    return {"id": trial.id, "name": trial.name, "state": state, "because": because}


def _changes(file: loader.SuiteFile, trial: Trial, run: records.Run, place: places.Stores) -> list[str]:
    from pathlib import Path

    packages = file.suite.packages
    now = fingerprint.of(find_task(trial.task, packages).make, packages)
    recorded = Path(run.artifact_uri.removeprefix("file://")) / "code.json"
    if not recorded.is_file():
        from retable.bench.store import artifacts  # a store that is not on this machine

        recorded = artifacts.artifact(place.tracking, run, "code.json", place.folder / "fetched")
    return fingerprint.changes(json.loads(recorded.read_text()), now)


def _why_missing(trial: Trial, runs: Sequence[records.Run], place: places.Stores) -> list[str]:
    """The nearest finished run of the same experiment and scale, and in what it differs."""
    own = [r for r in runs if r.tags.get("retable.trial") == trial.id]
    if own:
        return [f"its last run was {own[-1].status.lower()}: {own[-1].tags.get('retable.reason', '')}"]
    others = [r for r in runs if r.status == "FINISHED" and r.tags.get("retable.scale") == trial.scale]
    if not others:
        return ["no trial of its experiment has run at this scale"]
    recorded = reading.params(place.tracking, [r.id for r in others])
    mine = {k: value_text(v) for k, v in {**trial.settings, **trial.varied, "seed": trial.seed}.items()}
    differences = [[k for k in mine if recorded[r.id].get(k) != mine[k]] for r in others]
    nearest = min(range(len(others)), key=lambda i: len(differences[i]))
    params = recorded[others[nearest].id]
    changed = [f"{k} is {mine[k]}, was {params.get(k, 'not a setting')}" for k in differences[nearest]]
    changed = changed or ["its data, or what it starts from, has another version"]
    return [f"never run; the nearest finished run ({others[nearest].name}) differs:", *changed]
