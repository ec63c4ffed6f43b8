"""`bench show`: all there is to know of one trial."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from retable.bench.commands.common import JSON, Selection, dump, find, planned, selecting


@click.command("show")
@selecting()
@click.argument("trial")
@click.option("--code", "as_code", is_flag=True, help="the code that its run is stamped with, as it was")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="a new folder to write the --code to")
@JSON
def command(selection: Selection, trial: str, as_code: bool, out: Path | None, as_json: bool) -> None:
    """One trial: settings, state, metrics, facts of its run, where its files are. TRIAL: an id or its beginning."""
    if as_code or out is not None:
        print(code(selection, trial, out), end="")
        return
    found = facts(selection, trial)
    print(dump(found) if as_json else text(found))


def code(selection: Selection, word: str, out: Path | None) -> str:
    """The sources of the trial's code one after the other; or, where they were written to a folder, their files."""
    from retable.bench import files
    from retable.bench.store import codes
    from retable.bench.store.places import StoreError

    _, chosen, place, statuses = planned(selection)
    trial = find(chosen, word)
    run = statuses[trial.id].run
    if run is None:
        raise StoreError(f"trial {trial.id} has not run, so there is no code that made it")
    found = codes.of(place, run)
    if out is None:
        return "\n".join(f"# {name}\n{content.decode()}" for name, content in found.items())
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise click.UsageError(f"-o {out}: it is there already; name a new folder")
    return "".join(f"{files.write(out / name, content)}\n" for name, content in found.items())


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
