"""Experiments that were deleted or renamed in MLflow come back, or are run again, with a word."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from retable.bench.store import making, reading
from retable.bench.store.client import connect
from retable.bench.store.places import Stores, locate
from retable.bench.store.recorder import Recorder
from retable.bench.suite.plan import Trial


@pytest.fixture
def stores(tmp_path: Path, empty_store: Path) -> Stores:
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    return locate(tmp_path)


def record(stores: Stores, trial: str, status: str = "FINISHED", code: str = "c") -> str:
    number = making.prepare(stores, {"s/e": "about"})["s/e"]
    tags = {"retable.trial": trial, "retable.code": code, "retable.optuna": "s/e@quick#123456:0"}
    made = Recorder(stores, number, Trial(trial, "s", "quick", "e", "t", {}, {}, 0), tags)
    made.finish(status)
    return made.run_id


def there(stores: Stores) -> set[str]:
    return {run.id for run in reading.runs(stores.tracking, ["s/e"])}


def test_a_deleted_experiment_is_back_with_its_runs_and_it_is_said(
    stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {record(stores, "one"), record(stores, "one", code="d"), record(stores, "two", "KILLED")}
    number = making.prepare(stores, {"s/e": "about"})["s/e"]
    assert capsys.readouterr().err == ""
    connect(stores.tracking).delete_experiment(number)
    assert there(stores) == set()
    assert making.prepare(stores, {"s/e": "about"})["s/e"] == number
    assert capsys.readouterr().err == "the MLflow experiment s/e was deleted: it is back, with 3 runs\n"
    assert there(stores) == runs
    making.prepare(stores, {"s/e": "about"})
    assert capsys.readouterr().err == ""


def test_a_run_that_was_deleted_before_and_run_again_stays_deleted(
    stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    first = record(stores, "one")
    connect(stores.tracking).delete_run(first)
    again = record(stores, "one")
    connect(stores.tracking).delete_experiment(making.prepare(stores, {"s/e": "about"})["s/e"])
    making.prepare(stores, {"s/e": "about"})
    assert there(stores) == {again}
    said = "the MLflow experiment s/e was deleted: it is back, with 1 runs; 1 that were deleted before stay so\n"
    assert capsys.readouterr().err == said


def test_a_renamed_experiment_is_named_before_its_trials_are_run_again(
    stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    record(stores, "one")
    number = making.prepare(stores, {"s/e": "about"})["s/e"]
    connect(stores.tracking).rename_experiment(number, "my own name")
    assert making.prepare(stores, {"s/e": "about", "s/other": "about"})["s/e"] != number
    said = capsys.readouterr().err
    assert said.startswith("runs of s/e stand in the MLflow experiment 'my own name': was it renamed? ")
    assert said.count("\n") == 1
