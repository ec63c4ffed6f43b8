"""`bench compare` as a command, on what `bench run` has left."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from running import Ran

Bench = Callable[..., Ran]


def test_the_command_compares_what_bench_run_has_left(project: Path, bench: Bench) -> None:
    some = ("--where", "experiment=grid,method=plain,lr=0.1")
    assert bench("run", "toy", "--workers", "1", "--no-report", *some).code == 0
    database = sqlite3.connect(project / "mlruns" / "mlflow.db")
    ids = dict(database.execute("SELECT name, run_uuid FROM runs").fetchall())
    database.close()
    a, b = (ids[f"plain lr=0.1 seed={seed}"] for seed in (0, 1))
    found = bench("compare", a[:10], b, "--json").json
    assert found["differs"]["seed"] == ["0", "1"] and "method" not in found["differs"]
    (final,) = (line for line in found["lines"] if line["metric"] == "loss/final")
    assert final["says"] == "within noise" and final["moved"] != 0
    sides = bench("compare", "scale=quick", "scale=quick", "--suite", "toy")
    assert sides.code == 0 and sides.out.rstrip().endswith("1 same")
    unknown = bench("compare", "nothing", a)
    assert unknown.code == 2 and "'nothing'" in unknown.err and "Traceback" not in unknown.err
