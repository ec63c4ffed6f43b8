"""`bench compare`: two runs, or two sides of a suite; moved or within the noise over seeds."""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from running import Ran

from retable.bench.judging import comparing

Bench = Callable[..., Ran]


def run_ids(project: Path) -> dict[str, str]:
    connection = sqlite3.connect(project / "mlruns" / "mlflow.db")
    found = dict(connection.execute("SELECT name, run_uuid FROM runs").fetchall())
    connection.close()
    return found


def test_two_runs_by_the_beginnings_of_their_ids(project: Path, bench: Bench) -> None:
    assert bench("run", "toy", "--workers", "1", "--where", "experiment=grid", "--no-report").code == 0
    ids = run_ids(project)
    a, b = ids["plain lr=0.5 seed=0"], ids["plain lr=0.001 seed=0"]
    found = bench("compare", a[:10], b, "--json").json
    assert found["differs"]["lr"] == ["0.5", "0.001"] and "method" not in found["differs"]
    line = next(line for line in found["lines"] if line["metric"] == "loss/final")
    assert line["says"] in ("beyond noise", "within noise") and line["moved"] != 0
    again = bench("compare", a, a, "--json").json
    assert {line["says"] for line in again["lines"]} <= {"same", ""}
    unknown = bench("compare", "nothing", a)
    assert unknown.code == 2 and "'nothing'" in unknown.err


def test_two_stores_of_one_suite(project: Path, bench: Bench, tmp_path: Path) -> None:
    some = ("run", "toy", "--workers", "1", "--no-report", "--where", "experiment=grid")
    assert bench(*some).code == 0
    shutil.copytree(project / "mlruns", tmp_path / "before")
    before = f"store=sqlite:///{tmp_path / 'before' / 'mlflow.db'}"
    same = bench("compare", before, "scale=quick", "--suite", "toy")
    assert same.code == 0 and "8 same" in same.out
    helper = project / "toypaper" / "helper.py"
    helper.write_text(helper.read_text().replace("FACTOR = 0.5", "FACTOR = 0.7"))
    assert bench(*some, "--stale").code == 0
    moved = bench("compare", before, "scale=quick", "--suite", "toy", "--json").json
    assert {line["says"] for line in moved["lines"]} == {"noise unknown"}, "two seeds are too few for an interval"


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (("abc", "scale=quick"), "two runs or two sides"),
        (("scale=quick", "scale=long"), "--suite"),
        (("sclae=quick", "scale=long", "--suite", "toy"), "store=URL, commit=SHA or scale=NAME"),
        (("scale=quick", "scale=long", "--suite", "toy"), "nothing to compare"),
        (("scale=quick", "scale=logn", "--suite", "toy"), "'long'"),
    ],
)
def test_what_cannot_be_compared_says_what_to_write(
    project: Path, bench: Bench, sides: tuple[str, ...], said: str
) -> None:
    found = bench("compare", *sides)
    assert found.code == 2 and said in found.err and "Traceback" not in found.err


def test_two_draws_of_one_cell_are_called_moved_no_more_often_than_one_time_in_twenty() -> None:
    draw = np.random.default_rng(0)
    moved = 0
    for _ in range(4000):
        seeds = draw.normal(1, 0.1, 6)
        said = comparing._single("loss/final", *draw.normal(1, 0.1, 2), (float(seeds.std(ddof=1)), 5)).says
        moved += said == "beyond noise"
    assert moved / 4000 == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 4000))
