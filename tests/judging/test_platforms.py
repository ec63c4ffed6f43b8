"""Platforms: what makes two of them one, and how far a number may move from one to the other."""

from __future__ import annotations

import math

import pytest

from retable.bench.judging import platforms
from retable.bench.judging.platforms import ASSUMED, LOOSE, MARGIN, RESIDUE, ROUNDING, WIDEST, Measurement

EPYC = {"device": "cpu", "cpu": "AMD EPYC", "isa": "avx2", "torch": "2.9.0", "threads": "1", "ranks": "1"}


def test_a_platform_is_what_moves_the_last_digits() -> None:
    facts = {
        "cpu": "AMD EPYC 7763 64-Core Processor",
        "isa": "avx2",
        "torch": "2.9.0",
        "device": "cpu",
        "threads": "1",
        "host": "a",
        "python": "3.12.1",
        "precision_used": "bf16",
    }
    assert platforms.of(facts) == {**EPYC, "precision": "bf16"}
    assert platforms.of({**facts, "ranks": "2"})["ranks"] == "2"
    assert platforms.of({}) == {} and platforms.of({"platform": "ci"}) == {"platform": "ci"}


def test_on_a_gpu_the_processor_beside_it_does_not_count() -> None:
    facts = {"device": "cuda:1", "gpu": "H100", "cpu": "AMD EPYC", "isa": "avx2", "threads": "8", "torch": "2.9.0"}
    assert platforms.of(facts) == {"device": "cuda", "gpu": "H100", "torch": "2.9.0", "ranks": "1"}


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("AMD EPYC 7763 64-Core Processor", "AMD EPYC"),
        ("AMD EPYC", "AMD EPYC"),
        ("Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz", "Intel Xeon Platinum"),
        ("i386", "i386"),
    ],
)
def test_a_processor_is_known_by_its_family(model: str, family: str) -> None:
    assert platforms.family(model) == family


def test_only_what_both_tell_can_differ() -> None:
    assert platforms.differing(EPYC, {**EPYC, "threads": "2"}) == {"threads": ("1", "2")}
    assert platforms.differing(EPYC, {}) == {} and platforms.differing(EPYC, {"gpu": "H100"}) == {}


ON_A_CPU = {"device": "cpu", "cpu": "AMD EPYC", "isa": "avx2", "torch": "2.9.0", "threads": "1"}
ON_A_GPU = {"device": "cuda:0", "gpu": "H100", "torch": "2.9.0"}


@pytest.mark.parametrize(
    ("facts", "fact", "other"),
    [
        (ON_A_CPU, "threads", "2"),
        (ON_A_CPU, "ranks", "2"),
        (ON_A_CPU, "torch", "2.8.0"),
        (ON_A_CPU, "isa", "sve"),
        (ON_A_CPU, "cpu", "Ampere"),
        (ON_A_CPU, "platform", "desk"),
        (ON_A_GPU, "gpu", "L4"),
        (ON_A_GPU, "device", "mps"),
        (ON_A_GPU, "precision_used", "bf16"),
    ],
)
def test_every_fact_that_moves_a_loss_makes_another_platform(facts: dict[str, str], fact: str, other: str) -> None:
    here = platforms.of({"precision_used": "fp32", "platform": "ci", **facts})
    there = platforms.of({"precision_used": "fp32", "platform": "ci", **facts, fact: other})
    name = fact.removesuffix("_used")
    assert platforms.differing(here, there) == {name: (here[name], other)}
    may = platforms.allowed("grid", "loss", here, there, [])
    assert may.relative == ASSUMED[name] > ROUNDING and f"{name} {here[name]} → {other}" in may.why


def test_the_nearest_platform_differs_least_and_then_agrees_most() -> None:
    near = [{**EPYC, "threads": "4", "torch": "2.8.0"}, {}, EPYC, {**EPYC, "threads": "4"}]
    assert sorted(near, key=lambda p: platforms.distance(p, EPYC)) == [EPYC, {}, near[3], near[0]]


@pytest.mark.parametrize(
    ("was", "now", "far"),
    [(2.0, 2.0, 0), (2.0, 3.0, 0.5), (-2.0, -3.0, 0.5), (2.0, 0.0, 1), (0.0, 0.0, 0), (0.0, 1e-30, math.inf)],
)
def test_a_move_is_told_relative_to_what_was(was: float, now: float, far: float) -> None:
    assert platforms.moved(was, now) == pytest.approx(far)


def test_a_distance_is_the_same_from_both_sides_and_finite() -> None:
    assert platforms.apart(2.0, 1.0) == platforms.apart(1.0, 2.0) == 0.5
    assert platforms.apart(0.0, 3.0) == 1.0 and platforms.apart(0.0, 0.0) == 0.0


def allowed(here: dict[str, str], *measured: Measurement) -> platforms.Allowed:
    return platforms.allowed("grid", "loss", EPYC, here, measured)


def threads(a: str, b: str, largest: float) -> Measurement:
    return Measurement({"threads": (a, b)}, "4 trials", {"grid": {"loss": largest}})


def test_on_the_same_platform_a_loss_is_equal_to_rounding() -> None:
    may = allowed(EPYC, threads("1", "2", 0.1))
    assert may.relative == ROUNDING and may.held and not may.residue and "same platform" in may.why


def test_elsewhere_it_moves_within_what_was_measured() -> None:
    may = allowed({**EPYC, "threads": "2"}, threads("1", "2", 0.01))
    assert may.relative == MARGIN * 0.01 and "threads 1 → 2" in may.why and "measured" in may.why
    assert allowed({**EPYC, "threads": "2"}, threads("1", "2", 0.0)).relative == ROUNDING


def test_the_same_two_values_count_before_others_of_the_same_fact() -> None:
    two = {**EPYC, "threads": "2"}
    both = (threads("1", "8", 0.1), threads("2", "1", 0.01))
    assert allowed(two, *both).relative == MARGIN * 0.01
    other = allowed({**EPYC, "threads": "4"}, *both)
    assert other.relative == MARGIN * 0.1
    assert other.why == "threads 1 → 4: within 2 times what was measured between others"
    assert allowed(two, *both).why == "threads 1 → 2: within 2 times what was measured"


def test_what_was_measured_of_one_difference_says_nothing_of_two() -> None:
    both = {**EPYC, "threads": "2", "torch": "2.8.0"}
    one = threads("1", "2", 0.001)
    may = allowed(both, one)
    assert may.relative == pytest.approx(ASSUMED["threads"] + ASSUMED["torch"])
    assert may.why == "threads 1 → 2, torch 2.9.0 → 2.8.0: not measured, assumed (bench check --measure)"
    assert allowed({**EPYC, "torch": "2.8.0"}, one).relative == ASSUMED["torch"]
    pair = Measurement({"threads": ("1", "2"), "torch": ("2.8.0", "2.9.0")}, "4 trials", {"grid": {"loss": 0.01}})
    assert allowed(both, one, pair).relative == MARGIN * 0.01
    assert allowed({**EPYC, "threads": "2"}, one, pair).relative == MARGIN * 0.001


def test_what_nobody_measured_is_assumed_and_said_so() -> None:
    two = {**EPYC, "threads": "2"}
    elsewhere = Measurement({"threads": ("1", "2")}, "4 trials", {"other": {"loss": 0.1}, "grid": {"acc": 0.1}})
    torch = Measurement({"torch": ("2.8.0", "2.9.0")}, "4 trials", {"grid": {"loss": 0.1}})
    may = allowed(two, elsewhere, torch)
    assert may.relative == ASSUMED["threads"] and "assumed" in may.why
    assert allowed({**two, "torch": "2.8.0"}).relative == pytest.approx(ASSUMED["threads"] + ASSUMED["torch"])


def test_no_assumption_lets_a_loss_double() -> None:
    everything = dict.fromkeys(ASSUMED, "a"), dict.fromkeys(ASSUMED, "b")
    assert platforms.allowed("grid", "loss", *everything, []).relative == WIDEST < LOOSE < 1
    assert max(ASSUMED.values()) <= WIDEST


def test_a_platform_that_does_not_repeat_is_measured_against_itself() -> None:
    repeat = Measurement({}, "4 trials", {"grid": {"loss": 0.001}})
    may = allowed(EPYC, repeat)
    assert may.relative == MARGIN * 0.001 and may.why == "same platform: within 2 times what was measured"
    assert may.residue == 0.0
    wild = allowed(EPYC, Measurement({}, "4 trials", {"grid": {"loss": 0.4}}))
    assert not wild.held and wild.why == "same platform: measured to differ by 0.4"


def test_what_rounding_leaves_of_zero_is_zero_on_another_platform_alone() -> None:
    two = {**EPYC, "threads": "2"}
    assert allowed(two, threads("1", "2", 0.01)).residue == allowed(two).residue == RESIDUE < ROUNDING
    assert allowed(EPYC, threads("1", "2", 0.01)).residue == 0.0


def test_a_number_that_platforms_do_not_share_is_not_held_there() -> None:
    may = allowed({**EPYC, "threads": "2"}, threads("1", "2", LOOSE / MARGIN))
    assert not may.held and "0.25" in may.why
    assert allowed({**EPYC, "threads": "2"}, threads("1", "2", LOOSE / MARGIN * 0.99)).held


def test_a_measurement_says_what_went_furthest() -> None:
    said = Measurement({"threads": ("1", "2")}, "4 trials", {"grid": {"loss": 0.01, "acc": 0.0}}).text()
    assert said.splitlines() == [
        "4 trials: threads 1 and 2",
        "  grid: 1 of 2 numbers equal, largest 0.01 (loss)",
    ]
    said = Measurement({"threads": ("1", "2"), "torch": ("2", "3")}, "1 trial", {"grid": {}}).text()
    assert said == "1 trial: threads 1 and 2, torch 2 and 3\n  grid: 0 of 0 numbers equal, nothing to compare"
    assert Measurement({}, "4 trials").text() == "4 trials: the same platform twice"
