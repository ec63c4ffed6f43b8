"""`bench show`: all there is to know of one trial."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import click

from retable.bench.commands.common import JSON, Selection, dump, find, planned, selecting


@click.command("show")
@selecting()
@click.argument("trial")
@JSON
def command(selection: Selection, trial: str, as_json: bool) -> None:
    """One trial: settings, state, metrics, facts of its run, where its files are. TRIAL: an id or its beginning."""
    found = facts(selection, trial)
    print(dump(found) if as_json else text(found))


def facts(selection: Selection, word: str) -> dict[str, Any]:
    """What the trial is, how it stands, what it measured, on what."""
    from retable.bench.store import reading

    _, chosen, place, statuses = planned(selection)
    trial = find(chosen, word)
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


def text(found: Mapping[str, Any]) -> str:
    """`facts` for a person."""
    from retable.bench.suite import values

    lines = []
    for key, value in found.items():
        if isinstance(value, dict):
            lines.append(f"{key}:")
            lines += [f"  {k}: {v if isinstance(v, str) else values.text(v)}" for k, v in sorted(value.items())]
        elif value not in (None, ""):
            lines.append(f"{key}: {values.text(value)}")
    return "\n".join(lines)
