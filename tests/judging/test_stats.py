"""Intervals: against a reference implementation, and what infinities and few seeds are worth."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from retable.bench.judging.stats import difference, outcome

VALUES = st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), min_size=3, max_size=8)


def seeds(values: list[float], start: int = 0) -> dict[int, float]:
    return dict(enumerate(values, start))


@given(VALUES, st.data())
def test_paired_interval_is_the_textbook_one(a: list[float], data: st.DataObject) -> None:
    b = data.draw(st.lists(st.floats(-1e3, 1e3), min_size=len(a), max_size=len(a)))
    d = difference(seeds(a), seeds(b))
    if len({round(x - y, 6) for x, y in zip(a, b, strict=True)}) == 1:
        return  # no variance: the reference has no interval
    low, high = reference.ttest_rel(a, b).confidence_interval(0.95)
    assert d.paired
    assert (d.low, d.high) == (pytest.approx(low, rel=1e-5, abs=1e-5), pytest.approx(high, rel=1e-5, abs=1e-5))


def test_unpaired_interval_is_welchs() -> None:
    a, b = [1.0, 2.0, 4.0, 3.5], [7.0, 9.5, 8.0]
    d = difference(seeds(a), seeds(b, start=10))
    low, high = reference.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert not d.paired
    assert (d.low, d.high) == (pytest.approx(low), pytest.approx(high))


@given(VALUES, VALUES)
def test_a_difference_turns_its_sign_with_its_sides(a: list[float], b: list[float]) -> None:
    d, e = difference(seeds(a), seeds(b)), difference(seeds(b), seeds(a))
    assert (d.mean, d.low, d.high) == (pytest.approx(-e.mean), pytest.approx(-e.high), pytest.approx(-e.low))


@given(st.lists(st.floats(1, 100), min_size=1, max_size=2), st.lists(st.floats(1, 100), min_size=1, max_size=2))
def test_one_or_two_seeds_never_give_more_than_a_direction(a: list[float], b: list[float]) -> None:
    d = difference(seeds(a), seeds(b))
    assert (d.low, d.high) == (-math.inf, math.inf)
    assert outcome(d) != "reproduced"


def test_one_seed_within_one_percent_is_noise_and_beyond_it_a_direction() -> None:
    assert outcome(difference({0: 100.5}, {0: 100.0})) == "within noise"
    assert outcome(difference({0: 102.0}, {0: 100.0})) == "direction only"
    assert outcome(difference({0: 100.0}, {0: 102.0})) == "contradicted"


def test_a_side_that_diverged_in_every_seed_decides_and_in_some_gives_a_direction() -> None:
    fine, gone = {0: 1.0, 1: 2.0, 2: 1.5}, {0: math.inf, 1: math.inf, 2: math.inf}
    assert outcome(difference(gone, fine)) == "reproduced"
    assert outcome(difference(fine, gone)) == "contradicted"
    assert outcome(difference({0: math.inf, 1: 3.0, 2: 4.0}, fine)) == "direction only"
    assert outcome(difference({0: math.inf, 1: 1.0, 2: 4.0}, fine)) == "within noise"
    assert outcome(difference(gone, gone)) == "within noise"


def test_values_without_any_noise_are_exact() -> None:
    assert outcome(difference({0: 2.0, 1: 2.0, 2: 2.0}, {0: 1.0, 1: 1.0, 2: 1.0})) == "reproduced"


def test_nan_and_empty_sides_are_refused() -> None:
    for a, b in (({}, {0: 1.0}), ({0: math.nan}, {0: 1.0})):
        with pytest.raises(ValueError, match="values"):
            difference(a, b)
