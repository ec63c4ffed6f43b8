"""What a report says of a claim, word for word: the verdict, its basis and its notes, on results of a few numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats as reference
from trials import book, trials

from retable.bench.judging import deciding
from retable.bench.judging.verdicts import Verdict, judge, judge_all
from retable.bench.judging.views import ReportError, Result
from retable.bench.judging.words import MEANINGS, SYMBOLS, WORDS
from retable.bench.numbers import times
from retable.bench.suite.schema import Claim

INF = math.inf
BELOW = {
    "form": "below", "metric": "loss/total", "these": {"optimizer": "adam"}, "than": {"optimizer": ["rprop", "sgd"]}
}  # fmt: skip
ONE = {**BELOW, "than": {"optimizer": "rprop"}}


def said(*groups: Sequence[Result], check: Any = ONE, **claim: Any) -> Verdict:
    parsed = Claim.model_validate({"quote": "a sentence of the paper", "from": "defaults", "check": check, **claim})
    return judge(book(t for group in groups for t in group), "c", parsed)


def factor(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> str:
    """a over b, paired, as a report shows it."""
    logs = np.log(np.array(a) / np.array(b))
    low, high = reference.t.interval(level, len(logs) - 1, logs.mean(), reference.sem(logs))
    return f"{times(math.exp(logs.mean()))} [{times(math.exp(low))}, {times(math.exp(high))}]"


def test_every_word_has_a_symbol_and_a_meaning() -> None:
    assert set(WORDS) == set(SYMBOLS) == set(MEANINGS) and len(WORDS) == 8
    assert "".join(SYMBOLS[word] for word in WORDS) == "✔=↗↘≈✘⊘–"
    for word in ("reproduced", "contradicted"):
        assert "at least three seeds" in MEANINGS[word]
    for word in ("direction only", "direction only (opposite)"):
        assert "too few" in MEANINGS[word]
    assert "margin" in MEANINGS["the same"] and "cannot tell" in MEANINGS["within noise"]
    assert "takes for granted" in MEANINGS["not judgeable here"] and "missing, failed, or beyond" in MEANINGS["not run"]


FEW = "3 seeds are the fewest that decide"

# Words and bases

LOW, HIGH, ABOUT = [1.0, 2.0, 3.0], [11.0, 25.0, 30.0], [1.0, 2.5, 2.8]
OPPOSITE = "direction only (opposite)"
PAIR, ULP = "adam below rprop", "difference under what rounding makes"
DECIDED, SOME = "3 seeds: one side diverged in all, the other in none", "3 seeds, some diverged: no interval"


@pytest.mark.parametrize(
    ("adam", "rprop", "word", "basis"),
    [
        (LOW, HIGH, "reproduced", f"3 paired seeds, t 95 %; {PAIR}: {factor(LOW, HIGH)}"),
        (HIGH, LOW, "contradicted", f"3 paired seeds, t 95 %; {PAIR}: {factor(HIGH, LOW)}"),
        (LOW, ABOUT, "within noise", f"3 paired seeds, t 95 %; {PAIR}: {factor(LOW, ABOUT)}"),
        ([1.0] * 3, [2.0] * 3, "reproduced", f"3 paired seeds, t 95 %; {PAIR}: ×0.5, the same for every seed"),
        ([3.0] * 3, [3.0 + 1e-7] * 3, "within noise", f"3 seeds, {ULP}; {PAIR}: ×1, the same for every seed"),
        ([1.0, 2.0], [2.0, 4.0], "direction only", f"2 seeds: direction only; {PAIR}: ×0.5"),
        ([2.0], [1.0], OPPOSITE, f"1 seed: direction only, and it is the opposite one; {PAIR}: ×2"),
        ([2.0, 3.0], [1.0, 1.5], OPPOSITE, f"2 seeds: direction only, and it is the opposite one; {PAIR}: ×2"),
        ([100.0], [100.5], "within noise", f"1 seed, difference under the 1 % that so few can tell; {PAIR}: "
         "×0.995"),
        (LOW, ["diverged"] * 3, "reproduced", f"{DECIDED}; {PAIR}"),
        (["diverged"] * 3, LOW, "contradicted", f"{DECIDED}; {PAIR}"),
        (LOW, ["diverged", 3.0, 4.0], "direction only", f"{SOME}; {PAIR}"),
        ([1.0, "diverged", 5.0], [0.5, 3.0, 6.0], "within noise", f"{SOME}; {PAIR}"),
        (["diverged", 1.0, 1.0], [0.5, 0.5, 0.5], OPPOSITE, f"{SOME}; {PAIR}"),
        (["diverged"], [3.0], OPPOSITE, f"1 seed: direction only, and it is the opposite one; {PAIR}"),
        (["diverged", 1.0], [1.0, 2.0], "within noise", f"2 seeds, some diverged: no direction; {PAIR}"),
    ],
)  # fmt: skip
def test_the_word_its_label_and_its_basis(
    adam: list[float | str], rprop: list[float | str], word: str, basis: str
) -> None:
    found = said(trials(adam, optimizer="adam"), trials(rprop, optimizer="rprop"))
    assert (found.word, found.label, found.basis, found.seeds) == (word, word, basis, len(adam))
    assert (found.name, found.claim.quote) == ("c", "a sentence of the paper")


def test_who_lends_variance_is_said() -> None:
    cells = [
        trials(v, optimizer=o) for o, v in (("adam", LOW), ("rprop", HIGH), ("sgd", ABOUT), ("nadam", [9.0, 1, 4]))
    ]
    found = said(*cells)
    lent = found.judged[0].difference.lender
    assert lent is not None and lent.words == "6 pairs of defaults"
    assert found.basis == (
        f"3 paired seeds, t 95 %, variance shared with 6 pairs of defaults; adam below rprop: {found.judged[0].shown}"
    )


def test_a_replicate_that_is_no_seed_is_called_what_it_is() -> None:
    def one(values: Sequence[float], optimizer: str) -> list[Result]:
        (trial,) = trials([sum(values) / len(values)], optimizer=optimizer)
        return [replace(trial, metrics={**trial.metrics, **{f"pair/{i}": v for i, v in enumerate(values)}})]

    units = {"unit": "held-out pairs", "metrics": "pair/*"}
    low, high = [1.0, 2.0, 3.0, 4.0], [2.0, 5.0, 7.0, 9.0]
    found = said(one(low, "adam"), one(high, "rprop"), replicates=units)
    assert (found.word, found.seeds) == ("reproduced", 4)
    assert found.basis == f"4 paired held-out pairs, t 95 %; adam below rprop: {factor(low, high)}"
    seeds = said(trials(LOW, optimizer="adam"), trials(HIGH, optimizer="rprop"), replicates=units)
    assert seeds.basis.startswith("3 paired seeds")
    assert deciding.seen([found, seeds]) == {"c": 3}, "a look is at seeds, whatever may stand in for them elsewhere"
    assert deciding.seen([found]) == {}
    lost = said(one(low, "adam"), trials(["diverged"], optimizer="rprop"), replicates=units)
    assert (lost.word, lost.basis) == ("direction only", "1 seed: direction only; adam below rprop")
    opposite = said(trials(["diverged"], optimizer="adam"), one(low, "rprop"), replicates=units)
    assert opposite.word == OPPOSITE, "one diverged trial of one is never more"


@pytest.mark.parametrize(
    ("within", "word", "label"),
    [
        ({"within": 0.05}, "the same", "the same within 5 %"),
        ({"within_absolute": 0.05}, "the same", "the same within 0.05"),
        ({"within": 0.002}, "within noise", "within noise"),
    ],
)
def test_the_same_is_a_word_of_its_own_with_its_margin(within: dict[str, float], word: str, label: str) -> None:
    same = {**ONE, "form": "same", **within}
    found = said(trials([1.0, 1.01, 1.02], optimizer="adam"), trials([1.0, 1.0, 1.02], optimizer="rprop"), check=same)
    assert (found.word, found.label) == (word, label)
    if found.word == "the same" and "within_absolute" in within:
        in_decibels = replace(found.judged[0], comparison=replace(found.judged[0].comparison, unit="dB"))
        assert replace(found, judged=(in_decibels,)).label == f"{label} dB"


def test_what_is_further_apart_than_the_margin_is_contradicted() -> None:
    same = {**ONE, "form": "same", "within": 0.02}
    found = said(trials([1.2, 1.21, 1.19], optimizer="adam"), trials([1.0, 1.0, 1.0], optimizer="rprop"), check=same)
    assert found.word == "contradicted"
    shown = factor([1.2, 1.21, 1.19], [1.0, 1.0, 1.0], 0.975)
    assert found.basis == (
        "3 paired seeds, t 97.5 % over 2 comparisons (Bonferroni); 1 of 2 comparisons hold; worst: "
        f"adam at most 2 % above rprop: {shown}"
    )
    few = said(trials([1.2], optimizer="adam"), trials([1.0], optimizer="rprop"), check=same)
    assert few.word == OPPOSITE


AGREES = {"form": "agrees", "metric": "loss/total", "over": "optimizer", "published": "table1/loss"}
VALUE = {
    "form": "value",
    "metric": "loss/total",
    "of": {"optimizer": "adam"},
    "published": "table1/adam/loss",
    "within": 0.1,
}


def test_an_order_and_a_published_value_say_how_they_were_judged() -> None:
    three = [("adam", 2.0), ("rprop", 9.0), ("rmsprop", 1.0)]
    order = said(*(trials([v] * 3, optimizer=o) for o, v in three), check=AGREES)
    assert (order.word, order.basis) == (
        "within noise",
        "means of 3 seeds, permutation test; 3 optimizers in the published order: Kendall's tau 1, 3 of 3 pairs, "
        "chance 0.167",
    )
    one = said(*(trials([v], optimizer=o) for o, v in three), check=AGREES)
    assert one.basis.startswith("1 seed: direction only; 3 optimizers")
    value = said(trials([3.5e6, 3.55e6, 3.6e6], optimizer="adam"), check=VALUE)
    assert (value.word, value.seeds) == ("reproduced", 3)
    assert value.basis.startswith("3 seeds, prediction interval 95 %; adam as published, within 10 %: 3.55·10⁶ here, ")
    edge = said(trials([3.25e6], optimizer="adam"), check=VALUE)
    assert (edge.word, edge.basis) == (
        "within noise", "1 seed, which are too few; adam as published, within 10 %: 3.25·10⁶ here, 3.556·10⁶ published"
    )  # fmt: skip
    none = said(trials([0.0] * 3, optimizer="adam"), check=VALUE)
    assert none.basis.endswith("0 here, 3.556·10⁶ published; one more run of ours lies within [0, 0]")


def test_unpaired_seeds_are_said_with_those_of_the_smaller_side() -> None:
    found = said(trials([1.0, 2.0, 3.0], optimizer="adam"), trials({s: 10.0 + s for s in range(5)}, optimizer="rprop"))
    assert found.basis.startswith("3 paired seeds, t 95 %; adam below rprop: ×"), "the three that both have"
    others = said(trials(LOW, optimizer="adam"), trials({s: 10.0 + s for s in range(5, 9)}, optimizer="rprop"))
    assert others.basis.startswith("3 seeds a side or more, unpaired, Welch t 95 %; adam below rprop: ×0.1")
    assert (others.word, others.seeds) == ("reproduced", 3)


def test_the_unit_stands_behind_the_interval_of_a_difference() -> None:
    check = {**ONE, "metric": "score/accuracy", "higher": True}

    def sides(adam: Sequence[float], rprop: Sequence[float]) -> Verdict:
        both = (("adam", adam), ("rprop", rprop))
        return said(*(trials(v, "score/accuracy", optimizer=o) for o, v in both), check=check)

    many = sides([11.0, 12.5, 12.5], [1.0, 2.0, 3.0])
    assert many.basis.endswith(": 10 [8.76, 11.2] points") and many.judged[0].shown == "10 [8.76, 11.2] points"
    assert sides([3.0], [1.0]).basis.endswith(": 2 points")
    assert sides([3.0] * 3, [1.0] * 3).basis.endswith(": 2 points, the same for every seed")


RATIO = {"form": "ratio", "metric": "loss/total", "of": {"optimizer": "rprop"}, "to": {"optimizer": "adam"}}


def test_a_factor_is_shown_as_one_with_the_published_beside_it() -> None:
    sides = (trials([2.0, 2.2, 2.4], optimizer="rprop"), trials([1.0, 1.0, 1.0], optimizer="adam"))
    found = said(*sides, check={**RATIO, "at_least": 1.5, "published": 1.81})
    assert found.basis == ("3 paired seeds, t 95 %; rprop / adam at least 1.5: ×2.19 [×1.75, ×2.75] (published ×1.81)")
    plain = said(*sides, check={**RATIO, "at_most": 3})
    assert plain.basis == "3 paired seeds, t 95 %; rprop / adam at most 3: ×2.19 [×1.75, ×2.75]"
    assert (found.word, plain.word) == ("reproduced", "reproduced")


def test_the_size_of_a_ratio_is_that_of_the_factor_and_not_of_its_logarithm() -> None:
    """0.5 % apart, though the logarithms 0.010 and 0.005 are twice one another."""
    found = said(trials([1.01], optimizer="rprop"), trials([1.0], optimizer="adam"), check={**RATIO, "at_least": 1.005})
    assert found.word == "within noise"
    assert said(
        trials([100.0], optimizer="rprop"), trials([1.0], optimizer="adam"), check={**RATIO, "at_least": 98}
    ).word == "direction only"  # fmt: skip


def test_a_finite_difference_of_a_diverged_seed_in_both_sides_is_judged_by_the_others() -> None:
    found = said(
        trials(["diverged", 1.0, 2.0, 3.0], optimizer="adam"), trials(["diverged", 9.0, 10.0, 11.5], optimizer="rprop")
    )
    assert found.seeds == 4 and found.basis.startswith("4 paired seeds, t 95 %")


# Not judged


def test_what_cannot_be_judged_says_why_and_has_no_seeds() -> None:
    found = said(trials([1.0], optimizer="adam"), trials(["missing"], optimizer="rprop"))
    assert (found.word, found.label, found.judged, found.seeds, found.notes) == ("not run", "not run", (), 0, ())
    assert found.basis == "not run: rprop"
    assert said(trials([1.0], optimizer="adam")).basis == "No trial at scale quick has optimizer = rprop"
    assert said(trials([1.0], optimizer="adam"), not_at={"quick": "no use"}).basis == "not at scale quick: no use"


def test_an_unknown_setting_is_the_suites_mistake_and_named_with_its_claim() -> None:
    with pytest.raises(ReportError, match=r"^claims\.c: no trial has a setting 'optimiser'"):
        said(trials([1.0], optimizer="adam"), where={"optimiser": "adam"})


SELECT = {"lowest": "loss/total", "over": ["lr", "batch"]}


def cell(optimizer: str, lr: float, *values: float | str, reason: str = "") -> list[Result]:
    return trials(values, optimizer=optimizer, lr=lr, batch=1, reason=reason)


def test_a_selection_holds_the_best_against_the_best_and_says_what_that_flatters() -> None:
    found = said(
        cell("adam", 0.1, 5.0, 6.0, 7.0), cell("adam", 0.2, 1.0, 2.0, 3.0),
        cell("rprop", 0.3, 11.0, 12.5, 12.5), cell("rprop", 0.4, "diverged", 1.0, 1.0),
        select=SELECT,
    )  # fmt: skip
    shown = factor(LOW, [11.0, 12.5, 12.5], 0.975)
    assert (found.word, found.basis) == (
        "reproduced",
        f"3 paired seeds, t 97.5 %, chosen and judged on the same seeds; adam below rprop: {shown}",
    )
    assert found.notes == (
        "the best cell over lr, batch was chosen for each seed on the others, at half the level",
        "1 diverged cell could not be chosen",
    )


def test_of_five_seeds_the_chosen_is_judged_at_the_whole_level() -> None:
    found = said(
        cell("adam", 0.1, 5.0, 6.0, 7.0, 8.0, 9.0), cell("adam", 0.2, 1.0, 2.0, 3.0, 4.0, 5.0),
        cell("rprop", 0.3, 11.0, 22.0, 31.0, 45.0, 50.0), select=SELECT,
    )  # fmt: skip
    assert (found.seeds, found.basis) == (
        4, f"4 paired seeds, t 95 %; adam below rprop: {factor([2.0, 3.0, 4.0, 5.0], [22.0, 31.0, 45.0, 50.0])}"
    )  # fmt: skip
    assert found.notes == (
        "the best cell over lr, batch was chosen on the first third of the seeds, and judged on the others",
    )


def test_collapsed_trials_are_told_apart_from_diverged_ones() -> None:
    found = said(
        trials(["diverged", "collapsed", "collapsed"], optimizer="rprop"), trials([1.0, 2.0, 3.0], optimizer="adam")
    )
    assert (found.word, found.basis) == (
        "reproduced", "3 seeds: one side diverged or collapsed in all, the other in none; adam below rprop"
    )  # fmt: skip
    assert found.notes == (
        "1 diverged trial counted as the worst possible value",
        "2 collapsed trials counted as the worst possible value",
    )
    some = said(trials(["collapsed", 3.0, 4.0], optimizer="rprop"), trials([1.0, 2.0, 3.0], optimizer="adam"))
    assert (some.word, some.basis) == ("direction only", "3 seeds, some collapsed: no interval; adam below rprop")


def test_a_collapsed_cell_is_not_chosen_however_good_its_number() -> None:
    grid = (cell("adam", 0.1, 1.0), cell("rprop", 0.3, 11.0), cell("rprop", 0.4, "collapsed"))
    found = said(*grid, cell("rprop", 0.5, "diverged"), select=SELECT)
    assert found.basis.endswith("adam below rprop: ×0.0909")
    assert found.notes[1:] == ("1 diverged cell could not be chosen", "1 collapsed cell could not be chosen", FEW)
    gone = said(cell("adam", 0.1, 1.0), cell("rprop", 0.3, "collapsed"), select=SELECT)
    assert gone.basis == "every cell of the grid collapsed, so there is nothing to select"


def test_a_selection_from_an_incomplete_grid_is_not_judged() -> None:
    found = said(
        cell("adam", 0.1, 5.0), cell("adam", 0.2, 1.0),
        cell("rprop", 0.1, 11.0), cell("rprop", 0.2, "failed", reason="disk full"),
        select=SELECT,
    )  # fmt: skip
    assert (found.word, found.basis) == (
        "not run",
        "1 cell of the selection over lr, batch incomplete (rprop at lr 0.2: failed: disk full)",
    )


def test_four_incomplete_cells_are_named_and_the_others_counted() -> None:
    lost = [cell("adam", lr / 10, "missing") for lr in range(1, 5)]
    four = said(*lost, cell("rprop", 0.1, 1.0), select=SELECT)
    assert four.basis == (
        "4 cells of the selection over lr, batch incomplete (adam at lr 0.1: not run; adam at lr 0.2: not run; "
        "adam at lr 0.3: not run; adam at lr 0.4: not run)"
    )
    five = said(*lost, cell("adam", 0.5, "missing"), cell("rprop", 0.1, 1.0), select=SELECT)
    assert five.basis.startswith("5 cells of the selection")
    assert five.basis.endswith("adam at lr 0.4: not run and 1 more)")
    only = said(cell("adam", 0.1, "missing"), cell("adam", 0.2, 1.0), select=SELECT)
    assert only.basis == "1 cell of the selection over lr, batch incomplete (lr 0.1: not run)"


def test_an_incomplete_cell_is_explained_by_its_first_trial_that_lacks() -> None:
    found = said(cell("adam", 0.1, 1.0, "missing", "running"), cell("rprop", 0.1, 1.0), select=SELECT)
    assert found.basis.endswith("(adam: not run)")
    other = trials([1.0], "loss/other", optimizer="rprop", lr=0.1, batch=1)
    unmeasured = said(cell("adam", 0.1, 1.0), other, select=SELECT)
    assert unmeasured.basis.endswith("(rprop: not measured)")


def test_where_every_cell_diverged_there_is_nothing_to_select() -> None:
    found = said(
        cell("adam", 0.1, 1.0), cell("rprop", 0.1, "diverged"), cell("rprop", 0.2, "diverged"),
        cell("sgd", 0.3, "diverged"), select=SELECT,
    )  # fmt: skip
    assert (found.word, found.basis) == (
        "not run", "every cell of rprop, sgd diverged, so there is nothing to select"
    )  # fmt: skip
    alone = said(cell("adam", 0.1, "diverged"), cell("adam", 0.2, "diverged"), select=SELECT)
    assert alone.basis == "every cell of the grid diverged, so there is nothing to select"


def test_a_chosen_setting_may_differ_between_the_sides_only_where_it_was_selected() -> None:
    sides = (cell("adam", 0.1, 1.0), cell("adam", 0.2, 2.0), cell("rprop", 0.3, 3.0), cell("rprop", 0.4, 4.0))
    found = said(*sides, select=SELECT)
    assert found.word == "direction only"
    assert found.notes == (
        "the best cell over lr, batch was chosen on the one seed there is, which flatters the chosen", FEW,
    )  # fmt: skip
    assert said(*sides).word == "not run"


# Notes


def test_diverged_and_stale_trials_are_told() -> None:
    found = said(
        trials(["diverged", 5.0, 6.0], optimizer="rprop"), trials([1.0, 2.0, 3.0], optimizer="adam", stale=True)
    )
    assert found.notes == (
        "1 diverged trial counted as the worst possible value",
        "3 trials from older code (stale)",
    )
    one = said(trials(["diverged", "diverged"], optimizer="rprop"), trials([1.0, 2.0], optimizer="adam"))
    assert one.notes == ("2 diverged trials counted as the worst possible value", FEW)
    assert said(trials([5.0], optimizer="rprop", stale=True), trials([1.0], optimizer="adam")).notes == (
        "1 trial from older code (stale)",
        FEW,
    )
    assert said(trials([5.0], optimizer="rprop"), trials([1.0], optimizer="adam")).notes == (FEW,)
    assert said(trials(HIGH, optimizer="rprop"), trials(LOW, optimizer="adam")).notes == ()


def test_what_a_claim_does_not_use_is_not_told() -> None:
    other = trials(["diverged"], optimizer="sgd", stale=True)
    assert said(trials([5.0], optimizer="rprop"), trials([1.0], optimizer="adam"), other).notes == (FEW,)


def test_every_claim_of_a_suite_in_its_order() -> None:
    claim = {"quote": "a sentence of the paper", "from": "defaults", "check": ONE}
    found = book([], claims={"z": claim, "a": claim}, tables={}, figures={})
    assert [v.name for v in judge_all(found.results)] == ["z", "a"]
    assert {v.word for v in judge_all(found.results)} == {"not run"}
