"""What it would take: seeds for a power of 80 %, with their range, and how likely the next look decides."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retable.bench.judging import power
from retable.bench.judging.looks import SCHEDULE
from retable.bench.judging.power import Need, chance, needed, seeds_for
from retable.bench.judging.stats import Difference


def seen(mean: float, sd: float = 1.0, n: int = 3) -> Difference:
    return Difference(mean, sd / math.sqrt(n), n - 1, n, True, 0.5, 0)


@pytest.mark.parametrize("effect", [0.5, 1.0, 2.0])
def test_so_many_seeds_find_the_effect_in_about_eighty_percent(effect: float) -> None:
    n = seeds_for(effect, 1.0)
    draws = np.random.default_rng(0).normal(effect, 1, (20_000, n))
    t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / math.sqrt(n))
    found = float((t >= power.stdtrit(n - 1, 0.975)).mean())
    assert 0.77 < found < 0.93, "the fewest whole seeds, by an approximation"
    assert seeds_for(10 * effect, 10.0) == n


def test_a_stricter_level_and_a_smaller_effect_need_more_and_three_are_the_fewest() -> None:
    assert seeds_for(1.0, 1.0) < seeds_for(1.0, 1.0, 0.005) < seeds_for(0.5, 1.0, 0.005)
    assert seeds_for(1e9, 1.0) == 3 and seeds_for(1e-6, 1.0) == power.MOST + 1


def test_a_number_of_seeds_stands_with_those_for_the_ends_of_the_interval() -> None:
    d = seen(3.0)
    low, high = d.interval()
    assert low > 0
    assert needed(d) == Need(seeds_for(3.0, 1.0), seeds_for(high, 1.0), seeds_for(low, 1.0))
    assert needed(seen(-3.0)) == needed(d), "of either sign"
    around = needed(seen(0.5))
    assert around is not None and around.most is None
    assert (Need(20, 6, 450).words, Need(20_000, 6, None).words) == (
        "about 20 seeds (6 to 450)", "about over 10,000 seeds (6 to no bound)",
    )  # fmt: skip


def test_without_noise_or_an_interval_nobody_knows() -> None:
    for d in (seen(0.0), seen(1.0, 0.0), Difference(1.0, math.inf, 0, 1, True, 0.5, 1)):
        assert needed(d) is None


def test_the_chance_of_the_next_look_grows_with_what_was_seen_and_has_two_sides() -> None:
    up, down = chance(seen(1.0), 5)
    assert 0 <= down < up <= 1 and chance(seen(-1.0), 5) == pytest.approx((down, up))
    assert chance(seen(2.0), 5)[0] > up and chance(seen(1.0), 5, clauses=6)[1] <= down
    assert chance(Difference(1.0, math.inf, 0, 1, True, 0.5, 1), 3) == (0.25, 0.25)
    assert 5 in SCHEDULE
