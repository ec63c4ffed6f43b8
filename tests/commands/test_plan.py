"""`bench plan`: states of trials, what is left to run, and about how long it takes."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from running import Ran

Bench = Callable[..., Ran]


def states(plan: dict[str, Any]) -> Counter[tuple[str, str]]:
    return Counter((t["experiment"], t["state"]) for t in plan["trials"])


def declare(project: Path, seconds: str) -> None:
    """Say in the suite how long a trial of the grid takes."""
    path = project / "suites" / "toy.yaml"
    before = path.read_text()
    path.write_text(before.replace("    seeds: 2\n", f"    seeds: 2\n    seconds_at: {{{seconds}}}\n"))
    assert path.read_text() != before


def test_after_a_run_the_rest_is_to_do(ran: Path, bench: Bench) -> None:
    plan = bench("plan", "toy", "--json").json
    assert states(plan) == {("grid", "finished"): 4, ("grid", "missing"): 12, ("tune", "missing"): 1}
    assert {t["params"]["lr"] for t in plan["trials"] if t["state"] == "finished"} == {0.1}
    assert plan["todo"] == 13
    said = bench("plan", "toy").out.splitlines()
    assert said[:3] == [
        "toy at scale quick",
        "  grid: 16 trials (12 missing, 4 finished)",
        "  tune: 1 trials (1 missing)",
    ]
    assert said[3].startswith("13 trials to run: about ")


def test_what_is_done_is_not_run_again(ran: Path, bench: Bench) -> None:
    plan = bench("plan", "toy", "--where", "lr=0.1", "--only", "grid", "--json").json
    assert (plan["todo"], plan["seconds"], plan["unestimated"]) == (0, None, 0)
    assert "nothing to run" in bench("plan", "toy", "--where", "lr=0.1", "--only", "grid").out.splitlines()


def test_changed_code_makes_trials_stale_and_not_to_do(ran: Path, bench: Bench) -> None:
    helper = ran / "toypaper" / "helper.py"
    helper.write_text(helper.read_text().replace("FACTOR = 0.5", "FACTOR = 0.25"))
    plan = bench("plan", "toy", "--json").json
    assert states(plan)["grid", "stale"] == 4 and plan["todo"] == 13
    said = bench("plan", "toy").out
    assert "\n4 trials are stale (their code has changed): --stale runs them again" in said


def test_other_settings_are_other_trials(ran: Path, bench: Bench) -> None:
    plan = bench("plan", "toy", "--set", "steps=21", "--json").json
    assert {t["state"] for t in plan["trials"]} == {"missing"}


def test_a_trial_takes_as_long_as_those_that_ran(ran: Path, bench: Bench) -> None:
    declare(ran, "quick: 1000")
    plan = bench("plan", "toy", "--workers", "3", "--json").json
    with closing(sqlite3.connect(ran / "mlruns" / "mlflow.db")) as store:
        spent = [milliseconds / 1000 for (milliseconds,) in store.execute("SELECT end_time - start_time FROM runs")]
    assert len(spent) == 4 and plan["seconds"] == pytest.approx(12 * mean(spent) / 3)
    assert plan["unestimated"] == 1  # that of `tune`


def test_before_any_run_as_long_as_the_suite_says(project: Path, bench: Bench) -> None:
    declare(project, "quick: 30, long: 4000")
    plan = bench("plan", "toy", "--workers", "4", "--json").json
    assert (plan["seconds"], plan["unestimated"], plan["workers"]) == (16 * 30 / 4, 1, 4)
    said = bench("plan", "toy", "--workers", "4").out
    assert "17 trials to run: about 2 min with 4 workers, and 1 trials of unknown length" in said
    assert bench("plan", "toy", "--workers", "4", "--scale", "long", "--json").json["seconds"] == 16 * 4000 / 4


def test_where_nothing_tells_no_time_is_made_up(project: Path, bench: Bench) -> None:
    assert bench("plan", "toy", "--json").json["seconds"] is None
    assert "17 trials to run; no time known yet" in bench("plan", "toy").out.splitlines()


def test_data_that_is_read_is_named_with_how_to_get_it(project: Path, bench: Bench) -> None:
    package = project / "toypaper" / "__init__.py"
    reads = package.read_text().replace('"loss/final", lambda s: []', '"loss/final", lambda s: ["photos", "coco2017"]')
    package.write_text(reads)
    data = bench("plan", "toy", "--json", RETABLE_DATA=str(project / "none")).json["data"]
    assert data["photos"] == "here" and "bench data get coco2017" in data["coco2017"]
    assert "\n  data photos: here\n" in bench("plan", "toy").out


def test_claims_that_no_scale_can_decide_are_counted_at_the_end_and_named_on_request(
    project: Path, bench: Bench
) -> None:
    weak = {"few_seeds": ["momentum-wins"], "no_reads": ["momentum-wins"]}
    assert bench("plan", "toy", "--json").json["warnings"] == weak
    assert bench("plan", "toy").out.splitlines()[-2:] == [
        "warning: 1 claim with fewer than 3 seeds at every scale, so a direction at most (--verbose names them)",
        "warning: 1 claim with no `reads`, so nothing says what the check tests (--verbose names them)",
    ]
    assert bench("plan", "toy", "--verbose").out.endswith("so nothing says what the check tests: momentum-wins\n")


def test_nothing_is_warned_of_where_nothing_is_weak(project: Path, bench: Bench) -> None:
    path = project / "suites" / "toy.yaml"
    strong = path.read_text().replace("    seeds: 2\n", "    seeds: 2\n    seeds_at: {long: 3}\n")
    path.write_text(
        strong.replace("    source: section 4\n", "    source: section 4\n    reads: one loss below another\n")
    )
    assert bench("plan", "toy", "--json").json["warnings"] == {"few_seeds": [], "no_reads": []}
    assert "warning" not in bench("plan", "toy").out
