"""`bench status`: how far a suite is; without one, the ledger of all."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

import click

from retable.bench import tables
from retable.bench.commands.common import ANY_SUITE, FINE, JSON, Selection, dump, of_every_suite, planned, selecting


@click.command("status")
@selecting(ANY_SUITE, narrowing=True)
@JSON
def command(selection: Selection, as_json: bool) -> int:
    """How far a suite is: its trials by state. Without a suite: the ledger of all, from their last reports."""
    if not selection.suite:
        from retable.bench.report import ledger

        entries, code = of_every_suite(lambda path: ledger.read(suites=[path]))
        print(dump(ledger.as_json(entries)) if as_json else ledger.text(entries))
        return code
    found = facts(selection)
    rows = found["experiments"]
    lines = [[str(value) for value in row.values()] for row in rows]
    print(dump([found]) if as_json else tables.text(list(rows[0]), lines, rule=True))
    return FINE


def facts(selection: Selection) -> dict[str, Any]:
    """Counts of states by experiment."""
    from retable.bench.store.status import State

    file, chosen, _, statuses = planned(selection)
    rows: dict[str, Counter[str]] = {}
    for trial in chosen:
        found = statuses[trial.id]
        rows.setdefault(trial.experiment, Counter()).update(
            ["declared", found.state, *(["stale"] if found.stale else [])]
        )
    own, states = file.suite.suite, ("declared", *get_args(State), "stale")
    return {
        "suite": own,
        "scale": selection.scale,
        "experiments": [{"suite": own, "experiment": e, **{s: n[s] for s in states}} for e, n in rows.items()],
    }
