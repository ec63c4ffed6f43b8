"""The moderated variance of many pairs: each borrows from the others what three seeds can't tell by themselves.

G. K. Smyth, "Linear models and empirical Bayes methods for assessing differential expression in microarray
experiments", Statistical Applications in Genetics and Molecular Biology 3, 2004, section 6.2: the variances of a family
are a scaled inverse chi-squared sample; its scale and degrees of freedom follow from the mean and the variance of
their logarithms. Two guards are ours: a pair's variance never falls below its own, and at most `MOST` degrees of
freedom are lent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import digamma, polygamma

from retable.bench.judging.stats import ENOUGH, Lender, Values

MOST = 8.0
"""Degrees of freedom that a family lends at most, however equal its variances look."""
FEWEST = 4
"""Cells of a family that lends at all; three pairs of three cells say too little of a distribution."""
UNEVEN = 25.0
"""Largest over median variance of a family from which its noisiest pairs may exceed their level (to some 5 %)."""


def lender(cells: Sequence[Values], family: str) -> Lender | None:
    """What the pairs of these cells lend each other; None where they are too few or do not vary.

    cells: seed -> value of each cell, on the scale of the test. Only finite cells that share the seeds most of them
    have count. family: who they are, for the basis line.
    """
    table = _common([c for c in cells if len(c) >= ENOUGH and all(map(math.isfinite, c.values()))])
    if table is None:
        return None
    deviations = np.cov(table)
    own = np.diag(deviations)
    first, second = np.triu_indices(len(table), 1)
    variances = own[first] + own[second] - 2 * deviations[first, second]
    variances = variances[variances > 1e-12 * (table**2).mean()]  # what rounding leaves of equal columns is no noise
    if len(variances) < len(first) / 2 or len(variances) < FEWEST:
        return None
    df = table.shape[1] - 1
    scale, lent = prior(variances, df)
    words = f"{len(variances)} pairs of {family}"
    if variances.max() > UNEVEN * float(np.median(variances)):
        words += " of very uneven noise"
    return Lender(scale, min(lent, MOST), words)


def _common(cells: Sequence[Values]) -> np.ndarray | None:
    """Cells by seeds, of those cells that have the commonest set of seeds; None for fewer than `FEWEST`."""
    sets: dict[frozenset[object], list[Values]] = {}
    for cell in cells:
        sets.setdefault(frozenset(cell), []).append(cell)
    group = max(sets.values(), key=len, default=[])
    if len(group) < FEWEST:
        return None
    seeds = list(group[0])
    return np.array([[cell[s] for s in seeds] for cell in group])


def prior(variances: np.ndarray, df: float) -> tuple[float, float]:
    """Scale s0^2 and degrees of freedom d0 of the distribution that sample variances of `df` come from.

    d0 is infinite where they differ no more than samples of one variance would.
    """
    e = np.log(variances) - digamma(df / 2) + math.log(df / 2)
    middle = float(e.mean())
    excess = float(e.var(ddof=1) - polygamma(1, df / 2))
    if excess <= 0:
        return math.exp(middle), math.inf
    d0 = 2 * _trigamma_inverse(excess)
    return math.exp(middle + digamma(d0 / 2) - math.log(d0 / 2)), d0


def _trigamma_inverse(x: float) -> float:
    """y with trigamma(y) = x, by Newton's method on 1 / trigamma, which is convex (Smyth 2004, appendix)."""
    if x > 1e7:
        return 1 / math.sqrt(x)
    if x < 1e-6:
        return 1 / x
    y = 0.5 + 1 / x
    for _ in range(50):
        tri = float(polygamma(1, y))
        step = tri * (1 - tri / x) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-10:
            break
    return y
