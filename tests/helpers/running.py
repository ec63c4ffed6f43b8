"""Running `bench` as a person would, and reading what it left in MLflow's database."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def command(*args: str, **variables: str) -> subprocess.Popen[str]:
    """Start `bench ARGS` in the working directory. It hears Ctrl-C, also where the tests run in the background of a
    shell, which has what it starts there ignore it."""
    return subprocess.Popen(
        [sys.executable, "-m", "retable", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finished(folder: Path, suite: str = "toy") -> dict[str, list[str]]:
    """Trial id -> its FINISHED runs, read straight from MLflow's database."""
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
    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db")
    found = [row[0] for row in connection.execute("SELECT status FROM runs WHERE lifecycle_stage = 'active'")]
    connection.close()
    return found


def curve(folder: Path, run: str, metric: str = "loss/total") -> list[tuple[int, float]]:
    """Every point of a run's curve, repeats included."""
    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db")
    query = "SELECT step, value FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY step, timestamp"
    found = [(int(step), float(value)) for step, value in connection.execute(query, (run, metric))]
    connection.close()
    return found
