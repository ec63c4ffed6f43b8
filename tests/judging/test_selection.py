"""Selections: the best cell, its ties and spread, and the cells that could not win."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from report_sample import hit, results, suite_with
from trials import trials

from retable.bench.judging import views
from retable.bench.judging.views import Choice, Result
from retable.bench.suite.schema import Select

INF = math.inf


def chosen(*groups: list[Result], over: str = "lr", **rule: str) -> list[Choice]:
    select = Select.model_validate({"over": over.split(), **(rule or {"lowest": "loss/total"})})
    return views.select(views.cells(t for group in groups for t in group), select)


def _best(tmp_path: Path, change: Any = lambda row: None, measured: Any = None) -> Choice:
    found = views.read(results(tmp_path, change=change, **({"measured": measured} if measured else {})))
    picked = found.pick("x", ["grid"], {"optimizer": "adam", "lr": [0.1, 0.001]})
    (choice,) = views.select(views.cells(picked), Select(lowest="loss/total", over=["lr", "batch_size"]))
    return choice


def test_selection_takes_the_best_mean_and_tells_ties_and_spread(tmp_path: Path) -> None:
    losses = {1: 100.0, 2: 100.5, 4: 110.0, 8: 120.0}
    choice = _best(tmp_path, measured=lambda row, _: {"loss/total": losses.get(row.get("batch_size", 1), 1.0) * 1.0})
    assert choice.winner is not None
    assert choice.winner.get("batch_size") == 1
    assert {c.get("batch_size") for c in choice.ties} == {1, 2}  # within 1 %, at either learning rate
    assert choice.spread == pytest.approx(1.2)


def test_a_choice_per_remaining_setting() -> None:
    found = chosen(
        trials([3.0, 5.0], optimizer="adam", lr=0.1),
        trials([7.0, 3.0], optimizer="rprop", lr=0.1),
        trials([1.0, 6.0], optimizer="adam", lr=0.01),
        trials([9.0, 9.0], optimizer="rprop", lr=0.01),
    )
    assert [(c.winner.get("optimizer"), c.winner.get("lr")) for c in found if c.winner] == [
        ("adam", 0.01),
        ("rprop", 0.1),
    ]
    assert [c.seeds for c in found] == [2, 2]
    assert [(c.metric, c.over, len(c.grid)) for c in found] == [("loss/total", ("lr",), 2)] * 2
    assert [c.spread for c in found] == [pytest.approx(4 / 3.5), pytest.approx(9 / 5)]


def test_highest_selects_the_other_end_and_the_spread_stays_highest_over_lowest() -> None:
    (found,) = chosen(trials([2.0], lr=0.1), trials([8.0], lr=0.01), highest="loss/total")
    assert found.winner is not None and found.winner.get("lr") == 0.01
    assert found.spread == 4.0
    (low,) = chosen(trials([2.0], lr=0.1), trials([8.0], lr=0.01))
    assert low.winner is not None and low.winner.get("lr") == 0.1 and low.spread == 4.0


def test_the_first_of_equal_cells_wins_and_the_others_tie() -> None:
    (found,) = chosen(trials([2.0], lr=0.1), trials([2.0], lr=0.01))
    assert found.winner is not None and found.winner.get("lr") == 0.1
    assert [c.get("lr") for c in found.ties] == [0.01]


@pytest.mark.parametrize("values", [(0.0, 2.0), (-1.0, 2.0)])
def test_there_is_no_spread_of_means_that_are_not_positive(values: tuple[float, float]) -> None:
    (found,) = chosen(*(trials([v], lr=v) for v in values))
    assert math.isnan(found.spread)


def test_a_cell_with_a_seed_that_did_not_finish_cannot_win() -> None:
    (found,) = chosen(
        trials([1.0, "diverged"], lr=0.1),
        trials([2.0, "failed"], lr=0.01),
        trials([3.0, "missing"], lr=0.001),
        trials([9.0, 9.5], lr=0.0001),
        trials([9.0, 9.4], metric="loss/other", lr=0.5),
    )
    assert found.winner is not None and found.winner.get("lr") == 0.0001
    assert [c.get("lr") for c in found.diverged] == [0.1]
    assert [c.get("lr") for c in found.incomplete] == [0.01, 0.001, 0.5]
    assert found.ties == () and found.spread == 1.0


def test_a_collapsed_cell_cannot_win_and_counts_beside_the_diverged_ones() -> None:
    (found,) = chosen(
        trials(["collapsed", "collapsed"], lr=0.1),
        trials([2.0, "collapsed"], lr=0.01),
        trials(["collapsed", "diverged"], lr=0.001),
        trials([9.0, 9.5], lr=0.0001),
    )
    assert found.winner is not None and found.winner.get("lr") == 0.0001
    assert [c.get("lr") for c in found.collapsed] == [0.1, 0.01]
    assert [c.get("lr") for c in found.diverged] == [0.001]
    assert found.lost == {"diverged": 1, "collapsed": 2} and found.incomplete == () and found.spread == 1.0


def test_where_no_cell_finished_there_is_no_winner() -> None:
    (found,) = chosen(trials(["diverged"], lr=0.1), trials(["failed"], lr=0.01))
    assert (found.winner, found.seeds, found.ties) == (None, 0, ())
    assert math.isnan(found.spread)
    assert [len(found.diverged), len(found.incomplete), len(found.grid)] == [1, 1, 2]


def test_tasks_are_selected_apart() -> None:
    assert len(chosen(trials([1.0], task="a", lr=0.1), trials([2.0], task="b", lr=0.1))) == 2


def test_diverged_failed_and_missing_cells_never_win_but_are_counted(tmp_path: Path) -> None:
    def change(row: dict[str, Any]) -> dict[str, Any] | None:
        if hit(row, lr=0.001, batch_size=1):
            return {"state": "diverged", "reason": "at step 3"}
        if hit(row, lr=0.001, batch_size=2):
            return {"state": "failed", "reason": "no"}
        return {"state": "missing"} if hit(row, lr=0.001, batch_size=4) else None

    choice = _best(tmp_path, change)
    assert choice.winner is not None
    assert (choice.winner.get("lr"), choice.winner.get("batch_size")) == (0.001, 8)
    assert (len(choice.diverged), len(choice.incomplete), len(choice.grid)) == (1, 2, 8)


def test_ties_from_two_seeds_on_use_the_interval_over_seeds(tmp_path: Path) -> None:
    suite = suite_with()
    levels = {"adam": [10.0, 10.2, 10.1], "nadam": [10.3, 9.9, 10.2], "rprop": [12.0, 12.1, 12.2]}

    def measured(row: Any, _: Any) -> dict[str, float]:
        return {"loss/total": levels.get(row.get("optimizer"), [20.0, 20.1, 20.2])[row["seed"]]}

    found = views.read(results(tmp_path, suite, measured=measured))
    rule = Select(lowest="loss/total", over=["optimizer"])
    (choice,) = views.select(views.cells(found.pick("x", ["defaults"], {})), rule)
    assert choice.winner is not None
    assert choice.winner.get("optimizer") == "adam"
    assert [c.get("optimizer") for c in choice.ties] == ["nadam"]
