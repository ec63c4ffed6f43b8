"""Several comparisons as one verdict: which decides, at which level, and that the interval shown is that one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from scipy import stats as reference
from trials import book, trials

from retable.bench.judging import stats
from retable.bench.judging.sides import Clause, Comparison
from retable.bench.judging.verdicts import Judged, Verdict, judge, weigh
from retable.bench.suite.schema import Claim

BELOW = {
    "form": "below", "metric": "score/accuracy", "higher": True,
    "these": {"optimizer": "adam"}, "than": {"optimizer": ["rprop", "sgd"]},
}  # fmt: skip
"""Of percentages, which are compared as they are: adam above each of the others."""


def said(adam: Sequence[Any], rprop: Sequence[Any], sgd: Sequence[Any] = ()) -> Verdict:
    parsed = Claim.model_validate({"quote": "a sentence of the paper", "from": "defaults", "check": BELOW})
    cells = (("adam", adam), ("rprop", rprop), ("sgd", sgd))
    return judge(book(t for o, v in cells for t in trials(v, "score/accuracy", optimizer=o)), "c", parsed)


def against(left: Sequence[float] | dict[int, float], right: Sequence[float] | dict[int, float]) -> Comparison:
    """A comparison whose difference is shown as it is."""
    sides = [side if isinstance(side, dict) else dict(enumerate(side)) for side in (left, right)]
    return Comparison("this above that", sides[0], sides[1], lambda d: d, "")


def each(*several: Comparison) -> list[Clause]:
    """Clauses of one comparison each: all must hold."""
    return [(one,) for one in several]


def half(one: Comparison, level: float) -> float:
    d = [one.left[s] - one.right[s] for s in one.left]
    return float(reference.t.ppf(0.5 + level / 2, len(d) - 1) * reference.sem(d))


# Which decides


def test_the_worst_comparison_decides_and_is_named_with_how_many_hold() -> None:
    found = said([11.0, 12.5, 12.5], [1.0, 2.0, 3.0], [11.0, 12.0, 12.7])
    assert (found.word, found.seeds) == ("within noise", 3)
    assert found.basis == (
        "3 paired seeds, t 95 %; 1 of 2 comparisons hold; worst: adam above sgd: 0.1 [−0.796, 0.996] points"
    )
    assert [j.comparison.label for j in found.judged] == ["adam above sgd", "adam above rprop"]
    assert [j.outcome for j in found.judged] == ["within noise", "reproduced"]


def test_the_label_is_of_the_pair_that_decides() -> None:
    """Three seeds contradict beside a pair of a single seed: the verdict rests on three."""
    found = said([5.0, 6.0, 7.0], [11.0, 12.5, 12.5], [1.0])
    assert (found.word, found.label, found.seeds) == ("contradicted", "contradicted", 3)
    assert [j.difference.n for j in found.judged] == [3, 1]
    assert found.basis.startswith("3 paired seeds, t 97.5 % over 2 comparisons (Bonferroni); 1 of 2 comparisons hold; ")


def test_a_claim_is_as_strong_as_its_weakest_comparison() -> None:
    """One reproduced at three seeds and one of a single seed: a direction."""
    found = said([11.0, 12.5, 12.5], [1.0, 2.0, 3.0], [2.0])
    assert (found.word, found.label, found.seeds) == ("direction only", "direction only", 1)
    assert found.basis == ("1 seed: direction only; 2 of 2 comparisons hold; worst: adam above sgd: 9 points")
    assert said([11.0, 12.5, 12.5], [1.0, 2.0, 3.0], [2.0, 3.0, 3.5]).word == "reproduced"


def test_one_opposite_direction_among_many_is_no_contradiction() -> None:
    found = said([11.0, 12.5, 12.5], [1.0, 2.0, 3.0], [20.0])
    assert (found.word, found.seeds) == ("direction only (opposite)", 1)


@pytest.mark.parametrize("n", [1, 2])
def test_one_and_two_seeds_never_contradict(n: int) -> None:
    wrong = against([0.0] * n, [100.0] * n)
    assert {j.outcome for j in weigh(each(*[wrong] * 15))} == {"direction only (opposite)"}


# Levels, and what is shown


@pytest.mark.parametrize("many", [1, 2, 3, 6])
def test_a_contradiction_must_hold_at_its_share_of_the_level_and_shows_that_interval(many: int) -> None:
    one = against([1.0, 2.0, 4.0], [31.0, 33.0, 36.0])
    rest = [against([5.0, 6.0, 7.0], [1.0, 2.5, 2.5])] * (many - 1)
    found = weigh(each(one, *rest))[0]
    assert (found.comparison is one, found.outcome, found.among) == (True, "contradicted", many)
    assert found.level == pytest.approx(1 - 0.05 / many)
    mean, wide = found.difference.mean, half(one, 1 - 0.05 / many)
    assert found.shown == f"{mean:.3g} [{mean - wide:.3g}, {mean + wide:.3g}]".replace("-", "−")


def test_a_contradiction_among_several_is_shown_at_the_level_that_it_had_to_reach() -> None:
    found = said([1.0, 1.5, 3.5], [11.0, 12.0, 13.0], [-90.0, -90.0, -90.0])
    assert found.word == "contradicted"
    wide = half(against([1.0, 1.5, 3.5], [11.0, 12.0, 13.0]), 0.975)
    assert found.basis == (
        "3 paired seeds, t 97.5 % over 2 comparisons (Bonferroni); 1 of 2 comparisons hold; worst: adam above rprop: "
        f"−10 [−{10 + wide:.3g}, −{10 - wide:.3g}] points"
    )
    alone = said([1.0, 1.5, 3.5], [11.0, 12.0, 13.0])
    assert alone.basis.startswith("3 paired seeds, t 95 %; adam above rprop: −10 [")


def test_what_one_comparison_contradicts_may_be_noise_among_many_and_its_interval_says_so() -> None:
    one = against([1.0, 2.0, 4.0], [3.0, 5.0, 7.5])
    assert weigh(each(one))[0].outcome == "contradicted"
    for found in weigh(each(*[one] * 20)):
        assert (found.outcome, found.among) == ("within noise", 20)
        low, high = found.difference.interval(found.level)
        assert low < 0 < high, "the plain interval leaves 0 out, and does not decide"
        assert found.difference.high < 0


def test_a_reproduction_needs_no_correction() -> None:
    one = against([3.0, 5.0, 7.5], [1.0, 2.0, 4.0])
    assert {(j.outcome, j.among, round(j.level, 9)) for j in weigh(each(*[one] * 20))} == {("reproduced", 1, 0.95)}


def test_noise_that_leans_to_the_claim_is_shown_at_the_level_of_the_claim() -> None:
    found = weigh(each(*[against([1.0, 2.0, 3.2], [1.0, 1.5, 2.2])] * 4))[0]
    assert (found.outcome, found.among, found.level) == ("within noise", 1, pytest.approx(0.95))


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_share_of_the_level_is_kept_on_both_sides(share: float) -> None:
    left, right = {0: 3.0, 1: 5.0, 2: 8.5}, {0: 1.0, 1: 2.0, 2: 4.0}
    p = reference.ttest_rel(list(left.values()), list(right.values()), alternative="greater").pvalue
    assert 0.0125 < p < 0.025
    up = Comparison("", left, right, lambda d: d, "", share=share)
    down = Comparison("", right, left, lambda d: d, "", share=share)
    words = [weigh(each(one))[0].outcome for one in (up, down)]
    assert words == (["reproduced", "contradicted"] if share == 1.0 else ["within noise"] * 2)


# Alternatives


BARELY = against([3.0, 5.0, 8.5], [1.0, 2.0, 4.0])
FAR, WRONG = against([31.0, 33.0, 36.0], [1.0, 2.0, 4.0]), against([1.0, 2.0, 4.0], [31.0, 33.0, 36.0])


def test_of_alternatives_one_is_enough_at_its_share_of_the_level() -> None:
    first, second = weigh([(WRONG, FAR)])
    assert (first.comparison is FAR, first.outcome, first.among) == (True, "reproduced", 2)
    assert first.level == pytest.approx(0.975) and second.comparison is WRONG
    assert weigh([(BARELY,)])[0].outcome == "reproduced"
    barely = weigh([(WRONG, BARELY)])[0]
    assert (barely.comparison is BARELY, barely.outcome) == (True, "within noise"), "p is above .0125"
    low, high = barely.difference.interval(barely.level)
    assert low < 0 < high


def test_all_alternatives_must_fail_for_a_contradiction() -> None:
    slightly = against([1.0, 2.0, 4.0], [3.0, 5.0, 7.5])
    found = weigh([(WRONG, slightly)])
    assert (found[0].comparison is slightly, found[0].outcome) == (True, "contradicted"), "each at the whole level"
    assert weigh([(WRONG, slightly, against([1.0, 2.0, 3.0], [1.0, 2.5, 2.5]))])[0].outcome == "within noise"


def test_the_worst_clause_decides_by_its_best_alternative_and_the_others_stand_at_the_end() -> None:
    noise = against([1.0, 2.0, 3.0], [1.0, 2.5, 2.5])
    found = [j.comparison for j in weigh([(FAR, WRONG), (noise, WRONG)])]
    assert found == [noise, FAR, WRONG, WRONG]


def test_alternatives_are_said_to_share_the_level() -> None:
    check = {"form": "ratio", "metric": "loss/total", "of": {"optimizer": "adam"}, "at_least": 1.0,
             "to": {"optimizer": ["rprop", "sgd"]}, "to_statistic": "lowest"}  # fmt: skip
    claim = Claim.model_validate({"quote": "a sentence of the paper", "from": "defaults", "check": check})
    cells = (("adam", [31.0, 33.0, 36.0]), ("rprop", [1.0, 2.0, 2.0]), ("sgd", [40.0, 50.0, 60.0]))
    found = judge(book(t for o, v in cells for t in trials(v, optimizer=o)), "c", claim)
    assert found.word == "reproduced" and len(found.judged) == 2
    assert found.basis.startswith(
        "3 paired seeds, t 97.5 % over 2 comparisons (Bonferroni); adam / rprop at least 1: ×"
    )


# Order


def test_comparisons_stand_from_the_worst_outcome_and_within_it_from_the_weakest() -> None:
    strong, weak = against([9.0, 9.5, 10.0], [1.0, 1.0, 1.0]), against([3.0, 4.0, 5.0], [1.0, 1.0, 1.0])
    exact, noise = against([3.0, 3.0, 3.0], [1.0, 1.0, 1.0]), against([1.0, 2.0, 3.0], [1.0, 2.5, 2.5])
    wrong, worse = against([1.0, 1.0, 1.0], [18.0, 19.0, 20.0]), against([1.0, 1.0, 1.0], [90.0, 90.5, 91.0])
    never = against([1.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    nothing, nearly = against([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]), against([1.0, 2.0, 3.2], [1.0, 2.5, 2.5])
    order = [never, worse, wrong, noise, nothing, nearly, weak, strong, exact]
    found = [j.comparison for j in weigh(each(strong, nearly, never, weak, nothing, exact, wrong, noise, worse))]
    assert [order.index(c) for c in found if c not in (noise, nothing)] == [0, 1, 2, 5, 6, 7, 8]
    assert {order.index(c) for c in found[3:5]} == {3, 4}


def test_without_an_interval_the_smaller_relative_difference_is_the_weaker() -> None:
    small, large = against([110.0], [100.0]), against([3.0], [1.0])
    against_small, against_large = against([100.0], [110.0]), against([1.0], [3.0])
    even = against([100.0], [100.0])
    slightly, slightly_less = against([100.5], [100.0]), against([100.0], [100.5])
    mixed = each(large, slightly, even, small, against_small, slightly_less, against_large)
    found = [j.comparison for j in weigh(mixed)]
    assert found == [against_large, against_small, slightly_less, even, slightly, small, large]


def test_of_equal_comparisons_the_first_stays_first() -> None:
    one, other = against([3.0], [1.0]), against([3.0], [1.0])
    assert weigh(each(one, other))[0].comparison is one


def test_shown_is_the_mean_alone_without_an_interval_or_what_is_said_in_its_place() -> None:
    (found,) = weigh(each(against([3.0], [1.0])))
    assert isinstance(found, Judged) and found.shown == "2"
    given = stats.Difference(0.5, math.inf, 0, 3, True, 0.5, 0, None, (0.01, 1.0))
    (other,) = weigh(each(Comparison("", {}, {}, lambda d: d, "", given=given, said="tau .5")))
    assert (other.shown, other.outcome, other.difference) == ("tau .5", "reproduced", given)


def test_bounds_of_what_is_shown_are_in_order() -> None:
    turned = Comparison("x", {0: 1.0, 1: 2.0, 2: 3.5}, {0: 0.0, 1: 0.0, 2: 0.0}, lambda d: -d, "")
    (found,) = weigh(each(turned))
    low, high = (float(v.replace("−", "-")) for v in found.shown.partition("[")[2].rstrip("]").split(", "))
    assert low < -2.17 < high
