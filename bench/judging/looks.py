"""Adding seeds after a look: the levels that keep the error of all looks together, planned and unplanned.

One look has the whole level. Who looks, adds seeds and looks again has more than one chance to be fooled, so each look
of the schedule has its own smaller level (K. K. G. Lan and D. L. DeMets, "Discrete sequential boundaries for clinical
trials", Biometrika 70, 1983, with Pocock's spending of .025). The first look has the whole level all the same, since
most claims are looked at once: with it, one of all five looks is passed in 4.1 % of the cases without an effect, and
one of it and of unplanned looks after it in 3.9 %. A look that is not on the schedule is judged by an e-value, which
may be looked at as often as one likes: the right-Haar Bayes factor of a t statistic, mixed over effects above 0 (A.
Hendriksen, R. de Heide, P. Grünwald, "Optional stopping with Bayes factors", Bayesian Analysis 16, 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from retable.bench.judging.stats import ALPHA, Difference

SCHEDULE: dict[int, float] = {3: 0.0063, 5: 0.0042, 8: 0.0055, 12: 0.0070, 18: 0.0089}
"""Seeds of each planned look -> its one-sided level. Found by simulation of t statistics (five times 400,000 series):
the chance of passing by any look so far is then .025 ln(1 + (e - 1) n / 18): .0063, .0098, .0142, .0191, .025."""
EVIDENCE = 20.0
"""E-value from which an unplanned look decides: without an effect it is ever reached with a chance of 5 % at most."""


@dataclass(frozen=True)
class Look:
    """How a claim is judged this time. number: which look it is. planned: it is on the schedule, or the only one."""

    number: int = 1
    planned: bool = True

    def alpha(self, n: int) -> float:
        """The one-sided level of a comparison with n replicates."""
        if not self.planned:
            return 1 / EVIDENCE
        if self.number == 1:
            return ALPHA
        return SCHEDULE[max((seeds for seeds in SCHEDULE if seeds <= n), default=min(SCHEDULE))]

    def weighed(self, d: Difference) -> Difference:
        """The difference as this look judges it: by its p-values, or by what an e-value is worth as one.

        A p-value that is not of a t is worth an e-value of 1 / (2 √p) (V. Vovk, R. Wang, Ann. Statist. 49, 2021).
        """
        if not self.planned and d.settled is not None:
            above, below = (min(1.0, 2 * math.sqrt(p)) for p in d.settled)
            return replace(d, settled=(above, below))
        if self.planned or not d.has_interval or not d.error:
            return d
        t, n = d.mean / d.error, d.n
        return replace(d, settled=(1 / max(e_value(t, n), 1.0), 1 / max(e_value(-t, n), 1.0)))

    @property
    def words(self) -> str:
        """`look 2 of 5`; nothing for a single look."""
        if self.number == 1:
            return ""
        return f"look {self.number} of {len(SCHEDULE)}" if self.planned else f"unplanned look {self.number}"


FIRST = Look()


def look(before: Sequence[int], n: int) -> Look:
    """The look at n seeds after those `before`. The first may be at any number; every later one must be scheduled."""
    seen = sorted({*(b for b in before if b < n), n})
    return Look(len(seen), all(seeds in SCHEDULE for seeds in seen[1:]))


@lru_cache(maxsize=4096)
def e_value(t: float, n: int) -> float:
    """The evidence of a paired t statistic of n differences for a mean above 0 against one of 0 or below.

    The mixture is half a standard normal over the effect in standard deviations, integrated by quadrature.
    """
    from scipy.stats import nct  # most of a second to import: only an unplanned look needs it
    from scipy.stats import t as student

    effects, weights = _effects()
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = nct.pdf(t, n - 1, effects * math.sqrt(n)) / student.pdf(t, n - 1)
    return float(np.sum(weights * np.nan_to_num(ratio, nan=0.0)))


@lru_cache(maxsize=1)
def _effects() -> tuple[np.ndarray, np.ndarray]:
    points, weights = np.polynomial.legendre.leggauss(48)
    effects = 2.5 * (points + 1)  # 0 to 5 standard deviations
    density = math.sqrt(2 / math.pi) * np.exp(-(effects**2) / 2)
    return effects, 2.5 * weights * density
