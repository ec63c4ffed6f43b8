"""`bench show`: all there is to know of one trial, found by the beginning of its id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import Ran, finished

Bench = Callable[..., Ran]


@pytest.fixture
def trials(ran: Path, bench: Bench) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bench("plan", "toy", "--json").json["trials"]
    return found


def test_a_finished_trial_with_what_it_measured(ran: Path, bench: Bench, trials: list[dict[str, Any]]) -> None:
    trial = next(t for t in trials if t["state"] == "finished")
    found = bench("show", "toy", trial["id"], "--json").json
    assert (found["id"], found["experiment"], found["task"]) == (trial["id"], "grid", "descent")
    assert found["settings"]["lr"] == 0.1 and found["settings"]["steps"] == 20 and found["seed"] == trial["seed"]
    assert (found["state"], found["stale"], found["reason"]) == ("finished", False, "")
    assert [found["run"]] == finished(ran)[trial["id"]]
    assert found["metrics"]["loss/final"] > 0 and found["seconds"] > 0
    assert found["facts"]["trial"] == trial["id"] and found["facts"]["scale"] == "quick"
    assert (Path(found["artifacts"].removeprefix("file://")) / "code.json").is_file()


def test_the_same_for_a_person(bench: Bench, trials: list[dict[str, Any]]) -> None:
    trial = next(t for t in trials if t["state"] == "finished")
    said = bench("show", "toy", trial["id"]).out.splitlines()
    assert said[0] == f"id: {trial['id']}" and "state: finished" in said and "settings:" in said
    assert "  lr: 0.1" in said and f"  method: {trial['params']['method']}" in said
    assert not any(line.startswith(("reason:", "starts_from:")) for line in said)  # what is empty is left out


def test_a_trial_that_has_not_run_is_its_settings_alone(bench: Bench, trials: list[dict[str, Any]]) -> None:
    tune = next(t for t in trials if t["experiment"] == "tune")
    source = next(t for t in trials if t["params"] == {"method": "plain", "lr": 0.1} and t["seed"] == tune["seed"])
    found = bench("show", "toy", tune["id"], "--json").json
    assert found["state"] == "missing" and found["starts_from"] == source["id"]
    assert not {"run", "metrics", "artifacts", "seconds"} & found.keys()


def test_the_shortest_beginning_that_fits_one_is_enough(bench: Bench, trials: list[dict[str, Any]]) -> None:
    ids = [t["id"] for t in trials]
    trial = trials[0]["id"]
    short = next(trial[:n] for n in range(1, 13) if sum(i.startswith(trial[:n]) for i in ids) == 1)
    assert len(short) < 12 and bench("show", "toy", short, "--json").json["id"] == trial


def test_a_beginning_that_fits_several_is_refused(bench: Bench, trials: list[dict[str, Any]]) -> None:
    digit, count = Counter(t["id"][0] for t in trials).most_common(1)[0]
    assert count > 1  # seventeen ids, sixteen digits
    for verb in ("show", "why"):
        ran = bench(verb, "toy", digit)
        assert ran.code == 2 and not ran.out
        assert f"{count} trials have an id that begins with '{digit}'; `bench plan --json` lists them" in ran.err


def test_an_unknown_id_is_answered_with_the_nearest(bench: Bench, trials: list[dict[str, Any]]) -> None:
    trial = trials[3]["id"]
    mistyped = trial[:-1] + ("0" if trial[-1] != "0" else "1")
    for verb in ("show", "why"):
        ran = bench(verb, "toy", mistyped)
        assert ran.code == 2 and not ran.out
        assert f"0 trials have an id that begins with '{mistyped}'" in ran.err and f"'{trial}'" in ran.err
