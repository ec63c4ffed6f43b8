"""Fixtures shared by all tests: a toy project to run `bench` in, as a person would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.pop("MLFLOW_TRACKING_URI", None)
os.environ.pop("RETABLE_STORAGE", None)


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh MLflow database, made once: each costs two seconds."""
    from bench import tracking
    from bench.stores import Stores

    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    tracking.prepare(Stores(uri, "", folder / "artifacts", folder), {})
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the toy project with an empty store; the working directory."""
    folder = tmp_path / "project"
    shutil.copytree(HERE / "toy", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "mlruns").mkdir()
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    monkeypatch.chdir(folder)
    return folder


def command(*args: str, **variables: str) -> subprocess.Popen[str]:
    """Start `bench ARGS` in the working directory."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )


@pytest.fixture
def bench() -> Iterator[Callable[..., Ran]]:
    """Run `bench ARGS` to its end."""

    def run(*args: str, **variables: str) -> Ran:
        process = command(*args, **variables)
        out, err = process.communicate(timeout=240)
        return Ran(process.returncode, out, err)

    yield run


def finished(folder: Path, suite: str = "toy") -> dict[str, list[str]]:
    """Trial id -> its FINISHED runs, read straight from MLflow's database."""
    import sqlite3

    query = (
        "SELECT t.value, r.run_uuid FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'retable.trial' "
        "WHERE r.status = 'FINISHED' AND r.lifecycle_stage = 'active'"
    )
    found: dict[str, list[str]] = {}
    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db")
    for trial, run in connection.execute(query):
        found.setdefault(trial, []).append(run)
    connection.close()
    return found


def statuses(folder: Path) -> list[str]:
    """The statuses of all runs."""
    import sqlite3

    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db")
    found = [row[0] for row in connection.execute("SELECT status FROM runs WHERE lifecycle_stage = 'active'")]
    connection.close()
    return found


def curve(folder: Path, run: str, metric: str = "loss/total") -> list[tuple[int, float]]:
    """Every point of a run's curve, repeats included."""
    import sqlite3

    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db")
    query = "SELECT step, value FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY step, timestamp"
    found = [(int(step), float(value)) for step, value in connection.execute(query, (run, metric))]
    connection.close()
    return found
