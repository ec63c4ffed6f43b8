"""The six forms of a check: which cells are held against which, what is held equal, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import TypeAdapter
from report_sample import sample_suite
from trials import book, trials

from retable.bench.judging import views
from retable.bench.judging.checks import CannotJudge, Comparison, Setup, prepare
from retable.bench.judging.views import ReportError, Result
from retable.bench.suite.schema import Check

INF = math.inf


def made(form: str, *groups: Sequence[Result], chosen: Sequence[str] = (), scale: str = "quick", **check: Any) -> Setup:
    """The comparisons of a check (of loss/total, where it names no other metric) over these trials."""
    found = [t for group in groups for t in group]
    parsed = TypeAdapter[Any](Check).validate_python({"form": form, "metric": "loss/total", **check})
    return prepare(book(found, scale), ["defaults"], views.cells(found), parsed, "claims.c", chosen)


def labels(setup: Setup) -> list[str]:
    return [c.label for c in setup.comparisons]


def only(setup: Setup) -> Comparison:
    (one,) = setup.comparisons
    return one


def gap(one: Comparison) -> dict[int, float]:
    """Seed -> left - right: positive where it supports the claim."""
    return {s: one.left[s] - one.right[s] for s in one.left}


ADAM_RPROP = {"these": {"optimizer": "adam"}, "than": {"optimizer": "rprop"}}


# Below


def test_below_holds_every_one_against_every_other_seed_by_seed() -> None:
    setup = made(
        "below",
        trials([1.0, 2.0], optimizer="adam"),
        trials([3.0, 2.5], optimizer="nadam"),
        trials([4.0, 6.0], optimizer="rprop"),
        trials([0.0, 0.0], optimizer="other"),
        these={"optimizer": ["adam", "nadam"]},
        than={"optimizer": "rprop"},
    )
    assert labels(setup) == ["adam below rprop", "nadam below rprop"]
    first = setup.comparisons[0]
    assert (first.left, first.right, gap(first)) == ({0: 4.0, 1: 6.0}, {0: 1.0, 1: 2.0}, {0: 3.0, 1: 4.0})
    assert (first.numbers, first.unit, first.factor) == ("1.5 against 5", "", False)
    assert first.shown(3.5) == -3.5, "what a reader sees is the first less the second"
    assert [c.get("optimizer") for c in setup.used] == ["adam", "nadam", "rprop"]


def test_above_turns_the_sides_and_shares_differ_in_points() -> None:
    one = only(
        made(
            "below",
            trials([81.25, 80.0], "score/accuracy", optimizer="adam"),
            trials([71.0, 72.0], "score/accuracy", optimizer="rprop"),
            metric="score/accuracy",
            higher=True,
            **ADAM_RPROP,
        )
    )
    assert one.label == "adam above rprop"
    assert gap(one) == {0: 10.25, 1: 8.0}
    assert one.shown(9.0) == 9.0
    assert (one.numbers, one.unit) == ("80.62 against 71.5 %", "points")


def test_a_metric_with_a_unit_keeps_it() -> None:
    one = only(
        made(
            "below",
            trials([1.0], "time/train", optimizer="adam"),
            trials([2.0], "time/train", optimizer="rprop"),
            metric="time/train",
            **ADAM_RPROP,
        )
    )
    assert (one.numbers, one.unit) == ("1 against 2 s", "s")


@pytest.mark.parametrize(
    ("higher", "value", "with_margin"),
    [(False, 100.0, 102.0), (False, -100.0, -98.0), (True, 100.0, 98.0), (True, -100.0, -102.0)],
)
def test_a_margin_is_of_the_first_and_against_it(higher: bool, value: float, with_margin: float) -> None:
    one = only(
        made(
            "below",
            trials([value], optimizer="adam"),
            trials([7.0], optimizer="rprop"),
            higher=higher,
            margin=0.02,
            **ADAM_RPROP,
        )
    )
    sign = -1 if higher else 1
    assert one.label == f"adam {'above' if higher else 'below'} rprop by 0.02 of it"
    assert (one.left, one.right) == ({0: sign * 7.0}, {0: pytest.approx(sign * with_margin)})


def test_a_margin_of_what_diverged_is_no_number_but_infinity() -> None:
    one = only(
        made(
            "below", trials(["diverged"], optimizer="adam"), trials([7.0], optimizer="rprop"), margin=0.02, **ADAM_RPROP
        )
    )
    assert (one.left, one.right, one.numbers) == ({0: 7.0}, {0: INF}, "∞ against 7")


def test_a_diverged_trial_counts_as_the_worst_of_either_end() -> None:
    low = only(made("below", trials([1.0], optimizer="adam"), trials(["diverged"], optimizer="rprop"), **ADAM_RPROP))
    assert gap(low) == {0: INF}
    high = only(
        made(
            "below",
            trials([1.0], "score/accuracy", optimizer="adam"),
            trials(["diverged"], "score/accuracy", optimizer="rprop"),
            metric="score/accuracy",
            higher=True,
            **ADAM_RPROP,
        )
    )
    assert gap(high) == {0: INF} and high.numbers == "1 against −∞ %"


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
    setup = made("below", *cells, chosen=["lr"], **ADAM_RPROP)
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


# Extreme


@pytest.mark.parametrize(("end", "word", "sign"), [("lowest", "below", 1), ("highest", "above", -1)])
def test_extreme_holds_these_against_all_others(end: str, word: str, sign: int) -> None:
    setup = made(
        "extreme",
        trials([1.0], optimizer="adam"),
        trials([3.0], optimizer="rprop"),
        trials([4.0], optimizer="sgd"),
        these={"optimizer": "adam"},
        end=end,
    )
    assert labels(setup) == [f"adam {word} rprop", f"adam {word} sgd"]
    assert [gap(c)[0] for c in setup.comparisons] == [sign * 2.0, sign * 3.0]
    assert len(setup.used) == 3


def test_extreme_holds_the_other_settings() -> None:
    setup = made("extreme", grid("adam", 0.1, 0.2), grid("sgd", 0.1, 0.2), these={"optimizer": "adam"}, end="lowest")
    assert labels(setup) == ["adam at lr 0.1 below sgd at lr 0.1", "adam at lr 0.2 below sgd at lr 0.2"]
    free = made("extreme", grid("adam", 0.1), grid("sgd", 0.1, 0.2), these={"optimizer": "adam"}, end="lowest",
                chosen=["lr"])  # fmt: skip
    assert labels(free) == ["adam below sgd"] * 2


def test_extreme_without_others_or_with_a_missing_one_is_not_judged() -> None:
    adam = trials([1.0], optimizer="adam")
    with pytest.raises(CannotJudge, match=r"^there is nothing else at scale quick to compare with$"):
        made("extreme", adam, these={"optimizer": "adam"}, end="lowest")
    with pytest.raises(CannotJudge, match=r"^not run: sgd$"):
        made("extreme", adam, trials(["missing"], optimizer="sgd"), these={"optimizer": "adam"}, end="lowest")
    with pytest.raises(CannotJudge, match=r"^no trial at scale quick has optimizer = sgd$"):
        made("extreme", adam, these={"optimizer": "sgd"}, end="lowest")


# Monotone


def depth(values: dict[int, float], **more: Any) -> list[Result]:
    return [t for d, v in values.items() for t in trials([v], task="unroll", depth=d, **more)]


@pytest.mark.parametrize(("direction", "word", "sign"), [("falls", "below", 1), ("rises", "above", -1)])
def test_monotone_steps_from_each_value_to_the_next_larger(direction: str, word: str, sign: int) -> None:
    setup = made("monotone", depth({4: 1.0, 1: 9.0, 2: 5.0}), over="depth", direction=direction)
    assert labels(setup) == [f"depth 2 {word} depth 1", f"depth 4 {word} depth 2"]
    assert [gap(c)[0] for c in setup.comparisons] == [sign * 4.0, sign * 4.0]
    assert len(setup.used) == 3


def test_monotone_takes_words_as_declared_and_leaves_out_what_has_no_such_setting() -> None:
    cells = [t for kind in ("small", "base", "large") for t in trials([1.0], kind=kind)]
    setup = made("monotone", cells, trials(["missing"], other=1), over="kind", direction="falls")
    assert labels(setup) == ["base below small", "large below base"]
    assert len(setup.used) == 3


def test_monotone_goes_along_a_line_per_other_setting() -> None:
    setup = made("monotone", depth({1: 3.0, 2: 2.0}, act="h"), depth({1: 3.0, 2: 2.0}, act="relu"),
                 over="depth", direction="falls")  # fmt: skip
    assert labels(setup) == ["h at depth 2 below h at depth 1", "relu at depth 2 below relu at depth 1"]


def test_monotone_needs_two_values_and_every_line_a_neighbour() -> None:
    with pytest.raises(CannotJudge, match=r"^depth has 1 value at scale quick; a trend needs two$"):
        made("monotone", depth({1: 3.0}), over="depth", direction="falls")
    with pytest.raises(CannotJudge, match=r"^depth has 0 value at scale quick; a trend needs two$"):
        made("monotone", trials([1.0], lr=0.1), over="depth", direction="falls")
    lines = (depth({1: 3.0, 2: 2.0}, act="h"), depth({2: 2.0}, act="relu"))
    with pytest.raises(CannotJudge, match=r"^relu at depth 2 has no neighbour along depth$"):
        made("monotone", *lines, over="depth", direction="falls")
    with pytest.raises(CannotJudge, match=r"^not run: depth 2$"):
        made("monotone", depth({1: 3.0}), trials(["missing"], task="unroll", depth=2), over="depth", direction="falls")


def test_monotone_over_a_selection_lets_the_chosen_setting_differ() -> None:
    cells = (trials([3.0], depth=1, lr=0.1), trials([2.0], depth=2, lr=0.2))
    assert labels(made("monotone", *cells, over="depth", direction="falls", chosen=["lr"])) == ["depth 2 below depth 1"]
    more = (*cells, trials([1.0], depth=2, lr=0.1))
    with pytest.raises(CannotJudge, match=r"^lr 0\.2, depth 2 has no|^depth 2, lr 0\.2 has no"):
        made("monotone", *more, over="depth", direction="falls")


# Ratio

OF_TO = {"of": {"optimizer": "rprop"}, "to": {"optimizer": ["adam", "nadam"]}}
THREE = (
    trials([8.0, 16.0], optimizer="rprop"),
    trials([2.0, 4.0], optimizer="adam"),
    trials([6.0, 4.0], optimizer="nadam"),
)


def factors(one: Comparison) -> dict[int, float]:
    return {s: math.exp(d) for s, d in gap(one).items()}


def test_a_ratio_to_the_mean_of_a_side() -> None:
    one = only(made("ratio", *THREE, **OF_TO, at_least=1.5))
    assert one.label == "rprop / mean of adam, nadam at least 1.5"
    assert factors(one) == pytest.approx({0: 8 / 4 / 1.5, 1: 16 / 4 / 1.5})
    assert (one.numbers, one.unit, one.factor) == ("12 / 4", "", True)
    assert one.shown(0.0) == 1.5 and one.shown(math.log(2)) == pytest.approx(3.0)
    assert one.shown(INF) == INF and one.shown(701) == INF and one.shown(699) < INF


def test_an_upper_bound_turns_the_sides_and_shows_the_same_ratio() -> None:
    one = only(made("ratio", *THREE, **OF_TO, at_most=3.0))
    assert one.label == "rprop / mean of adam, nadam at most 3"
    assert factors(one) == pytest.approx({0: 3 / 2, 1: 3 / 4})
    assert one.shown(0.0) == 3.0 and one.shown(math.log(2)) == pytest.approx(1.5)


def test_both_bounds_are_two_comparisons() -> None:
    setup = made("ratio", *THREE, **OF_TO, at_least=1.5, at_most=3.0)
    assert [label.partition(" at ")[2] for label in labels(setup)] == ["least 1.5", "most 3"]
    assert [c.get("optimizer") for c in setup.used] == ["rprop", "adam", "nadam"]


@pytest.mark.parametrize(
    ("statistic", "label", "numbers", "seeds"),
    [
        ("lowest", "rprop / adam (lowest) at least 1", "12 / 3", {0: 4.0, 1: 4.0}),
        ("highest", "rprop / nadam (highest) at least 1", "12 / 5", {0: 8 / 6, 1: 4.0}),
    ],
)
def test_a_ratio_to_the_best_or_worst_cell(statistic: str, label: str, numbers: str, seeds: dict[int, float]) -> None:
    one = only(made("ratio", *THREE, **OF_TO, at_least=1.0, to_statistic=statistic))
    assert (one.label, one.numbers) == (label, numbers)
    assert factors(one) == pytest.approx(seeds)


def test_the_two_sides_are_shown_to_four_digits() -> None:
    sides = (trials([1.234567], optimizer="rprop"), trials([2.345678], optimizer="adam"))
    to_adam = made("ratio", *sides, of={"optimizer": "rprop"}, to={"optimizer": "adam"}, at_least=1.0)
    assert only(to_adam).numbers == "1.235 / 2.346"
    assert only(made("below", *sides, these={"optimizer": "rprop"}, than={"optimizer": "adam"})).numbers == (
        "1.235 against 2.346"
    )


def test_the_best_of_one_cell_is_that_cell() -> None:
    one = only(made("ratio", *THREE, of={"optimizer": "rprop"}, to={"optimizer": "adam"}, at_least=1.0,
                    to_statistic="lowest"))  # fmt: skip
    assert one.label == "rprop / adam at least 1"


def test_a_ratio_to_each() -> None:
    setup = made("ratio", *THREE, **OF_TO, at_least=1.0, to_statistic="each")
    assert labels(setup) == ["rprop / adam at least 1", "rprop / nadam at least 1"]
    assert [c.numbers for c in setup.comparisons] == ["12 / 3", "12 / 5"]
    assert factors(setup.comparisons[1]) == pytest.approx({0: 8 / 6, 1: 4.0})


def test_a_ratio_of_a_mean_over_several_cells_of_a_side_takes_the_seeds_that_all_have() -> None:
    one = only(
        made(
            "ratio",
            trials({0: 2.0, 1: 100.0}, optimizer="adam"),
            trials({0: 4.0, 2: 100.0}, optimizer="nadam"),
            trials([6.0], optimizer="rprop"),
            of={"optimizer": ["adam", "nadam"]},
            to={"optimizer": "rprop"},
            at_least=1.0,
        )
    )
    assert factors(one) == pytest.approx({0: 0.5})
    with pytest.raises(CannotJudge, match=r"^the cells of a side share no seed to average over$"):
        made(
            "ratio",
            trials({1: 100.0}, optimizer="adam"),
            trials({2: 100.0}, optimizer="nadam"),
            trials([6.0], optimizer="rprop"),
            of={"optimizer": ["adam", "nadam"]},
            to={"optimizer": "rprop"},
            at_least=1.0,
        )


@pytest.mark.parametrize("statistic", ["mean", "each"])
@pytest.mark.parametrize(("bad", "said"), [(0.0, "0"), (-2.5, "−2.5")])
def test_a_ratio_needs_positive_values(statistic: str, bad: float, said: str) -> None:
    with pytest.raises(CannotJudge) as why:
        made("ratio", trials([1.0], optimizer="rprop"), trials([bad], optimizer="adam"),
             of={"optimizer": "rprop"}, to={"optimizer": "adam"}, at_least=1.0, to_statistic=statistic)  # fmt: skip
    assert str(why.value) == f"a ratio needs positive values, and loss/total is {said}"


@pytest.mark.parametrize("statistic", ["mean", "each", "lowest"])
def test_a_ratio_with_a_diverged_side_is_infinite(statistic: str) -> None:
    sides = (trials([1.0, "diverged"], optimizer="rprop"), trials([2.0, 2.0], optimizer="adam"))
    up = only(made("ratio", *sides, of={"optimizer": "rprop"}, to={"optimizer": "adam"}, at_least=1.0,
                   to_statistic=statistic))  # fmt: skip
    assert gap(up) == {0: pytest.approx(math.log(0.5)), 1: INF}
    assert up.numbers == "∞ / 2"
    down = only(made("ratio", *sides, of={"optimizer": "adam"}, to={"optimizer": "rprop"}, at_least=1.0,
                     to_statistic=statistic))  # fmt: skip
    assert gap(down) == {0: pytest.approx(math.log(2)), 1: -INF}


@pytest.mark.parametrize("statistic", ["mean", "each", "lowest"])
def test_a_diverged_side_of_what_should_be_high_is_infinitely_low(statistic: str) -> None:
    accuracy = "score/accuracy"
    sides = (trials(["diverged"], accuracy, optimizer="adam"), trials([2.0], accuracy, optimizer="rprop"))
    one = only(made("ratio", *sides, metric=accuracy, of={"optimizer": "rprop"}, to={"optimizer": "adam"},
                    at_least=1.0, to_statistic=statistic))  # fmt: skip
    assert gap(one) == {0: INF}
    other = only(made("ratio", *sides, metric=accuracy, of={"optimizer": "adam"}, to={"optimizer": "rprop"},
                      at_least=1.0, to_statistic=statistic))  # fmt: skip
    assert gap(other) == {0: -INF}


def test_a_ratio_needs_every_trial_of_both_sides() -> None:
    for values in (["missing"], [1.0]), ([1.0], ["missing"]):
        with pytest.raises(CannotJudge, match=r"^not run: (rprop|adam)$"):
            made("ratio", trials(values[0], optimizer="rprop"), trials(values[1], optimizer="adam"),
                 of={"optimizer": "rprop"}, to={"optimizer": "adam"}, at_least=1.0)  # fmt: skip


# Spread


def wide(optimizer: str, *cells: tuple[float, Sequence[float | str]], **more: Any) -> list[Result]:
    return [t for lr, values in cells for t in trials(values, optimizer=optimizer, lr=lr, **more)]


def test_spread_holds_the_highest_over_the_lowest_cell_of_one_grid_against_anothers() -> None:
    setup = made(
        "spread",
        wide("rprop", (0.1, [8.0, 6.0]), (0.2, [1.0, 3.0]), (0.3, [4.0, 4.0])),
        wide("adam", (0.1, [2.0, 2.0]), (0.2, [4.0, 2.0]), (0.3, [2.5, 2.5])),
        over=["lr"],
        **ADAM_RPROP | {"these": {"optimizer": "rprop"}, "than": {"optimizer": "adam"}},
    )
    one = only(setup)
    assert one.label == "spread of rprop above adam"
    assert one.left == pytest.approx({0: math.log(8), 1: math.log(2)})
    assert one.right == pytest.approx({0: math.log(2), 1: 0.0})
    assert (one.numbers, one.factor, one.unit) == ("×3.5 against ×1.5", True, "")
    assert one.shown(math.log(2)) == pytest.approx(2.0)
    assert len(setup.used) == 6


SPREAD: dict[str, Any] = {"these": {"optimizer": "rprop"}, "than": {"optimizer": "adam"}, "over": ["lr"]}


def test_spread_holds_what_it_is_not_taken_over_and_names_it() -> None:
    grids = [
        wide(optimizer, (0.1, [1.0]), (0.2, [level * batch]), batch=batch)
        for optimizer, level in (("rprop", 4.0), ("adam", 2.0))
        for batch in (1, 2)
    ]
    setup = made("spread", *grids, **SPREAD)
    assert labels(setup) == [
        "spread of rprop at batch 1 above adam at batch 1",
        "spread of rprop at batch 2 above adam at batch 2",
    ]
    assert [c.numbers for c in setup.comparisons] == ["×4 against ×2", "×8 against ×4"]
    both = made("spread", *grids, **{**SPREAD, "over": ["lr", "batch"]})
    assert labels(both) == ["spread of rprop above adam"] and only(both).numbers == "×8 against ×4"


def test_spread_of_grids_named_by_what_they_are_taken_over() -> None:
    setup = made(
        "spread",
        wide("rprop", (0.1, [1.0]), (0.2, [4.0]), (0.3, [1.0]), (0.4, [2.0])),
        these={"lr": [0.1, 0.2]},
        than={"lr": [0.3, 0.4]},
        over=["lr"],
    )
    assert only(setup).numbers == "×4 against ×2"


def test_spread_looks_through_the_names_of_cells() -> None:
    setup = made(
        "spread",
        wide("rprop", (0.1, [1.0]), cell="a"), wide("rprop", (0.2, [4.0]), cell="b"),
        wide("adam", (0.1, [1.0]), cell="c"), wide("adam", (0.2, [2.0]), cell="d"),
        **SPREAD,
        chosen=["cell"],
    )  # fmt: skip
    assert only(setup).numbers == "×4 against ×2"


@pytest.mark.parametrize("metric", ["loss/total", "score/accuracy"])
def test_a_grid_with_a_diverged_cell_has_an_infinite_spread(metric: str) -> None:
    def cells(optimizer: str, *cells: tuple[float, Sequence[float | str]]) -> list[Result]:
        return [t for lr, values in cells for t in trials(values, metric, optimizer=optimizer, lr=lr)]

    gone = cells("rprop", (0.1, [8.0, 8.0]), (0.2, [1.0, "diverged"]), (0.3, ["diverged", "diverged"]))
    fine = cells("adam", (0.1, [2.0, 2.0]), (0.2, [4.0, 4.0]))
    one = only(made("spread", gone, fine, metric=metric, **SPREAD))
    assert one.left == {0: INF, 1: INF}, "the cell that lost the most seeds is the end of the spread"
    assert one.right == pytest.approx({0: math.log(2), 1: math.log(2)})
    assert one.numbers == "×∞ against ×2"


def test_a_grid_in_which_one_seed_diverged_is_infinite_in_that_seed_alone() -> None:
    one = only(
        made(
            "spread",
            wide("rprop", (0.1, [8.0, 8.0]), (0.2, [16.0, "diverged"])),
            wide("adam", (0.1, [2.0, 2.0]), (0.2, [4.0, 4.0])),
            **SPREAD,
        )
    )
    assert one.left == {0: pytest.approx(math.log(2)), 1: INF}


def test_two_cells_that_both_diverged_are_no_spread_in_that_seed() -> None:
    one = only(
        made(
            "spread",
            wide("rprop", (0.1, [8.0, "diverged"]), (0.2, [16.0, "diverged"])),
            wide("adam", (0.1, [2.0, 2.0]), (0.2, [4.0, 4.0])),
            **SPREAD,
        )
    )
    assert one.left[1] == 0.0 and one.numbers.startswith("×∞")


def test_a_spread_needs_two_cells_a_grid_and_a_seed_that_both_have() -> None:
    fine = wide("adam", (0.1, [2.0]), (0.2, [4.0]))
    with pytest.raises(CannotJudge, match=r"^rprop has one cell over lr, batch at scale quick$"):
        made("spread", wide("rprop", (0.1, [1.0])), fine, **{**SPREAD, "over": ["lr", "batch"]})
    with pytest.raises(CannotJudge, match=r"^a grid has one cell over lr at scale quick$"):
        made("spread", trials([1.0], lr=0.1), these={}, than={}, over=["lr"])
    with pytest.raises(CannotJudge, match=r"^the cells of a grid share no seed$"):
        made("spread", trials({0: 1.0}, optimizer="rprop", lr=0.1), trials({1: 2.0}, optimizer="rprop", lr=0.2), fine,
             **SPREAD)  # fmt: skip
    with pytest.raises(CannotJudge, match=r"^a ratio needs positive values, and loss/total is −1$"):
        made("spread", wide("rprop", (0.1, [-1.0]), (0.2, [1.0])), fine, **SPREAD)
    with pytest.raises(CannotJudge, match=r"^not run: "):
        made("spread", wide("rprop", (0.1, [1.0]), (0.2, ["missing"])), fine, **SPREAD)
    with pytest.raises(CannotJudge, match=r"^not run: "):
        made("spread", fine, wide("rprop", (0.1, [1.0]), (0.2, ["missing"])), over=["lr"],
             these={"optimizer": "adam"}, than={"optimizer": "rprop"})  # fmt: skip


def test_a_spread_is_taken_over_the_seeds_that_both_cells_have() -> None:
    one = only(
        made(
            "spread",
            trials({0: 1.0, 1: 1.0}, optimizer="rprop", lr=0.1),
            trials({1: 4.0, 2: 4.0}, optimizer="rprop", lr=0.2),
            wide("adam", (0.1, [2.0]), (0.2, [4.0])),
            **SPREAD,
        )
    )
    assert one.left == pytest.approx({1: math.log(4)})


# Agrees

PRINTED = {row: float(cells["loss"]) for row, cells in sample_suite().tables["table1"].published.items()}  # type: ignore[arg-type]
ORDER = {"over": "optimizer", "published": "table1/loss"}


def ours(*optimizers: str, change: dict[str, float] | None = None, seeds: int = 2) -> list[Result]:
    values = {o: PRINTED[o] for o in optimizers} | (change or {})
    return [t for o, v in values.items() for t in trials([v] * seeds, optimizer=o)]


def test_agrees_ranks_ours_and_the_papers_seed_by_seed() -> None:
    found = ours("adam", "rprop", "rmsprop")
    turned = [t for t in ours("adam", "rprop", "rmsprop", change={"rmsprop": PRINTED["rprop"] * 2}) if t.seed == 1]
    setup = made("agrees", [t for t in found if t.seed == 0], turned, trials([1.0], optimizer="sgd"), **ORDER)
    one = only(setup)
    assert one.label == "Kendall's tau of 3 optimizers with the published order above 0"
    assert one.left == pytest.approx({0: 1.0, 1: -1 / 3})
    assert one.right == {0: 0.0, 1: 0.0}
    assert one.numbers == "tau 1, −0.333 by seed"
    assert (one.factor, one.unit, one.shown(0.5)) == (False, "", 0.5)
    assert [c.get("optimizer") for c in setup.used] == ["adam", "rprop", "rmsprop"]


def test_agrees_takes_the_seeds_that_every_cell_has() -> None:
    def only_seed(optimizer: str, *seeds: int) -> list[Result]:
        return trials(dict.fromkeys(seeds, PRINTED[optimizer]), optimizer=optimizer)

    some = made("agrees", only_seed("adam", 0, 1), only_seed("rprop", 1, 2), only_seed("rmsprop", 1), **ORDER)
    assert set(only(some).left) == {1}
    with pytest.raises(CannotJudge, match=r"^the cells share no seed to rank them by$"):
        made("agrees", only_seed("adam", 0), only_seed("rprop", 1), only_seed("rmsprop", 1), **ORDER)


def test_agrees_needs_three_values_one_cell_each_and_an_order() -> None:
    with pytest.raises(CannotJudge, match=r"^2 values of optimizer are both published and run; an order needs three$"):
        made("agrees", ours("adam", "rprop"), trials([1.0], optimizer="sgd"), **ORDER)
    twice = [t for lr in (0.1, 0.2) for t in trials([1.0], optimizer="adam", lr=lr)]
    with pytest.raises(
        CannotJudge, match=r"^several cells have optimizer = adam; name the others' settings in where or select$"
    ):
        made("agrees", twice, ours("rprop", "rmsprop"), **ORDER)
    with pytest.raises(CannotJudge, match=r"^all values are equal, which is no order$"):
        made("agrees", *(trials([1.0], optimizer=o) for o in ("adam", "rprop", "rmsprop")), **ORDER)
    with pytest.raises(CannotJudge, match=r"^not run: adam$"):
        made("agrees", trials(["missing"], optimizer="adam"), ours("rprop", "rmsprop"), **ORDER)


def test_agrees_leaves_out_what_the_paper_does_not_print_as_a_number() -> None:
    """The time of nadam is blank in print; a word of a row is no number either."""
    timed = [
        t for o in ("adam", "rprop", "rmsprop", "nadam") for t in trials([1.0 + len(o)], "time/train", optimizer=o)
    ]
    setup = made("agrees", timed, metric="time/train", over="optimizer", published="table1/time")
    assert "of 3 optimizers" in only(setup).label


def test_a_diverged_trial_ranks_last() -> None:
    setup = made("agrees", trials(["diverged"], optimizer="rprop"), ours("adam", "rmsprop", seeds=1), **ORDER)
    assert only(setup).left == pytest.approx({0: 1.0}), "rprop has the highest published loss"
