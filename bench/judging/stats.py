"""Intervals for differences between two sets of seeds, and what one such interval is worth.

Student's t on paired differences where both sides have the same seeds; Welch's t (B. L. Welch, Biometrika 34,
1947, with the Welch-Satterthwaite degrees of freedom) where they have not. A ratio is a difference of logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from scipy.special import stdtrit

CONFIDENCE = 0.95
ENOUGH = 3
"""Seeds from which an interval is formed. Two seeds have one degree of freedom: t is 12.7, an interval of no use."""
TIE = 0.01
"""Relative difference that fewer seeds than `ENOUGH` can't tell from none; an assumption, said wherever it is used."""

Values = Mapping[int, float]
"""Seed -> value. Infinite where the trial diverged."""


@dataclass(frozen=True)
class Difference:
    """The mean of a - b with its interval.

    n: seeds of the smaller side. paired: whether seeds were paired. size: |mean| relative to the larger side.
    same_sign: +1 or -1 where every paired difference has that sign (unpaired: every a against every b), else 0.
    The interval is unbounded where n < `ENOUGH`, or where some but not all of the seeds diverged.
    """

    mean: float
    low: float
    high: float
    n: int
    paired: bool
    size: float
    same_sign: int


@cache
def t_quantile(df: float, confidence: float) -> float:
    """Two-sided quantile of Student's t: P(|T| <= q) = confidence."""
    return float(stdtrit(df, 0.5 + confidence / 2))


def difference(a: Values, b: Values, confidence: float = CONFIDENCE, *, log: bool = False) -> Difference:
    """The mean difference a - b over seeds, with its two-sided t interval.

    Diverged trials enter as infinities. Where every seed of one side diverged and none of the other, the
    difference is decided without an interval: if both sides diverged with the same chance p, n seeds a side
    would do this with probability (p (1-p))^n <= 4^-n, 1.6 % for three. Where only some diverged there is no
    mean to form an interval of, so it is unbounded and only `same_sign` is left. A seed in which both sides
    diverged tells nothing: its difference is 0. log: the values are logarithms, so that `size` is of what they stand
    for.
    Raises ValueError where a side is empty or holds a NaN.
    """
    if not a or not b or any(math.isnan(v) for v in [*a.values(), *b.values()]):
        raise ValueError("both sides need values, and none may be NaN")
    paired = set(a) == set(b)
    n = min(len(a), len(b))
    if paired:
        every = [_minus(a[seed], b[seed]) for seed in sorted(a)]
    else:
        every = [_minus(x, y) for x in a.values() for y in b.values()]
    same_sign = 1 if all(d > 0 for d in every) else -1 if all(d < 0 for d in every) else 0
    mean = sum(every) / len(every)
    if any(math.isinf(d) for d in every) or math.isnan(mean):
        decided = same_sign != 0 and all(math.isinf(d) for d in every) and n >= ENOUGH
        mean = 0.0 if math.isnan(mean) else mean
        bounds = (mean, mean) if decided else (-math.inf, math.inf)
        return Difference(mean, *bounds, n, paired, math.inf if mean else 0.0, same_sign)
    scale = max(abs(_mean(list(a.values()))), abs(_mean(list(b.values()))))
    size = abs(mean) / scale if scale else 0.0
    if log:
        size = -math.expm1(-abs(mean))
    if n < ENOUGH:
        return Difference(mean, -math.inf, math.inf, n, paired, size, same_sign)
    half = _half_paired(every, confidence) if paired else _half_welch(a, b, confidence)
    return Difference(mean, mean - half, mean + half, n, paired, size, same_sign)


def shared(a: Values, b: Values) -> tuple[Values, Values]:
    """Both sides at the seeds that both have, so that `difference` pairs them; unchanged where they share none."""
    common = [seed for seed in a if seed in b]
    return ({s: a[s] for s in common}, {s: b[s] for s in common}) if common else (a, b)


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


def _half_paired(differences: Sequence[float], confidence: float) -> float:
    n = len(differences)
    return t_quantile(n - 1, confidence) * sd(differences) / math.sqrt(n)


def _half_welch(a: Values, b: Values, confidence: float) -> float:
    x, y = list(a.values()), list(b.values())
    va, vb = sd(x) ** 2 / len(x), sd(y) ** 2 / len(y)
    if va + vb == 0:
        return 0.0
    df = (va + vb) ** 2 / (va**2 / (len(x) - 1) + vb**2 / (len(y) - 1))
    return t_quantile(df, confidence) * math.sqrt(va + vb)


Outcome = Literal["reproduced", "direction only", "within noise", "contradicted"]
RANK: dict[Outcome, int] = {"contradicted": 0, "within noise": 1, "direction only": 2, "reproduced": 3}


def outcome(d: Difference, *, strict: Difference | None = None) -> Outcome:
    """What one difference says of the statement "it is above 0".

    From `ENOUGH` seeds on the interval decides: wholly above 0 `reproduced`, wholly below `contradicted`, else
    `within noise`. `strict` is the same difference at the level that a contradiction must reach.
    Below that nobody knows the noise, so a difference of less than `TIE` of the values is `within noise`, and a
    larger one is a direction: `direction only` where it agrees. An opposite direction from one or two seeds is
    worth as much as an agreeing one, no more: `contradicted`, to be shown as such only with its number of seeds.
    The same holds for more seeds of which some diverged: the sign must be the same in all of them.
    """
    if math.isfinite(d.low) or (math.isinf(d.mean) and d.low == d.high):
        if d.low > 0:
            return "reproduced"
        return "contradicted" if (strict or d).high < 0 else "within noise"
    if d.n >= ENOUGH:
        return {1: "direction only", -1: "contradicted", 0: "within noise"}[d.same_sign]  # type: ignore[return-value]
    if d.size < TIE or d.mean == 0:
        return "within noise"
    return "direction only" if d.mean > 0 else "contradicted"


def is_tie(cell: Values, winner: Values) -> bool:
    """Whether two cells can't be told apart: 0 is inside the 95 % t interval of their difference from two seeds on
    (a lone degree of freedom ties generously, on purpose), within `TIE` of each other with one seed."""
    d = difference(cell, winner)
    if d.n >= ENOUGH:
        half = d.high - d.mean
    elif d.n > 1 and d.paired:
        half = _half_paired([cell[s] - winner[s] for s in cell], CONFIDENCE)
    else:
        return d.size < TIE
    return abs(d.mean) <= half
