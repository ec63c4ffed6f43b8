"""`bench verify`: whether the stores hold what they say, and what to do where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from retable.bench import tables
from retable.bench.commands.common import ANY_SUITE, FINE, JSON, REGRESSED, TRACKING, dump, of_every_suite


@click.command("verify")
@ANY_SUITE
@click.option("--all", "every", is_flag=True, help="every suite of the project")
@click.option("--scale", default="", help="of this size alone [default: all]")
@click.option("--repair", is_flag=True, help="mend what can be without running anything; broken trials are run again")
@TRACKING
@click.option("--storage", help="Optuna storage URL [default: mlruns/optuna.db of the project]")
@JSON
def command(
    suite: str, every: bool, scale: str, repair: bool, tracking: str | None, storage: str | None, as_json: bool
) -> int:
    """Whether every artifact is as it was written, and the queue and MLflow agree. Exit code 1 where they do not."""
    if bool(suite) == every:
        raise click.UsageError("name a suite, or give --all")

    def look(path: str | Path) -> list[dict[str, Any]]:
        return facts(path, scale, repair, tracking, storage)

    found, code = of_every_suite(look) if every else (look(suite), FINE)
    print(dump(found) if as_json else text(found))
    return code or (REGRESSED if any(not fault["repaired"] for fault in found) else FINE)


def facts(suite: str | Path, scale: str, repair: bool, tracking: str | None, queue: str | None) -> list[dict[str, Any]]:
    """What is wrong with a suite's stores, and whether it has been mended."""
    from retable.bench.queue import storage
    from retable.bench.run import verifying
    from retable.bench.store import client, places
    from retable.bench.suite import loader
    from retable.bench.suite.project import enter

    file = loader.load(suite)
    enter(file.project)
    place = places.locate(file.project, tracking, queue)
    found = []
    with client.explained(place.tracking), storage.explained(place.storage):
        for fault in verifying.look(file, place, scale):
            mend = fault.repair if repair else None
            if mend is not None:
                mend()
            told = {"where": fault.where, "wrong": fault.wrong, "mend": fault.mend, "repaired": mend is not None}
            found.append({"suite": file.suite.suite, **told})
    return found


def text(found: list[dict[str, Any]]) -> str:
    """For a person: a line for each fault, and what mends it."""
    if not found:
        return "nothing is wrong"
    rows = [[f["suite"], f["where"], f["wrong"], "repaired" if f["repaired"] else f["mend"]] for f in found]
    return tables.text(["suite", "where", "wrong", "mend"], rows, rule=True)
