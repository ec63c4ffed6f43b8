"""Runs put straight into MLflow's database, for tests of what reads it."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LARGEST = 1.7976931348623157e308


class Runs:
    """Runs put straight into MLflow's database, in the order in which they started."""

    def __init__(self, database: Path):
        self.database, self.uri, self.count = database, f"sqlite:///{database}", 0

    def add(
        self,
        run: str,
        metrics: Mapping[str, float] | float = 1.0,
        *,
        experiment: str = "grid",
        name: str = "a run",
        status: str = "FINISHED",
        scale: str = "quick",
        commit: str = "abc123",
        code: str = "c1",
        tags: Mapping[str, str] | None = None,
        **params: Any,
    ) -> str:
        """A run by the beginning of its id, of the toy's suite; a bare number is its loss at the end."""
        self.count += 1
        full = run.ljust(32, "0")
        measured = metrics if isinstance(metrics, Mapping) else {"loss/final": metrics}
        kept = {"retable.scale": scale, "mlflow.source.git.commit": commit, "retable.code": code, **(tags or {})}
        with sqlite3.connect(self.database) as db:
            db.execute("PRAGMA synchronous = OFF")  # a test's store need not outlive a power cut
            group = f"toy/{experiment}"
            db.execute(
                "INSERT INTO experiments (name, lifecycle_stage) SELECT :name, 'active' "
                "WHERE NOT EXISTS (SELECT 1 FROM experiments WHERE name = :name)",
                {"name": group},
            )
            ((number,),) = db.execute("SELECT experiment_id FROM experiments WHERE name = ?", (group,)).fetchall()
            db.execute(
                "INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, experiment_id) "
                "VALUES (?, ?, ?, ?, ?, 'active', ?)",
                (full, name, status, self.count, self.count + 1, number),
            )
            db.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(k, v, full) for k, v in kept.items() if v])
            said = [(key, str(value), full) for key, value in params.items()]
            db.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", said)
            db.executemany(
                "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, 0, 0, ?, ?)",
                [
                    (k, 0.0 if math.isnan(v) else max(-LARGEST, min(LARGEST, v)), math.isnan(v), full)
                    for k, v in measured.items()
                ],
            )
        db.close()
        return full
