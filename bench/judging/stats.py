"""Differences between two sets of replicates, and what one of them is worth.

Student's t on paired differences where the two sides share three seeds at least; Welch's t (B. L. Welch, Biometrika
34, 1947, with the Welch-Satterthwaite degrees of freedom) where they do not. A ratio is a difference of logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95
ALPHA = (1 - CONFIDENCE) / 2
"""One-sided level of a statement: what the end of a two-sided 95 % interval stands for."""
ENOUGH = 3
"""Replicates from which an interval is formed. Two have one degree of freedom: t is 12.7, an interval of no use."""
TIE = 0.01
"""Relative difference that fewer seeds than `ENOUGH` can't tell from none; an assumption, said wherever it is used."""
ROUNDING = 1e-6
"""Relative difference that rounding alone makes in single precision: it is none, in however many seeds it is seen."""

Values = Mapping[Any, float]
"""Seed (or another replicate) -> value. Infinite where the trial diverged."""


@dataclass(frozen=True)
class Lender:
    """A variance that many pairs of one family share, to moderate that of each (`judging.moderation`).

    variance: of a paired difference. df: the degrees of freedom that it is worth. words: who lends.
    """

    variance: float
    df: float
    words: str


@dataclass(frozen=True)
class Difference:
    """The mean of a - b, with what its replicates say of "it is above 0".

    error, df: standard error and degrees of freedom of the mean; error is infinite where there is no interval: with
    fewer than `ENOUGH` replicates, or where some but not all of them diverged. n: replicates that it rests on (of the
    smaller side where unpaired). paired: whether they were paired. size: |mean| relative to the larger side.
    same_sign: +1 or -1 where every paired difference has that sign (unpaired: every a against every b), else 0.
    settled: one-sided p-values (above, below) that no t decides: of diverged sides, or of another test.
    """

    mean: float
    error: float
    df: float
    n: int
    paired: bool
    size: float
    same_sign: int
    lender: Lender | None = None
    settled: tuple[float, float] | None = None

    @property
    def has_interval(self) -> bool:
        return math.isfinite(self.error)

    @property
    def above(self) -> float:
        """One-sided p-value of the statement "the difference is above 0"."""
        return self._p(1)

    @property
    def below(self) -> float:
        """One-sided p-value of the opposite."""
        return self._p(-1)

    def _p(self, sign: int) -> float:
        if self.settled is not None:
            return self.settled[0 if sign > 0 else 1]
        if not self.has_interval:
            return 1.0
        if not self.error:
            return 0.0 if sign * self.mean > 0 else 1.0
        return float(stdtr(self.df, -sign * self.mean / self.error))

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Two-sided interval of the mean; unbounded where there is none."""
        if not self.has_interval:
            return -math.inf, math.inf
        half = t_quantile(self.df, confidence) * self.error if self.error else 0.0
        return self.mean - half, self.mean + half

    @property
    def low(self) -> float:
        return self.interval()[0]

    @property
    def high(self) -> float:
        return self.interval()[1]


@cache
def t_quantile(df: float, confidence: float) -> float:
    """Two-sided quantile of Student's t: P(|T| <= q) = confidence."""
    return float(stdtrit(df, 0.5 + confidence / 2))


def difference(a: Values, b: Values, *, log: bool = False, lender: Lender | None = None) -> Difference:
    """The mean difference a - b over replicates.

    Paired over the seeds that both have where these are three at least, or all; else Welch's over all values where
    both sides have three; else over the seeds that both have if there are any, without an interval. Diverged trials
    enter as infinities. Where every seed of one side diverged and none of the other, the difference is decided without
    an interval: if both sides diverged with the same chance p, n seeds a side would do this with probability
    (p (1-p))^n <= 4^-n, 1.6 % for three. Where only some diverged there is no mean to form an interval of, so only
    `same_sign` is left. A seed in which both sides diverged tells nothing: its difference is 0. log: the values are
    logarithms, so that `size` is of what they stand for. lender: moderates the variance of paired differences
    (Smyth 2004), guarded: never below their own.
    Raises ValueError where a side is empty or holds a NaN.
    """
    if not a or not b or any(math.isnan(v) for v in [*a.values(), *b.values()]):
        raise ValueError("both sides need values, and none may be NaN")
    both = [seed for seed in a if seed in b]
    paired = set(a) == set(b) or len(both) >= ENOUGH or bool(both and min(len(a), len(b)) < ENOUGH)
    if paired:
        a, b = {s: a[s] for s in both}, {s: b[s] for s in both}
        every = [_minus(a[s], b[s]) for s in both]
    else:
        every = [_minus(x, y) for x in a.values() for y in b.values()]
    n = min(len(a), len(b))
    same_sign = 1 if all(d > 0 for d in every) else -1 if all(d < 0 for d in every) else 0
    mean = _mean(every)
    if any(math.isinf(d) for d in every) or math.isnan(mean):
        return _diverged(every, n, paired, same_sign)
    scale = max(abs(_mean([v for v in side.values() if math.isfinite(v)] or [0.0])) for side in (a, b))
    size = -math.expm1(-abs(mean)) if log else abs(mean) / scale if scale else 0.0
    if n < ENOUGH:
        return Difference(mean, math.inf, 0, n, paired, size, same_sign)
    if not paired:
        error, df = _welch(a, b)
        return Difference(mean, error, df, n, paired, size, same_sign)
    variance, df = sd(every) ** 2, float(n - 1)
    if lender is not None:
        variance, df = max(variance, (lender.df * lender.variance + df * variance) / (lender.df + df)), lender.df + df
    return Difference(mean, math.sqrt(variance / n), df, n, paired, size, same_sign, lender)


def _diverged(every: Sequence[float], n: int, paired: bool, same_sign: int) -> Difference:
    """A difference in which some replicate has no finite one."""
    mean = _mean(every)
    mean = 0.0 if math.isnan(mean) else mean
    decided = same_sign != 0 and all(math.isinf(d) for d in every) and n >= ENOUGH
    chance = 4.0**-n if decided else 1.0
    settled = (chance, 1.0) if same_sign > 0 else (1.0, chance)
    return Difference(mean, math.inf, 0, n, paired, math.inf if mean else 0.0, same_sign, None, settled)


def _minus(x: float, y: float) -> float:
    return 0.0 if x == y else x - y


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def sd(values: Sequence[float]) -> float:
    """Standard deviation with n - 1; 0 for fewer than two values, and without rounding for equal ones."""
    if len(set(values)) < 2:
        return 0.0
    middle = _mean(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (len(values) - 1))


def _welch(a: Values, b: Values) -> tuple[float, float]:
    x, y = list(a.values()), list(b.values())
    va, vb = sd(x) ** 2 / len(x), sd(y) ** 2 / len(y)
    if va + vb == 0:
        return 0.0, 1.0
    return math.sqrt(va + vb), (va + vb) ** 2 / (va**2 / (len(x) - 1) + vb**2 / (len(y) - 1))


def prediction(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Where one more value lies with this confidence, given `ENOUGH` or more: mean ± t sd sqrt(1 + 1/n), on
    logarithms where all are positive. Raises ValueError for fewer."""
    if len(values) < ENOUGH:
        raise ValueError(f"a prediction interval needs {ENOUGH} values, not {len(values)}")
    log = min(values) > 0
    on = [math.log(v) for v in values] if log else list(values)
    half = t_quantile(len(on) - 1, confidence) * sd(on) * math.sqrt(1 + 1 / len(on))
    low, high = _mean(on) - half, _mean(on) + half
    return (math.exp(low), math.exp(min(high, 700.0))) if log else (low, high)


Outcome = Literal["reproduced", "direction only", "within noise", "direction only (opposite)", "contradicted"]
RANK: dict[Outcome, int] = {
    "contradicted": 0,
    "direction only (opposite)": 1,
    "within noise": 2,
    "direction only": 3,
    "reproduced": 4,
}


def outcome(d: Difference, *, holds: float = ALPHA, fails: float = ALPHA) -> Outcome:
    """What one difference says of the statement "it is above 0".

    holds, fails: the one-sided levels that the statement and its opposite must reach. From `ENOUGH` replicates on the
    p-values decide: `reproduced`, `contradicted`, else `within noise`. Below that nobody knows the noise, so a
    difference of less than `TIE` of the values is `within noise`, and a larger one is a direction, of either sign
    worth the same. The same holds for more seeds of which some diverged: the sign must be the same in all of them.
    What rounding makes (`ROUNDING`) is within noise however many seeds show it.
    """
    if d.mean == 0 or d.size <= ROUNDING:
        return "within noise"
    if d.above <= holds:
        return "reproduced"
    if d.below <= fails:
        return "contradicted"
    if d.has_interval or (d.n < ENOUGH and d.size < TIE):
        return "within noise"
    sign = (1 if d.mean > 0 else -1) if d.n < ENOUGH and d.settled is None else d.same_sign
    towards: dict[int, Outcome] = {1: "direction only", -1: "direction only (opposite)"}
    return towards.get(sign, "within noise")


def is_tie(cell: Values, winner: Values) -> bool:
    """Whether two cells can't be told apart: 0 is inside the 95 % t interval of their difference from two seeds on
    (a lone degree of freedom ties generously, on purpose), within `TIE` of each other with one seed."""
    d = difference(cell, winner)
    if d.has_interval:
        return d.low <= 0 <= d.high
    both = [cell[s] - winner[s] for s in cell if s in winner]
    if len(both) == 2 and all(map(math.isfinite, both)):
        return abs(d.mean) <= t_quantile(1, CONFIDENCE) * sd(both) / math.sqrt(2)
    return d.size < TIE
