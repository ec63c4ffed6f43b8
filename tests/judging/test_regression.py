"""`bench check` compares a trial with itself: what moved, is missing, gone or failed is named, and is an error."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from gating import HERE, TWO, held, sixteen, trial

from retable.bench.judging import baseline as baselines
from retable.bench.judging.measured import GateError, Measured
from retable.bench.judging.platforms import ASSUMED, Measurement
from retable.bench.judging.regression import Checked, Kind, compare, exit_code

FILE = Path("toy.json")
BASELINE = held(*sixteen())


def checked(*measured: Measured) -> tuple[list[Checked], int]:
    found = compare(BASELINE, measured, FILE)
    return found, exit_code(found)


def kinds(compared: list[Checked]) -> dict[str, int]:
    return dict(Counter(c.kind for c in compared))


def test_equal_losses_hold() -> None:
    found, code = checked(*sixteen())
    assert kinds(found) == {"same": 32} and code == 0
    assert all(c.moved == 0 and c.allowed == 1e-6 for c in found)


def test_one_trial_of_sixteen_is_not_enough() -> None:
    done, *rest = sixteen()
    found, code = checked(done, *(replace(m, state="missing", values={}) for m in rest))
    assert kinds(found) == {"same": 2, "missing": 15} and code == 1
    assert {c.why for c in found if c.kind == "missing"} == {"not run"}


def test_a_part_that_holds_is_enough() -> None:
    assert checked(*sixteen()[:3])[1] == 0


@pytest.mark.parametrize("factor", [1.05, 0.95, 1 + 3e-6, 2.0, 0.0, -1.0])
def test_losses_that_all_moved_are_all_named(factor: float) -> None:
    found, code = checked(*sixteen(factor))
    assert kinds(found) == {"moved": 32} and code == 1
    assert all(c.moved == pytest.approx(abs(factor - 1)) for c in found)


def test_no_held_loss_may_double_or_vanish_unnoticed() -> None:
    for factor in (2.0, 0.0, 0.5):
        for platform in (HERE, TWO, {**TWO, "torch": "3", "isa": "sve", "cpu": "Ampere", "precision": "fp32"}):
            assert "same" not in kinds(checked(*sixteen(factor, platform))[0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_moved(value: float) -> None:
    found, code = checked(trial("t0", value))
    assert kinds(found) == {"moved": 2} and code == 1 and found[0].why == "no number"


def test_a_number_that_is_no_longer_measured_has_moved() -> None:
    found, code = checked(replace(trial("t0"), values={"loss": 1.0}))
    assert [(c.what, c.kind, c.why) for c in found] == [
        ("loss at step 0", "moved", "no longer measured"),
        ("loss", "same", "same platform: equal to rounding"),
    ]
    assert code == 1


def test_zero_may_not_become_anything() -> None:
    zero = held(trial("t0", 0.0))
    assert exit_code(compare(zero, [trial("t0", 0.0)], FILE)) == 0
    assert exit_code(compare(zero, [trial("t0", 1e-15)], FILE)) == 1
    assert exit_code(compare(zero, [trial("t0", 1e-15, platform=TWO)], FILE)) == 0  # what rounding leaves of zero
    assert exit_code(compare(zero, [trial("t0", 1e-11, platform=TWO)], FILE)) == 1


def test_a_trial_that_failed_is_told_with_its_reason() -> None:
    found, code = checked(trial("t0"), trial("t1", None, "failed", reason="out of memory"))
    assert [(c.kind, c.why) for c in found if c.name == "grid: t1"] == [("failed", "out of memory")] and code == 3
    assert checked(trial("t0", 2.0), trial("t1", None, "failed"))[1] == 1  # a moved loss is the graver news
    assert checked(trial("t0", None, "failed"))[1] == 3


def test_a_trial_still_running_or_measured_by_older_code_is_missing() -> None:
    found, code = checked(
        trial("t0"), trial("t1", None, "running"), trial("t2", 9.0, "stale", reason="measured by code that has changed")
    )
    assert [c.why for c in found if c.kind == "missing"] == ["still running", "measured by code that has changed"]
    assert code == 1


def test_a_trial_that_is_planned_no_more_is_gone() -> None:
    found, code = checked(trial("t0"), trial("t1", None, "gone"))
    assert kinds(found) == {"same": 2, "gone": 1} and code == 1


@pytest.mark.parametrize("outcome", ["diverged", "collapsed", "pruned"])
def test_another_outcome_has_moved_whatever_the_numbers(outcome: str) -> None:
    found, code = checked(trial("t0", 1.0, outcome, reason="at step 3"))
    assert [(c.what, c.kind, c.why) for c in found] == [("outcome", "moved", f"was finished, is {outcome}: at step 3")]
    assert code == 1


def test_a_trial_that_diverges_as_it_did_holds() -> None:
    diverged = trial("t0", None, "diverged")
    assert kinds(compare(held(diverged), [diverged], FILE)) == {"same": 1}
    assert kinds(compare(held(diverged), [trial("t0")], FILE)) == {"moved": 1}


def test_a_collapsed_trial_is_held_by_its_numbers_and_its_outcome() -> None:
    flat = trial("t0", 1.0, "collapsed")
    assert kinds(compare(held(flat), [flat], FILE)) == {"same": 2}
    assert kinds(compare(held(flat), [trial("t0", 1.05, "collapsed")], FILE)) == {"moved": 2}
    assert [c.why for c in compare(held(flat), [trial("t0")], FILE)] == ["was collapsed, is finished"]


def test_a_trial_that_the_baseline_lacks_is_new_and_no_error() -> None:
    found, code = checked(trial("t0"), trial("u"), trial("v", None, "missing"))
    assert kinds(found) == {"same": 2, "new": 1} and code == 0


def test_nothing_to_compare_is_an_error_of_its_own() -> None:
    with pytest.raises(GateError, match=r"toy\.json holds none"):
        checked(trial("u"))
    with pytest.raises(GateError, match="nothing measured"):
        checked(trial("t0", None, "missing"), trial("t1", None, "running"))
    assert checked(trial("t0", None, "gone"))[1] == 1


def test_another_platform_is_held_to_what_was_measured() -> None:
    measured = Measurement({"threads": ("1", "2")}, "2 trials", {"grid": {"loss": 0.01, "loss at step 0": 0.0}})
    base = baselines.with_measurements(BASELINE, [measured])
    found = {c.what: c for c in compare(base, [trial("t0", 1.015, platform=TWO)], FILE)}
    assert found["loss"].kind == "same" and found["loss"].allowed == 0.02 and "threads 1 → 2" in found["loss"].why
    assert found["loss at step 0"].kind == "moved" and found["loss at step 0"].allowed == 1e-6
    assert exit_code(compare(base, [trial("t0", 1.015)], FILE)) == 1  # at home nothing has changed


def test_a_platform_that_nobody_measured_is_held_to_what_is_assumed() -> None:
    (one, other), _ = checked(trial("t0", 1 + ASSUMED["threads"] / 2, platform=TWO))
    assert one.kind == other.kind == "same" and "assumed" in one.why
    assert checked(trial("t0", 1 + ASSUMED["threads"] * 2, platform=TWO))[1] == 1


def test_a_platform_with_losses_of_its_own_is_held_to_those() -> None:
    both = baselines.merge(BASELINE, sixteen(1.3, TWO))[0]
    assert kinds(compare(both, sixteen(1.3, TWO), FILE)) == {"same": 32}
    assert kinds(compare(both, sixteen(1.0, TWO), FILE)) == {"moved": 32}
    assert kinds(compare(both, sixteen(1.0, HERE), FILE)) == {"same": 32}


def test_numbers_that_platforms_do_not_share_are_said_and_hold_nothing() -> None:
    wild = Measurement({"threads": ("1", "2")}, "2 trials", {"grid": {"loss": 0.9, "loss at step 0": 0.9}})
    base = baselines.with_measurements(BASELINE, [wild])
    found = compare(base, [trial("t0", 5.0, platform=TWO)], FILE)
    assert kinds(found) == {"not held": 2} and exit_code(found) == 4
    gone_bad = compare(base, [trial("t0", math.nan, platform=TWO)], FILE)
    assert kinds(gone_bad) == {"moved": 2}


@pytest.mark.parametrize(("was", "now", "kind"), [(1.0, 1.25, "same"), (1.0, 1.2500001, "moved"), (4.0, 3.0, "same")])
def test_a_loss_may_move_as_far_as_is_allowed_and_no_further(was: float, now: float, kind: str) -> None:
    measured = Measurement({"threads": ("1", "2")}, "1 trial", {"grid": {"loss": 0.125}})
    base = baselines.with_measurements(held(trial("t0", was)), [measured])
    (line,) = (c for c in compare(base, [trial("t0", now, platform=TWO)], FILE) if c.what == "loss")
    assert (line.kind, line.allowed) == (kind, 0.25)
    assert {c.kind for c in compare(base, [trial("t0", now)], FILE)} == {"moved"}  # at home that is no tolerance


def test_what_rounding_leaves_of_zero_may_be_anything_as_small_elsewhere() -> None:
    def kind(was: float, now: float, platform: dict[str, str] = TWO) -> str:
        found = compare(held(trial("t0", was)), [trial("t0", now, platform=platform)], FILE)
        return next(c.kind for c in found if c.what == "loss")

    assert kind(0.0, 1e-12) == kind(1e-12, 1e-13) == kind(-1e-12, 1e-12) == kind(1e-13, 0.0) == "same"
    assert kind(1e-12, 1.2e-12) == kind(1.2e-12, 0.0) == kind(0.0, 1e-12, HERE) == "moved"


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        (["same"], 0),
        (["same", "new", "not held"], 0),
        (["same", "moved"], 1),
        (["same", "missing"], 1),
        (["same", "gone"], 1),
        (["failed", "missing"], 1),
        (["same", "failed"], 3),
        (["failed", "new"], 3),
        (["new"], 4),
        (["not held"], 4),
        ([], 4),
    ],
)
def test_the_exit_code_tells_the_worst(kinds: list[Kind], code: int) -> None:
    assert exit_code([Checked("t0", "grid: t0", "loss", kind, "") for kind in kinds]) == code


@pytest.mark.parametrize(("now", "why"), [({"loss": math.nan}, "no number"), ({}, "no longer measured")])
def test_a_number_that_is_lost_says_what_it_was_and_what_was_allowed(now: dict[str, float], why: str) -> None:
    base = held(replace(trial("t0"), values={"loss": 1.0}))
    (line,) = compare(base, [replace(trial("t0"), values=now)], FILE)
    assert (line.kind, line.why, line.was, line.allowed, line.moved) == ("moved", why, 1.0, 1e-6, None)
