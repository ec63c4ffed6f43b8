"""Made-up trials and the book of them, for tests of what is judged: nothing is planned, run or stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from report_sample import suite_with

from retable.bench.judging.views import ALWAYS, Book, Result
from retable.bench.results.frames import Results

Outcome = float | str
"""What became of a trial: the number that it measured, or the state that it ended in without one."""

FLAT = 1e-9
"""What a collapsed trial measured: better than any other."""


def trials(
    values: Sequence[Outcome] | Mapping[int, Outcome],
    metric: str = "loss/total",
    *,
    experiment: str = "defaults",
    task: str = "paint",
    stale: bool = False,
    reason: str = "",
    **settings: Any,
) -> list[Result]:
    """A trial a seed, with these settings: `trials([1.0, "diverged"], optimizer="adam")`."""
    by_seed = values if isinstance(values, Mapping) else dict(enumerate(values))
    return [
        Result(
            id=f"{experiment}-{settings}-{seed}",
            experiment=experiment,
            task=task,
            seed=seed,
            state=value if isinstance(value, str) else "finished",
            stale=stale,
            reason=reason,
            run_id="",
            started=None,
            ended=None,
            seconds=1.0,
            settings=settings,
            metrics={metric: FLAT} if value == "collapsed" else {} if isinstance(value, str) else {metric: value},
        )
        for seed, value in by_seed.items()
    ]


def book(found: Iterable[Result], scale: str = "quick", **parts: Any) -> Book:
    """A book of them, of the sample suite with `parts` (plain data, as in YAML) in place of its own."""

    def nothing(*_: Any) -> Any:
        raise AssertionError("nothing that is judged reads curves or artifacts")

    every = list(found)
    results = Results(suite_with(**parts), scale, pd.DataFrame(), {}, nothing, nothing)
    return Book(results, every, frozenset([*ALWAYS, *(name for t in every for name in t.settings)]))
