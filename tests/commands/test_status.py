"""`bench status SUITE`: how many trials are in which state. The ledger without a suite: tests/report/test_ledger.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from running import Ran, command

Bench = Callable[..., Ran]


def counts(ran: Ran) -> dict[str, dict[str, Any]]:
    """Experiment -> state -> trials, of the states that there are."""
    (found,) = ran.json
    return {
        row["experiment"]: {state: n for state, n in row.items() if isinstance(n, int) and n}
        for row in found["experiments"]
    }


def test_trials_are_counted_by_state(ran: Path, bench: Bench) -> None:
    assert counts(bench("status", "toy", "--json")) == {
        "grid": {"declared": 16, "finished": 4, "missing": 12},
        "tune": {"declared": 1, "missing": 1},
    }
    header, _, grid, tune = bench("status", "toy").out.splitlines()
    states = ["declared", "finished", "diverged", "collapsed", "pruned", "failed", "running", "missing", "stale"]
    assert header.split() == ["suite", "experiment", *states]
    assert grid.split() == ["toy", "grid", "16", "4", "0", "0", "0", "0", "0", "12", "0"]
    assert tune.split() == ["toy", "tune", "1", "0", "0", "0", "0", "0", "0", "1", "0"]


@pytest.mark.parametrize("state", ["diverged", "collapsed", "pruned"])
def test_what_ended_without_a_result_is_counted_as_what_it_is(ran: Path, bench: Bench, state: str) -> None:
    with closing(sqlite3.connect(ran / "mlruns" / "mlflow.db")) as store, store:
        changed = store.execute("UPDATE tags SET value = ? WHERE key = 'retable.outcome'", (state,))
        assert changed.rowcount == 4
    found = counts(bench("status", "toy", "--json", "--where", "experiment=grid,lr=0.1"))
    assert found == {"grid": {"declared": 4, state: 4}}


def test_stale_trials_are_counted_beside_finished_ones(ran: Path, bench: Bench) -> None:
    helper = ran / "toypaper" / "helper.py"
    helper.write_text(helper.read_text().replace("FACTOR = 0.5", "FACTOR = 0.25"))
    found = counts(bench("status", "toy", "--json", "--where", "experiment=grid,seed=1"))
    assert found == {"grid": {"declared": 8, "finished": 2, "missing": 6, "stale": 2}}


def test_a_trial_that_failed_counts_as_failed(ran: Path, bench: Bench) -> None:
    one = ("--where", "experiment=grid,lr=0.5,seed=0,method=plain")
    tasks = ran / "toypaper" / "tasks.py"
    tasks.write_text(tasks.read_text().replace("if index == s.fail_at:", "if True:"))
    assert command("run", "toy", "--no-report", "--workers", "1", *one).wait(240) == 3
    assert counts(bench("status", "toy", "--json", *one)) == {"grid": {"declared": 1, "failed": 1}}
    (trial,) = bench("plan", "toy", "--json", *one).json["trials"]
    why = bench("why", "toy", trial["id"], "--json").json
    assert why["state"] == "failed" and "the toy was told to fail" in why["because"][0]
