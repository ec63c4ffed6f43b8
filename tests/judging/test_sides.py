"""What a check compares: sides, pairs with equal settings, replicates, what a selection chose, what is missing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from checked import ADAM_RPROP, labels, made, only
from trials import book, trials

from retable.bench.judging import moderation, sides, views
from retable.bench.judging.sides import CannotJudge
from retable.bench.judging.views import ReportError, Result

INF = math.inf


def grid(optimizer: str, *rates: float) -> list[Result]:
    return [t for lr in rates for t in trials([lr * 10], optimizer=optimizer, lr=lr)]


def test_what_varies_and_no_side_names_is_held_equal() -> None:
    setup = made("below", grid("adam", 0.1, 0.2), grid("rprop", 0.2, 0.1), **ADAM_RPROP)
    assert labels(setup) == ["adam at lr 0.1 below rprop at lr 0.1", "adam at lr 0.2 below rprop at lr 0.2"]


def test_what_varies_on_the_other_side_alone_is_held_too() -> None:
    words = r"nothing with equal lr to hold against: rprop at lr 0\.2$"
    with pytest.raises(CannotJudge, match=words):
        made("below", grid("adam", 0.1), grid("rprop", 0.1, 0.2), **ADAM_RPROP)


def test_a_setting_that_one_side_does_not_have_agrees_with_any_value() -> None:
    setup = made("below", trials([1.0], optimizer="adam"), grid("rprop", 0.1, 0.2), **ADAM_RPROP)
    assert labels(setup) == ["adam below rprop at lr 0.1", "adam below rprop at lr 0.2"]


def test_what_a_named_setting_determines_is_not_held() -> None:
    """Every optimizer came with a learning rate of its own: they are held against each other all the same."""
    setup = made("below", grid("adam", 0.1), grid("nadam", 0.3), grid("rprop", 0.2), **{
        **ADAM_RPROP, "these": {"optimizer": ["adam", "nadam"]}
    })  # fmt: skip
    assert labels(setup) == ["adam below rprop", "nadam below rprop"]


def test_what_a_selection_has_chosen_is_not_held() -> None:
    cells = [
        trials([1.0], optimizer=optimizer, lr=lr, batch=batch)
        for optimizer, lr, batch in (("adam", 0.1, 1), ("adam", 0.2, 2), ("rprop", 0.3, 1), ("rprop", 0.4, 2))
    ]
    setup = made("below", *cells, select={"lowest": "loss/total", "over": ["lr"]}, **ADAM_RPROP)
    assert labels(setup) == ["adam at batch 1 below rprop at batch 1", "adam at batch 2 below rprop at batch 2"]
    with pytest.raises(CannotJudge, match="nothing with equal lr, batch to hold against"):
        made("below", *cells, **ADAM_RPROP)


def test_a_cell_is_not_held_against_itself() -> None:
    both = {"optimizer": ["adam", "rprop"]}
    setup = made("below", trials([1.0], optimizer="adam"), trials([2.0], optimizer="rprop"), these=both, than=both)
    assert labels(setup) == ["adam below rprop", "rprop below adam"]
    with pytest.raises(CannotJudge, match=r"^nothing with equal settings to hold against: adam; adam$"):
        made("below", trials([1.0], optimizer="adam"), these={"optimizer": "adam"}, than={"optimizer": "adam"})


def test_six_lonely_cells_are_named_and_no_more() -> None:
    rates = [float(i) for i in range(1, 9)]
    with pytest.raises(CannotJudge) as why:
        made("below", grid("adam", *rates), grid("rprop", 10.0, 11.0), **ADAM_RPROP)
    assert str(why.value) == "nothing with equal lr to hold against: " + "; ".join(
        f"adam at lr {i}" for i in range(1, 7)
    )


def test_a_side_that_no_trial_is_on_is_told_by_what_was_wanted() -> None:
    one = trials([1.0], optimizer="adam", lr=0.1)
    with pytest.raises(CannotJudge, match=r"^no trial at scale quick has optimizer = rprop$"):
        made("below", one, **ADAM_RPROP)
    with pytest.raises(CannotJudge, match=r"^no trial at scale quick has optimizer = a\+b, lr = 0.1$"):
        made("below", one, **{**ADAM_RPROP, "these": {"optimizer": ["a", "b"], "lr": 0.1}})
    with pytest.raises(CannotJudge, match=r"^no trial at scale quick has anything$"):
        made("ratio", of={}, to={}, at_least=1)


def test_a_where_that_names_the_seed_or_an_unknown_setting_is_the_suites_mistake() -> None:
    one = trials([1.0], optimizer="adam")
    for part in ("these", "than"):
        with pytest.raises(ReportError) as why:
            made("below", one, **{**ADAM_RPROP, part: {"seed": 1}})
        assert str(why.value) == ("claims.c: 'seed' can't tell the sides of a check apart; seeds are what it averages")
        with pytest.raises(ReportError, match=r"^claims\.c: no trial has a setting 'lr'"):
            made("below", one, **{**ADAM_RPROP, part: {"lr": 1}})
    for part in ("of", "to"):
        with pytest.raises(ReportError, match=r"^claims\.c: no trial has a setting 'lr'"):
            made("ratio", one, **{"of": {}, "to": {}, "at_least": 1, part: {"lr": 1}})


# What is missing


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, "failed", 1.0], "failed: no reason was recorded: adam seed 1"),
        (["missing", 1.0, "missing"], "not run: adam seed 0; adam seed 2"),
        (["running"], "still running: adam"),
        (["pruned"], "pruned: adam"),
    ],
)
def test_every_trial_that_lacks_is_named(values: list[float | str], said: str) -> None:
    with pytest.raises(CannotJudge) as why:
        made("below", trials(values, optimizer="adam"), trials([1.0], optimizer="rprop"), **ADAM_RPROP)
    assert str(why.value) == said


def test_reasons_are_sentences_and_both_sides_are_looked_at() -> None:
    with pytest.raises(CannotJudge) as why:
        made(
            "below",
            trials(["failed", 1.0], optimizer="adam", reason="disk full"),
            trials(["missing"], optimizer="rprop"),
            **ADAM_RPROP,
        )
    assert str(why.value) == "failed: disk full: adam seed 0. not run: rprop"


def test_a_cell_in_which_nothing_varies_is_called_by_its_experiment() -> None:
    other = trials([1.0], experiment="grid", task="unroll")
    with pytest.raises(CannotJudge, match=r"^not run: defaults$"):
        made("extreme", trials(["missing"]), other, these={"experiment": "defaults"}, end="lowest")


@pytest.mark.parametrize("metric", ["loss/total", "score/accuracy"])
def test_a_collapsed_trial_counts_as_a_diverged_one_whatever_it_measured(metric: str) -> None:
    found = [
        only(made("below", trials([1.0], metric, optimizer="adam"), trials([state], metric, optimizer="rprop"),
                  **{**ADAM_RPROP, "metric": metric}))
        for state in ("diverged", "collapsed")
    ]  # fmt: skip
    assert found[0].left == found[1].left and math.isinf(found[1].left[0])


def test_a_collapsed_trial_counts_for_nothing_where_there_is_no_worst_value() -> None:
    with pytest.raises(CannotJudge, match="collapsed, and a collapsed trial's time/train does not count: rprop"):
        made(
            "below",
            trials([1.0], "time/train", optimizer="adam"),
            trials(["collapsed"], "time/train", optimizer="rprop"),
            **{**ADAM_RPROP, "metric": "time/train"},
        )


def test_a_metric_that_was_not_measured_and_one_that_a_diverged_trial_has_not() -> None:
    with pytest.raises(CannotJudge) as why:
        made(
            "below",
            trials([1.0, "diverged"], "time/train", optimizer="adam", reason="at step 3"),
            trials([1.0], "loss/total", optimizer="rprop"),
            metric="time/train",
            **ADAM_RPROP,
        )
    assert str(why.value) == (
        "diverged, and a diverged trial has no time/train: adam seed 1. no time/train was measured: rprop"
    )


# The scale, and who lends variance


@pytest.mark.parametrize(
    ("values", "unit", "log"),
    [
        ([1.0, 2.0], "", True), ([1.0, 2.0], "s", True), ([1.0, 2.0], "%", False), ([1.0, 2.0], "dB", False),
        ([1.0, 0.0], "", False),
        ([1.0, -2.0], "", False), ([1.0, "diverged"], "", True), (["missing"], "", False),
    ],
)  # fmt: skip
def test_positive_values_are_compared_on_logarithms_and_percentages_as_they_are(
    values: list[float | str], unit: str, log: bool
) -> None:
    assert sides.on_logs(views.cells(trials(values)), "loss/total", unit) is log


def test_what_a_collapsed_trial_measured_counts_for_the_scale() -> None:
    (one,) = trials(["collapsed"])
    assert not sides.on_logs(views.cells([replace(one, metrics={"loss/total": 0.0})]), "loss/total", "")


def test_a_family_is_every_finished_cell_of_the_claims_experiments_on_the_scale_of_the_test() -> None:
    draw = np.random.default_rng(0)
    cells = {o: list(np.exp(draw.normal(0, 0.1, 3))) for o in ("adam", "rprop", "sgd", "nadam", "adamax")}
    found = [t for o, values in cells.items() for t in trials(values, optimizer=o)]
    here = book([*found, *trials([1.0, 2.0], optimizer="few"), *trials(["diverged", 1.0, 1.0, 1.0], optimizer="lost")])
    logs = moderation.lender([dict(enumerate(np.log(v))) for v in cells.values()], "defaults")
    assert logs is not None and logs.words == "10 pairs of defaults"
    assert sides.family(here, ["defaults"], "loss/total", log=True) == logs
    raw = moderation.lender([dict(enumerate(v)) for v in cells.values()], "defaults")
    assert sides.family(here, ["defaults"], "loss/total", log=False) == raw != logs
    negative = book([*found, *trials([-1.0, 1.0, 2.0], optimizer="negative")])
    assert sides.family(negative, ["defaults"], "loss/total", log=True) == logs
    assert sides.family(here, ["grid"], "loss/total", log=True) is None
    both = sides.family(here, ["defaults", "grid"], "loss/total", log=True)
    assert both is not None and both.words == "10 pairs of defaults and grid"


def test_a_plain_pair_borrows_and_what_was_chosen_or_averaged_does_not() -> None:
    draw = np.random.default_rng(0)
    found = [t for o in ("adam", "rprop", "sgd", "nadam") for t in trials(list(draw.uniform(1, 2, 3)), optimizer=o)]
    assert only(made("below", found, **ADAM_RPROP)).lender is not None
    assert only(made("below", found, select={"lowest": "loss/total", "over": ["lr"]}, **ADAM_RPROP)).lender is None
    of: dict[str, Any] = {"of": {"optimizer": "rprop"}, "at_least": 1.0}
    assert only(made("ratio", found, to={"optimizer": "adam"}, **of)).lender is not None
    assert only(made("ratio", found, to={"optimizer": ["adam", "sgd"]}, **of)).lender is None
    assert (
        only(made("ratio", found, of={"optimizer": ["adam", "sgd"]}, to={"optimizer": "rprop"}, at_most=2)).lender
        is None
    )


def test_e_to_a_large_number_is_infinite() -> None:
    assert sides.exp(699) < INF and sides.exp(701) == INF and sides.exp(-INF) == 0.0
