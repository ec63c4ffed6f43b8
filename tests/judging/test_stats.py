"""Intervals: against published tables and a reference implementation, and what infinities and few seeds are worth."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from retable.bench.judging import stats
from retable.bench.judging.stats import difference, is_tie, outcome

INF = math.inf
SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
)
"""Hours of sleep gained by ten patients on two drugs: the data of "The probable error of a mean" (Student, Biometrika
6, 1908). Textbooks and the manual of R's `t.test` print what follows from them."""

VALUES = st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), min_size=3, max_size=8)
PAIRS = st.lists(st.tuples(*2 * [st.floats(-1e3, 1e3).map(lambda v: round(v, 3))]), min_size=3, max_size=8)


def seeds(values: list[float], start: int = 0) -> dict[int, float]:
    return dict(enumerate(values, start))


def sides(pairs: list[tuple[float, float]]) -> tuple[dict[int, float], dict[int, float]]:
    return seeds([a for a, _ in pairs]), seeds([b for _, b in pairs])


@pytest.mark.parametrize(
    ("df", "confidence", "printed"),
    [
        (1, 0.95, 12.706), (2, 0.95, 4.303), (3, 0.95, 3.182), (4, 0.95, 2.776), (9, 0.95, 2.262), (30, 0.95, 2.042),
        (2, 0.90, 2.920), (4, 0.90, 2.132), (2, 0.99, 9.925), (4, 0.99, 4.604), (120, 0.95, 1.980),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_the_printed_tables(df: int, confidence: float, printed: float) -> None:
    assert stats.t_quantile(df, confidence) == pytest.approx(printed, abs=5e-4)


def test_the_level_and_the_thresholds_are_those_that_reports_name() -> None:
    assert (stats.CONFIDENCE, stats.ENOUGH, stats.TIE, stats.ROUNDING) == (0.95, 3, 0.01, 1e-6)
    assert pytest.approx(0.025) == stats.ALPHA


def test_paired_students_own_data() -> None:
    d = difference(seeds(SLEEP[1]), seeds(SLEEP[0]))
    assert (d.n, d.paired, d.same_sign) == (10, True, 0)  # one patient slept as long on either
    assert d.mean == pytest.approx(1.58)
    assert (d.low, d.high) == (pytest.approx(0.7001142, abs=1e-7), pytest.approx(2.4598858, abs=1e-7))
    assert d.size == pytest.approx(1.58 / 2.33)


def test_unpaired_students_own_data() -> None:
    d = difference(seeds(SLEEP[0]), seeds(SLEEP[1], start=100))
    assert (d.n, d.paired, d.same_sign) == (10, False, 0)
    assert d.mean == pytest.approx(-1.58)
    assert (d.low, d.high) == (pytest.approx(-3.3654832, abs=1e-7), pytest.approx(0.2054832, abs=1e-7))


def test_the_standard_deviation_is_that_of_a_sample() -> None:
    assert stats.sd(SLEEP[0]) == pytest.approx(1.789010, abs=1e-6)
    assert stats.sd(SLEEP[1]) == pytest.approx(2.002249, abs=1e-6)
    assert stats.sd([1.0, 3.0]) == pytest.approx(math.sqrt(2))
    assert stats.sd([0.1, 0.1, 0.1]) == stats.sd([5.0]) == stats.sd([]) == 0.0


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_values_changes_no_digit_of_their_deviation(values: list[float], random: Random) -> None:
    mixed = random.sample(values, len(values))
    assert stats.sd(values) == stats.sd(mixed)


@given(PAIRS)
def test_paired_interval_is_the_textbook_one(pairs: list[tuple[float, float]]) -> None:
    a, b = sides(pairs)
    assume(len({round(x - y, 6) for x, y in pairs}) > 1)  # without variance the reference has no interval
    d = difference(a, b)
    x, y = [x for x, _ in pairs], [y for _, y in pairs]
    low, high = reference.ttest_rel(x, y).confidence_interval(0.95)
    assert d.paired
    assert d.above == pytest.approx(reference.ttest_rel(x, y, alternative="greater").pvalue, rel=1e-5, abs=1e-9)
    assert d.below == pytest.approx(reference.ttest_rel(x, y, alternative="less").pvalue, rel=1e-5, abs=1e-9)
    assert (d.low, d.high) == (pytest.approx(low, rel=1e-5, abs=1e-5), pytest.approx(high, rel=1e-5, abs=1e-5))


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
@given(VALUES, VALUES, st.sampled_from([0.9, 0.95, 0.99]))
def test_unpaired_interval_is_welchs(a: list[float], b: list[float], confidence: float) -> None:
    assume(len(set(a)) > 1 or len(set(b)) > 1)
    d = difference(seeds(a), seeds(b, start=10))
    found = reference.ttest_ind(a, b, equal_var=False)
    low, high = found.confidence_interval(confidence)
    assert not d.paired and d.n == min(len(a), len(b))
    assert d.df == pytest.approx(found.df, rel=1e-5)
    assert d.interval(confidence) == (
        pytest.approx(low, rel=1e-5, abs=1e-5),
        pytest.approx(high, rel=1e-5, abs=1e-5),
    )
    more = reference.ttest_ind(a, b, equal_var=False, alternative="greater").pvalue
    assert (d.above, d.below) == (pytest.approx(more, rel=1e-5, abs=1e-9), pytest.approx(1 - more, rel=1e-5, abs=1e-9))


@given(VALUES, VALUES)
def test_a_difference_turns_its_sign_with_its_sides(a: list[float], b: list[float]) -> None:
    d, e = difference(seeds(a), seeds(b)), difference(seeds(b), seeds(a))
    assert (d.mean, d.low, d.high) == (pytest.approx(-e.mean), pytest.approx(-e.high), pytest.approx(-e.low))
    assert (d.n, d.paired, d.size, d.same_sign) == (e.n, e.paired, pytest.approx(e.size), -e.same_sign)


@given(PAIRS, st.floats(-1e3, 1e3), st.booleans())
def test_a_shift_of_both_sides_changes_no_interval(pairs: list[tuple[float, float]], by: float, paired: bool) -> None:
    a, b = sides(pairs)
    b = b if paired else {s + 50: v for s, v in b.items()}
    d, e = difference(a, b), difference({s: v + by for s, v in a.items()}, {s: v + by for s, v in b.items()})
    assert (d.mean, d.low, d.high) == pytest.approx((e.mean, e.low, e.high), rel=1e-6, abs=1e-6)


@given(PAIRS, st.floats(1e-3, 1e3), st.booleans())
def test_another_unit_stretches_the_interval_and_leaves_the_size(
    pairs: list[tuple[float, float]], by: float, paired: bool
) -> None:
    a, b = sides(pairs)
    b = b if paired else {s + 50: v for s, v in b.items()}
    d, e = difference(a, b), difference({s: v * by for s, v in a.items()}, {s: v * by for s, v in b.items()})
    assert (d.mean * by, d.low * by, d.high * by) == pytest.approx((e.mean, e.low, e.high), rel=1e-6, abs=1e-6 * by)
    assert d.size == pytest.approx(e.size, rel=1e-6, abs=1e-9)


@given(PAIRS, st.booleans())
def test_an_interval_lies_around_its_mean_and_shrinks_with_the_confidence(
    pairs: list[tuple[float, float]], paired: bool
) -> None:
    a, b = sides(pairs)
    b = b if paired else {s + 50: v for s, v in b.items()}
    d = difference(a, b)
    wide, usual, narrow = (d.interval(c) for c in (0.99, 0.95, 0.9))
    assert wide[0] <= usual[0] <= narrow[0] <= d.mean <= narrow[1] <= usual[1] <= wide[1]
    if usual[1] - usual[0] > 1e-6:
        assert wide[0] < narrow[0] and narrow[1] < wide[1]
    assert usual == (d.low, d.high) == d.interval()


@given(st.lists(st.floats(1, 100), min_size=1, max_size=2), st.lists(st.floats(1, 100), min_size=1, max_size=2))
def test_one_or_two_seeds_never_give_more_than_a_direction(a: list[float], b: list[float]) -> None:
    d = difference(seeds(a), seeds(b))
    assert (d.low, d.high, d.above, d.below) == (-INF, INF, 1.0, 1.0)
    assert outcome(d) in ("direction only", "direction only (opposite)", "within noise")


@pytest.mark.parametrize("few", [1, 2])
def test_the_side_with_fewer_seeds_decides_whether_there_is_an_interval(few: int) -> None:
    many = {s: float(s) for s in range(10, 15)}
    for d in (difference({s: 1.0 + s for s in range(few)}, many), difference(many, {s: 1.0 + s for s in range(few)})):
        assert (d.n, d.paired, d.low, d.high) == (few, False, -INF, INF)


def test_three_seeds_are_enough_and_other_seeds_are_not_paired() -> None:
    a, b = {0: 1.0, 1: 2.0, 2: 3.5}, {0: 0.0, 1: 1.5, 2: 2.0}
    half = 4.302653 * reference.tstd([1.0, 0.5, 1.5]) / math.sqrt(3)
    d = difference(a, b)
    assert (d.n, d.paired, d.mean, d.same_sign) == (3, True, 1.0, 1)
    assert (d.low, d.high) == (pytest.approx(1 - half), pytest.approx(1 + half))
    shifted = difference(a, {1: 0.0, 2: 1.5, 3: 2.0})
    assert (shifted.n, shifted.paired, shifted.same_sign) == (3, False, 0)


def test_a_pair_keeps_its_seed_whatever_the_order() -> None:
    a, b = {0: 1.0, 1: 20.0, 2: 300.0}, {2: 299.0, 0: 0.0, 1: 19.0}
    d = difference(a, b)
    assert (d.mean, d.low, d.high, d.same_sign) == (1.0, 1.0, 1.0, 1)


@pytest.mark.parametrize(
    ("a", "b", "sign"),
    [
        ([1.0, 2.0], [0.0, 1.0], 1), ([0.0, 1.0], [1.0, 2.0], -1), ([1.0, 2.0], [0.0, 3.0], 0),
        ([1.0, 2.0], [1.0, 1.0], 0), ([1.0, 1.0], [1.0, 2.0], 0), ([1.0], [1.0], 0),
    ],
)  # fmt: skip
def test_a_sign_is_that_of_every_pair_or_none(a: list[float], b: list[float], sign: int) -> None:
    assert difference(seeds(a), seeds(b)).same_sign == sign


def test_unpaired_every_seed_is_held_against_every_other() -> None:
    assert difference({0: 3.0, 1: 4.0}, {5: 1.0, 6: 2.9}).same_sign == 1
    assert difference({0: 3.0, 1: 4.0}, {5: 1.0, 6: 3.1}).same_sign == 0
    assert difference({0: 3.0, 1: 4.0}, {5: 1.0, 6: 3.1}).mean == pytest.approx(3.5 - 2.05)


def test_the_size_is_relative_to_the_larger_side() -> None:
    assert difference({0: 90.0}, {0: 100.0}).size == pytest.approx(0.1)
    assert difference({0: 100.0}, {0: 90.0}).size == pytest.approx(0.1)
    assert difference({0: -100.0}, {0: -90.0}).size == pytest.approx(0.1)
    assert difference({0: -1.0, 1: 1.0}, {0: -2.0, 1: 2.0}).size == 0.0
    assert difference({0: 0.0}, {0: 0.0}).size == 0.0
    assert difference({0: 0.5, 1: 0.5, 2: 0.5}, {0: 0.4, 1: 0.4, 2: 0.4}).size == pytest.approx(0.2)


def test_the_size_of_logarithms_is_that_of_what_they_stand_for() -> None:
    a, b = {0: math.log(100), 1: math.log(100)}, {0: math.log(80), 1: math.log(80)}
    assert difference(a, b, log=True).size == pytest.approx(0.2)
    assert difference(b, a, log=True).size == pytest.approx(0.2)


DIRECTION, OPPOSITE, NOISE = "direction only", "direction only (opposite)", "within noise"


@pytest.mark.parametrize(
    ("a", "b", "mean", "sign", "says"),
    [
        # every seed of one side diverged and none of the other: decided
        ([INF, INF, INF], [1.0, 2.0, 1.5], INF, 1, "reproduced"),
        ([1.0, 2.0, 1.5], [INF, INF, INF], -INF, -1, "contradicted"),
        ([-INF, -INF, -INF], [1.0, 2.0, 1.5], -INF, -1, "contradicted"),
        ([INF, INF, INF], [-INF, -INF, -INF], INF, 1, "reproduced"),
        # some of a side: no more than a direction, of either sign, and only where it is every seed's
        ([INF, 3.0, 4.0], [1.0, 2.0, 1.5], INF, 1, DIRECTION),
        ([1.0, 2.0, 1.5], [INF, 3.0, 4.0], -INF, -1, OPPOSITE),
        ([1.0, 1.0, 1.0], [2.0, 2.0, INF], -INF, -1, OPPOSITE),
        ([2.0, 2.0, INF], [1.0, 1.0, 1.0], INF, 1, DIRECTION),
        ([INF, 1.0, 4.0], [1.0, 2.0, 1.5], INF, 0, NOISE),
        ([1.0, 2.0, 1.5], [INF, 1.0, 4.0], -INF, 0, NOISE),
        ([INF, INF, 4.0], [1.0, 2.0, 1.5], INF, 1, DIRECTION),
        # some of both
        ([INF, 3.0, 4.0], [1.0, INF, 1.5], 0.0, 0, NOISE),
        ([INF, 3.0, INF], [1.0, INF, 1.5], 0.0, 0, NOISE),
        ([INF, 3.0, 4.0], [INF, 2.0, 1.5], 3.5 / 3, 0, NOISE),
        ([INF, -INF, 4.0], [INF, -INF, 4.0], 0.0, 0, NOISE),
        # all of both: nothing is told apart
        ([INF, INF, INF], [INF, INF, INF], 0.0, 0, NOISE),
        # too few seeds to decide
        ([INF, INF], [1.0, 2.0], INF, 1, DIRECTION),
        ([1.0, 2.0], [INF, INF], -INF, -1, OPPOSITE),
        ([INF, 1.0], [1.0, 2.0], INF, 0, NOISE),
        ([INF], [1.0], INF, 1, DIRECTION),
        ([1.0], [INF], -INF, -1, OPPOSITE),
        ([INF], [INF], 0.0, 0, NOISE),
        ([INF, 1.0], [1.0, INF], 0.0, 0, NOISE),
    ],
)
def test_what_diverged_seeds_decide(a: list[float], b: list[float], mean: float, sign: int, says: str) -> None:
    d = difference(seeds(a), seeds(b))
    assert (d.mean, d.same_sign, d.paired, d.n) == (pytest.approx(mean), sign, True, len(a))
    assert outcome(d) == says
    if math.isinf(mean):
        assert not d.has_interval and d.interval() == (-INF, INF)
    if says not in ("reproduced", "contradicted") and not d.has_interval:
        assert (d.above, d.below) == (1.0, 1.0), "nothing is decided"


@pytest.mark.parametrize("n", [3, 4, 6])
def test_the_chance_that_one_side_alone_diverges_is_that_of_the_fewer_seeds(n: int) -> None:
    """With the same chance p on both sides it is (p (1 - p))^n, at most 4^-n."""
    d = difference(dict.fromkeys(range(n), INF), dict.fromkeys(range(20, 29), 1.0))
    assert (d.above, d.below, d.n) == (4.0**-n, 1.0, n)
    turned = difference(dict.fromkeys(range(20, 29), 1.0), dict.fromkeys(range(n), INF))
    assert (turned.above, turned.below) == (1.0, 4.0**-n)
    assert outcome(d, holds=4.0**-n * 0.99) == DIRECTION, "of many comparisons it is no more than a direction"


def test_the_size_of_a_diverged_difference_is_all_or_nothing() -> None:
    assert difference({0: INF}, {0: 1.0}).size == INF
    assert difference({0: INF, 1: 1.0}, {0: 1.0, 1: INF}).size == 0.0
    assert difference({0: INF}, {0: INF}).size == 0.0


def test_three_diverged_seeds_against_one_that_did_not_decide_nothing() -> None:
    d = difference({0: INF, 1: INF, 2: INF}, {7: 1.0})
    assert (d.n, d.low, d.high, outcome(d)) == (1, -INF, INF, DIRECTION)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("turn", [1, -1])
def test_no_interval_is_formed_where_one_seed_diverged(seed: int, turn: int) -> None:
    """Of three seeds or more, on either side, paired or not: the other seeds have no say in its width."""
    a = {s: INF if s == seed else 5.0 + s / 100 for s in range(3)}
    for b in ({0: 1.0, 1: 1.01, 2: 1.02}, {10: 1.0, 11: 1.01, 12: 1.02}):
        d = difference(a, b) if turn == 1 else difference(b, a)
        assert (d.low, d.high, d.mean, d.same_sign) == (-INF, INF, turn * INF, turn)


def test_values_without_any_noise_are_exact() -> None:
    d = difference({0: 2.0, 1: 2.0, 2: 2.0}, {0: 1.0, 1: 1.0, 2: 1.0})
    assert (d.low, d.high, outcome(d)) == (1.0, 1.0, "reproduced")
    unpaired = difference({0: 2.0, 1: 2.0, 2: 2.0}, {5: 1.0, 6: 1.0, 7: 1.0})
    assert (unpaired.low, unpaired.high, outcome(unpaired)) == (1.0, 1.0, "reproduced")


def test_nan_and_empty_sides_are_refused() -> None:
    fine = {0: 1.0}
    for bad in ({}, {0: math.nan}, {0: 1.0, 1: math.nan}):
        for a, b in ((bad, fine), (fine, bad)):
            with pytest.raises(ValueError, match=r"^both sides need values, and none may be NaN$"):
                difference(a, b)


@pytest.mark.parametrize(
    ("cell", "winner", "tied"),
    [
        # one seed: 1 % of the larger
        ({0: 100.9}, {0: 100.0}, True),
        ({0: 101.1}, {0: 100.0}, False),
        ({0: 100.0}, {0: 100.0}, True),
        ({0: 0.0}, {0: 0.0}, True),
        ({0: 99.0}, {0: 100.0}, False),  # 1 % is no tie
        # two paired seeds: 12.706 standard errors, generously, but not whatever they say
        ({0: 10.0, 1: 11.0}, {0: 9.0, 1: 9.0}, True),
        ({0: 10.0, 1: 10.1}, {0: 9.0, 1: 9.0}, False),
        ({0: 9.0, 1: 9.0}, {0: 10.0, 1: 10.1}, False),
        ({0: 9.0, 1: 9.0}, {0: 10.0, 1: 11.0}, True),
        ({0: 10.0, 1: 10.0}, {0: 9.0, 1: 9.0}, False),
        ({0: 9.0, 1: 9.0}, {0: 9.0, 1: 9.0}, True),
        ({0: 10.0, 1: 20.0}, {0: 9.0, 1: 19.01}, False),  # far apart from one another, the differences are not
        # two unpaired seeds: 1 %
        ({0: 100.5, 1: 100.5}, {5: 100.0, 6: 100.0}, True),
        ({0: 102.0, 1: 102.5}, {5: 100.0, 6: 100.0}, False),
        ({0: 99.0, 1: 99.0}, {5: 100.0, 6: 100.0}, False),
        ({0: 100.5}, {5: 100.0, 6: 100.0, 7: 100.0}, True),
        # three: the interval, paired or not
        ({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.0, 1: 1.9, 2: 3.1}, True),
        ({0: 1.0, 1: 2.0, 2: 3.0}, {0: 0.9, 1: 1.89, 2: 2.91}, False),
        ({0: 0.9, 1: 1.89, 2: 2.91}, {0: 1.0, 1: 2.0, 2: 3.0}, False),
        ({0: 1.0, 1: 2.0, 2: 3.0}, {5: 0.9, 6: 1.89, 7: 2.91}, True),
        ({0: 2.0, 1: 2.0, 2: 2.0}, {5: 1.0, 6: 1.0, 7: 1.0}, False),
        ({0: 2.0, 1: 2.0, 2: 2.0}, {0: 2.0, 1: 2.0, 2: 2.0}, True),
    ],
)
def test_ties(cell: dict[int, float], winner: dict[int, float], tied: bool) -> None:
    assert is_tie(cell, winner) is tied


@settings(max_examples=50)
@given(st.tuples(st.floats(1, 100), st.floats(1, 100)), st.tuples(st.floats(1, 100), st.floats(1, 100)))
def test_two_paired_seeds_tie_where_the_interval_of_one_degree_of_freedom_holds_zero(
    a: tuple[float, float], b: tuple[float, float]
) -> None:
    first, second = a[0] - b[0], a[1] - b[1]
    away = abs(first + second) / 2 - stats.t_quantile(1, 0.95) * abs(first - second) / 2
    assume(abs(away) > 1e-9)
    assert is_tie(dict(enumerate(a)), dict(enumerate(b))) is (away < 0)


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
def test_welch_with_a_side_that_does_not_vary() -> None:
    a, b = [2.0, 2.0, 2.0], [1.0, 1.5, 0.5, 1.2]
    d = difference(seeds(a), seeds(b, start=10))
    low, high = reference.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (d.low, d.high) == (pytest.approx(low), pytest.approx(high))
