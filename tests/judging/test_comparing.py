"""`bench compare` of two runs: moved or within the noise over seeds; and its answers in words."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored import Runs

from retable.bench.judging import comparing, stats
from retable.bench.judging.comparing import Compared, CompareError, Line

INF, NAN = math.inf, math.nan


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


def test_two_draws_of_one_cell_are_called_moved_no_more_often_than_one_time_in_twenty() -> None:
    draw = np.random.default_rng(0)
    moved = 0
    for _ in range(4000):
        seeds = draw.normal(1, 0.1, 6)
        said = comparing._single("loss/final", *draw.normal(1, 0.1, 2), (float(seeds.std(ddof=1)), 5)).says
        moved += said == "beyond noise"
    assert moved / 4000 == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 4000))


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
