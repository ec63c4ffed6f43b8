"""The agreement of two orders: Kendall's tau and its permutation distribution, against tables and other code."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from retable.bench.judging import orders
from retable.bench.judging.orders import agreement

INF = math.inf
VALUES = st.lists(st.integers(-9, 9), min_size=4, max_size=6).map(lambda v: [float(x) for x in v])


@given(st.permutations(list(range(6))))
def test_without_ties_it_is_kendalls_exact_test(ours: list[int]) -> None:
    found = agreement([float(v) for v in ours], [float(v) for v in range(6)])
    more = reference.kendalltau(ours, range(6), method="exact", alternative="greater")
    less = reference.kendalltau(ours, range(6), method="exact", alternative="less")
    assert (found.tau, found.above, found.below) == pytest.approx((more.statistic, more.pvalue, less.pvalue))
    assert (found.concordant + found.discordant, found.compared) == (15, 15)


@settings(max_examples=30, deadline=None)
@given(VALUES, st.data())
def test_with_ties_it_counts_every_permutation(ours: list[float], data: st.DataObject) -> None:
    theirs = data.draw(st.lists(st.sampled_from([1.0, 1.05, 2.0, 3.0]), min_size=len(ours), max_size=len(ours)))
    pairs = [(i, j) for i in range(len(ours)) for j in range(i) if abs(theirs[i] - theirs[j]) > 0.06]
    assume(pairs and len(set(ours)) > 1)

    def score(values: tuple[float, ...] | list[float]) -> int:
        return sum(int(np.sign(values[i] - values[j]) * np.sign(theirs[i] - theirs[j])) for i, j in pairs)

    every, here = [score(p) for p in permutations(ours)], score(ours)
    found = agreement(ours, theirs, tied_within=0.05)
    assert (found.compared, found.tau) == (len(pairs), pytest.approx(here / len(pairs)))
    assert found.above == pytest.approx(sum(s >= here for s in every) / len(every))
    assert found.below == pytest.approx(sum(s <= here for s in every) / len(every))


def of_eight(swaps: int) -> orders.Order:
    """Eight things of which so many neighbouring pairs, one after the other, are the wrong way round."""
    ours = list(range(8))
    for i in range(swaps):  # bubbles the last down, then the one before it
        at = 7 - i if i < 7 else 7 - (i - 7)
        ours[at], ours[at - 1] = ours[at - 1], ours[at]
    return agreement([float(v) for v in ours], [float(v) for v in range(8)])


def test_eight_things_need_a_tau_of_643_thousandths() -> None:
    """18 more pairs one way than the other, of 28: one fewer pair is too often chance (M. G. Kendall's table)."""
    enough, too_few = of_eight(5), of_eight(6)
    assert (enough.tau, enough.concordant, enough.discordant) == (pytest.approx(18 / 28), 23, 5)
    assert round(enough.tau, 3) == 0.643 and enough.above == pytest.approx(0.0156, abs=5e-5)
    assert (too_few.tau, too_few.concordant) == (pytest.approx(16 / 28), 22)
    assert too_few.above == pytest.approx(0.0305, abs=5e-5)


def test_the_opposite_order_has_the_opposite_chance() -> None:
    up, down = (
        agreement([1.0, 2.0, 3.0, 5.0, 4.0], [1, 2, 3, 4, 5]),
        agreement([5.0, 4.0, 3.0, 1.0, 2.0], [1, 2, 3, 4, 5]),
    )
    assert (up.tau, up.above, up.below) == pytest.approx((-down.tau, down.below, down.above))
    assert (up.concordant, up.discordant) == (down.discordant, down.concordant) == (9, 1)


def test_tied_is_relative_to_the_larger_published_value() -> None:
    assert agreement([1.0, 2.0, 3.0], [0.92, 1.0, 5.0], 0.08).compared == 2
    assert agreement([1.0, 2.0, 3.0], [0.9199, 1.0, 5.0], 0.08).compared == 3
    assert agreement([1.0, 2.0, 3.0], [-0.92, -1.0, 5.0], 0.08).compared == 2
    assert agreement([1.0, 2.0, 3.0], [1.0, 1.0, 5.0]).compared == 2, "equal values are tied without a tolerance"


def test_our_own_ties_count_for_neither_side() -> None:
    found = agreement([1.0, 1.0, 3.0], [1, 2, 3])
    assert (found.tau, found.concordant, found.discordant, found.compared) == (pytest.approx(2 / 3), 2, 0, 3)


def test_infinite_values_rank_last_and_tie_with_each_other() -> None:
    found = agreement([INF, 1.0, INF, -INF], [9, 2, 8, 1])
    assert (found.concordant, found.discordant, found.compared) == (5, 0, 6)


def test_many_things_are_drawn_and_always_the_same() -> None:
    ours = [float(v) for v in range(9)]
    found = agreement(ours, ours)
    assert found.above == 1 / (orders.DRAWN + 1) or found.above == pytest.approx(2 / (orders.DRAWN + 1))
    assert found == agreement(ours, ours)
    mixed = [3.0, 1.0, 2.0, 6.0, 4.0, 5.0, 9.0, 7.0, 8.0, 11.0, 10.0]
    more = reference.kendalltau(mixed, range(11), method="exact", alternative="greater")
    drawn = agreement(mixed, list(range(11)))
    assert drawn.tau == pytest.approx(more.statistic)
    assert drawn.above == pytest.approx(more.pvalue, abs=5 * math.sqrt(more.pvalue / orders.DRAWN))
    assert drawn.below > 0.99
    rarest = agreement([float(v) for v in range(12)], [float(v) for v in range(12)])
    assert rarest.above == 1 / (orders.DRAWN + 1), "the order at hand counts as one that was drawn: never 0"
    assert rarest.below == 1.0


@pytest.mark.parametrize(
    ("ours", "theirs", "within"),
    [
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], 0.0),
        ([1.0, 2.0], [5.0, 5.0], 0.0),
        ([1.0, 2.0], [5.0, 5.1], 0.1),
        ([], [], 0),
    ],
)
def test_what_is_no_order_is_refused(ours: list[float], theirs: list[float], within: float) -> None:
    with pytest.raises(ValueError, match="no two values are told apart, which is no order"):
        agreement(ours, theirs, within)
