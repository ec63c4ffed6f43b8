"""How often verdicts are wrong, drawn through the functions that judge: levels are kept, effects are found."""

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


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.name}: {c.truth}, {c.forbids}")
def test_what_the_truth_forbids_is_said_in_one_case_of_twenty_at_most(case: Case) -> None:
    assert share(case, 400, seed=1).get(case.forbids, 0.0) <= allowed(0.05, 400)


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


def test_lent_variance_finds_more_at_the_same_level() -> None:
    alone, lent = (word(pairs(1, 3, 2, lend=lend), "reproduced", 1000) for lend in (0, 8))
    assert 0.45 < alone < 0.65 and lent > alone + 0.2
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


def test_the_table_has_a_row_a_situation_with_what_would_be_wrong_in_bold() -> None:
    lines = simulations.table(3).splitlines()
    assert len(lines) == 2 + len({(c.name, c.truth) for c in CASES})
    assert all(line.count("**") >= 2 for line in lines[2:])
