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


def test_the_code_that_made_a_result_is_kept_and_shown(
    ran: Path, bench: Bench, trials: list[dict[str, Any]], tmp_path: Path
) -> None:
    done = next(t["id"] for t in trials if t["state"] == "finished")
    helper = ran / "toypaper" / "helper.py"
    was = helper.read_text()
    helper.write_text(was.replace("FACTOR = 0.5", "FACTOR = 0.7"))
    shown = bench("show", "toy", done, "--code")
    assert shown.code == 0 and f"# toypaper/helper.py\n{was}" in shown.out and "FACTOR = 0.7" not in shown.out
    written = bench("show", "toy", done, "--code", "-o", str(tmp_path / "code")).out.split()
    names = {str(Path(name).relative_to(tmp_path / "code")) for name in written}
    assert {"toypaper/__init__.py", "toypaper/helper.py", "toypaper/tasks.py"} <= names
    assert names - {f"toypaper/{n}.py" for n in ("__init__", "helper", "tasks")} == {"retable/bench/run/training.py"}
    assert (tmp_path / "code" / "toypaper" / "helper.py").read_text() == was
    again = bench("show", "toy", done, "--code", "-o", str(tmp_path / "code"))
    assert again.code == 2 and "name a new folder" in again.err


def test_code_is_kept_once_and_is_what_the_stamp_says(ran: Path, bench: Bench, trials: list[dict[str, Any]]) -> None:
    done = next(t["id"] for t in trials if t["state"] == "finished")
    (kept,) = (ran / "mlruns" / "artifacts" / "code").iterdir()  # of four runs
    assert kept.stem == bench("show", "toy", done, "--json").json["facts"]["code"]
    kept.write_bytes(kept.read_bytes().replace(b"FACTOR = 0.5", b"FACTOR = 0.7"))
    refused = bench("show", "toy", done, "--code")
    assert refused.code == 2 and "is not the code that it is stamped with" in refused.err
    kept.unlink()
    assert "was not kept" in bench("show", "toy", done, "--code").err
    missing = next(t["id"] for t in trials if t["state"] == "missing")
    assert "has not run" in bench("show", "toy", missing, "--code").err
