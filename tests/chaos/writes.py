"""A fault between every two writes to the stores: each worker is killed one write later than the one before it, then
each command. The suite does nothing, so that what is written is all there is.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cluster import Machine, Seen
from running import ROOT

HOOK = Path(__file__).parent / "hook"
IDLE = ("run", "toy", "--scale", "big", "--no-report", "--workers", "1")
CELLS = 20
"""Of one value of `a`: trials to be killed in. Each may die five times."""


def environment(folder: Path, machine: Machine, kill: str, most: int) -> dict[str, str]:
    """What tells the hook of a process whom to kill: from which write on, and how many processes."""
    folder.mkdir(exist_ok=True)
    return {
        "PYTHONPATH": f"{HOOK}:{ROOT / 'src'}:{ROOT}",
        "CHAOS_WRITES": str(folder),
        "CHAOS_KILL": kill,
        "CHAOS_MOST": str(most),
        "CHAOS_STORES": str(machine.project / "mlruns"),
    }


def written(folder: Path, process: str) -> list[str]:
    return (folder / process).read_text().splitlines()


def counted(machine: Machine) -> tuple[int, int]:
    """How often a worker writes, and a command, when one trial is run and nobody dies."""
    folder = machine.folder / "counted"
    ran = machine.run(*IDLE, "--where", "a=9,b=0", **environment(folder, machine, "nobody:1", 0))
    assert ran.code == 0, ran.out
    return len(written(folder, "worker.0")), len(written(folder, "command.0"))


def workers(machine: Machine, most: int) -> int:
    """One command, whose workers die at their first write, their second, and so on; how many died."""
    folder = machine.folder / "workers"
    told = environment(folder, machine, "worker:1", most)
    for _ in range(5):
        ran = machine.run(*IDLE, "--where", "a=0", seconds=3000, **told)
        if ran.code == 0:
            break
    assert ran.code == 0, ran.out
    return sum(len(written(folder, f"worker.{index}")) == index + 1 for index in range(most))


def commands(machine: Machine, most: int) -> int:
    """A command after the other, each of which dies a write later; each has a new trial to queue. How many died."""
    folder, deaths = machine.folder / "commands", 0
    told = environment(folder, machine, "command:1", most)
    for index in range(most):
        process = machine.start(*IDLE, "--where", f"a={1 + index // CELLS},b={index % CELLS}", **told)
        deaths += process.wait(300) != 0
    return deaths


def finish(machine: Machine, most: int) -> str:
    """Run what the dead commands left; what `bench verify` says then."""
    for a in range(1, 2 + (most - 1) // CELLS):
        ran = machine.run(*IDLE, "--where", f"a={a}", seconds=1200)
        assert ran.code == 0, ran.out
    return machine.run("verify", "toy").out


def campaign(machine: Machine, seen: Seen, most: int) -> tuple[int, int, set[str]]:
    """At most so many faults of either kind; how many there were, of how many trials, and the curves that are left."""
    of_worker, of_command = counted(machine)
    sys.stderr.write(f"a worker with one trial writes {of_worker} times, its command {of_command} times\n")
    of_worker, of_command = min(most, of_worker), min(most, of_command)
    faults = workers(machine, of_worker)
    sys.stderr.write(f"{faults} workers were killed\n")
    faults += commands(machine, of_command)
    said = finish(machine, of_command)
    assert said == "nothing is wrong\n", said
    curves = {str(seen.curve(run)) for runs in seen.finished().values() for run in runs}
    return faults, 1 + CELLS * (2 + (of_command - 1) // CELLS), curves
