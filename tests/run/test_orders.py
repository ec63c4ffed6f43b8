"""What a worker is told crosses to its process whole, and each fact of it is true."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import optuna
import pytest

from retable.bench.run import orders
from retable.bench.run.options import Options
from retable.bench.run.orders import Orders
from retable.bench.store.places import Stores
from retable.bench.suite import fingerprint
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.schema import Experiment


def test_orders_cross_as_one_line_of_json(told: Orders) -> None:
    line = json.dumps(asdict(told))
    assert "\n" not in line and Orders(**json.loads(line)) == told


def test_a_worker_finds_the_stores_of_its_command(told: Orders) -> None:
    assert told.stores == Stores(told.tracking, told.storage, Path(told.folder) / "artifacts", Path(told.folder))
    assert replace(told, artifacts=None).stores.artifacts is None  # a tracking server keeps its own


def test_experiments_cross_with_all_that_the_suite_says(told: Orders, toy: SuiteFile) -> None:
    read = {name: Experiment.model_validate(made) for name, made in told.experiments.items()}
    assert read == dict(toy.suite.experiments)


def test_a_worker_is_told_the_code_that_it_must_have(told: Orders, toy: SuiteFile) -> None:
    assert set(told.codes) == set(told.code_files) == set(toy.suite.experiments)
    for name, code in orders.codes_of(toy).items():
        assert told.codes[name] == fingerprint.digest(code)
        assert json.loads(told.code_files[name]) == json.loads(json.dumps(code))


def test_how_a_run_is_carried_out_crosses_too(toy: SuiteFile, told: Orders) -> None:
    options = Options(3, 2, "cuda:1", checkpoint_seconds=7.5, ranks=4)
    made = orders.standing(toy, told.stores, options, orders.codes_of(toy), toy.suite.experiments)
    assert (made.device, made.threads, made.checkpoint_seconds, made.ranks) == ("cuda:1", 2, 7.5, 4)
    assert not made.guest and made.studies == {} and made.mlflow == {}


def git(project: Path, *args: str) -> str:
    command = ["git", "-C", str(project), "-c", "user.name=A", "-c", "user.email=a@example.org", *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_facts_of_a_run_are_of_this_machine(tmp_path: Path) -> None:
    found = orders.facts(tmp_path)
    assert found["retable.python"] == platform.python_version() and found["retable.host"] == platform.node()
    assert found["retable.optuna"] == optuna.__version__ and found["retable.cpu"]


def test_the_commit_is_told_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert "mlflow.source.git.commit" not in orders.facts(tmp_path)  # nothing is committed yet
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    found = orders.facts(tmp_path)
    assert found["mlflow.source.git.commit"] == git(tmp_path, "rev-parse", "HEAD")
    assert found["retable.dirty"] == "false"
    (tmp_path / "new.py").write_text("2")
    assert orders.facts(tmp_path)["retable.dirty"] == "false"  # what git does not follow is no change of the code
    (tmp_path / "a.py").write_text("2")
    assert orders.facts(tmp_path)["retable.dirty"] == "true"


def test_an_experiments_note_names_the_paper(toy: SuiteFile) -> None:
    said = orders.about_of(toy, "grid")
    assert said == "two methods, four learning rates\n\nA. Nonymous: *On the descent into bowls* (2020)"


def test_a_commit_that_is_not_known_has_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not {"mlflow.source.git.commit", "retable.commit_unknown"} & set(orders.facts(tmp_path))  # no repository
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert orders.facts(tmp_path)["retable.commit_unknown"]  # nothing is committed yet
    monkeypatch.setenv("PATH", "")
    assert orders.facts(tmp_path)["retable.commit_unknown"] == "git is not installed"
