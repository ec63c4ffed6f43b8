"""What the harness itself costs: CPU of commands and trials, by the operating system's own account."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import speed
from running import Ran

Bench = Callable[..., Ran]


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_200_idle_trials_and_doing_nothing_again(project: Path, bench: Bench) -> None:
    """At most 80 ms of CPU a trial, imports apart; a rerun of 200 finished trials takes under a second."""
    run = ("run", "toy", "--scale", "big", "--no-report", "--workers", "2")
    begun = cpu()
    assert bench(*run, "--where", "a=0,b<2").code == 0  # processes, imports, stores: the fixed cost
    fixed = cpu() - begun
    begun = cpu()
    assert bench(*run).code == 0
    each = (cpu() - begun - fixed) / 198
    begun = cpu()
    assert bench(*run).code == 0
    again = cpu() - begun
    print(f"fixed {fixed:.1f} s, {1000 * each:.0f} ms of CPU a trial, rerun {again:.2f} s")
    speed.at_most(each, 0.080)
    speed.at_most(again, 1.0)


@pytest.mark.parametrize("args", [("--help",), ("list",)], ids=" ".join)
def test_light_commands_are_quick(project: Path, bench: Bench, args: tuple[str, ...]) -> None:
    times = []
    for _ in range(5):
        begun = cpu()
        assert bench(*args).code == 0
        times.append(cpu() - begun)
    speed.at_most(min(times), 0.3)
