"""The moderated variance: against Smyth's equations written out again, and the guards that are ours."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special
from scipy import stats as reference

from retable.bench.judging import moderation
from retable.bench.judging.moderation import lender, prior
from retable.bench.judging.stats import Lender, difference

Cells = list[dict[int, float]]


def cells(sds: list[float], n: int = 3, seed: int = 0, first: int = 0) -> Cells:
    draw = np.random.default_rng(seed)
    return [dict(enumerate(draw.normal(5, sd, n), first)) for sd in sds]


def by_hand(variances: list[float], df: float) -> tuple[float, float]:
    """Smyth (2004), section 6.2: e_g = log s_g² - psi(d/2) + log(d/2); psi'(d0/2) = mean(e - ē)² G/(G-1) - psi'(d/2);
    s0² = exp(ē + psi(d0/2) - log(d0/2)). The equation for d0 is solved by bisection here."""
    e = [math.log(v) - special.digamma(df / 2) + math.log(df / 2) for v in variances]
    middle = sum(e) / len(e)
    right = sum((x - middle) ** 2 for x in e) / (len(e) - 1) - special.polygamma(1, df / 2)
    d0 = 2 * optimize.brentq(lambda y: float(special.polygamma(1, y)) - right, 1e-9, 1e9, xtol=1e-12)
    return math.exp(middle + special.digamma(d0 / 2) - math.log(d0 / 2)), d0


@pytest.mark.parametrize("df", [2, 4, 9])
def test_the_prior_is_that_of_smyths_equations(df: int) -> None:
    draw = np.random.default_rng(df)
    variances = 3.0 * 5 / draw.chisquare(5, 40) * draw.chisquare(df, 40) / df
    assert prior(variances, df) == pytest.approx(by_hand(list(variances), df), rel=1e-6)


def test_the_prior_finds_the_distribution_that_variances_were_drawn_from() -> None:
    draw = np.random.default_rng(0)
    variances = 0.04 * 6 / draw.chisquare(6, 100_000) * draw.chisquare(2, 100_000) / 2
    scale, df = prior(variances, 2)
    assert scale == pytest.approx(0.04, rel=0.03) and df == pytest.approx(6, rel=0.1)


def test_variances_that_differ_no_more_than_samples_of_one_lend_without_end() -> None:
    scale, df = prior(np.full(5, 0.25), 2)
    assert df == math.inf
    assert scale == pytest.approx(0.25 * math.exp(math.log(1) - special.digamma(1))), "of their logarithms' mean"


@given(st.floats(1e-9, 1e12))
def test_the_inverse_of_the_trigamma_function(x: float) -> None:
    y = moderation._trigamma_inverse(x)
    assert float(special.polygamma(1, y)) == pytest.approx(x, rel=1e-5)


def test_a_family_lends_what_all_its_pairs_vary_by() -> None:
    family = cells([1.0, 1.2, 0.8, 1.1, 2.0])
    variances = [
        float(np.var([a[s] - b[s] for s in a], ddof=1)) for a, b in combinations(family, 2)
    ]  # fmt: skip
    scale, df = by_hand(variances, 2)
    found = lender(family, "grid")
    assert found is not None and found.variance == pytest.approx(scale)
    assert found.df == pytest.approx(min(df, 8.0)) and found.words == "10 pairs of grid"


def test_eight_degrees_of_freedom_are_lent_at_most() -> None:
    found = lender(cells([1.0] * 40, n=5), "grid")
    assert found is not None and found.df == moderation.MOST == 8.0


def test_a_very_uneven_family_says_so() -> None:
    even, uneven = lender(cells([1.0] * 6), "grid"), lender(cells([1.0] * 6 + [30.0]), "grid")
    assert even is not None and not even.words.endswith("uneven noise")
    assert uneven is not None and uneven.words == "21 pairs of grid of very uneven noise"
    small = lender(cells([0.01] * 6 + [0.3]), "grid")
    assert small is not None and small.words == uneven.words, "in whatever unit"


def test_few_cells_few_seeds_and_what_diverged_lend_nothing() -> None:
    four = cells([1.0, 1.0, 1.0, 2.0])
    assert lender(four, "grid") is not None
    assert lender(four[:3], "grid") is None
    assert lender([], "grid") is None
    assert lender(cells([1.0, 1.0, 1.0, 2.0], n=2), "grid") is None
    assert lender([*four[:3], {**four[3], 1: math.inf}], "grid") is None


@pytest.mark.parametrize(("noise", "lends"), [(1e-2, True), (1e-5, False)])
def test_noise_below_a_millionth_of_the_values_is_rounding(noise: float, lends: bool) -> None:
    thousands = [{s: 1e3 + noise * (v - 5) for s, v in cell.items()} for cell in cells([1.0, 1.0, 1.0, 2.0])]
    assert (lender(thousands, "grid") is not None) is lends


def test_only_cells_of_the_commonest_seeds_lend() -> None:
    four, others = cells([1.0, 1.0, 1.0, 2.0]), cells([50.0] * 3, first=7)
    assert lender([*others, *four], "grid") == lender(four, "grid")
    turned = [dict(reversed(c.items())) for c in four]
    assert lender([four[0], *turned[1:]], "grid") == lender(four, "grid"), "whatever order their seeds stand in"


def test_cells_that_do_not_vary_lend_nothing_and_do_not_count() -> None:
    still = [{0: 5.0, 1: 5.0, 2: 5.0}] * 6
    assert lender(still, "grid") is None
    shifted = [{s: 1e3 * i + v for s, v in enumerate([0.1, 0.7, 0.3])} for i in range(6)]
    assert lender(shifted, "grid") is None, "equal columns: what rounding leaves of their differences is no noise"
    four = cells([1.0, 1.1, 1.2, 2.0])
    some = lender([*four, {0: 5.0, 1: 5.0, 2: 5.0}, {0: 6.0, 1: 6.0, 2: 6.0}], "grid")
    assert some is not None and some.words == "14 pairs of grid", "of 15, one does not vary"


A, B = {0: 1.0, 1: 1.3, 2: 0.9}, {0: 0.1, 1: 0.2, 2: 0.3}


def test_a_moderated_difference_is_limmas() -> None:
    lent = Lender(0.5, 4.0, "six pairs of grid")
    d, plain = difference(A, B, lender=lent), difference(A, B)
    own = float(np.var([0.9, 1.1, 0.6], ddof=1))
    moderated = (4.0 * 0.5 + 2 * own) / (4.0 + 2)
    t = plain.mean / math.sqrt(moderated / 3)
    assert (d.mean, d.n, d.df, d.lender) == (plain.mean, 3, 6.0, lent)
    assert d.error == pytest.approx(math.sqrt(moderated / 3))
    assert d.above == pytest.approx(reference.t.sf(t, 6)) and d.below == pytest.approx(reference.t.cdf(t, 6))
    half = reference.t.ppf(0.975, 6) * math.sqrt(moderated / 3)
    assert d.interval() == pytest.approx((plain.mean - half, plain.mean + half))


def test_a_variance_never_falls_below_its_own() -> None:
    d, plain = difference(A, B, lender=Lender(1e-6, 8.0, "quiet pairs")), difference(A, B)
    assert (d.error, d.df) == (plain.error, 10.0)


def test_a_pair_without_noise_of_its_own_borrows_some() -> None:
    d = difference({0: 1.0, 1: 2.0, 2: 3.0}, {0: 0.5, 1: 1.5, 2: 2.5}, lender=Lender(1.0, 4.0, "pairs"))
    assert d.error == pytest.approx(math.sqrt(4 / 6 / 3))


def test_nobody_lends_to_what_is_not_paired_or_has_no_interval() -> None:
    lent = Lender(0.5, 4.0, "six pairs of grid")
    for a, b in ((A, {s + 5: v for s, v in B.items()}), ({0: 1.0}, {0: 2.0}), ({**A, 0: math.inf}, B)):
        assert difference(a, b, lender=lent) == difference(a, b) and difference(a, b, lender=lent).lender is None
