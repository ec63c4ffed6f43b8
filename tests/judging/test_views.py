"""What a view looks at: filters, pooling, selection with its ties and spread, and the words for what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_sample import hit, results, rows, sample_suite
from trials import book, trials

from retable.bench.judging import views
from retable.bench.judging.views import ReportError, Result
from retable.bench.results.frames import Results
from retable.bench.suite.schema import View

INF = math.inf


def names(found: Sequence[Result]) -> list[tuple[Any, int, str]]:
    return [(t.get("optimizer"), t.seed, t.experiment) for t in found]


# Reading the frame


def frame(*changes: Mapping[str, Any]) -> pd.DataFrame:
    """The first trials of the sample suite, a row each, changed."""
    return pd.DataFrame([{**row, **change} for row, change in zip(rows(sample_suite()), changes, strict=False)])


def read(found: pd.DataFrame) -> views.Book:
    def nothing(*_: Any) -> Any:
        raise AssertionError("not for this test")

    return views.read(Results(sample_suite(), "quick", found, {}, nothing, nothing))


def test_a_row_becomes_a_trial_in_plain_python() -> None:
    found = read(
        frame(
            {"loss/total": np.float64(2.5), "batch_size": np.int64(4), "depth": math.nan, "stale": np.bool_(True)},
            {"loss/total": math.nan, "state": "diverged", "reason": "at step 3", "depth": 2.0, "ended": pd.NaT},
            {"loss/total": INF, "reason": None, "run_id": math.nan, "size": [64, 32]},
        )
    )
    first, second, third = found.trials
    assert (first.experiment, first.task, first.seed, first.state) == ("grid", "paint", 0, "finished")
    assert (first.stale, first.reason, first.seconds) == (True, "", 6.5)
    assert first.id and first.run_id == f"run-{first.id}"
    assert first.started == pd.Timestamp("2026-01-03 10:00", tz="UTC") and first.ended is not None
    assert first.metrics == {"loss/total": 2.5}
    assert type(first.settings["batch_size"]) is int and "depth" not in first.settings
    assert not {"trial", "seed", "state", "seconds", "loss/total"} & set(first.settings)
    assert (second.metrics, second.reason, second.ended) == ({}, "at step 3", None)
    assert second.settings["depth"] == 2.0 and not second.stale
    assert (third.metrics, third.reason, third.run_id) == ({"loss/total": INF}, "", "")
    assert third.settings["size"] == [64, 32]
    assert found.known >= {"optimizer", "lr", "depth", "seed", "experiment"} and "loss/total" not in found.known
    assert found.scale == "quick" and found.suite is sample_suite()


def test_a_frame_without_its_columns_is_refused_by_their_names() -> None:
    with pytest.raises(ReportError, match=r"^the trials frame lacks the columns reason, run_id$"):
        read(frame({}).drop(columns=["run_id", "reason"]))


def test_without_trials_nothing_is_unknown() -> None:
    empty = read(pd.DataFrame())
    assert empty.trials == [] and empty.known == {"seed", "experiment"}
    assert empty.pick("x", ["grid"], {"whatever": 1}) == []


# Picking


def test_where_compares_numbers_by_value_and_takes_any_of_a_list(tmp_path: Path) -> None:
    found = views.read(results(tmp_path))
    picked = found.pick("x", ["grid"], {"batch_size": 1.0, "lr": [0.1, 0.01], "optimizer": "adam"})
    assert [(t.settings["lr"], t.settings["batch_size"]) for t in picked] == [(0.1, 1), (0.01, 1)]


def test_every_where_must_match() -> None:
    found = book([*trials([1.0, 2.0], optimizer="adam", lr=0.1), *trials([3.0], optimizer="rprop", lr=0.1)])
    assert names(found.pick("x", ["defaults"], {"lr": 0.1}, {"optimizer": "adam", "seed": 1})) == [
        ("adam", 1, "defaults")
    ]
    assert found.pick("x", ["defaults"], {"optimizer": "adam"}, {"optimizer": "rprop"}) == []
    assert len(found.pick("x", ["defaults"])) == 3


def test_a_trial_without_the_setting_matches_no_value_of_it() -> None:
    found = book([*trials([1.0], task="unroll", depth=4), *trials([1.0], optimizer="adam")])
    assert names(found.pick("x", ["defaults"], {"optimizer": ["adam", "nadam"]})) == [("adam", 0, "defaults")]


def test_seed_and_experiment_are_settings_of_a_where(tmp_path: Path) -> None:
    found = views.read(results(tmp_path))
    assert {t.seed for t in found.pick("x", ["defaults"], {"seed": [0, 2]})} == {0, 2}
    assert not found.pick("x", ["defaults"], {"experiment": "grid"})
    assert found.pick("x", ["defaults", "grid"], {"experiment": "grid"})


def test_an_unknown_setting_names_the_place_and_the_nearest_word(tmp_path: Path) -> None:
    found = views.read(results(tmp_path))
    with pytest.raises(ReportError, match=r"^tables\.t: no trial has a setting 'optimiser'; did you mean 'optimizer'"):
        found.pick("tables.t", ["grid"], {"optimiser": "adam"})


def test_pooling_drops_duplicates_of_settings_and_seed(tmp_path: Path) -> None:
    def change(row: dict[str, Any]) -> dict[str, Any] | None:
        return {"state": "failed", "reason": "x"} if hit(row, experiment="grid", lr=0.001, batch_size=4) else None

    found = views.read(results(tmp_path, change=change))
    where = {"lr": 0.001, "batch_size": 4, "optimizer": "adam"}
    pooled = found.pick("x", ["grid", "defaults"], where)
    assert [(t.experiment, t.seed) for t in pooled] == [("defaults", 0), ("defaults", 1), ("defaults", 2)]
    assert len(views.cells(pooled)) == 1


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ({"values": [1.0]}, {"values": [2.0]}, "a"),  # the first of equals
        ({"values": ["failed"]}, {"values": [2.0]}, "b"),
        ({"values": ["diverged"]}, {"values": [2.0], "stale": True}, "b"),  # finished before anything
        ({"values": ["missing"]}, {"values": ["diverged"]}, "b"),
        ({"values": ["failed"]}, {"values": ["diverged"], "stale": True}, "b"),
        ({"values": ["failed"]}, {"values": ["collapsed"], "stale": True}, "b"),
        ({"values": ["diverged"]}, {"values": ["failed"]}, "a"),
        ({"values": [1.0], "stale": True}, {"values": [2.0]}, "b"),  # then the unchanged
        ({"values": [1.0]}, {"values": [2.0], "stale": True}, "a"),
    ],
)
def test_of_one_trial_in_two_experiments_the_better_state_counts_in_the_first_ones_place(
    first: dict[str, Any], second: dict[str, Any], kept: str
) -> None:
    other = trials([5.0], experiment="a", optimizer="nadam")
    found = book(
        [
            *trials(experiment="a", optimizer="adam", **first),
            *other,
            *trials(experiment="b", optimizer="adam", **second),
            *trials([1.0], experiment="c", optimizer="adam"),
        ]
    )
    assert names(found.pick("x", ["a", "b"])) == [("adam", 0, kept), ("nadam", 0, "a")]


def test_equal_settings_of_two_tasks_are_two_cells() -> None:
    both = [*trials([1.0], task="paint", size=64), *trials([2.0], task="unroll", size=64)]
    assert len(book(both).pick("x", ["defaults"])) == len(views.cells(both)) == 2


def test_the_settings_that_there_are_are_told_in_order() -> None:
    found = book(trials([1.0], **dict.fromkeys("zyxwvutsrqp", 1)))
    with pytest.raises(ReportError, match=r"'none'; known: experiment, p, q, r, s, seed, t, u, v, w, x, y, \.\.\.$"):
        found.require("x", "none")


# What a task says of a metric


def test_the_task_says_which_end_is_better_the_unit_and_what_a_diverged_trial_counts_as() -> None:
    known = book([])
    said = {
        metric: (known.better([name], metric), known.unit([name], metric), known.worst([name], metric))
        for name, metric in [
            ("defaults", "loss/total"),
            ("defaults", "score/accuracy"),
            ("defaults", "scale/norm"),
            ("defaults", "time/train"),
            ("defaults", "loss/unknown"),
            ("depth", "loss/tv"),
        ]
    }
    assert said == {
        "loss/total": ("lower", "", INF),
        "score/accuracy": ("higher", "%", -INF),
        "scale/norm": (None, "", None),
        "time/train": ("lower", "s", None),
        "loss/unknown": (None, "", None),
        "loss/tv": ("lower", "", INF),
    }
    assert known.worst(["defaults", "depth"], "loss/tv") == INF


# What can't be shown here


def view(**parts: Any) -> View:
    return View.model_validate({"from": "defaults", **parts})


def test_why_a_view_is_not_shown_at_a_scale() -> None:
    here = book([])
    assert here.not_here(view()) == ""
    assert here.not_here(view(not_at={"quick": "too small", "paper": "too large"})) == "too small"
    assert here.not_here(view(not_at={"paper": "too large"})) == ""
    assert here.not_here(view(**{"from": "large"})) == "40 hours on one GPU"
    assert here.not_here(view(**{"from": ["large", "defaults"]})) == "", "one of its experiments is run here"


def test_reasons_of_several_experiments_are_told_once_each() -> None:
    experiments = sample_suite().model_dump(by_alias=True, exclude_unset=True)["experiments"]
    more = {
        "again": {**experiments["large"], "not_at": {"quick": "40 hours on one GPU"}},
        "huge": {**experiments["large"], "not_at": {"quick": "no such machine"}},
    }
    here = book([], experiments={**experiments, **more}, tables={}, figures={}, claims={})
    assert here.not_here(view(**{"from": ["large", "again", "huge"]})) == "40 hours on one GPU; no such machine"


# Cells


def test_a_cell_is_every_seed_of_one_setting() -> None:
    found = views.cells(
        [*trials({2: 3.0, 0: 1.0}, lr=0.1), *trials([7.0], lr=0.01), *trials({1: 2.0}, lr=0.1, experiment="other")]
    )
    assert [(c.get("lr"), [t.seed for t in c.trials]) for c in found] == [(0.1, [0, 1, 2]), (0.01, [0])]
    assert found[0].values("loss/total") == {0: 1.0, 1: 2.0, 2: 3.0}
    assert found[0].settings == {"lr": 0.1}
    assert (found[1].get("seed"), found[1].get("experiment"), found[1].get("none")) == (0, "defaults", None)


def test_values_are_those_of_finished_trials_and_diverged_ones_count_only_as_told() -> None:
    (cell,) = views.cells(trials([1.0, "diverged", "failed", "missing", "running"], lr=0.1))
    assert cell.values("loss/total") == {0: 1.0}
    assert cell.values("loss/total", INF) == {0: 1.0, 1: INF}
    assert cell.values("loss/other", -INF) == {1: -INF}
    assert [t.seed for t in cell.lacking("loss/total")] == [1, 2, 3, 4]
    assert [t.seed for t in cell.lacking("loss/total", INF)] == [2, 3, 4]
    assert [t.seed for t in cell.in_state("failed", "diverged")] == [1, 2]
    assert cell.in_state("finished")[0].seed == 0


def test_what_an_unfinished_trial_measured_is_no_result() -> None:
    (finished,) = trials([1.0], lr=0.1)
    (cell,) = views.cells([Result(**{**vars(finished), "state": "failed"})])
    assert cell.values("loss/total") == {} and cell.lacking("loss/total") == [*cell.trials]


def test_varying_settings_in_the_order_of_the_frame() -> None:
    found = views.cells(
        [
            *trials([1.0], optimizer="adam", lr=0.1, size=64),
            *trials([1.0], optimizer="rprop", lr=0.1, size=64),
            *trials([1.0], optimizer="rprop", lr=0.1, size=64.0, momentum=0.9),
        ]
    )
    assert views.varying(found) == ["optimizer", "momentum"]
    assert views.varying(found[:1]) == views.varying([]) == []
    assert views.differing(found) == "optimizer, momentum"
    assert views.differing(views.cells([*trials([1.0], task="a"), *trials([1.0], task="b")])) == "task"


def test_values_of_a_setting_ascend_where_they_are_numbers() -> None:
    def values(*several: Any) -> list[Any]:
        return views.values_of(views.cells([t for v in several for t in trials([1.0], x=v, y=id(v))]), "x")

    assert values(0.1, 0.001, 1, 0.1) == [0.001, 0.1, 1]
    assert values("b", "a", "b") == ["b", "a"]
    assert values("b", 2, 1) == ["b", 2, 1]
    assert values(True, False) == [True, False], "yes and no are no numbers"
    assert values(3, None, 1) == [1, 3]
    assert values([2, 1], [1]) == [[2, 1], [1]]


def test_the_mean() -> None:
    assert views.mean(iter([1.0, 2.0, 6.0])) == 3.0
    assert math.isnan(views.mean([]))
    assert views.mean([1.0, INF]) == INF


# Looking


TWO = [
    *trials([1.0, 2.0], optimizer="adam", lr=0.1),
    *trials([0.5, 1.0], optimizer="adam", lr=0.01),
    *trials([3.0, 4.0], optimizer="rprop", lr=0.1),
    *trials([9.0, 9.0], experiment="grid", optimizer="nadam", lr=0.1),
]


def test_a_look_without_a_selection_shows_every_cell_after_all_filters() -> None:
    seen = views.look(book(TWO), "tables.t", view(where={"lr": 0.1}), {"seed": 1})
    assert [(c.get("optimizer"), len(c.trials)) for c in seen.cells] == [("adam", 1), ("rprop", 1)]
    assert seen.choices == [] and names(seen.grid) == [("adam", 1, "defaults"), ("rprop", 1, "defaults")]


def test_a_look_with_a_selection_shows_the_winners_and_rests_on_the_whole_grid() -> None:
    seen = views.look(book(TWO), "x", view(select={"lowest": "loss/total", "over": ["lr"]}))
    assert [(c.get("optimizer"), c.get("lr")) for c in seen.cells] == [("adam", 0.01), ("rprop", 0.1)]
    assert len(seen.choices) == 2 and len(seen.grid) == 6
    lost = views.look(book(trials(["failed"], lr=0.1)), "x", view(select={"lowest": "loss/total", "over": ["lr"]}))
    assert lost.cells == [] and len(lost.choices) == 1


def test_a_look_at_other_experiments_than_the_views() -> None:
    assert names(views.look(book(TWO), "x", view(), experiments=["grid"]).grid)[0] == ("nadam", 0, "grid")


def test_a_selection_over_an_unknown_setting_names_its_place() -> None:
    with pytest.raises(ReportError, match=r"^claims\.c: no trial has a setting 'lrr'"):
        views.look(book(TWO), "claims.c", view(select={"lowest": "loss/total", "over": ["lrr"]}))


# Words


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": "adam"}, "adam"),
        ({"lr": 0.001}, "lr 0.001"),
        ({"optimizer": "adam", "lr": 0.001, "size": 64}, "adam at lr 0.001, size 64"),
        ({"optimizer": "adam", "loss": "l1"}, "adam l1"),
        ({"optimizer": "adam", "loss": "l1", "lr": 0.1}, "adam l1 at lr 0.1"),
        ({"a": "l1", "b": "l1", "c": "l1"}, "l1"),
        ({"a": "l1", "b": "l1", "c": "l2"}, "l1 l1 l2"),
        ({"skip": True, "optimizer": "adam"}, "adam at skip true"),
        ({"layers": ["a", "b"]}, "a+b"),
        ({}, ""),
    ],
)
def test_a_cell_in_words(settings: dict[str, Any], said: str) -> None:
    (cell,) = views.cells(trials([1.0], **settings))
    assert views.describe(cell, settings) == said


def test_a_cell_in_words_by_the_labels_of_the_paper_and_without_what_it_lacks() -> None:
    (cell,) = views.cells(trials([1.0], optimizer="amsgrad", lr=0.1))
    labels = {"amsgrad": "Adam_AMSGrad", "0.1": "a tenth"}
    assert views.describe(cell, ["lr", "depth", "optimizer"], labels) == "Adam_AMSGrad at lr a tenth"
    assert views.describe(cell, ["seed"]) == "seed 0"


def test_states_are_told_in_the_order_of_a_report() -> None:
    mixed = trials(["missing", 1.0, "running", "failed", "collapsed", "diverged", 1.0, "pruned", "lost"], lr=0.1)
    assert list(views.states(mixed).items()) == [
        ("finished", 2), ("diverged", 1), ("collapsed", 1), ("failed", 1), ("running", 1), ("missing", 1), ("lost", 1),
        ("pruned", 1),
    ]  # fmt: skip
    assert views.states([]) == {}


def test_states_in_a_sentence() -> None:
    assert views.say_states([]) == "0 trials: none"
    assert views.say_states(trials([1.0], lr=0.1)) == "1 trial: 1 finished"
    mixed = [*trials(["missing", 1.0, "running"], lr=0.1), *trials([1.0, 2.0], lr=0.2, stale=True)]
    assert views.say_states(mixed) == "5 trials: 3 finished, 1 still running, 1 not run; 2 stale"


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("diverged", "loss/total is inf at step 41", "diverged at step 41"),
        ("diverged", "loss/total is inf", "diverged (loss/total is inf)"),
        ("diverged", "", "diverged"),
        ("collapsed", "a constant picture", "collapsed: a constant picture"),
        ("failed", "disk full", "failed: disk full"),
        ("failed", "", "failed: no reason was recorded"),
        ("missing", "", "not run"),
        ("running", "", "still running"),
        ("finished", "", "not measured"),
        ("pruned", "", "pruned"),
    ],
)
def test_what_happened_to_a_trial(state: str, reason: str, said: str) -> None:
    (trial,) = trials([state], reason=reason, lr=0.1)
    assert views.trouble(trial) == said


def test_reasons_are_grouped_and_long_lists_cut() -> None:
    assert views.grouped([("not run", "a"), ("failed", "b"), ("not run", "c")]) == ["not run: a; c", "failed: b"]
    six = [("x", str(i)) for i in range(6)]
    assert views.grouped(six) == ["x: 0; 1; 2; 3; 4; 5"]
    assert views.grouped([*six, ("x", "6"), ("x", "7")]) == ["x: 0; 1; 2; 3; 4; 5 and 2 more"]
    assert views.grouped(six, most=5) == ["x: 0; 1; 2; 3; 4 and 1 more"]
    assert views.grouped([]) == []
