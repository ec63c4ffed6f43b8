"""`bench why`: why a trial is done, stale, failed or missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retable.bench.commands.common import JSON, Selection, dump, find, planned, selecting

if TYPE_CHECKING:
    from retable.bench.store.places import Stores
    from retable.bench.store.records import Run
    from retable.bench.suite.loader import SuiteFile
    from retable.bench.suite.plan import Trial


@click.command("why")
@selecting()
@click.argument("trial")
@JSON
def command(selection: Selection, trial: str, as_json: bool) -> None:
    """Why a trial is in the state it is in; for a stale one, which code has changed."""
    found = facts(selection, trial)
    print(dump(found) if as_json else text(found))


def facts(selection: Selection, word: str) -> dict[str, Any]:
    """The trial's state and what it comes from."""
    from retable.bench.store import places, reading

    file, chosen, place, statuses = planned(selection)
    trial = find(chosen, word)
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


def text(found: Mapping[str, Any]) -> str:
    """`facts` for a person."""
    return "\n".join([f"{found['name']} ({found['id']}): {found['state']}", *(f"  {b}" for b in found["because"])])


def _changes(file: SuiteFile, trial: Trial, run: Run, place: Stores) -> list[str]:
    """What of the task's code is not as it was when it ran."""
    from retable.bench.suite import fingerprint
    from retable.bench.task import find_task

    packages = file.suite.packages
    now = fingerprint.of(find_task(trial.task, packages).make, packages)
    recorded = Path(run.artifact_uri.removeprefix("file://")) / "code.json"
    if not recorded.is_file():
        from retable.bench.store import artifacts  # a store that is not on this machine

        recorded = artifacts.artifact(place.tracking, run, "code.json", place.folder / "fetched")
    try:
        return fingerprint.changes(json.loads(recorded.read_text(encoding="utf-8")), now)
    except ValueError:
        return [f"its task's code has changed; in what is not known: the code.json of run {run.id} is broken"]


def _why_missing(trial: Trial, runs: Sequence[Run], place: Stores) -> list[str]:
    """The nearest finished run of the same experiment and scale, and in what it differs."""
    from retable.bench.store import reading
    from retable.bench.suite import values

    own = [r for r in runs if r.tags.get("retable.trial") == trial.id]
    if own:
        return [f"its last run was {own[-1].status.lower()}: {own[-1].tags.get('retable.reason', '')}"]
    others = [r for r in runs if r.status == "FINISHED" and r.tags.get("retable.scale") == trial.scale]
    if not others:
        return ["no trial of its experiment has run at this scale"]
    recorded = reading.params(place.tracking, [r.id for r in others])
    mine = {k: values.text(v) for k, v in {**trial.settings, **trial.varied, "seed": trial.seed}.items()}
    differences = [[k for k in mine if recorded[r.id].get(k) != mine[k]] for r in others]
    nearest = min(range(len(others)), key=lambda i: len(differences[i]))
    params = recorded[others[nearest].id]
    changed = [f"{k} is {mine[k]}, was {params.get(k, 'not a setting')}" for k in differences[nearest]]
    changed = changed or ["its data, or what it starts from, has another version"]
    return [f"never run; the nearest finished run ({others[nearest].name}) differs:", *changed]
