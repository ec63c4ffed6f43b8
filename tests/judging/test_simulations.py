"""The error rates that docs/verdicts.md prints: no case is called what its truth forbids more often than it may be."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from retable.bench.judging import simulations
from retable.bench.judging.simulations import CASES, Case

DRAWS = 150
PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}: {case.forbids}")
def test_what_the_truth_forbids_is_rarely_said(case: Case) -> None:
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / DRAWS)
    assert simulations.share(case, DRAWS, seed=1).get(case.forbids, 0.0) <= allowed


def test_a_true_effect_is_found_the_oftener_the_more_is_known_of_the_noise() -> None:
    alone = simulations.share(Case("", "", "", simulations.pairs(1, 3, 2)), DRAWS)["reproduced"]
    lent = simulations.share(Case("", "", "", simulations.pairs(1, 3, 2, lend=8)), DRAWS)["reproduced"]
    assert alone < 0.65 < lent


def test_the_page_has_every_case() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    for case in CASES:
        assert any(line.startswith(f"| {case.name} | {case.truth} |") for line in rows)
