"""`bench check`: equal losses pass, a moved one is named, a missing baseline is its own exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from running import Ran

Bench = Callable[..., Ran]
GRID = ("--where", "experiment=grid,lr=0.1")


def test_a_baseline_holds_until_a_loss_moves(project: Path, bench: Bench) -> None:
    run = ("run", "toy", "--no-report", "--workers", "2", *GRID)
    assert bench(*run).code == 0
    assert bench("check", "toy", *GRID, "--update").code == 0
    held = bench("check", "toy", *GRID)
    assert held.code == 0 and ", 0 moved" in held.out

    helper = project / "toypaper" / "helper.py"
    helper.write_text(helper.read_text().replace("FACTOR = 0.5", "FACTOR = 0.1"))
    assert bench(*run, "--stale").code == 0
    moved = bench("check", "toy", *GRID, "--junit", "check.xml", "--markdown", "check.md")
    assert moved.code == 1 and "moved" in moved.out and "loss/total at step 1" in moved.out
    assert "<failure" in Path("check.xml").read_text() and "| moved |" in Path("check.md").read_text()


def test_the_allowance_is_the_measured_spread(project: Path, bench: Bench) -> None:
    assert bench("run", "toy", "--no-report", "--workers", "2", *GRID).code == 0
    path = project / "reports" / "baselines" / "toy.quick.json"
    assert bench("check", "toy", *GRID, "--update").code == 0
    baseline = json.loads(path.read_text())
    allowed = [a for t in baseline["trials"].values() for w, a in t["allowed"].items() if w == "loss/final"]
    assert len(set(allowed)) == 1 and allowed[0] > 1e-4  # two seeds differ

    path.write_text("{}")
    broken = bench("check", "toy", *GRID)
    assert broken.code == 4 and "is no baseline" in broken.err and "Traceback" not in broken.err
