"""What a person sees of a run: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from retable.bench.numbers import duration
from retable.bench.suite.plan import Trial


def make(stream: Any = None) -> Lines | Live:
    """The live view if the stream (standard error) is a terminal, else lines."""
    stream = stream or sys.stderr
    return Live() if stream.isatty() else Lines(stream)


class Lines:
    """One line per finished trial, with the time that is left."""

    def __init__(self, stream: Any):
        self.stream = stream
        self.todo = self.done = 0
        self.began = time.monotonic()

    def begin(self, todo: int, cached: int, workers: int) -> None:
        self.todo, self.began = todo, time.monotonic()
        self.note(f"{todo} trials to run, {cached} done already, {workers} workers")

    def event(self, trial: Trial, event: Mapping[str, Any]) -> None:
        line = _line(event)
        if not line:
            return
        if event["event"] != "stopped":
            self.done += 1
        self.note(f"[{self.done}/{self.todo}] {trial.experiment}: {trial.name}: {line}{self._left()}")

    def note(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def end(self) -> None:
        if self.done:
            self.note(f"{self.done} trials in {duration(time.monotonic() - self.began)}")

    def _left(self) -> str:
        seconds = (time.monotonic() - self.began) / max(self.done, 1) * (self.todo - self.done)
        return f"  ({duration(seconds)} left)" if 0 < self.done < self.todo else ""


class Live:
    """A bar for the whole run and one for each running trial."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self.console = Console(stderr=True)
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self.console,
            refresh_per_second=5,
        )
        self.running: dict[str, Any] = {}
        self.total: Any = None

    def begin(self, todo: int, cached: int, workers: int) -> None:
        self.note(f"{todo} trials to run, {cached} done already, {workers} workers")
        if todo:
            self.total = self.bars.add_task("[bold]all trials", total=todo)
            self.bars.start()

    def event(self, trial: Trial, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "claimed":
            self.running[trial.id] = self.bars.add_task(f"{trial.experiment}: {trial.name}", total=None)
        elif kind == "tick" and trial.id in self.running:
            self.bars.update(self.running[trial.id], completed=event["step"], total=event["steps"])
        elif kind in ("done", "failed", "stopped"):
            if trial.id in self.running:
                self.bars.remove_task(self.running.pop(trial.id))
            if kind != "stopped" and self.total is not None:
                self.bars.advance(self.total)
            self.console.print(f"{trial.experiment}: {trial.name}: {_line(event)}", highlight=False, markup=False)

    def note(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    def end(self) -> None:
        self.bars.stop()


def _line(event: Mapping[str, Any]) -> str:
    kind = event["event"]
    if kind == "failed":
        return f"FAILED: {event['reason']}"
    if kind == "stopped":
        return "stopped; goes on from its checkpoint next time"
    if kind != "done":
        return ""
    if event["outcome"] == "diverged":
        return f"diverged: {event.get('reason', '')}"
    value = "" if event.get("value") is None else f" {event.get('metric', 'value')}={event['value']:.5g}"
    return f"{event['outcome']}{value} in {duration(event['seconds'])}"
