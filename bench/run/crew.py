"""The worker processes of one command: started, listened to, asked to stop, ended. What is made of it is the command's.

A worker's state changes here alone, by the events that it sends; `run/supervisor.py` and `run/joining.py` decide what
its events and its death mean for the trials.
"""

from __future__ import annotations

import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from retable.bench.run import events
from retable.bench.run.options import RunError
from retable.bench.run.orders import Orders

# glibc otherwise gives freed tensors back to the kernel and faults them in again at every step: 8 to 20 % of one.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}

STOP_SECONDS = float(os.environ.get("RETABLE_STOP_SECONDS", "30"))
"""So long a worker that was asked to stop has for a checkpoint; then it is killed, and its trial goes back."""

DRAIN_SECONDS = 2.0
"""So long the last words of a worker that has ended are waited for."""

EARLY_DEATHS = 3
"""So many workers in a row that die before they are ready mean that none can start here."""


@dataclass
class Child:
    """A worker process, its log, the trial it has claimed, and since when (by `time.monotonic`).

    heard: when it last gave a sign of life.
    """

    process: subprocess.Popen[str]
    log: Path
    ready: bool = False
    claimed: events.Claimed | None = None
    since: float = 0.0
    heard: float = 0.0

    def how_it_ended(self) -> str:
        """Wait for its end and say it in words: `SIGKILL`, `exit code 1`."""
        code = self.process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


class Crew:
    """The workers that are there; nobody at first."""

    def __init__(self, told: Orders):
        self.children: list[Child] = []
        self._told = told
        self._events: queue.Queue[tuple[Child, events.Event | None]] = queue.Queue()
        self._early_deaths = 0
        self._deadline = math.inf

    def hire(self) -> None:
        """Start a worker."""
        child = _spawn(self._told, len(self.children))
        self.children.append(child)
        listener = threading.Thread(target=self._listen, args=(child, child.process.stdout), daemon=True)
        listener.start()
        threading.Thread(target=self._await_end, args=(child, listener), daemon=True).start()

    def hear(self, seconds: float | None = None) -> tuple[Child, events.Event | None] | None:
        """The next thing that a worker tells; None if nothing comes for so long.

        An event None means that the worker has ended: it no longer belongs to the crew, and a trial that it had claimed
        is the caller's to settle. Raises `RunError` when workers cannot start.
        """
        try:
            child, event = self._events.get(timeout=seconds)
        except queue.Empty:
            return None
        if event is None:
            self.children.remove(child)
            self._early_deaths += not child.ready
            if self._early_deaths >= EARLY_DEATHS:
                child.process.wait()
                tail = child.log.read_text(errors="replace")[-2000:]
                raise RunError(f"workers die before they are ready; the log {child.log} ends:\n{tail}")
        elif isinstance(event, events.Ready):
            child.ready = True
            self._early_deaths = 0
        elif isinstance(event, events.Claimed):
            child.claimed, child.since = event, time.monotonic()
        elif isinstance(event, events.Done | events.Failed | events.Stopped | events.Refused):
            child.claimed = None
        child.heard = time.monotonic()
        return child, event

    def ask_to_stop(self) -> None:
        """Ask every worker to leave a checkpoint and end; who has not ended at the deadline is ended by `hurry`."""
        self._deadline = time.monotonic() + STOP_SECONDS
        for child in self.children:
            assert child.process.stdin is not None
            with suppress(OSError):  # it is on its way out already
                child.process.stdin.write("stop\n")
                child.process.stdin.flush()

    def hurry(self) -> list[Child]:
        """Kill the workers that were asked to stop and have not by the deadline: those that hang, or are stopped.

        Returns them; that they have ended is heard like any end.
        """
        if time.monotonic() < self._deadline:
            return []
        self._deadline = math.inf
        for child in self.children:
            end(child)
        return list(self.children)

    def kill(self) -> list[Child]:
        """End at once whoever is left. Returns them: what they had claimed is the caller's to settle."""
        left, self.children = self.children, []
        for child in left:
            end(child)
            child.process.wait()
        return left

    def _listen(self, child: Child, stream: IO[str]) -> None:
        for line in stream:
            event = events.read(line)
            if event is not None:  # else a line cut short by a kill
                self._events.put((child, event))

    def _await_end(self, child: Child, listener: threading.Thread) -> None:
        """Wait for the process and not for its pipe, which what it has forked may hold open."""
        if hasattr(os, "waitid"):  # until it is waited for, its number is nobody else's
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)
            end(child)
        child.process.wait()
        listener.join(DRAIN_SECONDS)
        self._events.put((child, None))


def end(child: Child) -> None:
    """Kill a worker and all that it has started in its session."""
    if child.process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)


def _spawn(told: Orders, index: int) -> Child:
    logs = Path(told.folder) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"worker-{os.getpid()}-{index}.log"
    threads = {f"{lib}_NUM_THREADS": str(told.threads) for lib in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "retable.bench.run.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            env={**ALLOCATOR, **os.environ, **threads},
            start_new_session=True,  # the terminal's Ctrl-C is for the command
        )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it died at once; whoever listens to it will hear that
        process.stdin.write(json.dumps(asdict(told)) + "\n")
        process.stdin.flush()
    return Child(process, log)
