"""`bench compare` of two sides of a suite, cell by cell: one rule with the verdicts for seeds and for rounding."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from stored import Runs

from retable.bench.judging import comparing
from retable.bench.judging.comparing import CompareError, Line

INF, NAN = math.inf, math.nan


@pytest.fixture
def runs(project: Path) -> Runs:
    """The toy project's store, to put runs in."""
    return Runs(project / "mlruns" / "mlflow.db")


def test_two_commits_cell_by_cell(runs: Runs) -> None:
    for commit, by in (("aaa", 0.0), ("bbb", 1.0)):
        for seed in (0, 1):
            runs.add(f"{commit}0{seed}", 2.0 + seed + by, lr=0.5, method="plain", seed=seed, commit=commit)
            runs.add(f"{commit}1{seed}", 2.0 + seed, lr=0.1, method="momentum", seed=seed, commit=commit)
        runs.add(f"{commit}2", 5.0 + by, experiment="tune", lr=0.05, seed=0, commit=commit)
    found = comparing.compare("commit=aaa", "commit=bb", suite_name="toy")
    assert (found.a, found.b, found.differs, found.only) == ("commit=aaa", "commit=bb", {}, {})
    assert found.lines == [
        Line("grid: method=plain lr=0.5", "loss/final", 2.5, 3.5, 2, 0.4, "noise unknown"),
        Line("grid: method=momentum lr=0.1", "loss/final", 2.5, 2.5, 2, 0.0, "same"),
        Line("tune", "loss/final", 5.0, 6.0, 1, 0.2, "noise unknown"),
    ]


def cell(runs: Runs, a: dict[int, float], b: dict[int, float], **more: Any) -> Line:
    """The line of one cell with these seeds at quick and at long."""
    for scale, side in (("quick", a), ("long", b)):
        for seed, value in side.items():
            runs.add(f"{scale[0]}{seed}".encode().hex(), value, scale=scale, lr=0.5, method="plain", seed=seed)
    (line,) = comparing.compare("scale=quick", "scale=long", suite_name="toy", **more).lines
    return line


@pytest.mark.parametrize(
    ("a", "b", "n", "means", "moved", "says"),
    [
        # three seeds and more: the interval of the paired differences
        ({0: 1.0, 1: 2.0, 2: 3.0}, {0: 11.0, 1: 12.5, 2: 12.5}, 3, (2.0, 12.0), 5.0, "beyond noise"),
        ({0: 11.0, 1: 12.5, 2: 12.5}, {0: 1.0, 1: 2.0, 2: 3.0}, 3, (12.0, 2.0), -5 / 6, "beyond noise"),
        ({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.0, 1: 2.5, 2: 2.8}, 3, (2.0, 2.1), 0.05, "within noise"),
        ({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.5, 1: 2.5, 2: 3.5}, 3, (2.0, 2.5), 0.25, "beyond noise"),
        # fewer: less than 1 % is noise, more is not known
        ({0: 100.0, 1: 100.0}, {0: 100.9, 1: 100.9}, 2, (100.0, 100.9), 0.009, "within noise"),
        ({0: 100.0, 1: 100.0}, {0: 102.0, 1: 102.0}, 2, (100.0, 102.0), 0.02, "noise unknown"),
        ({0: 99.0}, {0: 100.0}, 1, (99.0, 100.0), 1 / 99, "noise unknown"),
        # the seeds that both have, where there are any
        ({0: 1.0, 1: 2.0}, {1: 3.0, 2: 9.0}, 1, (2.0, 3.0), 0.5, "noise unknown"),
        ({0: 1.0, 1: 2.0}, {1: 2.0, 2: 9.0}, 1, (2.0, 2.0), 0.0, "same"),
        ({0: 1.0, 1: 2.0, 2: 3.0}, {0: 11.0, 1: 12.5, 2: 12.5, 3: 0.0}, 3, (2.0, 12.0), 5.0, "beyond noise"),
        ({0: 1.0, 1: 2.0, 2: 3.0}, {5: 11.0, 6: 12.5, 7: 12.5, 8: 12.0}, 3, (2.0, 12.0), 5.0, "beyond noise"),
        ({0: 1.0, 1: 2.0, 2: 3.0}, {5: 1.0, 6: 2.0}, 2, (2.0, 1.5), -0.25, "noise unknown"),
        ({0: 2.0}, {5: 2.0}, 1, (2.0, 2.0), 0.0, "within noise"),
        ({0: 2.0, 1: 2.0, 2: 2.0}, {5: 2.0, 6: 2.0, 7: 2.0}, 3, (2.0, 2.0), 0.0, "within noise"),
        # what is no number
        ({0: 1.0, 1: NAN, 2: 3.0}, {0: 1.0, 1: 2.0, 2: 3.0}, 3, (NAN, 2.0), NAN, "noise unknown"),
        ({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.0, 1: 2.0, 2: NAN}, 3, (2.0, NAN), NAN, "noise unknown"),
        ({0: 1.0, 1: 2.0, 2: 3.0}, {0: INF, 1: INF, 2: INF}, 3, (2.0, INF), INF, "beyond noise"),
        ({0: 1.0, 1: 2.0, 2: 3.0}, {0: INF, 1: 2.0, 2: 3.0}, 3, (2.0, INF), INF, "within noise"),
        # one rule with the verdicts: shared seeds, and what rounding makes
        ({0: 1.0, 1: 2.0, 2: 3.01}, {0: 0.9, 1: 1.9, 2: 2.9, 3: 3.9}, 3, (2.00333, 1.9), -0.05158, "beyond noise"),
        (
            {0: 3.0, 1: 3.0, 2: 3.0},
            {0: 3.0 - 2e-7, 1: 3.0 - 2e-7, 2: 3.0 - 2e-7},
            3,
            (3.0, 3.0),
            -2e-7 / 3,
            "within noise",
        ),
    ],
)
def test_what_a_cell_says(
    runs: Runs, a: dict[int, float], b: dict[int, float], n: int, means: tuple[float, float], moved: float, says: str
) -> None:
    line = cell(runs, a, b)
    assert (line.n, line.says) == (n, says)
    assert (line.a, line.b, line.moved) == pytest.approx((*means, moved), nan_ok=True, rel=1e-3)


def test_of_one_cell_and_seed_the_newest_finished_run_counts(runs: Runs) -> None:
    for number, (value, status) in enumerate([(9.0, "FINISHED"), (3.0, "FINISHED"), (7.0, "FAILED")]):
        runs.add(f"a{number}", value, status=status, lr=0.5, method="plain", seed=0)
    assert cell(runs, {}, {0: 3.0}).says == "same"


def test_sides_by_store_and_by_scale_and_commit_together(runs: Runs, tmp_path: Path) -> None:
    shutil.copy(runs.database, tmp_path / "before.db")
    before = Runs(tmp_path / "before.db")
    before.add("aa", 1.0, scale="long", commit="aaa", lr=0.5, method="plain", seed=0)
    before.add("ab", 5.0, scale="quick", commit="aaa", lr=0.5, method="plain", seed=0)
    before.add("ac", 6.0, scale="long", commit="bbb", lr=0.5, method="plain", seed=0)
    runs.add("aa", 2.0, scale="quick", lr=0.5, method="plain", seed=0)
    (line,) = comparing.compare(
        f"store={before.uri},scale=long,commit=aa", "scale=quick", suite_name="toy"
    ).lines  # fmt: skip
    assert (line.a, line.b) == (1.0, 2.0)
    (same,) = comparing.compare(f"store={before.uri}", f"store={runs.uri}", suite_name="toy").lines
    assert (same.a, same.b) == (5.0, 2.0), "a side that names no scale is at the quick one"
    (long,) = comparing.compare("commit=aa", "commit=bb", suite_name="toy", scale="long", tracking=before.uri).lines
    assert (long.a, long.b) == (1.0, 6.0), "a side that names no store is in the one that was given"


def test_the_stores_are_those_of_the_suites_project_wherever_one_stands(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.add("aa", 1.0, lr=0.5, method="plain", seed=0)
    suite = Path("suites/toy.yaml").resolve()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert comparing.compare("scale=quick", "commit=abc", suite_name=str(suite)).lines[0].says == "same"


def test_cells_of_one_side_alone_are_counted(runs: Runs) -> None:
    runs.add("aa", 1.0, lr=0.5, method="plain", seed=0, commit="aaa")
    runs.add("ab", 1.0, lr=0.1, method="plain", seed=0, commit="aaa")
    runs.add("ac", 1.0, lr=0.01, method="plain", seed=0, commit="aaa")
    runs.add("ba", 1.0, lr=0.5, method="plain", seed=0, commit="bbb")
    runs.add("bb", 1.0, experiment="tune", seed=0, commit="bbb")
    found = comparing.compare("commit=aaa", "commit=bbb", suite_name="toy")
    assert found.only == {"commit=aaa": 2, "commit=bbb": 1}
    assert [line.what for line in found.lines] == ["grid: method=plain lr=0.5"]


def test_metrics_beside_the_objective(runs: Runs) -> None:
    both = {"loss/final": 1.0, "loss/total": 2.0}
    runs.add("aa", {**both, "time/train": 3.0}, lr=0.5, method="plain", seed=0, commit="aaa")
    runs.add("ab", both, lr=0.5, method="plain", seed=1, commit="aaa")
    runs.add("ba", {**both, "time/train": 4.0}, lr=0.5, method="plain", seed=0, commit="bbb")
    runs.add("bb", {"loss/total": 2.0, "time/train": 4.0}, lr=0.5, method="plain", seed=1, commit="bbb")
    more = ["time/train", "loss/final"]
    found = comparing.compare("commit=aaa", "commit=bbb", suite_name="toy", metrics=more)
    assert [(line.metric, line.n) for line in found.lines] == [("loss/final", 1), ("time/train", 1)]
    with pytest.raises(CompareError, match=r"^no run of these sides has a metric 'loss/finale'$"):
        comparing.compare("commit=aaa", "commit=bbb", suite_name="toy", metrics=["loss/final", "loss/finale"])


def test_a_metric_that_one_side_lacks_has_no_line(runs: Runs) -> None:
    runs.add("aa", {"loss/final": 1.0, "loss/total": 2.0}, lr=0.5, method="plain", commit="aaa")
    runs.add("ba", {"loss/final": 1.0}, lr=0.5, method="plain", commit="bbb")
    found = comparing.compare("commit=aaa", "commit=bbb", suite_name="toy", metrics=["loss/total"])
    assert [(line.metric, line.n) for line in found.lines] == [("loss/final", 1)], "a run without a seed has seed 0"


def test_an_experiment_that_is_not_of_the_scale_is_one_cell(runs: Runs) -> None:
    for commit in ("aaa", "bbb"):
        runs.add(commit, {"loss/total": 1.0}, experiment="idle", a=1, b=2, seed=0, commit=commit)
    (line,) = comparing.compare("commit=aaa", "commit=bbb", suite_name="toy").lines
    assert (line.what, line.metric, line.says) == ("idle", "loss/total", "same")


WRITE = "write store=URL, commit=SHA or scale=NAME, joined with commas"
QUICK, LONG = "scale=quick", "scale=long"


@pytest.mark.parametrize(
    ("a", "b", "suite", "said"),
    [
        ("aa", QUICK, "", "compare two runs or two sides, not 'aa' with 'scale=quick'"),
        (QUICK, "aa", "toy", "compare two runs or two sides, not 'scale=quick' with 'aa'"),
        (QUICK, LONG, "", "sides are of a suite: --suite NAME"),
        ("sclae=quick", LONG, "toy", f"'sclae=quick': {WRITE}"),
        ("scale=quick,commit=", LONG, "toy", f"'commit=': {WRITE}"),
        (QUICK, LONG, "toy", "nothing to compare: 1 cells are on side 'scale=quick', 0 on 'scale=long'"),
    ],
)
def test_what_cannot_be_compared_says_what_to_write(runs: Runs, a: str, b: str, suite: str, said: str) -> None:
    runs.add("aa", 1.0, lr=0.5, method="plain", seed=0)
    with pytest.raises(CompareError) as why:
        comparing.compare(a, b, **({"suite_name": suite} if suite else {}))
    assert str(why.value) == said


@pytest.mark.parametrize("metric", ["time/train", "memory/peak"])
def test_what_the_machine_does_is_shown_and_never_said_to_have_moved(runs: Runs, metric: str) -> None:
    for commit, value in (("aaa", 1.0), ("bbb", 9.0)):
        for seed in range(3):
            measured = {"loss/final": 1.0, metric: value + seed / 100}
            runs.add(f"{commit}{seed}", measured, lr=0.5, method="plain", seed=seed, commit=commit)
    found = comparing.compare("commit=aaa", "commit=bbb", suite_name="toy", metrics=[metric])
    assert [(line.metric, line.says) for line in found.lines] == [("loss/final", "same"), (metric, "")]
    assert comparing.show(found).endswith("\n\n1 same")
