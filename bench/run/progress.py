"""What is told of a run while it goes on (`Progress`), and what a person sees: a live view on a terminal, or lines."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

from retable.bench.numbers import duration
from retable.bench.run import events
from retable.bench.suite.plan import Trial


class Progress(Protocol):
    """What a run tells while it goes on. Give `retable.run` one of your own, or what it shows you is `make`'s."""

    def begin(self, todo: int, cached: int, workers: int) -> None:
        """So many trials are to run, and so many are done already."""

    def event(self, trial: Trial, event: events.OfTrial) -> None:
        """Something happened to a trial."""

    def note(self, text: str) -> None:
        """A line that a person should read."""

    def end(self) -> None:
        """Nothing more will come."""


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

    def event(self, trial: Trial, event: events.OfTrial) -> None:
        line = _line(event)
        if not line:
            return
        if not isinstance(event, events.Stopped):
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

    def event(self, trial: Trial, event: events.OfTrial) -> None:
        if isinstance(event, events.Claimed):
            self.running[trial.id] = self.bars.add_task(f"{trial.experiment}: {trial.name}", total=None)
        elif isinstance(event, events.Tick) and trial.id in self.running:
            self.bars.update(self.running[trial.id], completed=event.step, total=event.steps)
        elif isinstance(event, events.Done | events.Failed | events.Stopped):
            if trial.id in self.running:
                self.bars.remove_task(self.running.pop(trial.id))
            if not isinstance(event, events.Stopped) and self.total is not None:
                self.bars.advance(self.total)
            self.console.print(f"{trial.experiment}: {trial.name}: {_line(event)}", highlight=False, markup=False)

    def note(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    def end(self) -> None:
        self.bars.stop()


def _line(event: events.OfTrial) -> str:
    match event:
        case events.Failed(reason=reason):
            return f"FAILED: {reason}"
        case events.Stopped():
            return "stopped; goes on from its checkpoint next time"
        case events.Done(outcome="diverged" | "collapsed" as outcome, reason=reason):
            return f"{outcome}: {reason}"
        case events.Done(outcome=outcome, seconds=seconds, value=value, metric=metric):
            shown = "" if value is None else f" {metric}={value:.5g}"
            return f"{outcome}{shown} in {duration(seconds)}"
    return ""
