"""Times are judged only of trials that had the machine to themselves: seeds are no replicates of a machine's load."""

from __future__ import annotations

from collections.abc import Sequence

from retable.bench.judging.views import Book, Cell, Result
from retable.bench.numbers import counted

TIMES = "time/"


def not_alone(book: Book, metric: str, used: Sequence[Cell]) -> str:
    """Why a metric of time cannot be judged on these trials: others of the suite ran meanwhile; empty if it can."""
    if not metric.startswith(TIMES):
        return ""
    trials = list({t.id: t for cell in used for t in cell.trials}.values())
    busy = [t for t in trials if any(_overlap(t, other) for other in book.trials if other.id != t.id)]
    if not busy:
        return ""
    return (
        f"{len(busy)} of {counted(len(trials), 'trial')} ran beside others; a time is judged only of trials that ran "
        "alone (`bench run --workers 1`)"
    )


def _overlap(a: Result, b: Result) -> bool:
    """Whether b ran while a did; one that is running has no end yet."""
    if a.started is None or a.ended is None or b.started is None or (b.ended is None and b.state != "running"):
        return False
    return bool((b.ended is None or a.started < b.ended) and b.started < a.ended)
