"""Claims judged on synthetic results: effects are found, nulls are not, and what is missing is said."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_sample import hit, results, sample_suite, suite_with

from retable.bench.judging import power
from retable.bench.judging.verdicts import Verdict, judge_all

HERE = Path(__file__).parents[1] / "report"
OTHERS = ["adadelta", "adagrad", "rprop"]


def verdict(
    check: Mapping[str, Any],
    loss: Callable[[Mapping[str, Any], np.random.Generator], float],
    change: Callable[[dict[str, Any]], Mapping[str, Any] | None] = lambda row: None,
    seed: int = 0,
    **claim: Any,
) -> Verdict:
    """The verdict on one claim over the experiment `defaults` (eight optimizers, three seeds) or what `claim` says."""
    view = {"quote": "a sentence of the paper", "from": "defaults", "check": check, **claim}
    suite = suite_with(claims={"claim": view}, tables={}, figures={})

    def measured(row: Mapping[str, Any], noise: np.random.Generator) -> dict[str, float]:
        if row["task"] == "unroll":
            return {"loss/tv": loss(row, noise)}
        return {"loss/total": loss(row, noise), "time/train": loss(row, noise), "score/accuracy": loss(row, noise)}

    return judge_all(results(HERE, suite, change=change, measured=measured, seed=seed))[0]


BELOW = {
    "form": "below",
    "metric": "loss/total",
    "these": {"optimizer": ["adam", "nadam"]},
    "than": {"optimizer": OTHERS},
}
RATIO = {"form": "ratio", "metric": "loss/total", "of": {"optimizer": "rprop"}, "to": {"optimizer": ["adam", "nadam"]}}
SPREAD = {"form": "spread", "metric": "loss/total", "these": {"optimizer": "rprop"}, "than": {"optimizer": "adam"}}
FALLS = {"form": "monotone", "metric": "loss/tv", "over": "depth", "direction": "falls"}


def apart(gap: float, noise_level: float = 1.0) -> Callable[[Mapping[str, Any], np.random.Generator], float]:
    """Losses of 100, `gap` more for the other three."""
    return lambda row, noise: 100 + (gap if row.get("optimizer") in OTHERS else 0) + noise.normal(0, noise_level)


def test_a_true_effect_is_found_and_the_worst_pair_named() -> None:
    found = verdict(BELOW, apart(20))
    assert found.word == "reproduced"
    assert found.basis.startswith(
        "3 paired seeds, t 95 %, variance shared with 28 pairs of defaults; 6 of 6 comparisons"
    )
    assert " below " in found.basis and "×0.8" in found.basis


def test_the_reverse_effect_is_contradicted() -> None:
    found = verdict(BELOW, apart(-20))
    assert (found.word, found.label) == ("contradicted", "contradicted")
    assert "Bonferroni" in found.basis


def test_no_effect_is_within_noise() -> None:
    assert verdict(BELOW, apart(0)).word == "within noise"


def test_one_bad_pair_spoils_the_whole_claim() -> None:
    found = verdict(BELOW, lambda row, noise: 300 if hit(row, optimizer="nadam") else apart(20)(row, noise))
    assert found.word == "contradicted"
    assert "3 of 6 comparisons hold" in found.basis
    assert found.judged[0].comparison.label.startswith("nadam below")


def test_higher_is_better_turns_the_direction() -> None:
    check = {**BELOW, "metric": "score/accuracy", "higher": True}
    assert verdict(check, apart(-20)).word == "reproduced"
    assert verdict(check, apart(20)).word == "contradicted"


def test_a_margin_asks_for_more_than_a_direction() -> None:
    assert verdict({**BELOW, "margin": 0.1}, apart(20, 0.1)).word == "reproduced"
    assert verdict({**BELOW, "margin": 0.3}, apart(20, 0.1)).word == "contradicted"


@settings(max_examples=25, deadline=None)
@given(gap=st.floats(-50, 50), seed=st.integers(0, 10**6))
def test_one_seed_never_gives_more_than_a_direction(gap: float, seed: int) -> None:
    found = verdict(BELOW, apart(gap), seed=seed, where={"seed": 1})
    assert found.seeds == 1
    assert found.word in ("direction only", "within noise", "direction only (opposite)")
    assert found.label == found.word
    assert found.basis.startswith("1 seed")


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.floats(-3, 3))
def test_the_order_of_trials_changes_nothing(shuffle: Any, gap: float) -> None:
    suite = suite_with(claims={"claim": {"quote": "a sentence of it", "from": "defaults", "check": BELOW}})
    whole = results(HERE, suite, measured=lambda row, noise: {"loss/total": apart(gap)(row, noise), "loss/tv": 1.0})
    order = list(range(len(whole.trials)))
    shuffle.shuffle(order)
    mixed = type(whole)(whole.suite, whole.scale, whole.trials.iloc[order], whole.facts, whole.curves, whole.artifact)
    assert judge_all(whole)[0].basis == judge_all(mixed)[0].basis


@pytest.mark.parametrize("state", ["missing", "failed", "running"])
def test_a_trial_that_lacks_leaves_the_claim_unjudged_and_is_named(state: str) -> None:
    found = verdict(
        BELOW,
        apart(20),
        lambda row: {"state": state, "reason": "disk full"} if hit(row, optimizer="nadam", seed=2) else None,
    )
    assert (found.word, found.judged) == ("not run", ())
    assert "nadam seed 2" in found.basis
    assert {"missing": "not run", "failed": "disk full", "running": "still running"}[state] in found.basis


def test_a_trial_outside_the_claim_may_lack() -> None:
    assert (
        verdict(BELOW, apart(20), lambda row: {"state": "missing"} if hit(row, optimizer="adamax") else None).seeds == 3
    )


def test_diverged_trials_count_as_the_worst_and_are_told() -> None:
    gone = {"state": "diverged", "reason": "loss is inf at step 7"}
    all_of_it = verdict(BELOW, apart(20), lambda row: gone if hit(row, optimizer="adadelta") else None)
    assert all_of_it.word == "reproduced"
    assert "3 diverged trials counted as the worst possible value" in all_of_it.notes
    some = verdict(BELOW, apart(20), lambda row: gone if hit(row, optimizer="adadelta", seed=1) else None)
    assert some.word == "direction only"
    own = verdict(BELOW, apart(20), lambda row: gone if hit(row, optimizer="adam") else None)
    assert own.word == "direction only (opposite)", "one of three pairs, at a third of the level: 4⁻³ is above it"
    one = {**BELOW, "these": {"optimizer": "adam"}, "than": {"optimizer": "rprop"}}
    alone = verdict(one, apart(20), lambda row: gone if hit(row, optimizer="adam") else None)
    assert alone.word == "contradicted"


def test_a_diverged_trial_has_no_time() -> None:
    check = {"form": "extreme", "metric": "time/train", "these": {"optimizer": "rprop"}, "end": "highest"}
    found = verdict(check, apart(20), lambda row: {"state": "diverged"} if hit(row, optimizer="adam", seed=0) else None)
    assert found.word == "not run"
    assert "has no time/train" in found.basis


def test_not_at_a_scale_gives_its_reason() -> None:
    assert (
        verdict(BELOW, apart(20), not_at={"quick": "too small to tell"}).basis
        == "not at scale quick: too small to tell"
    )
    large = verdict({**FALLS}, lambda row, noise: 1.0, **{"from": "large"})
    assert (large.word, large.basis) == ("not run", "not at scale quick: 40 hours on one GPU")


def test_ratio_holds_bounds_and_shows_the_published_one() -> None:
    def loss(row: Mapping[str, Any], noise: np.random.Generator) -> float:
        return (180 if row.get("optimizer") == "rprop" else 100) * (1 + noise.normal(0, 0.003))

    found = verdict({**RATIO, "at_least": 1.3, "published": 1.81}, loss)
    assert found.word == "reproduced"
    assert "×1.8" in found.basis and "(published ×1.81)" in found.basis
    assert verdict({**RATIO, "at_least": 1.3, "at_most": 1.5}, loss).word == "contradicted"
    assert verdict({**RATIO, "at_least": 1.7, "at_most": 1.9, "to_statistic": "each"}, loss).word == "reproduced"
    assert verdict({**RATIO, "at_least": 1.8}, loss).word == "within noise"


def test_a_ratio_of_negative_values_is_not_judged() -> None:
    found = verdict({**RATIO, "at_least": 1.3}, lambda row, noise: -1.0)
    assert (found.word, found.basis) == ("not run", "a ratio needs positive values, and loss/total is −1")


def test_monotone_holds_the_other_settings_and_needs_every_step() -> None:
    def falls(row: Mapping[str, Any], noise: np.random.Generator) -> float:
        bump = 0.5 if hit(row, depth=4, nonlinearity="relu") else 0.0
        return float(1 / row.get("depth", 1) + bump * worse + noise.normal(0, 0.005))

    worse = 0
    found = verdict(FALLS, falls, **{"from": "depth"})
    assert (found.word, len(found.judged)) == ("reproduced", 6)
    worse = 1
    broken = verdict(FALLS, falls, **{"from": "depth"})
    assert broken.word == "contradicted"
    assert broken.judged[0].comparison.label == "relu at depth 4 below relu at depth 2"


def test_spread_compares_grids_and_a_diverged_cell_is_infinite() -> None:
    check = {**SPREAD, "over": ["lr", "batch_size"]}

    def loss(row: Mapping[str, Any], noise: np.random.Generator) -> float:
        return 100 * (1 + (row.get("optimizer") == "rprop") * abs(math.log10(row.get("lr", 1e-3))))

    found = verdict(check, loss, **{"from": "grid"})
    assert (found.word, found.seeds) == ("direction only", 1)
    assert "×2.5 against ×1" in found.judged[0].comparison.numbers

    def gone(row: dict[str, Any]) -> dict[str, Any] | None:
        return {"state": "diverged"} if hit(row, optimizer="adam", lr=0.1, batch_size=1) else None

    lost = verdict(check, loss, gone, **{"from": "grid"})
    assert lost.label == "direction only (opposite)"
    assert "×∞" in lost.judged[0].comparison.numbers


def test_spread_looks_through_the_names_of_cells() -> None:
    experiments = sample_suite().model_dump(by_alias=True, exclude_unset=True)["experiments"]
    cells = {
        f"{optimizer}-{lr}": {
            "optimizer": {"value": optimizer, "source": "here"},
            "lr": {"value": lr, "source": "here"},
        }
        for optimizer in ("rprop", "adam")
        for lr in (0.1, 0.001)
    }
    named = {**experiments["defaults"], "cells": cells, "seeds": 3}
    view = {"quote": "a sentence of the paper", "from": "named", "check": {**SPREAD, "over": ["lr"]}}
    suite = suite_with(experiments={**experiments, "named": named}, claims={"claim": view}, tables={}, figures={})

    def measured(row: Mapping[str, Any], noise: np.random.Generator) -> dict[str, float]:
        steep = row.get("optimizer") == "rprop" and row.get("lr") == 0.1
        return {"loss/total": (200 if steep else 100) + noise.normal(0, 1), "time/train": 1.0, "score/accuracy": 1.0}

    assert judge_all(results(HERE, suite, measured=measured))[0].word == "reproduced"


def test_a_selection_with_missing_cells_is_not_judged_and_one_with_diverged_cells_is() -> None:
    view: dict[str, Any] = {"from": "grid", "select": {"lowest": "loss/total", "over": ["lr", "batch_size"]}}
    here = {"optimizer": "adam", "lr": 0.1, "batch_size": 8}
    missing = verdict(BELOW, apart(20), lambda row: {"state": "missing"} if hit(row, **here) else None, **view)
    assert missing.word == "not run"
    assert "1 cell of the selection over lr, batch_size incomplete" in missing.basis
    gone = verdict(BELOW, apart(20), lambda row: {"state": "diverged"} if hit(row, **here) else None, **view)
    assert gone.word == "direction only"
    assert "1 diverged cell could not be chosen" in gone.notes


def test_pairs_hold_equal_what_no_side_names() -> None:
    """Without it, adam at a bad learning rate would be held against rprop at a good one."""
    check = {**BELOW, "these": {"optimizer": "adam"}, "than": {"optimizer": "rprop"}}
    found = verdict(
        check, lambda row, noise: 1e3 * row.get("lr", 1) + 10 * (row.get("optimizer") == "rprop"), **{"from": "grid"}
    )
    assert (found.word, len(found.judged)) == ("direction only", 16)


def test_what_was_chosen_may_differ_between_the_sides_of_a_pair() -> None:
    """The best learning rate of adam is not that of rprop; batch sizes are not chosen, so they are held."""
    check = {**BELOW, "these": {"optimizer": "adam"}, "than": {"optimizer": "rprop"}}
    best = {"adam": 0.001, "rprop": 0.1}

    def loss(row: Mapping[str, Any], noise: np.random.Generator) -> float:
        away = row.get("lr") != best.get(row.get("optimizer", ""), 0.1)
        return 100 + 50 * away + 10 * (row.get("optimizer") == "rprop")

    found = verdict(check, loss, **{"from": "grid", "select": {"lowest": "loss/total", "over": ["lr"]}})
    assert (found.word, len(found.judged)) == ("direction only", 4)
    assert {round(math.exp(j.difference.mean), 9) for j in found.judged} == {1.1}


def test_stale_trials_are_judged_and_told() -> None:
    found = verdict(BELOW, apart(20), lambda row: {"stale": True} if hit(row, optimizer="adam") else None)
    assert found.word == "reproduced"
    assert "3 trials from older code (stale)" in found.notes


def test_every_claim_of_the_sample_is_judged() -> None:
    assert [v.word for v in judge_all(results(HERE))] == [
        "reproduced", "direction only", "direction only", "reproduced", "reproduced", "not run",
    ]  # fmt: skip
    assert len(sample_suite().claims) == 6


AGREES = {"form": "agrees", "metric": "loss/total", "over": "optimizer", "published": "table1/loss"}


def order(loss: Callable[[Mapping[str, Any], np.random.Generator], float], seed: int = 0, **more: Any) -> Verdict:
    """The verdict on our order of the optimizers against Table 1's of the sample suite."""
    data = sample_suite().model_dump(by_alias=True, exclude_unset=True)
    view = {"quote": "a sentence of the paper", "from": "defaults", "check": {**AGREES, **more}}
    suite = suite_with(claims={"claim": view}, tables=data["tables"], figures={})

    def measured(row: Mapping[str, Any], noise: np.random.Generator) -> dict[str, float]:
        return {"loss/total": loss(row, noise), "loss/tv": 1.0, "time/train": 1.0, "score/accuracy": 1.0}

    return judge_all(results(HERE, suite, measured=measured, seed=seed))[0]


def printed() -> dict[str, float]:
    rows = sample_suite().tables["table1"].published
    return {row: float(cells["loss"]) for row, cells in rows.items() if isinstance(cells.get("loss"), (int, float))}


def test_the_published_order_is_found_and_its_opposite_is_a_contradiction() -> None:
    assert len(printed()) >= 3
    same = order(lambda row, noise: printed().get(row.get("optimizer"), 0.0) * (1 + noise.normal(0, 1e-6)))
    assert same.word == "reproduced" and "tau" in same.basis
    reverse = order(lambda row, noise: -printed().get(row.get("optimizer"), 0.0) * (1 + noise.normal(0, 1e-6)))
    assert reverse.word == "contradicted"


def test_equal_values_are_no_order() -> None:
    assert order(lambda row, noise: 1.0).word == "not run"


@pytest.mark.parametrize("published", [None, 1.81])
def test_an_undecided_claim_says_what_it_would_take(published: float | None) -> None:
    """Of 24 trials of 6.5 seconds, two cells are compared."""

    def loss(row: Mapping[str, Any], noise: np.random.Generator) -> float:
        return (145 if row.get("optimizer") == "rprop" else 100) * math.exp(noise.normal(0, 0.2))

    one = {**RATIO, "to": {"optimizer": "adam"}, "at_least": 1.3, "published": published}
    found = verdict(one, loss)
    assert found.word == "within noise"
    d = found.judged[0].difference
    need = power.needed(d)
    assert need is not None and need.seeds > 3
    said = f"to decide it: {need.words}, {(need.seeds - 3) * 2 * 6.5 / 3600:.2g} core-hours, for the effect seen"
    if published:
        said += f"; {power.seeds_for(math.log(1.81 / 1.3), d.error * math.sqrt(3))} for the published one"
    assert found.notes == (said,)
    assert verdict(one, loss, kind="toy").notes == (), "of what is learned alone"
