"""`bench compare`: two runs, or two sides of a suite; moved or within the noise over seeds."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Ran

from retable.bench.judging import comparing, stats
from retable.bench.judging.comparing import Compared, CompareError, Line

Bench = Callable[..., Ran]
INF, NAN = math.inf, math.nan
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


@pytest.fixture
def runs(project: Path) -> Runs:
    """The toy project's store, to put runs in."""
    return Runs(project / "mlruns" / "mlflow.db")


# Two runs


def lines(found: Compared) -> dict[str, Line]:
    return {line.metric: line for line in found.lines}


def test_two_runs_by_the_beginnings_of_their_ids(runs: Runs) -> None:
    facts = {"retable.torch": "2.1", "retable.device": "cpu", "retable.threads": "1", "retable.host": "a"}
    runs.add("aa1", {"time/train": 3.0, "loss/total": 4.0, "loss/final": 2.0, "only/a": 1.0}, name="plain lr=0.5",
             lr=0.5, method="plain", seed=0, commit="111", tags={**facts, "retable.gpu": "T4"})  # fmt: skip
    runs.add("bb1", {"loss/final": 1.0, "loss/total": 4.0, "time/train": 6.0, "only/b": 1.0}, name="plain lr=0.1",
             lr=0.1, method="plain", seed=0, steps=9, commit="222", tags={**facts, "retable.torch": "2.2"})  # fmt: skip
    found = comparing.compare("aa", "bb1")
    assert (found.a, found.b) == (
        "toy/grid: plain lr=0.5 at quick (aa100000)",
        "toy/grid: plain lr=0.1 at quick (bb100000)",
    )
    assert list(found.differs.items()) == [
        ("commit", ("111", "222")), ("gpu", ("T4", "")), ("lr", ("0.5", "0.1")),
        ("steps", ("", "9")), ("torch", ("2.1", "2.2")),
    ]  # fmt: skip
    assert found.lines == [
        Line("", "loss/final", 2.0, 1.0, 1, -0.5, "noise unknown"),
        Line("", "loss/total", 4.0, 4.0, 1, 0.0, "same"),
        Line("", "time/train", 3.0, 6.0, 1, 1.0, ""),
    ]
    assert found.only == {}
    assert comparing.compare("bb", "aa").lines[0].moved == 1.0


@pytest.mark.parametrize(
    "tag", ["torch", "device", "gpu", "cpu", "threads", "ranks", "host", "python", "scale", "code"]
)
def test_each_fact_of_a_machine_and_of_the_code_is_told_where_it_differs(runs: Runs, tag: str) -> None:
    runs.add("aa", tags={f"retable.{tag}": "x"})
    runs.add("bb", tags={f"retable.{tag}": "y"})
    assert comparing.compare("aa", "bb").differs == {tag: ("x", "y")}


def test_a_run_without_a_scale_is_called_without_one(runs: Runs) -> None:
    runs.add("aa", scale="", name="old")
    assert comparing.compare("aa", "aa").a == "toy/grid: old (aa000000)"


@pytest.mark.parametrize(
    ("a", "b", "moved", "says"),
    [
        (1.0, 1.0, 0.0, "same"),
        (NAN, NAN, NAN, "same"),
        (INF, INF, NAN, "same"),
        (1.0, NAN, NAN, "noise unknown"),
        (NAN, 1.0, NAN, "noise unknown"),
        (1.0, INF, INF, "noise unknown"),
        (INF, 1.0, NAN, "noise unknown"),
        (0.0, 1.0, NAN, "noise unknown"),
        (-2.0, -1.0, 0.5, "noise unknown"),
    ],
)
def test_what_two_numbers_say_where_the_noise_is_not_known(
    runs: Runs, a: float, b: float, moved: float, says: str
) -> None:
    runs.add("aa", a, lr=1)
    runs.add("bb", b, lr=2)
    (line,) = comparing.compare("aa", "bb").lines
    assert line.says == says
    assert line.moved == pytest.approx(moved, nan_ok=True)


@pytest.mark.parametrize("metric", ["time/train", "memory/peak", "system/load"])
def test_what_the_machine_does_never_moves_a_loss(runs: Runs, metric: str) -> None:
    runs.add("aa", {metric: 1.0})
    runs.add("bb", {metric: 1.0})
    assert comparing.compare("aa", "bb").lines[0].says == ""


def two_cells(runs: Runs, apart: float, **of_one: Any) -> Line:
    """Two cells of two and of three seeds; their first runs, `apart` from one another, are compared. Pooled, the
    variance is (0.02 + 2 · 0.04333) / 3 with three degrees of freedom."""
    runs.add("aa", 1.0, lr=1, seed=0)
    runs.add("ab", 1.2, lr=1, seed=1)
    runs.add("ba", 1.0 + apart, lr=2, seed=0)
    runs.add("bb", 1.1 + apart, lr=2, seed=1)
    runs.add("bc", 1.4 + apart, lr=2, seed=2)
    if of_one:
        runs.add("ac", **{"metrics": 99.0, "lr": 1, "seed": 2, **of_one})
    return lines(comparing.compare("aa", "ba"))["loss/final"]


ALLOWED = 3.182446 * math.sqrt((0.02 + 2 * 0.13 / 3) / 3) * math.sqrt(2)
"""Student's t for three degrees of freedom, of a difference of two draws."""


@pytest.mark.parametrize(
    ("apart", "says"),
    [
        (ALLOWED - 1e-4, "within noise"), (ALLOWED + 1e-4, "beyond noise"),
        (1e-4 - ALLOWED, "within noise"), (-1e-4 - ALLOWED, "beyond noise"),
    ],
)  # fmt: skip
def test_the_noise_is_pooled_over_the_seeds_of_both_runs_cells(runs: Runs, apart: float, says: str) -> None:
    assert two_cells(runs, apart).says == says


@pytest.mark.parametrize(
    "other",
    [{"code": "c2"}, {"status": "FAILED"}, {"lr": 3}, {"steps": 7}, {"experiment": "tune"}, {"metrics": {"x/x": 9.0}}],
    ids=str,
)
def test_what_is_no_seed_of_the_same_is_no_noise(runs: Runs, other: dict[str, Any]) -> None:
    assert two_cells(runs, ALLOWED + 1e-4, **other).says == "beyond noise"


def test_another_seed_of_the_same_is_noise(runs: Runs) -> None:
    assert two_cells(runs, ALLOWED + 1e-4, scale="long", commit="other").says == "within noise"


@pytest.mark.parametrize(("apart", "says"), [(1.26, "within noise"), (1.27, "beyond noise")])
def test_a_cell_with_an_infinite_seed_adds_no_noise(runs: Runs, apart: float, says: str) -> None:
    """The other cell's alone: 0.04333 with two degrees of freedom allows 1.267."""
    assert two_cells(runs, apart, metrics=INF).says == says


def test_two_seeds_of_one_cell_are_counted_once(runs: Runs) -> None:
    """Five seeds have a deviation of 1.58 and four degrees of freedom: 6.2 is allowed. Counted twice it were 5.2."""
    for seed, value in enumerate([1.0, 2.0, 3.0, 4.0, 5.0]):
        runs.add(f"a{seed}", {"loss/final": value, "loss/total": 0.0}, lr=1, seed=seed)
    assert lines(comparing.compare("a0", "a4"))["loss/final"].says == "within noise"
    allowed = stats.t_quantile(4, 0.95) * math.sqrt(2.5) * math.sqrt(2)
    assert comparing._noise(runs.uri, [comparing._find(runs.uri, w) for w in ("a0", "a4")])["loss/final"] == (
        pytest.approx(math.sqrt(2.5)),
        4,
    )
    assert allowed == pytest.approx(6.208, abs=1e-3)


def test_an_unfinished_run_is_of_no_cell(runs: Runs) -> None:
    runs.add("aa", 1.0, lr=1, seed=0, status="FAILED")
    runs.add("ab", 5.0, lr=1, seed=1)
    runs.add("ac", 5.1, lr=1, seed=2)
    assert comparing.compare("aa", "aa").lines[0].says == "same"
    runs.add("bb", 2.0, lr=2, seed=0, status="FAILED")
    assert comparing.compare("aa", "bb").lines[0].says == "noise unknown"
    assert comparing.compare("aa", "ab").lines[0].says == "beyond noise"


def test_a_word_that_is_not_one_run_is_refused(runs: Runs) -> None:
    runs.add("aa")
    runs.add("ab")
    for word, said in (("c", "no run"), ("", "no run"), ("a", "2 runs")):
        with pytest.raises(CompareError) as why:
            comparing.compare(word, "ab")
        assert str(why.value) == f"{said} in {runs.uri} has an id that begins with '{word}'; `bench show` tells ids"


def test_a_store_is_named_without_its_secrets(project: Path) -> None:
    with pytest.raises(CompareError) as why:
        comparing.compare("", "", tracking="http://me:secret@host:5000")
    assert "host:5000 has an id" in str(why.value) and "secret" not in str(why.value)


def test_outside_a_project_the_store_must_be_given(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.add("aa")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(
        CompareError,
        match=r"^there is no suites/ folder here: run it inside the project, or give --tracking-uri$",
    ):
        comparing.compare("aa", "aa")
    assert comparing.compare("aa", "aa", tracking=runs.uri).lines[0].says == "same"


def test_in_a_project_another_store_can_be_given(runs: Runs, tmp_path: Path) -> None:
    shutil.copy(runs.database, tmp_path / "other.db")
    other = Runs(tmp_path / "other.db")
    other.add("aa")
    assert comparing.compare("aa", "aa", tracking=other.uri).lines[0].says == "same"
    with pytest.raises(CompareError, match="no run"):
        comparing.compare("aa", "aa")


# Two sides


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
    ],
)
def test_what_a_cell_says(
    runs: Runs, a: dict[int, float], b: dict[int, float], n: int, means: tuple[float, float], moved: float, says: str
) -> None:
    line = cell(runs, a, b)
    assert (line.n, line.says) == (n, says)
    assert (line.a, line.b, line.moved) == pytest.approx((*means, moved), nan_ok=True)


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


# In words


def test_the_whole_answer_in_words(runs: Runs) -> None:
    runs.add(
        "aa", {"loss/final": 123456.0, "loss/total": 4.0, "score/x": 2.0, "time/train": 3.0}, lr=0.5, seed=0, decay=3
    )
    runs.add("ab", {"loss/final": 123457.0, "score/x": 2.5}, lr=0.5, seed=1, decay=3)
    other = {"loss/final": 1.0, "loss/total": 0.0, "score/x": 2.25, "time/train": 6.0}
    runs.add("ba", other, lr=0.1, seed=0, momentum=1)
    runs.add("ca", {"loss/total": 4.0}, lr=0.5, seed=0, code="c2")
    assert comparing.show(comparing.compare("aa", "ba")) == (
        "A  toy/grid: a run at quick (aa000000)\n"
        "B  toy/grid: a run at quick (ba000000)\n"
        "   decay: 3 -> (none)\n"
        "   lr: 0.5 -> 0.1\n"
        "   momentum: (none) -> 1\n"
        "\n"
        "metric      A       B     moved     seeds  says\n"
        "loss/final  123460  1     -100.00%  1      beyond noise\n"
        "loss/total  4       0     -100.00%  1      noise unknown\n"
        "score/x     2       2.25  +12.50%   1      within noise\n"
        "time/train  3       6     +100.00%  1\n"
        "\n"
        "1 beyond noise, 1 noise unknown, 1 within noise"
    )


def test_sides_in_words_name_the_cell_and_what_one_side_has_alone() -> None:
    found = Compared(
        "scale=quick",
        "scale=long",
        {},
        [
            Line("grid: lr=1", "loss/final", 1.0, 1.0, 3, 0.0, "same"),
            Line("grid: lr=2", "loss/final", 0.0, 1.0, 2, NAN, "noise unknown"),
            Line("tune", "loss/final", 1.0, 2.0, 3, 1.0, "beyond noise"),
            Line("tune", "loss/total", 1.0, 2.0, 3, 1.0, "beyond noise"),
        ],
        {"scale=quick": 2},
    )
    assert comparing.show(found).splitlines() == [
        "A  scale=quick",
        "B  scale=long",
        "",
        "            metric      A  B  moved     seeds  says",
        "tune        loss/final  1  2  +100.00%  3      beyond noise",
        "tune        loss/total  1  2  +100.00%  3      beyond noise",
        "grid: lr=2  loss/final  0  1            2      noise unknown",
        "grid: lr=1  loss/final  1  1  +0.00%    3      same",
        "",
        "2 beyond noise, 1 noise unknown, 1 same",
        "2 cells are on side 'scale=quick' alone",
    ]


def test_where_only_the_machine_was_measured_that_is_said() -> None:
    found = Compared("a", "b", {}, [Line("", "time/train", 1.0, 2.0, 1, 1.0, "")])
    assert comparing.show(found).endswith("\n\nnothing but the machine's own figures")


def test_as_plain_data() -> None:
    found = Compared("x", "y", {"lr": ("1", "2")}, [Line("w", "m", 1.0, 2.0, 3, 1.0, "same")], {"x": 1})
    assert json.loads(json.dumps(comparing.as_json(found))) == {
        "a": "x",
        "b": "y",
        "differs": {"lr": ["1", "2"]},
        "lines": [{"what": "w", "metric": "m", "a": 1.0, "b": 2.0, "n": 3, "moved": 1.0, "says": "same"}],
        "only": {"x": 1},
    }


# The command, and its level


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


def test_two_draws_of_one_cell_are_called_moved_no_more_often_than_one_time_in_twenty() -> None:
    draw = np.random.default_rng(0)
    moved = 0
    for _ in range(4000):
        seeds = draw.normal(1, 0.1, 6)
        said = comparing._single("loss/final", *draw.normal(1, 0.1, 2), (float(seeds.std(ddof=1)), 5)).says
        moved += said == "beyond noise"
    assert moved / 4000 == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 4000))
