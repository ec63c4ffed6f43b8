"""What a report says of a claim, word for word: the verdict, its basis and its notes, on results of a few numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from trials import book, trials

from retable.bench.judging import stats
from retable.bench.judging.checks import Comparison
from retable.bench.judging.verdicts import MEANINGS, SYMBOLS, WORDS, Judged, Verdict, judge, judge_all, weigh
from retable.bench.judging.views import ReportError, Result
from retable.bench.suite.schema import Claim

INF = math.inf
BELOW = {
    "form": "below", "metric": "loss/total", "these": {"optimizer": "adam"}, "than": {"optimizer": ["rprop", "sgd"]}
}  # fmt: skip
ONE = {**BELOW, "than": {"optimizer": "rprop"}}


def said(*groups: Sequence[Result], check: Any = ONE, **claim: Any) -> Verdict:
    parsed = Claim.model_validate({"quote": "a sentence of the paper", "from": "defaults", "check": check, **claim})
    return judge(book(t for group in groups for t in group), "c", parsed)


def against(left: Sequence[float] | dict[int, float], right: Sequence[float] | dict[int, float]) -> Comparison:
    """A comparison whose difference is shown as it is."""
    sides = [side if isinstance(side, dict) else dict(enumerate(side)) for side in (left, right)]
    return Comparison("this above that", sides[0], sides[1], lambda d: d, "")


def test_every_word_has_a_symbol_and_a_meaning() -> None:
    assert set(WORDS) == set(SYMBOLS) == set(MEANINGS) and len(WORDS) == 5
    assert "".join(SYMBOLS[word] for word in WORDS) == "✔↗≈✘–"
    assert "at least three seeds" in MEANINGS["reproduced"] and "too few" in MEANINGS["direction only"]
    assert "cannot tell" in MEANINGS["within noise"] and "one or two seeds" in MEANINGS["contradicted"]
    assert "missing, failed, or beyond" in MEANINGS["not run"]


# Words and bases


@pytest.mark.parametrize(
    ("adam", "rprop", "word", "label", "basis"),
    [
        (
            [1.0, 2.0, 3.0], [11.0, 12.5, 12.5], "reproduced", "reproduced",
            "3 paired seeds, t 95 %; adam below rprop: −10 [−11.2, −8.76]",
        ),
        (
            [11.0, 12.5, 12.5], [1.0, 2.0, 3.0], "contradicted", "contradicted",
            "3 paired seeds, t 95 %; adam below rprop: 10 [8.76, 11.2]",
        ),
        (
            [1.0, 2.0, 3.0], [1.0, 2.5, 2.8], "within noise", "within noise",
            "3 paired seeds, t 95 %; adam below rprop: −0.1 [−0.996, 0.796]",
        ),
        (
            [1.0, 2.0, 3.0], [2.0, 3.0, 4.0], "reproduced", "reproduced",
            "3 paired seeds, t 95 %; adam below rprop: −1, the same for every seed",
        ),
        (
            [1.0, 2.0], [2.0, 4.0], "direction only", "direction only",
            "2 seeds: direction only; adam below rprop: −1.5",
        ),
        (
            [2.0], [1.0], "contradicted", "contradicted (1 seed)",
            "1 seed: direction only, and it is the opposite one; adam below rprop: 1",
        ),
        (
            [2.0, 3.0], [1.0, 1.0], "contradicted", "contradicted (2 seeds)",
            "2 seeds: direction only, and it is the opposite one; adam below rprop: 1.5",
        ),
        (
            [100.0], [100.5], "within noise", "within noise",
            "1 seed, difference under the 1 % that so few can tell; adam below rprop: −0.5",
        ),
        (
            [1.0, 2.0, 3.0], ["diverged"] * 3, "reproduced", "reproduced",
            "3 seeds: one side diverged in all, the other in none; adam below rprop",
        ),
        (
            ["diverged"] * 3, [1.0, 2.0, 3.0], "contradicted", "contradicted",
            "3 seeds: one side diverged in all, the other in none; adam below rprop",
        ),
        (
            [1.0, 2.0, 3.0], ["diverged", 3.0, 4.0], "direction only", "direction only",
            "3 seeds, some diverged: no interval; adam below rprop",
        ),
        (
            [1.0, "diverged", 5.0], [0.5, 3.0, 6.0], "within noise", "within noise",
            "3 seeds, some diverged: no interval; adam below rprop",
        ),
        (
            ["diverged"], [3.0], "contradicted", "contradicted (1 seed)",
            "1 seed: direction only, and it is the opposite one; adam below rprop",
        ),
    ],
)  # fmt: skip
def test_the_word_its_label_and_its_basis(
    adam: list[float | str], rprop: list[float | str], word: str, label: str, basis: str
) -> None:
    found = said(trials(adam, optimizer="adam"), trials(rprop, optimizer="rprop"))
    assert (found.word, found.label, found.basis, found.seeds) == (word, label, basis, len(adam))
    assert (found.name, found.claim.quote) == ("c", "a sentence of the paper")


def test_unpaired_seeds_are_said_with_those_of_the_smaller_side() -> None:
    found = said(trials([1.0, 2.0, 3.0], optimizer="adam"), trials({s: 10.0 + s for s in range(5)}, optimizer="rprop"))
    assert found.basis.startswith("3 seeds a side or more, unpaired, Welch t 95 %; adam below rprop: −10 [")
    assert (found.word, found.seeds) == ("reproduced", 3)


def test_the_unit_stands_behind_the_interval() -> None:
    check = {**ONE, "metric": "time/train"}
    many = said(
        trials([1.0, 2.0, 3.0], "time/train", optimizer="adam"),
        trials([11.0, 12.5, 12.5], "time/train", optimizer="rprop"),
        check=check,
    )
    assert many.basis.endswith(": −10 [−11.2, −8.76] s")
    assert many.judged[0].shown == "−10 [−11.2, −8.76] s"
    one = said(
        trials([1.0], "time/train", optimizer="adam"), trials([3.0], "time/train", optimizer="rprop"), check=check
    )
    assert one.basis.endswith(": −2 s")
    same = said(
        trials([1.0] * 3, "time/train", optimizer="adam"),
        trials([3.0] * 3, "time/train", optimizer="rprop"),
        check=check,
    )
    assert same.basis.endswith(": −2 s, the same for every seed")


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


# Several comparisons


def three(adam: Sequence[Any], rprop: Sequence[Any], sgd: Sequence[Any]) -> list[Result]:
    return [*trials(adam, optimizer="adam"), *trials(rprop, optimizer="rprop"), *trials(sgd, optimizer="sgd")]


def test_the_worst_comparison_decides_and_is_named_with_how_many_hold() -> None:
    found = said(three([1.0, 2.0, 3.0], [11.0, 12.5, 12.5], [1.0, 2.5, 2.8]), check=BELOW)
    assert (found.word, found.seeds) == ("within noise", 3)
    assert found.basis == (
        "3 paired seeds, t 95 %; 1 of 2 comparisons hold; worst: adam below sgd: −0.1 [−0.996, 0.796]"
    )
    assert [j.comparison.label for j in found.judged] == ["adam below sgd", "adam below rprop"]
    assert [j.outcome for j in found.judged] == ["within noise", "reproduced"]


def test_a_contradiction_among_several_is_shown_at_the_level_that_it_had_to_reach() -> None:
    found = said(three([11.0, 12.0, 13.0], [1.0, 1.5, 3.5], [99.0, 99.0, 99.0]), check=BELOW)
    assert (found.word, found.label) == ("contradicted", "contradicted")
    d = stats.difference({0: 11.0, 1: 12.0, 2: 13.0}, {0: 1.0, 1: 1.5, 2: 3.5}, 0.975)
    assert found.basis == (
        "3 paired seeds, t 95 % over 2 comparisons (Bonferroni); 1 of 2 comparisons hold; worst: adam below rprop: "
        f"10 [{d.low:.3g}, {d.high:.3g}]"
    )


def test_a_contradiction_of_one_comparison_needs_no_correction() -> None:
    found = said(three([11.0, 12.0, 13.0], [1.0, 1.5, 3.5], []))
    assert "Bonferroni" not in found.basis and found.judged[0].strict == found.judged[0].difference


def test_the_seeds_are_those_of_the_comparison_with_the_fewest_even_where_it_does_not_decide() -> None:
    found = said(three([5.0, 6.0, 7.0], [1.0, 2.5, 2.5], [10.0]), check=BELOW)
    assert (found.word, found.seeds) == ("contradicted", 1)
    assert found.label == "contradicted (1 seed)"
    assert [j.difference.n for j in found.judged] == [3, 1]


def test_a_claim_is_as_strong_as_its_weakest_comparison() -> None:
    """One reproduced at three seeds and one of a single seed: a direction for both."""
    found = said(three([1.0, 2.0, 3.0], [11.0, 12.5, 12.5], [20.0]), check=BELOW)
    assert (found.word, found.label) == ("direction only", "direction only")
    assert [j.outcome for j in found.judged] == ["direction only", "direction only"]
    assert found.basis == "1 seed: direction only; 2 of 2 comparisons hold; worst: adam below sgd: −18"
    enough = said(three([1.0, 2.0, 3.0], [11.0, 12.5, 12.5], [20.0, 21.0, 23.0]), check=BELOW)
    assert enough.word == "reproduced"


@pytest.mark.parametrize(
    "outcomes",
    [
        [against([1.0], [3.0]), against([5.0, 6.0, 7.0], [1.0, 2.5, 2.5])],
        [against([1.0, 1.0], [1.0, 1.0]), against([5.0, 6.0, 7.0], [1.0, 2.5, 2.5])],
    ],
)
def test_the_cap_leaves_what_is_no_reproduction_as_it_is(outcomes: list[Comparison]) -> None:
    first, second = weigh(outcomes)
    alone = weigh(outcomes[:1])[0]
    assert (first.outcome, first.difference) == (alone.outcome, alone.difference)
    assert (second.outcome, second.difference.n) == ("direction only", 3)


@pytest.mark.parametrize("many", [2, 3, 6])
def test_a_contradiction_must_hold_at_five_percent_over_their_number(many: int) -> None:
    one = against([1.0, 2.0, 4.0], [3.0, 5.0, 6.5])
    rest = [against([5.0, 6.0, 7.0], [1.0, 2.5, 2.5])] * (many - 1)
    found = next(j for j in weigh([one, *rest]) if j.comparison is one)
    assert found.difference == stats.difference(one.left, one.right)
    strict = stats.difference(one.left, one.right, 1 - 0.05 / many)
    assert (found.strict.low, found.strict.high) == (pytest.approx(strict.low), pytest.approx(strict.high))


def test_what_one_comparison_contradicts_may_be_noise_among_many() -> None:
    one = against([1.0, 2.0, 4.0], [3.0, 5.0, 7.5])
    assert weigh([one])[0].outcome == "contradicted"
    assert {j.outcome for j in weigh([one] * 20)} == {"within noise"}


def test_a_reproduction_needs_no_correction() -> None:
    one = against([3.0, 5.0, 7.5], [1.0, 2.0, 4.0])
    assert {j.outcome for j in weigh([one] * 20)} == {"reproduced"}


def test_comparisons_stand_from_the_worst_outcome_and_within_it_from_the_weakest() -> None:
    strong, weak = against([9.0, 9.5, 10.0], [1.0, 1.0, 1.0]), against([3.0, 4.0, 5.0], [1.0, 1.0, 1.0])
    exact, noise = against([3.0, 3.0, 3.0], [1.0, 1.0, 1.0]), against([1.0, 2.0, 3.0], [1.0, 2.5, 2.5])
    wrong, worse = against([1.0, 1.0, 1.0], [3.0, 4.0, 5.0]), against([1.0, 1.0, 1.0], [9.0, 9.5, 10.0])
    never = against([1.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    nothing, nearly = against([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]), against([1.0, 2.0, 3.2], [1.0, 2.5, 2.5])
    order = [never, worse, wrong, noise, nothing, nearly, weak, strong, exact]
    mixed = [strong, nearly, never, weak, nothing, exact, wrong, noise, worse]
    found = [j.comparison for j in weigh(mixed)]
    assert [order.index(c) for c in found if c not in (noise, nothing)] == [0, 1, 2, 5, 6, 7, 8]
    assert {order.index(c) for c in found[3:5]} == {3, 4}


def test_without_an_interval_the_smaller_relative_difference_is_the_weaker() -> None:
    small, large = against([110.0], [100.0]), against([3.0], [1.0])
    against_small, against_large = against([100.0], [110.0]), against([1.0], [3.0])
    even = against([100.0], [100.0])
    slightly, slightly_less = against([100.5], [100.0]), against([100.0], [100.5])
    mixed = [large, slightly, even, small, against_small, slightly_less, against_large]
    found = [j.comparison for j in weigh(mixed)]
    assert found == [against_large, against_small, slightly_less, even, slightly, small, large]


def test_of_equal_comparisons_the_first_stays_first() -> None:
    one, other = against([3.0], [1.0]), against([3.0], [1.0])
    assert weigh([one, other])[0].comparison is one


def test_shown_is_the_mean_alone_without_an_interval() -> None:
    (found,) = weigh([against([3.0], [1.0])])
    assert isinstance(found, Judged) and found.shown == "2"


def test_bounds_of_what_is_shown_are_in_order() -> None:
    turned = Comparison("x", {0: 1.0, 1: 2.0, 2: 3.5}, {0: 0.0, 1: 0.0, 2: 0.0}, lambda d: -d, "")
    (found,) = weigh([turned])
    low, high = (float(v.replace("−", "-")) for v in found.shown.partition("[")[2].rstrip("]").split(", "))
    assert low < -2.17 < high


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
    assert (found.word, found.basis) == (
        "reproduced", "3 paired seeds, t 95 %; adam below rprop: −10 [−11.2, −8.76]"
    )  # fmt: skip
    assert found.notes == (
        "the best cell over lr, batch was chosen on the same seeds, which flatters the chosen",
        "1 diverged cell could not be chosen",
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
    assert found.basis.endswith("adam below rprop: −10")
    assert found.notes[1:] == ("1 diverged cell could not be chosen", "1 collapsed cell could not be chosen")
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
    assert found.notes == ("the best cell over lr, batch was chosen on the same seeds, which flatters the chosen",)
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
    assert one.notes == ("2 diverged trials counted as the worst possible value",)
    assert said(trials([5.0], optimizer="rprop", stale=True), trials([1.0], optimizer="adam")).notes == (
        "1 trial from older code (stale)",
    )
    assert said(trials([5.0], optimizer="rprop"), trials([1.0], optimizer="adam")).notes == ()


def test_what_a_claim_does_not_use_is_not_told() -> None:
    other = trials(["diverged"], optimizer="sgd", stale=True)
    assert said(trials([5.0], optimizer="rprop"), trials([1.0], optimizer="adam"), other).notes == ()


def test_every_claim_of_a_suite_in_its_order() -> None:
    claim = {"quote": "a sentence of the paper", "from": "defaults", "check": ONE}
    found = book([], claims={"z": claim, "a": claim}, tables={}, figures={})
    assert [v.name for v in judge_all(found.results)] == ["z", "a"]
    assert {v.word for v in judge_all(found.results)} == {"not run"}
