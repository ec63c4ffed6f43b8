"""The campaigns: each runs the toy suite while it breaks something, and holds what is left against a calm run."""

from __future__ import annotations

import contextlib
import difflib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cluster import Machine, Seen, wait_for
from running import ROOT
from servers import MlflowServer, Postgres

from tests.chaos import writes

WHAT = ("toy", "--scale", "long", "--where", "experiment=grid", "--no-report", "--checkpoint-every", "0.3")
TRIALS = 16
MINUTES = 8
"""A round that takes longer hangs."""


@dataclass(frozen=True)
class Calm:
    """What an undisturbed run leaves: the loss curve of every trial, and the report's files."""

    curves: dict[str, list[tuple[int, float]]]
    report: dict[str, str]


@dataclass
class Verdict:
    """What a campaign left behind, summed over its rounds."""

    faults: int = 0
    rounds: int = 0
    trials: int = 0
    resumed: int = 0
    lost: int = 0
    repeated: int = 0
    orphans: int = 0
    other_losses: int = 0
    other_reports: int = 0
    waiting: int = 0

    def add(self, machine: Machine, seen: Seen, calm: Calm) -> None:
        """Look at what a round left."""
        done = seen.finished()
        self.rounds += 1
        self.trials += len(calm.curves)
        self.lost += len(set(calm.curves) - set(done))
        self.repeated += sum(len(runs) > 1 for runs in done.values())
        self.orphans += seen.statuses().count("RUNNING")
        self.other_losses += sum(seen.curve(runs[0]) != calm.curves.get(trial) for trial, runs in done.items())
        self.other_reports += _differs(report(machine), calm.report)
        self.resumed += len(seen.tags("retable.resumed"))
        self.waiting += len(list((machine.project / "mlruns" / "outbox").glob("*.jsonl")))

    @property
    def right(self) -> bool:
        wrong = self.lost + self.repeated + self.orphans + self.other_losses + self.other_reports + self.waiting
        return self.rounds > 0 and wrong == 0

    HEAD = "rounds | faults | trials | resumed | lost | twice | left RUNNING | other losses | other reports | unsent"

    def row(self) -> str:
        """The numbers, in the order of `HEAD`."""
        numbers = [self.rounds, self.faults, self.trials, self.resumed, self.lost, self.repeated, self.orphans]
        return " | ".join(map(str, [*numbers, self.other_losses, self.other_reports, self.waiting]))


class Place:
    """Stores for one round after another: files, or PostgreSQL and an MLflow server."""

    def __init__(self, folder: Path, template: Path, cluster: bool):
        self.folder, self.template, self.rounds = folder, template, 0
        self.machines: list[Machine] = []
        self.postgres = Postgres() if cluster else None
        self.mlflow = MlflowServer(folder / "server", template) if cluster else None

    def fresh(self) -> tuple[Machine, Seen]:
        """A machine with an empty queue and no results."""
        self.rounds += 1
        folder = self.folder / f"round{self.rounds}"
        folder.mkdir(parents=True)
        if self.postgres and self.mlflow:
            self.mlflow.stop()
            for beside in self.mlflow.folder.glob("mlflow.db*"):
                beside.unlink()
            shutil.copy(self.template, self.mlflow.database)
            self.mlflow.start()
            machine = self._made(Machine(folder / "m", self.mlflow.uri, self.postgres.fresh(f"round{self.rounds}")))
            return machine, Seen(self.mlflow.database, "toy")
        machine = self._made(Machine(folder / "m", "", ""))
        stores = machine.project / "mlruns"
        stores.mkdir()
        shutil.copy(self.template, stores / "mlflow.db")
        machine.tracking, machine.storage = f"sqlite:///{stores}/mlflow.db", f"sqlite:///{stores}/optuna.db"
        return machine, Seen(stores / "mlflow.db", "toy")

    def beside(self, machine: Machine, label: str) -> Machine:
        """Another machine with the same stores."""
        return self._made(Machine(machine.folder.with_name(label), machine.tracking, machine.storage))

    def _made(self, machine: Machine) -> Machine:
        self.machines.append(machine)
        return machine

    def end(self) -> None:
        """Leave no process behind."""
        for machine in self.machines:
            machine.end()
        if self.postgres and self.mlflow:
            self.mlflow.stop()
            self.postgres.end()


def report(machine: Machine) -> dict[str, str]:
    """The files of the report on what the stores hold, without the times in them and the threads of a worker."""
    out = machine.folder / "reports"
    shutil.rmtree(out, ignore_errors=True)
    words = ("report", "toy", "--scale", "long", "--format", "md", "--format", "csv", "-o", str(out))
    ran = machine.run(*words)
    assert ran.code == 0, ran.out
    page = (out / "toy" / "long.md").read_text()
    page = re.sub(r"[\d.]+ \w+ of computing, .* UTC|\| threads \| .* \|", "", page)
    return {"long.md": page, "values.csv": (out / "toy" / "long" / "values.csv").read_text()}


def _differs(found: dict[str, str], calm: dict[str, str]) -> bool:
    """Whether a report is another than the calm run's; in what, on standard error."""
    for name, text in calm.items():
        lines = difflib.unified_diff(text.splitlines(), found[name].splitlines(), "calm", "found", lineterm="", n=0)
        sys.stderr.write("".join(f"{line}\n" for line in lines))
    return found != calm


def calm(place: Place) -> Calm:
    """What is left when nothing happens."""
    machine, seen = place.fresh()
    ran = machine.run("run", *WHAT, "--workers", "2", seconds=60 * MINUTES)
    assert ran.code == 0, ran.out
    found = {trial: seen.curve(runs[0]) for trial, runs in seen.finished().items()}
    assert len(found) == TRIALS
    return Calm(found, report(machine))


@dataclass
class Command:
    """A command that is started again when it was killed. It must end well in the end."""

    machine: Machine
    words: tuple[str, ...]
    deaths: int = 0
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.process = self.machine.start(*self.words)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def workers(self) -> list[int]:
        return self.machine.workers(self.process) if self.alive else []

    def kill(self, *, workers_too: bool) -> None:
        """The command alone, whose workers then find their input closed; or everything, as if power was cut."""
        if workers_too:
            self.machine.power_cut(self.process)
        else:
            self.process.kill()
            self.process.wait()

    def ends_well(self) -> None:
        """Wait for its end. A trial whose worker was killed six times is given up, as it should be, and a command whose
        workers die one after the other says so: asked again, they go on."""
        for _ in range(4):
            if self.process.wait(60 * MINUTES) == 0:
                return
            self.start()
        assert self.process.wait(60 * MINUTES) == 0, self.machine.said(self.process)


def kills(place: Place, count: int, dice: random.Random) -> Verdict:
    """kill -9 every few seconds: a worker, a command, or all of a machine; what was killed is started again.

    With files one `bench run` has two workers; on a cluster it has one, and a `bench worker` elsewhere another.
    """
    expected, verdict = calm(place), Verdict()
    while verdict.faults < count:
        machine, seen = place.fresh()
        if place.postgres:
            guest = ("worker", "toy", "--workers", "1", "--idle", "15", "--checkpoint-every", "0.3")
            commands = [
                Command(machine, ("run", *WHAT, "--workers", "1")),
                Command(place.beside(machine, "guest"), guest),
            ]
        else:
            commands = [Command(machine, ("run", *WHAT, "--workers", "2"))]
        while commands[0].alive:
            time.sleep(dice.uniform(0.5, 5.0))
            victim = dice.choice([c for c in commands if c.alive] or commands)
            if verdict.faults >= count or not victim.workers() or "RUNNING" not in seen.statuses():
                continue
            how = dice.random()
            if how < 0.6:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(dice.choice(victim.workers()), signal.SIGKILL)
                    verdict.faults += 1
                continue
            victim.kill(workers_too=how > 0.85)
            victim.start()
            verdict.faults += 1
        for command in commands:
            command.ends_well()
        verdict.add(machine, seen, expected)
    return verdict


def torn(place: Place, count: int, dice: random.Random) -> Verdict:
    """Power is cut, and the newest checkpoint of every running trial is cut short or full of zeros."""
    expected, verdict = calm(place), Verdict()
    while verdict.faults < count:
        machine, seen = place.fresh()
        command = Command(machine, ("run", *WHAT, "--workers", "2"))
        artifacts = machine.project / "mlruns" / "artifacts"
        dead: set[str] = set()
        while command.alive and verdict.faults < count:
            wait_for(lambda c=command, s=seen, d=dead: not c.alive or _with_two(s, d))  # type: ignore[misc]
            time.sleep(dice.uniform(0.0, 1.5))
            if not command.alive:
                break
            command.kill(workers_too=True)
            for run, path in _with_two(seen, dead):
                for file in artifacts.rglob(f"{run}/artifacts/{path}"):
                    data = file.read_bytes()
                    cut = dice.randrange(len(data))
                    file.write_bytes(data[:cut] + (b"" if dice.random() < 0.5 else bytes(len(data) - cut)))
                    verdict.faults += 1
                dead.add(run)
            command.start()
        command.ends_well()
        verdict.add(machine, seen, expected)
    return verdict


def _with_two(seen: Seen, dead: set[str]) -> list[tuple[str, str]]:
    """(run, newest checkpoint) of the running trials that have two, those of `dead` processes aside."""
    rows = seen.rows(
        "SELECT r.run_uuid, t.value FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid "
        "WHERE t.key = 'retable.checkpoint' AND r.status = 'RUNNING'"
    )
    return [(run, told.split()[0]) for run, told in rows if "\n" in told and run not in dead]


def restarts(place: Place, count: int, dice: random.Random) -> Verdict:
    """PostgreSQL ends at once and comes back after up to three seconds."""
    assert place.postgres is not None
    expected, verdict = calm(place), Verdict()
    while verdict.faults < count:
        machine, seen = place.fresh()
        command = Command(machine, ("run", *WHAT, "--workers", "2"))
        wait_for(lambda seen=seen: "RUNNING" in seen.statuses())  # type: ignore[misc]
        while command.alive and verdict.faults < count:
            time.sleep(dice.uniform(1.0, 5.0))
            place.postgres.restart(seconds_away=dice.uniform(0.0, 3.0))
            verdict.faults += 1
        command.ends_well()
        verdict.add(machine, seen, expected)
    return verdict


def outage(place: Place, seconds: float, count: int) -> Verdict:
    """The MLflow server is killed in the middle of trials, and comes back `seconds` later."""
    assert place.mlflow is not None
    expected, verdict = calm(place), Verdict()
    for _ in range(count):
        machine, seen = place.fresh()
        command = Command(machine, ("run", *WHAT, "--workers", "2"))
        wait_for(lambda seen=seen: seen.rows("SELECT 1 FROM metrics LIMIT 1"))  # type: ignore[misc]
        place.mlflow.stop()
        time.sleep(seconds)
        place.mlflow.start()
        verdict.faults += 1
        command.ends_well()
        verdict.add(machine, seen, expected)
    return verdict


def disk(place: Place, count: int, dice: random.Random) -> Verdict:
    """A file system of a few KiB for the artifacts (checkpoints too), or for everything with the databases, that is
    full in mid-run; later it is larger, and the command is given again. Needs the right to mount one."""
    expected, verdict = calm(place), Verdict()
    for _ in range(count):
        machine, seen = place.fresh()
        stores = machine.project / "mlruns"
        everything = dice.random() < 0.5
        full = stores if everything else stores / "artifacts"
        empty = (stores / "mlflow.db").read_bytes()
        full.mkdir(exist_ok=True)
        size = len(empty) // 1024 + dice.randrange(150, 500) if everything else dice.randrange(8, 80)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", full], check=True)
        try:
            if everything:
                (full / "mlflow.db").write_bytes(empty)
            command = Command(machine, ("run", *WHAT, "--workers", "2"))
            code = command.process.wait(60 * MINUTES)
            said = machine.said(command.process)
            assert "Traceback" not in said, said
            verdict.faults += code in (2, 3)
            subprocess.run(["mount", "-o", "remount,size=100m", full], check=True)
            command.start()
            command.ends_well()
            verdict.add(machine, seen, expected)
        finally:
            subprocess.run(["umount", "-l", full], check=False)
    return verdict


def clock(place: Place, count: int, dice: random.Random) -> Verdict:
    """The database's clock jumps ahead by up to a day: to it, every heartbeat is then that old."""
    expected, verdict = calm(place), Verdict()
    while verdict.faults < count:
        machine, seen = place.fresh()
        command = Command(machine, ("run", *WHAT, "--workers", "2"))
        wait_for(lambda seen=seen: "RUNNING" in seen.statuses())  # type: ignore[misc]
        while command.alive and verdict.faults < count:
            time.sleep(dice.uniform(0.5, 3.0))
            hours = dice.uniform(0.1, 24.0)
            if place.postgres:
                sql = f"UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '{hours} hours'"
                place.postgres.execute(sql, machine.storage.rpartition("/")[2])
            else:
                sql = f"UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-{hours} hours')"
                file = machine.storage.removeprefix("sqlite:///")
                with contextlib.closing(sqlite3.connect(file, timeout=60)) as connection:
                    connection.execute(sql)
                    connection.commit()
            verdict.faults += 1
        command.ends_well()
        verdict.add(machine, seen, expected)
    return verdict


def together(place: Place, count: int, workers: int, dice: random.Random) -> Verdict:
    """Two `bench run` of one suite at once, on two machines where there is a cluster, begun up to three seconds apart,
    `workers` writers in all."""
    expected, verdict = calm(place), Verdict()
    for _ in range(count):
        machine, seen = place.fresh()
        other = place.beside(machine, "other") if place.postgres else machine
        words = ("run", *WHAT, "--workers", str(workers // 2))
        first = Command(machine, words)
        time.sleep(dice.uniform(0.0, 3.0))
        second = Command(other, words)
        for command in (first, second):
            command.ends_well()
        verdict.faults += 1
        verdict.add(machine, seen, expected)
    return verdict


def every_write(place: Place, count: int) -> Verdict:
    """A worker, then a command, is killed before its first write to the stores, the next before its second, and so on
    to the last (or to `count`)."""
    machine, seen = place.fresh()
    faults, trials, curves = writes.campaign(machine, seen, count)
    done = seen.finished()
    return Verdict(
        faults=faults,
        rounds=1,
        trials=trials,
        lost=trials - len(done),
        repeated=sum(len(runs) > 1 for runs in done.values()),
        orphans=seen.statuses().count("RUNNING"),
        other_losses=len(curves) - 1,
        waiting=len(list((machine.project / "mlruns" / "outbox").glob("*.jsonl"))),
    )


def jumps(place: Place, count: int) -> Verdict:
    """The clock of every process is set seven hours ahead, five back and right again, at each tenth look at it."""
    expected, verdict = calm(place), Verdict()
    for _ in range(count):
        machine, seen = place.fresh()
        told = {"PYTHONPATH": f"{writes.HOOK}:{ROOT / 'src'}:{ROOT}", "CHAOS_JUMP": "yes"}
        ran = machine.run("run", *WHAT, "--workers", "2", seconds=60 * MINUTES, **told)
        assert ran.code == 0, ran.out
        verdict.faults += 1
        verdict.add(machine, seen, expected)
    return verdict


def containers(place: Place, count: int, dice: random.Random) -> Verdict:
    """Two `bench run` of one store, each among processes of its own (a container's PID namespace), and in each the
    workers are killed now and then. Needs the right to make namespaces."""
    expected, verdict = calm(place), Verdict()
    while verdict.faults < count:
        machine, seen = place.fresh()
        machine.within = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
        pair = [Command(machine, ("run", *WHAT, "--workers", "1")) for _ in range(2)]
        while all(command.alive for command in pair):
            time.sleep(dice.uniform(1.0, 4.0))
            victim = dice.choice(pair)
            if verdict.faults < count and victim.workers() and "RUNNING" in seen.statuses():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(dice.choice(victim.workers()), signal.SIGKILL)
                    verdict.faults += 1
        for command in pair:
            command.ends_well()
        machine.within = ()
        verdict.add(machine, seen, expected)
    return verdict


CAMPAIGNS: dict[str, tuple[str, Callable[[Place, int, float, random.Random], Verdict]]] = {
    "kills": ("workers, commands and machines, kill -9", lambda p, n, _, d: kills(p, n, d)),
    "torn": ("power cut, newest checkpoints torn", lambda p, n, _, d: torn(p, n, d)),
    "restarts": ("PostgreSQL ended, back in 0 to 3 s", lambda p, n, _, d: restarts(p, n, d)),
    "outage": ("MLflow server killed, back in {seconds:g} s", lambda p, n, s, _: outage(p, s, n)),
    "disk": ("disk full, enlarged later", lambda p, n, _, d: disk(p, n, d)),
    "clock": ("heartbeats 0.1 to 24 h late", lambda p, n, _, d: clock(p, n, d)),
    "writes": ("killed before each write, one after the other", lambda p, n, _, d: every_write(p, n)),
    "jumps": ("the clock of every process is set", lambda p, n, _, d: jumps(p, n)),
    "containers": ("two `bench run` in two PID namespaces", lambda p, n, _, d: containers(p, n, d)),
    "together": ("two `bench run` at once, 8 workers", lambda p, n, _, d: together(p, n, 8, d)),
}
"""Name -> what it does in words, and the function of place, number of faults, seconds and dice."""
