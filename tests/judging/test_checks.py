"""The forms of a check that hold pairs of cells against each other: below, extreme, monotone, same."""

from __future__ import annotations

import math
from typing import Any

import pytest
from checked import ADAM_RPROP, gap, labels, made, only
from pydantic import ValidationError
from trials import trials

from retable.bench.judging.sides import CannotJudge, Comparison
from retable.bench.judging.views import Result

INF = math.inf


def factors(one: Comparison) -> dict[Any, float]:
    return {s: math.exp(d) for s, d in gap(one).items()}


# Below


def test_below_holds_every_one_against_every_other_seed_by_seed() -> None:
    setup = made(
        "below",
        trials([1.0, 2.0], optimizer="adam"),
        trials([3.0, 2.5], optimizer="nadam"),
        trials([4.0, 6.0], optimizer="rprop"),
        trials([9.0, 9.0], optimizer="other"),
        these={"optimizer": ["adam", "nadam"]},
        than={"optimizer": "rprop"},
    )
    assert labels(setup) == ["adam below rprop", "nadam below rprop"]
    assert len(setup.clauses) == 2, "each must hold"
    first = setup.comparisons[0]
    assert factors(first) == pytest.approx({0: 4.0, 1: 3.0})
    assert (first.numbers, first.unit, first.factor, first.share) == ("1.5 against 5", "", True, 1.0)
    assert first.shown(math.log(4)) == pytest.approx(1 / 4), "what a reader sees is the first over the second"
    assert [c.get("optimizer") for c in setup.used] == ["adam", "nadam", "rprop"]


def test_a_view_with_a_value_that_is_not_positive_is_compared_as_it_is() -> None:
    one = only(
        made(
            "below",
            trials([1.0, 2.0], optimizer="adam"),
            trials([4.0, 6.0], optimizer="rprop"),
            trials([0.0], optimizer="other"),
            **ADAM_RPROP,
        )
    )
    assert (one.left, one.right, one.factor) == ({0: 4.0, 1: 6.0}, {0: 1.0, 1: 2.0}, False)
    assert one.shown(3.5) == -3.5, "what a reader sees is the first less the second"


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
    assert (one.numbers, one.unit, one.factor) == ("80.62 against 71.5 %", "points", False)


@pytest.mark.parametrize(("value", "factor", "unit"), [(2.0, True, ""), (0.0, False, "s")])
def test_a_metric_with_a_unit_keeps_it_and_a_factor_has_none(value: float, factor: bool, unit: str) -> None:
    one = only(
        made(
            "below",
            trials([1.0], "time/train", optimizer="adam"),
            trials([value], "time/train", optimizer="rprop"),
            metric="time/train",
            **ADAM_RPROP,
        )
    )
    assert (one.numbers, one.unit, one.factor) == (f"1 against {value:g} s", unit, factor)


def margin(value: float, higher: bool) -> Comparison:
    sides = (trials([value], optimizer="adam"), trials([7.0], optimizer="rprop"))
    return only(made("below", *sides, higher=higher, margin=0.02, **ADAM_RPROP))


@pytest.mark.parametrize(("higher", "value", "with_margin"), [(False, -100.0, -98.0), (True, -100.0, -102.0)])
def test_a_margin_is_of_the_first_and_against_it(higher: bool, value: float, with_margin: float) -> None:
    one, sign = margin(value, higher), -1 if higher else 1
    assert one.label == f"adam {'above' if higher else 'below'} rprop by 0.02 of it"
    assert (one.left, one.right) == ({0: sign * 7.0}, {0: pytest.approx(sign * with_margin)})


@pytest.mark.parametrize(("higher", "by"), [(False, 7 / 102), (True, 98 / 7)])
def test_a_margin_of_positive_values_is_a_factor_and_what_is_shown_leaves_it_out(higher: bool, by: float) -> None:
    one = margin(100.0, higher)
    assert factors(one) == pytest.approx({0: by})
    assert one.shown(math.log(by)) == pytest.approx(100 / 7)


def test_a_margin_of_all_of_a_higher_metric_is_refused() -> None:
    with pytest.raises(ValidationError, match="a margin of a higher metric is below 1"):
        made("below", higher=True, margin=1.0, **ADAM_RPROP)
    assert made("below", trials([1.0], optimizer="adam"), trials([7.0], optimizer="rprop"), margin=1.0, **ADAM_RPROP)


@pytest.mark.parametrize("value", [7.0, -7.0])
def test_a_margin_of_what_diverged_is_no_number_but_infinity(value: float) -> None:
    one = only(
        made("below", trials(["diverged"], optimizer="adam"), trials([value], optimizer="rprop"), margin=0.02,
             **ADAM_RPROP)
    )  # fmt: skip
    assert gap(one) == {0: -INF}
    assert one.numbers == f"∞ against {'−' if value < 0 else ''}7"
    if one.factor:
        assert one.shown(-INF) == INF and one.shown(INF) == 0, "as a factor, ours over theirs"


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


# The same


def same(adam: list[Any], rprop: list[Any], metric: str = "loss/total", **within: float) -> list[Comparison]:
    sides = (trials(adam, metric, optimizer="adam"), trials(rprop, metric, optimizer="rprop"))
    setup = made("same", *sides, metric=metric, **ADAM_RPROP, **within)
    assert [len(clause) for clause in setup.clauses] == [1, 1], "both must hold"
    return setup.comparisons


def test_the_same_is_two_one_sided_statements_within_a_factor() -> None:
    more, less = same([1.01, 0.98], [1.0, 1.0], within=0.02)
    assert more.label == "adam at most 2 % above rprop" and less.label == "adam at most 2 % below rprop"
    assert factors(more) == pytest.approx({0: 1.02 / 1.01, 1: 1.02 / 0.98})
    assert factors(less) == pytest.approx({0: 1.02 * 1.01, 1: 1.02 * 0.98})
    assert (more.factor, more.unit, more.numbers) == (True, "", "0.995 and 1")
    assert same([1.234567], [2.345678], within=0.02)[0].numbers == "1.235 and 2.346"
    for one in (more, less):
        shown = [one.shown(d) for d in gap(one).values()]
        assert shown == pytest.approx([1.01, 0.98]), "as a reader sees it: ours over theirs"


def test_the_same_within_so_many_units() -> None:
    more, less = same([71.0, 70.0], [70.5, 70.0], "score/accuracy", within_absolute=0.75)
    assert more.label == "adam at most 0.75 points above rprop" and less.label == "adam at most 0.75 points below rprop"
    assert (gap(more), gap(less)) == ({0: 0.25, 1: 0.75}, {0: 1.25, 1: 0.75})
    assert (more.factor, more.unit, more.numbers) == (False, "points", "70.5 and 70.25 %")
    assert [one.shown(gap(one)[0]) for one in (more, less)] == [0.5, 0.5]


def test_the_same_of_a_positive_metric_within_units_is_not_on_logarithms_nor_lent_a_variance_of_them() -> None:
    cells = [trials([1.0 + i, 2.0, 3.0], optimizer=o) for i, o in enumerate(("adam", "rprop", "sgd", "nadam"))]
    units = made("same", *cells, within_absolute=0.5, **ADAM_RPROP).comparisons[0]
    share = made("same", *cells, within=0.5, **ADAM_RPROP).comparisons[0]
    assert (units.factor, units.lender) == (False, None)
    assert share.factor and share.lender is not None


def test_a_relative_margin_needs_positive_values_and_one_margin_is_stated() -> None:
    with pytest.raises(CannotJudge, match=r"^a ratio needs positive values, and loss/total is 0$"):
        same([0.0], [1.0], within=0.02)
    for wrong in ({}, {"within": 0.1, "within_absolute": 1.0}):
        with pytest.raises(ValidationError, match="give exactly one of within, within_absolute"):
            same([1.0], [1.0], **wrong)


def test_the_same_of_what_diverged_on_one_side_is_infinitely_far() -> None:
    more, less = same(["diverged"], [1.0], within=0.02)
    assert (gap(more), gap(less)) == ({0: -INF}, {0: INF})


# Extreme


def grid(optimizer: str, *rates: float) -> list[Result]:
    return [t for lr in rates for t in trials([lr * 10], optimizer=optimizer, lr=lr)]


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
    assert [factors(c)[0] for c in setup.comparisons] == pytest.approx([3.0**sign, 4.0**sign])
    assert len(setup.used) == 3


def test_extreme_holds_the_other_settings() -> None:
    setup = made("extreme", grid("adam", 0.1, 0.2), grid("sgd", 0.1, 0.2), these={"optimizer": "adam"}, end="lowest")
    assert labels(setup) == ["adam at lr 0.1 below sgd at lr 0.1", "adam at lr 0.2 below sgd at lr 0.2"]
    free = made("extreme", grid("adam", 0.1), grid("sgd", 0.1, 0.2), these={"optimizer": "adam"}, end="lowest",
                select={"lowest": "loss/total", "over": ["lr"]})  # fmt: skip
    assert labels(free) == ["adam below sgd"], "the best of each, whatever its learning rate"


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
    assert [factors(c)[0] for c in setup.comparisons] == pytest.approx([(9 / 5) ** sign, 5.0**sign])
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
    chosen = made("monotone", *cells, over="depth", direction="falls", select={"lowest": "loss/total", "over": ["lr"]})
    assert labels(chosen) == ["depth 2 below depth 1"]
    more = (*cells, trials([1.0], depth=2, lr=0.1))
    with pytest.raises(CannotJudge, match=r"^lr 0\.2, depth 2 has no|^depth 2, lr 0\.2 has no"):
        made("monotone", *more, over="depth", direction="falls")
