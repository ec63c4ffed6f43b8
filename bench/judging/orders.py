"""Whether two lists of numbers put the same things in the same order, by more than chance would.

Kendall's tau (M. G. Kendall, Biometrika 30, 1938) over the pairs that the paper tells apart, with its exact permutation
distribution: what is random under "our order has nothing to do with theirs" is which value belongs to which thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from math import factorial

import numpy as np

EXACT = 8
"""Things up to which every permutation is counted; beyond it `DRAWN` of them are drawn."""
DRAWN = 99_999


@dataclass(frozen=True)
class Order:
    """tau: (concordant - discordant) / compared. compared: pairs that the paper tells apart. above, below: the chance
    of a tau so high (low) or higher (lower) if the two orders had nothing to do with each other."""

    tau: float
    concordant: int
    discordant: int
    compared: int
    above: float
    below: float


def agreement(ours: Sequence[float], theirs: Sequence[float], tied_within: float = 0.0) -> Order:
    """The agreement of two orders of the same things.

    tied_within: two published values count as tied where they differ by no more than this share of the larger.
    Raises ValueError where the published values are all tied or ours all equal.
    """
    n = len(ours)
    pairs = [(i, j) for i, j in combinations(range(n), 2) if not _tied(theirs[i], theirs[j], tied_within)]
    if not pairs or len(set(ours)) < 2:
        raise ValueError("no two values are told apart, which is no order")
    first, second = np.array(pairs).T
    signs = np.sign(np.array(theirs)[first] - np.array(theirs)[second]).astype(np.int16)
    order = np.array(ours)

    def score(values: np.ndarray) -> np.ndarray:
        return np.asarray((np.sign(values[..., first] - values[..., second]) * signs).sum(axis=-1))

    ranks = order.argsort().argsort()
    # Infinite values rank, though they have no difference; few bytes, since each is drawn `DRAWN` times for every pair.
    ranks = np.array([ranks[order == v].min() for v in order], dtype=np.int16)
    if n <= EXACT:
        every = np.array(list(permutations(range(n))))
        drawn = score(ranks[every])
        here = float(score(ranks))
        above, below = ((drawn >= here).sum() / factorial(n), (drawn <= here).sum() / factorial(n))
    else:
        random = np.random.default_rng(0)
        drawn = score(random.permuted(np.tile(ranks, (DRAWN, 1)), axis=1))
        here = float(score(ranks))
        above, below = (1 + (drawn >= here).sum()) / (DRAWN + 1), (1 + (drawn <= here).sum()) / (DRAWN + 1)
    agree = np.sign(ranks[first] - ranks[second]) * signs
    concordant, discordant = int((agree > 0).sum()), int((agree < 0).sum())
    return Order(here / len(pairs), concordant, discordant, len(pairs), float(above), float(below))


def _tied(a: float, b: float, within: float) -> bool:
    return abs(a - b) <= within * max(abs(a), abs(b))
