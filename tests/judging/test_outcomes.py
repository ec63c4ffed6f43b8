"""What one difference says: levels, few seeds, rounding, seeds that both sides share; and intervals of one more run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from retable.bench.judging import stats
from retable.bench.judging.stats import Difference, difference, outcome, prediction

INF = math.inf
DIRECTION, OPPOSITE, NOISE = "direction only", "direction only (opposite)", "within noise"


def at(t: float, df: float = 2.0) -> Difference:
    """A difference with an interval, t standard errors from 0."""
    return Difference(t, 1.0, df, 3, True, 0.5, 0)


def without(mean: float, size: float, n: int, sign: int = 0) -> Difference:
    return Difference(mean, INF, 0, n, True, size, sign)


CRITICAL = 4.302653
"""Student's t of two degrees of freedom, 2.5 % on one side."""


@pytest.mark.parametrize(
    ("d", "says"),
    [
        (at(CRITICAL + 1e-5), "reproduced"), (at(CRITICAL - 1e-5), NOISE), (at(0.0), NOISE),
        (at(1e-5 - CRITICAL), NOISE), (at(-1e-5 - CRITICAL), "contradicted"),
        (Difference(1.0, 0.0, 2, 3, True, 0.5, 1), "reproduced"),
        (Difference(-1.0, 0.0, 2, 3, True, 0.5, -1), "contradicted"),
        (without(1.0, 0.5, 3, 1), DIRECTION), (without(-1.0, 0.5, 3, -1), OPPOSITE), (without(1.0, 0.5, 3, 0), NOISE),
        (without(1.0, 0.5, 2), DIRECTION), (without(1.0, 0.01, 2), DIRECTION), (without(1.0, 0.0099, 2), NOISE),
        (without(-1.0, 0.5, 1), OPPOSITE), (without(-1.0, 0.0099, 1), NOISE), (without(0.0, 0.5, 1), NOISE),
    ],
)  # fmt: skip
def test_every_branch_of_an_outcome(d: Difference, says: str) -> None:
    assert outcome(d) == says


def test_a_statement_and_its_opposite_have_levels_of_their_own() -> None:
    d = at(CRITICAL)
    assert d.above == pytest.approx(0.025, abs=1e-7) and d.below == pytest.approx(0.975, abs=1e-7)
    assert (outcome(d, holds=0.026), outcome(d, holds=0.024)) == ("reproduced", NOISE)
    assert outcome(d, holds=0.024, fails=0.5) == NOISE, "which looks at the other side"
    assert (outcome(at(-CRITICAL), fails=0.026), outcome(at(-CRITICAL), fails=0.024)) == ("contradicted", NOISE)
    settled = Difference(0.5, INF, 0, 3, True, 0.5, 0, None, (0.01, 0.99))
    assert (outcome(settled), outcome(settled, holds=0.005)) == ("reproduced", NOISE)
    turned = Difference(-0.5, INF, 0, 3, True, 0.5, 0, None, (0.99, 0.01))
    assert (outcome(turned), outcome(turned, fails=0.005)) == ("contradicted", NOISE)


def test_one_seed_within_one_percent_is_noise_and_beyond_it_a_direction() -> None:
    assert outcome(difference({0: 100.5}, {0: 100.0})) == NOISE
    assert outcome(difference({0: 102.0}, {0: 100.0})) == DIRECTION
    assert outcome(difference({0: 100.0}, {0: 102.0})) == OPPOSITE


def test_outcomes_are_ranked_from_the_worst() -> None:
    ranks = [stats.RANK[word] for word in ("contradicted", OPPOSITE, NOISE, DIRECTION, "reproduced")]  # type: ignore[index]
    assert ranks == sorted(set(ranks)) and len(stats.RANK) == 5


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("settled", [None, (0.0, 1.0)])
def test_one_unit_in_the_last_place_is_noise_in_however_many_seeds(
    log: bool, settled: tuple[float, float] | None
) -> None:
    a = {s: math.log(3.0) if log else 3.0 for s in range(9)}
    b = {s: float(np.nextafter(np.float32(v), np.float32(0))) for s, v in a.items()}
    d = difference(a, b, log=log)
    assert d.mean > 0 and d.same_sign == 1 and outcome(d) == NOISE
    assert outcome(Difference(d.mean, d.error, d.df, d.n, True, d.size, 1, None, settled)) == NOISE
    more = {s: v * (1 - 2e-6) if not log else v - 2e-6 for s, v in a.items()}
    assert outcome(difference(a, more, log=log)) == "reproduced", "two millionths are no rounding"


# Seeds that both sides share


def test_unequal_seed_sets_are_paired_on_what_they_share() -> None:
    """Unpaired these four and three are noise; on the three shared seeds the difference is .103 [.089, .118]."""
    d = difference({0: 1.0, 1: 2.0, 2: 3.01}, {0: 0.9, 1: 1.9, 2: 2.9, 3: 3.9})
    assert (d.paired, d.n, d.same_sign) == (True, 3, 1)
    assert (round(d.mean, 3), round(d.low, 3), round(d.high, 3)) == (0.103, 0.089, 0.118)
    assert outcome(d) == "reproduced"
    turned = difference({0: 0.9, 1: 1.9, 2: 2.9, 3: 3.9}, {0: 1.0, 1: 2.0, 2: 3.01})
    assert (turned.mean, turned.n, outcome(turned)) == (-d.mean, 3, "contradicted")


def test_one_seed_beside_four_points_where_the_shared_seed_does() -> None:
    d = difference({0: 1.0}, {0: 0.8, 1: 2.0, 2: 2.0, 3: 2.0})
    assert (d.mean, d.n, d.paired) == (pytest.approx(0.2), 1, True)
    assert outcome(d) == DIRECTION
    assert outcome(difference({0: 0.8, 1: 2.0, 2: 2.0, 3: 2.0}, {0: 1.0})) == OPPOSITE


@pytest.mark.parametrize(
    ("a", "b", "paired", "n", "mean"),
    [
        ([0, 1, 2], [0, 1, 2], True, 3, 10.0), ([0, 1, 2], [2, 1, 0, 7], True, 3, 10.0),
        ([0, 1, 2, 3], [1, 2, 3, 4], True, 3, 10.0), ([0, 1, 2], [1, 2, 3], False, 3, 9.0),
        ([0, 1, 2], [3, 4, 5, 6], False, 3, 6.5), ([0, 1], [1, 2, 3], True, 1, 10.0), ([0, 1], [0, 1], True, 2, 10.0),
        ([0, 1, 2, 3], [2, 3], True, 2, 10.0), ([0, 1], [5, 6], False, 2, 5.0), ([0], [5, 6, 7], False, 1, 4.0),
    ],
)  # fmt: skip
def test_three_shared_seeds_are_paired_fewer_only_where_a_side_has_no_three(
    a: list[int], b: list[int], paired: bool, n: int, mean: float
) -> None:
    d = difference({s: 10.0 + s for s in a}, {s: float(s) for s in b})
    assert (d.paired, d.n, d.mean, d.has_interval) == (paired, n, mean, n >= 3)


@given(st.sets(st.integers(0, 6), min_size=1), st.sets(st.integers(0, 6), min_size=1), st.integers(0, 99))
def test_seeds_that_only_one_side_has_change_nothing_where_three_are_shared(a: set[int], b: set[int], at: int) -> None:
    draw = np.random.default_rng(at)
    x, y = (dict(zip(sorted(side), draw.normal(size=len(side)), strict=True)) for side in (a, b))
    both = a & b
    if len(both) >= 3:
        assert difference(x, y) == difference({s: x[s] for s in both}, {s: y[s] for s in both})


# One more run


def test_a_prediction_interval_covers_one_more_run_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    hits = 0
    for _ in range(4000):
        *four, one = draw.normal(-5, 2, 5)
        low, high = prediction(four)
        hits += low <= one <= high
    assert hits / 4000 == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / 4000))


def test_a_prediction_interval_is_the_textbook_one_and_on_logarithms_of_positive_values() -> None:
    values = [-1.0, 0.5, 2.5]
    half = reference.t.ppf(0.975, 2) * reference.tstd(values) * math.sqrt(4 / 3)
    assert prediction(values) == pytest.approx((2 / 3 - half, 2 / 3 + half))
    assert prediction([math.exp(v) for v in values]) == pytest.approx((math.exp(2 / 3 - half), math.exp(2 / 3 + half)))
    nine = reference.t.ppf(0.95, 2) * reference.tstd(values) * math.sqrt(4 / 3)
    assert prediction(values, 0.9) == pytest.approx((2 / 3 - nine, 2 / 3 + nine))
    assert prediction([1e-300, 1.0, 1e300])[1] == math.exp(700), "what a float can hold"


def test_a_prediction_interval_needs_three_values() -> None:
    with pytest.raises(ValueError, match=r"^a prediction interval needs 3 values, not 2$"):
        prediction([1.0, 2.0])
