"""Which of a trial's runs counts: done before running before failed, today's code before older."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from retable.bench.store import owners, status
from retable.bench.store.client import connect
from retable.bench.store.places import locate
from retable.bench.store.records import Run
from retable.bench.suite.plan import Trial


def run(name: str, state: str, code: str = "now", ended: float | None = 9.0, **tags: str) -> Run:
    named = {f"retable.{k}": v for k, v in {"code": code, **tags}.items()}
    return Run(name, "e", name, state, 4.0, ended, "", named)


def told(*runs: Run, stale_counts: bool = True) -> tuple[str, bool, str | None]:
    found = status._status(runs, "now", stale_counts)
    return found.state, found.stale, found.run.id if found.run else None


@pytest.fixture(scope="module")
def dead() -> str:
    """The name of a process that has ended."""
    script = "from retable.bench.store import owners; print(owners.owner())"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_no_run_is_missing() -> None:
    assert told() == ("missing", False, None)
    assert told(run("a", "KILLED")) == ("missing", False, None)


def test_fresh_counts_before_stale_and_the_first_of_equals() -> None:
    assert told(run("a", "FINISHED")) == ("finished", False, "a")
    assert told(run("a", "FINISHED", "old"), run("b", "FINISHED")) == ("finished", False, "b")
    assert told(run("a", "FINISHED"), run("b", "FINISHED")) == ("finished", False, "a")
    assert told(run("a", "FINISHED"), run("b", "FINISHED", "old")) == ("finished", False, "a")


def test_of_older_code_the_newest_counts_where_it_counts() -> None:
    old = [run("a", "FINISHED", "old"), run("b", "FINISHED", "older")]
    assert told(*old) == ("finished", True, "b")
    assert told(*old, stale_counts=False) == ("missing", False, None)
    assert told(*old, run("c", "FAILED"), stale_counts=False) == ("failed", False, "c")
    assert told(*old, run("c", "FINISHED"), stale_counts=False) == ("finished", False, "c")


def test_done_before_running_before_failed() -> None:
    me = owners.owner()
    runs = [run("a", "FAILED"), run("b", "RUNNING", owner=me, ended=None), run("c", "FINISHED", "old")]
    assert told(*runs) == ("finished", True, "c")
    assert told(*runs, stale_counts=False) == ("running", False, "b")
    assert told(*runs[:2]) == ("running", False, "b")
    assert told(runs[1], run("d", "RUNNING", owner=me)) == ("running", False, "d")
    assert told(run("a", "FAILED"), run("b", "FAILED")) == ("failed", False, "b")
    assert told(run("a", "FAILED"), run("b", "KILLED")) == ("failed", False, "a")


def test_a_run_whose_process_is_gone_does_not_run(dead: str) -> None:
    assert told(run("a", "RUNNING", owner=dead)) == ("missing", False, None)
    assert told(run("a", "FAILED"), run("b", "RUNNING", owner=dead)) == ("failed", False, "a")
    assert told(run("a", "RUNNING", owner="another:1:2")) == ("running", False, "a")
    assert told(run("a", "RUNNING")) == ("running", False, "a")  # nobody knows whose


@pytest.mark.parametrize("outcome", ["finished", "diverged", "collapsed", "pruned"])
def test_an_outcome_is_the_state_of_what_is_done(outcome: str) -> None:
    found = status._status([run("a", "FINISHED", outcome=outcome, reason="at step 7")], "now", True)
    assert (found.state, found.reason, found.done) == (outcome, "at step 7", True)


def test_an_outcome_that_is_none_is_finished() -> None:
    assert told(run("a", "FINISHED", outcome="failed")) == ("finished", False, "a")


def test_why_it_failed_and_how_long_it_took() -> None:
    found = status._status([run("a", "FAILED", reason="no memory")], "now", True)
    assert (found.reason, found.done, found.seconds) == ("no memory", False, 5.0)
    assert status._status([], "now", True).seconds is None
    assert status._status([run("a", "RUNNING", ended=None)], "now", True).seconds is None
    assert not status._status([run("a", "RUNNING")], "now", True).done


def test_the_trials_of_a_store(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    stores = locate(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
    client = connect(stores.tracking)
    number = client.create_experiment("s/e", artifact_location=str(tmp_path))
    for trial, code in (("done", "now"), ("old", "before"), ("nobody's", "now")):
        made = client.create_run(number, tags={"retable.trial": trial, "retable.code": code}).info.run_id
        client.set_terminated(made, "FINISHED")
    trials = [Trial(name, "s", "quick", "e", "t", {}, {}, 0) for name in ("done", "old", "new")]
    found = status.of(trials, stores, {"e": "now"})
    assert {name: (s.state, s.stale) for name, s in found.items()} == {
        "done": ("finished", False),
        "old": ("finished", True),
        "new": ("missing", False),
    }
    assert status.of(trials, stores, {"e": "now"}, stale_counts=False)["old"].state == "missing"
