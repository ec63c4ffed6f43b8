"""Machines that share nothing but a queue and a tracking server, played by folders; and what the server has seen."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from running import ROOT, Ran

TOY = ROOT / "tests" / "toy"


@dataclass
class Machine:
    """A working directory with its own copy of the project, home and temporary folder."""

    folder: Path
    tracking: str
    storage: str
    suite: str = "toy"
    within: tuple[str, ...] = ()
    """What every command is started by, as `unshare` and its options."""
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shutil.copytree(TOY, self.folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
        if self.suite != "toy":
            file = self.project / "suites" / "toy.yaml"
            file.write_text(file.read_text().replace("suite: toy\n", f"suite: {self.suite}\n"))
            file.rename(file.with_name(f"{self.suite}.yaml"))
        for name in ("home", "tmp"):
            (self.folder / name).mkdir()

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def start(self, *args: str, **variables: str) -> subprocess.Popen[str]:
        own = {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp"), "OMP_NUM_THREADS": "1"}
        stores = {"MLFLOW_TRACKING_URI": self.tracking, "RETABLE_STORAGE": self.storage, "RETABLE_HEARTBEAT": "1"}
        log = (self.folder / f"{args[0]}-{len(self.started)}.log").open("w")
        process = subprocess.Popen(
            [*self.within, sys.executable, "-m", "retable", *args],
            cwd=self.project,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", **own, **stores, **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *args: str, seconds: float = 240, **variables: str) -> Ran:
        process = self.start(*args, **variables)
        process.wait(seconds)
        return Ran(process.returncode, self.said(process), "")

    def said(self, process: subprocess.Popen[str]) -> str:
        index = self.started.index(process)
        return next(self.folder.glob(f"*-{index}.log")).read_text()

    def workers(self, process: subprocess.Popen[str]) -> list[int]:
        import psutil

        children = psutil.Process(process.pid).children(recursive=True)
        found = []
        for child in children:
            with suppress(psutil.Error):  # it has just ended
                if "retable.bench.run.worker" in " ".join(child.cmdline()):
                    found.append(child.pid)
        return found

    def power_cut(self, process: subprocess.Popen[str]) -> None:
        """Everything of a command ends at once, as if its machine had lost power."""
        for pid in [process.pid, *self.workers(process)]:
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        """Power-cut what still runs."""
        for process in self.started:
            if process.poll() is None:
                self.power_cut(process)


@dataclass(frozen=True)
class Seen:
    """What a server's database holds of one suite."""

    database: Path
    suite: str

    def rows(self, sql: str) -> list[tuple[str, ...]]:
        connection = sqlite3.connect(self.database, timeout=30)
        found = connection.execute(sql.replace("MINE", f"e.name LIKE '{self.suite}/%'")).fetchall()
        connection.close()
        return found

    def tags(self, key: str) -> list[tuple[str, str]]:
        """(run, value) of a tag."""
        return [
            (run, value)
            for run, value in self.rows(
                "SELECT r.run_uuid, t.value FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id "
                f"JOIN tags t ON t.run_uuid = r.run_uuid WHERE MINE AND t.key = '{key}' ORDER BY r.start_time"
            )
        ]

    def statuses(self) -> list[str]:
        return [
            s
            for (s,) in self.rows(
                "SELECT r.status FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id WHERE MINE"
            )
        ]

    def finished(self) -> dict[str, list[str]]:
        """Trial -> its FINISHED runs."""
        found: dict[str, list[str]] = {}
        for trial, run in self.rows(
            "SELECT t.value, r.run_uuid FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id "
            "JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'retable.trial' WHERE MINE AND r.status = 'FINISHED'"
        ):
            found.setdefault(trial, []).append(run)
        return found

    def curve(self, run: str) -> list[tuple[int, float]]:
        """Every point of the loss, repeats included."""
        return [
            (int(step), float(value))
            for step, value in self.rows(
                f"SELECT step, value FROM metrics WHERE run_uuid = '{run}' AND key = 'loss/total' "
                "ORDER BY step, timestamp"
            )
        ]


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
