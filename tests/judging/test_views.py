"""What a view looks at: filters, pooling, selection with its ties and spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report_sample import hit, results, suite_with

from retable.bench.judging import views
from retable.bench.judging.views import ReportError
from retable.bench.suite.schema import Select


def test_where_compares_numbers_by_value_and_takes_any_of_a_list(tmp_path: Path) -> None:
    book = views.read(results(tmp_path))
    picked = book.pick("x", ["grid"], {"batch_size": 1.0, "lr": [0.1, 0.01], "optimizer": "adam"})
    assert [(t.settings["lr"], t.settings["batch_size"]) for t in picked] == [(0.1, 1), (0.01, 1)]


def test_seed_and_experiment_are_settings_of_a_where(tmp_path: Path) -> None:
    book = views.read(results(tmp_path))
    assert {t.seed for t in book.pick("x", ["defaults"], {"seed": [0, 2]})} == {0, 2}
    assert not book.pick("x", ["defaults"], {"experiment": "grid"})


def test_an_unknown_setting_names_the_place_and_the_nearest_word(tmp_path: Path) -> None:
    book = views.read(results(tmp_path))
    with pytest.raises(ReportError, match=r"tables\.t: no trial has a setting 'optimiser'.*'optimizer'"):
        book.pick("tables.t", ["grid"], {"optimiser": "adam"})


def test_pooling_drops_duplicates_of_settings_and_seed(tmp_path: Path) -> None:
    def change(row: dict[str, Any]) -> dict[str, Any] | None:
        return {"state": "failed", "reason": "x"} if hit(row, experiment="grid", lr=0.001, batch_size=4) else None

    book = views.read(results(tmp_path, change=change))
    where = {"lr": 0.001, "batch_size": 4, "optimizer": "adam"}
    pooled = book.pick("x", ["grid", "defaults"], where)
    assert [(t.experiment, t.seed) for t in pooled] == [("defaults", 0), ("defaults", 1), ("defaults", 2)]
    assert len(views.cells(pooled)) == 1


def _best(tmp_path: Path, change: Any = lambda row: None, measured: Any = None) -> views.Choice:
    book = views.read(results(tmp_path, change=change, **({"measured": measured} if measured else {})))
    trials = book.pick("x", ["grid"], {"optimizer": "adam", "lr": [0.1, 0.001]})
    (choice,) = views.select(views.cells(trials), Select(lowest="loss/total", over=["lr", "batch_size"]))
    return choice


def test_selection_takes_the_best_mean_and_tells_ties_and_spread(tmp_path: Path) -> None:
    losses = {1: 100.0, 2: 100.5, 4: 110.0, 8: 120.0}
    choice = _best(tmp_path, measured=lambda row, _: {"loss/total": losses.get(row.get("batch_size", 1), 1.0) * 1.0})
    assert choice.winner is not None
    assert choice.winner.get("batch_size") == 1
    assert {c.get("batch_size") for c in choice.ties} == {1, 2}  # within 1 %, at either learning rate
    assert choice.spread == pytest.approx(1.2)


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

    book = views.read(results(tmp_path, suite, measured=measured))
    rule = Select(lowest="loss/total", over=["optimizer"])
    (choice,) = views.select(views.cells(book.pick("x", ["defaults"], {})), rule)
    assert choice.winner is not None
    assert choice.winner.get("optimizer") == "adam"
    assert [c.get("optimizer") for c in choice.ties] == ["nadam"]
