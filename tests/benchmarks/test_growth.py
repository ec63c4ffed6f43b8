"""What grows with a suite: its plan, and its report from a store in which every trial is finished."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import shelf
import speed
from running import Ran

from retable.bench.queue import study
from retable.bench.suite import loader, plan

Bench = Callable[..., Ran]


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_plan_of_100_000_cells(project: Path) -> None:
    """At most 1.5 s of CPU, with the space of its study."""
    file = loader.load(shelf.write(project, cells=100_000))
    begun = time.process_time()
    planned = plan.trials(file.suite, "quick")
    space = study.space(planned)
    took = time.process_time() - begun
    assert len(planned) == 100_000 and [len(v) for v in space.values()] == [10, 10_000]
    speed.at_most(took, 1.5)


@pytest.mark.timeout(600)
def test_a_report_of_20_000_finished_trials(project: Path, bench: Bench) -> None:
    """At most 8 s of CPU."""
    shelf.fill(shelf.write(project, cells=2_000, seeds=10))
    begun = cpu()
    assert bench("report", "shelf").code == 0
    took = cpu() - begun
    speed.at_most(took, 8.0)


def test_a_run_of_1_000_finished_trials_leaves_its_report(project: Path, bench: Bench) -> None:
    """At most 1 s of CPU, imports and all; the report that was written before is what it prints."""
    shelf.fill(shelf.write(project, cells=100, seeds=10))
    assert bench("run", "shelf").code == 0
    begun = cpu()
    ran = bench("run", "shelf")
    took = cpu() - begun
    assert ran.code == 0 and "report: " in ran.out
    speed.at_most(took, 1.0)
