"""Whether two lists of numbers put the same things in the same order, by more than chance would.

Kendall's tau (M. G. Kendall, Biometrika 30, 1938) over the pairs that the paper tells apart, with its exact permutation
distribution: what is random under "our order has nothing to do with theirs" is which value belongs to which thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations

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
    signs = tuple(1 if theirs[i] > theirs[j] else -1 for i, j in pairs)
    order = sorted(ours)
    ranks = tuple(map(order.index, ours))  # infinite values rank, though they have no difference
    agree = _scores(np.array([ranks]), pairs, signs)[0]
    by_chance = _by_chance(tuple(sorted(ranks)), tuple(pairs), signs)
    here, many = int(agree.sum()), len(by_chance)
    above, below = int((by_chance >= here).sum()), int((by_chance <= here).sum())
    drawn = int(n > EXACT)  # the order at hand counts as one of those that are drawn
    chances = ((above + drawn) / (many + drawn), (below + drawn) / (many + drawn))
    return Order(here / len(pairs), int((agree > 0).sum()), int((agree < 0).sum()), len(pairs), *chances)


@lru_cache(maxsize=64)
def _by_chance(ranks: tuple[int, ...], pairs: tuple[tuple[int, int], ...], signs: tuple[int, ...]) -> np.ndarray:
    """Concordant less discordant pairs of every order of these ranks, or of `DRAWN` of them."""
    if len(ranks) <= EXACT:
        orders = np.array(list(permutations(ranks)), dtype=np.int16)
    else:
        orders = np.random.default_rng(0).permuted(np.tile(np.array(ranks, dtype=np.int16), (DRAWN, 1)), axis=1)
    return np.asarray(_scores(orders, pairs, signs).sum(axis=1))


def _scores(orders: np.ndarray, pairs: Sequence[tuple[int, int]], signs: Sequence[int]) -> np.ndarray:
    """Of each order (a row) and pair (a column): 1 where it agrees with the sign, -1 where not, 0 where it ties."""
    first, second = np.array(pairs).T
    return np.asarray(np.sign(orders[:, first] - orders[:, second]) * np.array(signs, dtype=np.int16))


def _tied(a: float, b: float, within: float) -> bool:
    return abs(a - b) <= within * max(abs(a), abs(b))
