"""What it would take: how many seeds decide a comparison, and how likely the next look does.

A pilot of three seeds is a poor guide to its own effect, so a number of seeds always stands with its range: for the
ends of the interval of the effect that was seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtr, stdtrit

from retable.bench.judging.looks import SCHEDULE
from retable.bench.judging.stats import ALPHA, ENOUGH, Difference

POWER = 0.8
MOST = 10_000
"""Seeds beyond which nobody asks how many more."""


@dataclass(frozen=True)
class Need:
    """Seeds that decide a comparison with a power of 80 %: for the effect seen, and for the ends of its interval.

    most is None where the interval holds 0: then no number of seeds is known to be enough.
    """

    seeds: int
    least: int
    most: int | None

    @property
    def words(self) -> str:
        """`about 20 seeds (6 to 450)`."""
        end = "no bound" if self.most is None else _many(self.most)
        return f"about {_many(self.seeds)} seeds ({_many(self.least)} to {end})"


def _many(n: int) -> str:
    return f"over {MOST:,}" if n > MOST else str(n)


def needed(d: Difference, alpha: float = ALPHA) -> Need | None:
    """What would decide a comparison, either way; None where nothing is known of its noise."""
    if not d.has_interval or not d.error or not d.mean:
        return None
    sd = d.error * math.sqrt(d.n)
    low, high = sorted(abs(end) for end in d.interval())
    far = None if d.low <= 0 <= d.high else seeds_for(low, sd, alpha)
    return Need(seeds_for(abs(d.mean), sd, alpha), seeds_for(high, sd, alpha), far)


def seeds_for(effect: float, sd: float, alpha: float = ALPHA) -> int:
    """The fewest seeds (`ENOUGH` or more) with which a difference of `effect` is found with a power of 80 %."""
    low, high = ENOUGH, MOST + 1
    while low < high:  # power grows with the seeds
        n = (low + high) // 2
        enough = effect * math.sqrt(n) / sd >= stdtrit(n - 1, 1 - alpha) + stdtrit(n - 1, POWER)
        low, high = (low, n) if enough else (n + 1, high)
    return low


def chance(d: Difference, n: int, clauses: int = 1) -> tuple[float, float]:
    """How likely a look at n seeds finds the statement to hold, and its opposite, given what is known now.

    The mean of n seeds is predicted from the d.n that are there, with nothing assumed of the effect (a flat prior).
    Without an interval so far, an even chance of either is a half of a half: it is worth a look.
    """
    if not d.has_interval or not d.error:
        return 0.25, 0.25
    sd = d.error * math.sqrt(d.n)
    predicted = sd * math.sqrt(max(1 / d.n - 1 / n, 1e-12))
    alpha = SCHEDULE.get(n, ALPHA)
    up, down = (stdtrit(n - 1, 1 - level) * sd / math.sqrt(n) for level in (alpha, alpha / clauses))
    return float(ndtr((d.mean - up) / predicted)), float(ndtr((-d.mean - down) / predicted))
