"""Adding seeds after a look: the levels of planned looks together, and what an unplanned one is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as reference

from retable.bench.judging.looks import EVIDENCE, FIRST, SCHEDULE, Look, e_value, look
from retable.bench.judging.stats import ALPHA, Difference, difference, outcome


def ever_passed(first: float) -> float:
    """How often five looks at seeds without an effect find one at any of them, `first` being the first's level."""
    draws = np.random.default_rng(0).normal(size=(40_000, 18))
    passed = np.zeros(len(draws), bool)
    for n, level in SCHEDULE.items():
        some = draws[:, :n]
        t = some.mean(axis=1) / (some.std(axis=1, ddof=1) / math.sqrt(n))
        passed |= t >= reference.t.isf(first if n == 3 else level, n - 1)
    return float(passed.mean())


def test_the_looks_of_the_schedule_together_have_the_level_of_one() -> None:
    assert ever_passed(SCHEDULE[3]) == pytest.approx(0.025, abs=0.0025)


def test_with_the_first_at_the_whole_level_they_stay_below_five_percent() -> None:
    assert ever_passed(ALPHA) == pytest.approx(0.041, abs=0.003)


@pytest.mark.parametrize(
    ("before", "n", "number", "planned", "words"),
    [
        ([], 4, 1, True, ""), ([3], 3, 1, True, ""), ([3], 5, 2, True, "look 2 of 5"),
        ([3, 5], 8, 3, True, "look 3 of 5"),
        ([3], 4, 2, False, "unplanned look 2"), ([3, 4], 5, 3, False, "unplanned look 3"), ([8, 5], 3, 1, True, ""),
        ([4], 5, 2, True, "look 2 of 5"), ([5, 3], 8, 3, True, "look 3 of 5"),
    ],
)  # fmt: skip
def test_a_look_is_planned_where_every_one_after_the_first_is_on_the_schedule(
    before: list[int], n: int, number: int, planned: bool, words: str
) -> None:
    found = look(before, n)
    assert (found.number, found.planned, found.words) == (number, planned, words)


def test_each_look_has_its_level_by_the_seeds_that_it_rests_on() -> None:
    assert FIRST.alpha(3) == FIRST.alpha(99) == ALPHA
    second = Look(2, True)
    assert [second.alpha(n) for n in (1, 3, 4, 5, 12, 40)] == [SCHEDULE[n] for n in (3, 3, 3, 5, 12, 18)]
    assert Look(2, False).alpha(5) == pytest.approx(0.05)


@pytest.mark.parametrize("n", [3, 8])
def test_an_e_value_is_one_on_average_without_an_effect_and_rarely_large(n: int) -> None:
    draws = np.random.default_rng(n).normal(size=(2000, n))
    t = np.round(draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / math.sqrt(n)), 2)
    several = np.array([e_value(float(v), n) for v in t])
    grid = np.linspace(-60, 60, 1001)
    density = reference.t.pdf(grid, n - 1)
    whole = float(np.trapezoid([e_value(float(v), n) * d for v, d in zip(grid, density, strict=True)], grid))
    assert whole == pytest.approx(1.0, abs=0.05)
    assert (several >= EVIDENCE).mean() <= 0.05


def test_an_e_value_grows_with_t() -> None:
    assert e_value(-5.0, 5) < e_value(0.0, 5) < 1 < e_value(4.0, 5) < e_value(9.0, 5)


UNPLANNED = Look(3, False)


def test_an_unplanned_look_judges_a_t_by_its_e_value() -> None:
    d = difference({s: 3.0 + s % 2 for s in range(8)}, dict.fromkeys(range(8), 0.0))
    weighed = UNPLANNED.weighed(d)
    t = d.mean / d.error
    assert weighed.above == pytest.approx(1 / e_value(t, 8)) and weighed.below == 1.0
    assert (weighed.mean, weighed.error, weighed.n) == (d.mean, d.error, 8)
    assert UNPLANNED.weighed(difference({0: 1.0}, {0: 2.0})) == difference({0: 1.0}, {0: 2.0})
    assert Look(2, True).weighed(d) == d


def test_an_unplanned_look_takes_another_p_value_for_less_than_it_is() -> None:
    d = Difference(0.7, math.inf, 0, 3, True, 0.7, 0, None, (0.01, 0.99))
    assert UNPLANNED.weighed(d).settled == (pytest.approx(0.2), 1.0)
    assert outcome(d) == "reproduced" and outcome(UNPLANNED.weighed(d), holds=0.05) == "within noise"


def test_what_rounding_makes_is_no_evidence() -> None:
    d = difference({s: 3.0 + 1e-7 * (1 + s / 10) for s in range(8)}, dict.fromkeys(range(8), 3.0))
    assert UNPLANNED.weighed(d).above < 0.05
    assert outcome(UNPLANNED.weighed(d), holds=0.05, fails=0.05) == "within noise"
