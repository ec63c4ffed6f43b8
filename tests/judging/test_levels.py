"""The levels of the rules one by one: a pair, many, one or two seeds, diverged ones, alternatives, an order."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from retable.bench.judging import simulations
from retable.bench.judging.simulations import CASES, Case, pairs, share
from retable.bench.judging.stats import Outcome

pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")


def allowed(level: float, draws: int) -> float:
    """What chance adds to a level: four standard errors, passed once in 30,000 times."""
    return level + 4 * math.sqrt(level * (1 - level) / draws)


def word(draw: Callable[..., Outcome], name: str, draws: int, seed: int = 0) -> float:
    return share(Case("", "", name, draw), draws, seed).get(name, 0.0)


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("says", ["reproduced", "contradicted"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_pair_without_effect_keeps_its_level_on_both_sides(n: int, says: str, shared: bool) -> None:
    draw = pairs(1, n, 0) if shared else simulations.unequal(n, n, 0)
    assert word(draw, says, 4000, seed=n) <= allowed(0.025, 4000)


def test_many_pairs_without_effect_keep_it_together() -> None:
    assert word(pairs(6, 3, 0), "contradicted", 1500) <= allowed(0.025, 1500)
    assert word(pairs(6, 3, 0), "reproduced", 1500) <= 0.01
    assert word(pairs(6, 5, 8), "reproduced", 200) > 0.95


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("effect", [0.0, 1.0, -3.0])
def test_one_or_two_seeds_never_contradict(n: int, effect: float) -> None:
    found = share(Case("", "", "", pairs(15, n, effect)), 200)
    assert set(found) <= {"direction only", "direction only (opposite)", "within noise"}


def test_seeds_that_diverge_by_chance_do_not_contradict() -> None:
    """Fifteen pairs of three seeds of which each diverges three times in ten: it was 52 %."""
    assert word(simulations.diverging(15, 3, 0.3), "contradicted", 400) <= allowed(0.025, 400)
    both = simulations.diverging(1, 3, 0.3)
    assert word(both, "reproduced", 2000) <= allowed(0.025, 2000)
    assert word(both, "contradicted", 2000) <= allowed(0.025, 2000)


def test_lent_variance_keeps_the_level() -> None:
    assert word(pairs(1, 3, 0, lend=8), "reproduced", 4000) <= allowed(0.025, 4000)


@pytest.mark.parametrize("says", ["reproduced", "contradicted"])
def test_an_unrelated_order_is_called_the_papers_no_more_often_than_the_level(says: str) -> None:
    """It was up to 44 %: what is random is which value belongs to which thing, not the eight things."""
    assert word(simulations.ordered(3, 8, 0.1), says, 2000) <= allowed(0.025, 2000)


def test_at_least_the_lowest_of_four_is_not_chosen_by_what_is_judged() -> None:
    """It was up to 29 %."""
    assert word(simulations.best_of(3, 4), "reproduced", 1000) <= allowed(0.025, 1000)


def test_a_case_is_drawn_the_same_for_the_same_seed_and_its_shares_add_up() -> None:
    first, again, other = (share(CASES[0], 200, seed) for seed in (0, 0, 7))
    assert first == again != other
    assert sum(first.values()) == pytest.approx(1.0)
