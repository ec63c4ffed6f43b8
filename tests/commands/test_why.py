"""`bench why`: what a trial's state comes from. That of a failed one: test_status.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from running import Ran

Bench = Callable[..., Ran]


def why(bench: Bench, where: str, *more: str) -> dict[str, Any]:
    """Of the one trial there."""
    *_, trial = bench("plan", "toy", "--json", "--where", where, *more).json["trials"]  # after what it starts from
    found: dict[str, Any] = bench("why", "toy", trial["id"], "--json", *more).json
    assert found["id"] == trial["id"]
    return found


PLAIN = "experiment=grid,method=plain,seed=0"


def test_a_finished_trial_is_as_it_was(ran: Path, bench: Bench) -> None:
    found = why(bench, f"{PLAIN},lr=0.1")
    assert found["state"] == "finished" and found["name"] == "plain lr=0.1 seed=0"
    assert found["because"] == ["finished, and neither its settings, its data nor its task's code have changed since"]


def test_of_a_stale_trial_the_changed_definitions_are_named(ran: Path, bench: Bench) -> None:
    helper, tasks = ran / "toypaper" / "helper.py", ran / "toypaper" / "tasks.py"
    helper.write_text(helper.read_text().replace("FACTOR = 0.5", "FACTOR = 0.25"))
    tasks.write_text(tasks.read_text().replace("steps = 60", "steps = 61") + "\n\ndef new():\n    pass\n")
    found = why(bench, f"{PLAIN},lr=0.1")
    assert found["state"] == "stale"
    assert found["because"] == [
        "toypaper.helper: FACTOR changed",
        "toypaper.tasks: IdleTask changed",
        "toypaper.tasks: new added",
    ]
    said = bench("why", "toy", found["id"]).out.splitlines()
    assert said[0] == f"plain lr=0.1 seed=0 ({found['id']}): stale"
    assert said[1:] == [f"  {line}" for line in found["because"]]


def test_of_a_missing_trial_the_nearest_run_and_what_differs(ran: Path, bench: Bench) -> None:
    found = why(bench, f"{PLAIN},lr=0.01")
    assert found["state"] == "missing"
    nearest, *differs = found["because"]
    assert nearest == "never run; the nearest finished run (plain lr=0.1 seed=0) differs:"
    assert differs == ["lr is 0.01, was 0.1"]


def test_a_forced_setting_is_what_differs(ran: Path, bench: Bench) -> None:
    found = why(bench, f"{PLAIN},lr=0.1", "--set", "steps=21")
    assert found["because"][1:] == ["steps is 21, was 20"]


def test_where_no_trial_of_its_experiment_ran_there_is_nothing_near(ran: Path, bench: Bench) -> None:
    found = why(bench, "experiment=tune,seed=0")
    assert found["name"] == "tune seed=0"
    assert found["because"] == ["no trial of its experiment has run at this scale"]


def test_only_finished_runs_of_the_same_scale_are_near(ran: Path, bench: Bench) -> None:
    assert why(bench, f"{PLAIN},lr=0.1", "--scale", "long")["because"] == [
        "no trial of its experiment has run at this scale"
    ]
    with closing(sqlite3.connect(ran / "mlruns" / "mlflow.db")) as store, store:
        store.execute("UPDATE runs SET status = 'FAILED' WHERE name = 'plain lr=0.1 seed=0'")
    nearest, *differs = why(bench, f"{PLAIN},lr=0.01")["because"]
    assert "(plain lr=0.1 seed=1)" in nearest and differs == ["lr is 0.01, was 0.1", "seed is 0, was 1"]


def test_a_run_that_was_interrupted_is_said(ran: Path, bench: Bench) -> None:
    with closing(sqlite3.connect(ran / "mlruns" / "mlflow.db")) as store, store:
        store.execute("UPDATE runs SET status = 'KILLED'")
    found = why(bench, f"{PLAIN},lr=0.1")
    assert found["state"] == "missing" and found["because"] == ["its last run was killed: "]
