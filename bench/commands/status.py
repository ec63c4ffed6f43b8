"""`bench status`: how far a suite is; without one, the ledger of all."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from retable.bench import tables
from retable.bench.commands.common import ANY_SUITE, FINE, JSON, Selection, dump, of_every_suite, planned, selecting

STATES = ("declared", "finished", "diverged", "collapsed", "pruned", "failed", "running", "missing", "stale")


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
    keys = ("suite", "experiment", *STATES)
    rows = [[str(r[k]) for k in keys] for r in found["experiments"]]
    print(dump([found]) if as_json else tables.text(keys, rows, rule=True))
    return FINE


def facts(selection: Selection) -> dict[str, Any]:
    """Counts of states by experiment."""
    file, chosen, _, statuses = planned(selection)
    rows: dict[str, Counter[str]] = {}
    for trial in chosen:
        found = statuses[trial.id]
        rows.setdefault(trial.experiment, Counter()).update(
            ["declared", found.state, *(["stale"] if found.stale else [])]
        )
    own = file.suite.suite
    return {
        "suite": own,
        "scale": selection.scale,
        "experiments": [{"suite": own, "experiment": e, **{s: n[s] for s in STATES}} for e, n in rows.items()],
    }
