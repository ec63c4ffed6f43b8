"""`bench check`, as a person and a CI server run it: a suite's trials, and any MLflow experiment's runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from running import Ran

Bench = Callable[..., Ran]
GRID = ("--where", "experiment=grid,lr=0.1")
BASELINE = Path("reports/baselines/toy.quick.json")


def trials() -> dict[str, dict[str, object]]:
    return {i: t for s in json.loads(BASELINE.read_text())["platforms"] for i, t in s["trials"].items()}


def test_a_baseline_holds_until_a_loss_moves(project: Path, bench: Bench) -> None:
    run = ("run", "toy", "--no-report", "--workers", "2", *GRID)
    assert bench(*run).code == 0
    assert bench("check", "toy", *GRID, "--update").code == 0
    held = bench("check", "toy", *GRID)
    assert held.code == 0 and "24 numbers held, 0 moved" in held.out and "same platform" in held.out

    helper = project / "toypaper" / "helper.py"
    helper.write_text(helper.read_text().replace("FACTOR = 0.5", "FACTOR = 0.1"))
    old = bench("check", "toy", *GRID)
    assert old.code == 1 and old.out.count("measured by code that has changed since") == 4
    assert bench("check", "toy", *GRID, "--update").code == 3

    assert bench(*run, "--stale").code == 0
    moved = bench("check", "toy", *GRID, "--junit", "check.xml", "--markdown", "check.md")
    assert moved.code == 1 and "moved" in moved.out and "loss/total at step 1" in moved.out
    assert 'type="moved"' in Path("check.xml").read_text() and f'file="{BASELINE}"' in Path("check.xml").read_text()
    assert "| moved |" in Path("check.md").read_text()
    lines = bench("check", "toy", *GRID, "--json").json
    assert {line["kind"] for line in lines} == {"moved"} and lines[0]["allowed"] == 1e-6

    updated = bench("check", "toy", *GRID, "--update")
    assert updated.code == 0 and "4 changed" in updated.out and updated.out.count("changed: grid: ") == 4
    assert bench("check", "toy", *GRID).code == 0


def test_of_sixteen_trials_all_count_unless_a_part_is_asked_for(project: Path, bench: Bench, empty_store: Path) -> None:
    assert bench("run", "toy", "--no-report", "--workers", "2", "--only", "grid").code == 0
    first = bench("check", "toy", "--only", "grid", "--update")
    assert first.code == 0 and "16 added" in first.out
    assert bench("check", "toy", "--only", "grid").code == 0

    # A fresh store with one of the sixteen.
    shutil.copy(empty_store, project / "other.db")
    other = ("--tracking-uri", "sqlite:///other.db")
    one = ("--where", "experiment=grid,lr=0.1,method=plain,seed=0")
    assert bench("run", "toy", "--no-report", *one, *other, "--storage", "sqlite:///optuna.db").code == 0
    lacking = bench("check", "toy", *other)
    assert lacking.code == 1 and "6 numbers held, 0 moved, 15 trials missing" in lacking.out
    assert bench("check", "toy", *other, *one).code == 0
    assert "7 trials missing" in bench("check", "toy", *other, "--seeds", "1").out

    # A part is merged: what the store has not measured keeps its losses.
    before = trials()
    merged = bench("check", "toy", "--where", "lr=0.1,method=plain,seed=0,experiment=grid", "--update", *other)
    assert merged.code == 0 and "1 as they were" in merged.out and trials() == before

    # How far two stores lie apart is measured, stored, and used for that difference alone.
    measured = bench("check", "toy", *other, *one, "--measure", "sqlite:///mlruns/mlflow.db")
    assert measured.code == 0 and "1 trial" in measured.out and "6 of 6 numbers equal" in measured.out

    # Planned no more: gone, unless the part asked for would not have held it; a full update drops it.
    suite = project / "suites" / "toy.yaml"
    suite.write_text(suite.read_text().replace("[0.5, 0.1, 0.01, 0.001]", "[0.5, 0.1, 0.01]"))
    assert "4 trials gone" in bench("check", "toy", "--only", "grid").out
    assert "2 trials gone" in bench("check", "toy", "--where", "lr=0.001,seed=1|0,method=plain").out
    assert "2 trials gone" in bench("check", "toy", "--only", "grid", "--seeds", "1").out
    whole = bench("check", "toy", *GRID)
    assert whole.code == 0 and "gone" not in whole.out
    assert bench("check", "toy", "--only", "grid").code == 1
    assert "dropped" not in bench("check", "toy", "--only", "grid", "--update").out and len(trials()) == 16
    full = bench("check", "toy", "--update")
    assert full.code == 0 and "4 dropped" in full.out and len(trials()) == 12


def test_what_failed_is_an_error_of_its_own_and_enters_no_baseline(project: Path, bench: Bench) -> None:
    part = ("toy", "--where", "experiment=grid,lr=0.1,seed=0")
    bench("run", *part, "--no-report", "--set", "fail_at=3", "--workers", "1")
    refused = bench("check", *part, "--set", "fail_at=3", "--update")
    assert refused.code == 3 and refused.out.count("refused: grid: ") == 2 and "told to fail" in refused.out
    assert not BASELINE.exists()
    nothing = bench("check", *part)
    assert nothing.code == 4 and "no baseline at" in nothing.err
    assert bench("check", *part, "--update").code == 4


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "name a SUITE, or with --runs"),
        (("toy", "--runs", "nightly"), "name a SUITE, or with --runs"),
        (("toy", "--metric", "loss"), "--metric, --match and --tag"),
        (("--runs", "nightly"), "--baseline FILE"),
        (("--runs", "nightly", "--baseline", "a.json", "--seeds", "2"), "--where alone"),
        (("--runs", "nightly", "--baseline", "a.json", "--match", "lr", "--tag", "case"), "not by both"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(project: Path, bench: Bench, args: list[str], says: str) -> None:
    ran = bench("check", *args)
    assert ran.code == 2 and says in ran.err


TRAIN = """
import sys, mlflow
mlflow.set_tracking_uri("sqlite:///mlruns/mlflow.db")
mlflow.set_experiment("nightly")
for lr in (0.1, 0.01, 0.001):
    with mlflow.start_run():
        mlflow.log_params({"lr": lr, "seed": 0})
        loss = 4.0
        for step in range(20):
            loss -= lr * loss * float(sys.argv[1])
            mlflow.log_metric("loss/total", loss, step=step)
"""


def train(factor: str = "1") -> None:
    subprocess.run([sys.executable, "-c", TRAIN, factor], check=True, capture_output=True)


def test_any_mlflow_experiment_is_held_without_a_suite(project: Path, bench: Bench) -> None:
    runs = ("--runs", "nightly", "--tracking-uri", "sqlite:///mlruns/mlflow.db", "--baseline", "losses.json")
    assert bench("check", *runs, "--update").code == 4  # no run yet
    train()
    added = bench("check", *runs, "--metric", "loss/total", "--update")
    assert added.code == 0 and "3 added" in added.out and "added: nightly: lr=0.1 seed=0" in added.out
    held = bench("check", *runs, "--match", "lr", "--match", "seed")
    assert held.code == 0 and "15 numbers held, 0 moved" in held.out

    train("1.05")
    moved = bench("check", *runs, "--junit", "check.xml", "--markdown", "check.md")
    assert moved.code == 1 and "15 moved" in moved.out
    assert Path("check.md").read_text().count("| moved |") == 15 and 'failures="15"' in Path("check.xml").read_text()
    part = bench("check", *runs, "--where", "lr<0.05", "--update")
    assert part.code == 0 and "2 changed" in part.out
    assert "5 moved" in bench("check", *runs).out

    # Of a run that is not there any more, the line says so.
    losses = json.loads(Path("losses.json").read_text())
    (section,) = losses["platforms"]
    section["trials"]["lr=7 seed=0"] = dict(
        section["trials"]["lr=0.1 seed=0"], name="nightly: lr=7 seed=0", varied={"lr": 7}
    )
    Path("losses.json").write_text(json.dumps(losses))
    lacking = bench("check", *runs, "--where", "lr!=0.1")
    assert lacking.code == 1 and "10 numbers held, 0 moved, 1 trial missing" in lacking.out
    assert "no run of it" in lacking.out

    # Twice on one platform: how far it is from repeating itself.
    measured = bench("check", *runs, "--where", "lr=0.1", "--measure", "nightly")
    assert measured.code == 0 and "the same platform twice" in measured.out
