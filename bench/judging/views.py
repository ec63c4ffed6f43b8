"""What a view looks at: trials filtered, pooled and selected, and what is missing among them.

The frame of `Results` becomes trials (one seed) grouped into cells (one setting of everything but the seed).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from retable.bench.errors import RetableError
from retable.bench.judging.index import Index
from retable.bench.judging.stats import is_tie
from retable.bench.numbers import counted
from retable.bench.results.frames import Results
from retable.bench.store.status import LOST
from retable.bench.suite.schema import Select, Suite, View, Where
from retable.bench.suite.values import canonical, text
from retable.bench.task import ENGINE_METRICS, did_you_mean, find_task

COLUMNS = ("trial", "experiment", "task", "seed", "state", "stale", "reason", "run_id", "started", "ended", "seconds")
ALWAYS = ("seed", "experiment")
"""What a `where` may name beside the settings."""


class ReportError(RetableError, ValueError):
    """A view that cannot be drawn as declared; the text begins with its place in the suite."""


@dataclass(frozen=True, eq=False)
class Result:
    """A row of the frame. `settings` holds those that its task has; `metrics` the finite or infinite ones."""

    id: str
    experiment: str
    task: str
    seed: int
    state: str
    stale: bool
    reason: str
    run_id: str
    started: pd.Timestamp | None
    ended: pd.Timestamp | None
    seconds: float
    settings: Mapping[str, Any]
    metrics: Mapping[str, float]

    def get(self, name: str) -> Any:
        """The value of a setting, None where the task has no such setting."""
        if name == "seed":
            return self.seed
        return self.experiment if name == "experiment" else self.settings.get(name)

    @cached_property
    def cell_key(self) -> str:
        """What makes two trials the same cell: the task and every setting, the seed left out."""
        return canonical({"": self.task, **self.settings})


@dataclass(frozen=True, eq=False)
class Cell:
    """One setting of everything but the seed. `trials` in order of seed."""

    trials: tuple[Result, ...]

    def get(self, name: str) -> Any:
        return self.trials[0].get(name)

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.trials[0].settings

    def in_state(self, *states: str) -> list[Result]:
        return [t for t in self.trials if t.state in states]

    def values(self, metric: str, lost: float | None = None) -> dict[int, float]:
        """Seed -> value of the finished trials, and `lost` for each diverged or collapsed one unless it is None."""
        found = {t.seed: t.metrics[metric] for t in self.trials if t.state == "finished" and metric in t.metrics}
        if lost is not None:
            found.update({t.seed: lost for t in self.in_state(*LOST)})
        return found

    def lacking(self, metric: str, lost: float | None = None) -> list[Result]:
        """The trials that `values` has nothing of."""
        there = self.values(metric, lost)
        return [t for t in self.trials if t.seed not in there]


@dataclass(frozen=True)
class Choice:
    """A selection: per remaining settings the best cell, with what a winner alone would hide.

    winner is None where no cell finished. ties: cells that can't be told from the winner. spread: highest over
    lowest mean of the finished cells (nan where a mean is not positive). diverged, collapsed, incomplete: cells that
    could not win, each in one of them; incomplete ones failed or were not run. grid: all of its cells.
    """

    metric: str
    lowest: bool
    over: tuple[str, ...]
    grid: tuple[Cell, ...]
    winner: Cell | None
    ties: tuple[Cell, ...]
    spread: float
    diverged: tuple[Cell, ...]
    collapsed: tuple[Cell, ...]
    incomplete: tuple[Cell, ...]

    @property
    def lost(self) -> dict[str, int]:
        """`{"diverged": 4, "collapsed": 1}`: how many cells ended without a result to use, by state."""
        found = {"diverged": len(self.diverged), "collapsed": len(self.collapsed)}
        return {state: n for state, n in found.items() if n}

    @property
    def seeds(self) -> int:
        return len(self.winner.trials) if self.winner else 0


@dataclass(frozen=True)
class Book:
    """Results as trials, with what the suite says of them."""

    results: Results
    trials: list[Result]
    known: frozenset[str] = field(repr=False)

    @property
    def suite(self) -> Suite:
        return self.results.suite

    @property
    def scale(self) -> str:
        return self.results.scale

    def not_here(self, view: View) -> str:
        """Why the view can't be shown at this scale, or an empty text."""
        if self.scale in view.not_at:
            return view.not_at[self.scale]
        reasons = [self.suite.experiments[name].not_at.get(self.scale, "") for name in view.from_]
        return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""

    def reference(self, trials: Iterable[Result]) -> str:
        """What these trials do, where a reference's experiments ran all of them; else an empty text."""
        said = list(dict.fromkeys(self.suite.experiments[t.experiment].reference for t in trials))
        return "; ".join(said) if all(said) else ""

    def apart(self, several: Iterable[Cell]) -> tuple[list[Cell], list[Cell]]:
        """The cells of methods, and those of references."""
        found: tuple[list[Cell], list[Cell]] = ([], [])
        for cell in several:
            found[bool(self.reference(cell.trials))].append(cell)
        return found

    def pick(self, place: str, experiments: Iterable[str], *wheres: Where) -> list[Result]:
        """The trials of `experiments` that match every `where`, in order; a trial of equal task, settings and
        seed in two experiments counts once, the finished and then the unchanged one.

        The first `where` is the view's own: no condition on a reference whose task has no such setting.

        Raises `ReportError` (beginning with `place`) where a setting is unknown.
        """
        for where in wheres:
            for name in where:
                self.require(place, name)
        of_view, *others = wheres or ({},)
        wanted = set(experiments)
        kept: dict[tuple[str, int], Result] = {}
        for trial in self._index.fitting(of_view, [item for where in others for item in where.items()]):
            if trial.experiment not in wanted:
                continue
            key = (trial.cell_key, trial.seed)
            if key not in kept or _merit(trial) > _merit(kept[key]):
                kept[key] = trial  # a key keeps its first place
        return list(kept.values())

    @cached_property
    def _index(self) -> Index[Result]:
        return Index(self.trials, {name for name, declared in self.suite.experiments.items() if declared.reference})

    def require(self, place: str, setting: str) -> None:
        """Raise `ReportError` unless some trial of the suite has the setting."""
        if self.trials and setting not in self.known:
            raise ReportError(f"{place}: no trial has a setting '{setting}'{did_you_mean(setting, sorted(self.known))}")

    def better(self, experiments: Iterable[str], metric: str) -> str | None:
        """Which end of a metric is better, as its task says: lower, higher or None."""
        known = self._metric(experiments, metric)
        return known.better if known else None

    def unit(self, experiments: Iterable[str], metric: str) -> str:
        """The unit of a metric, as its task says."""
        known = self._metric(experiments, metric)
        return known.unit if known else ""

    def worst(self, experiments: Iterable[str], metric: str) -> float | None:
        """What a diverged or collapsed trial counts as: +inf where lower is better, -inf where higher is.

        None (it has no value) for metrics without a better end, and for those with a physical unit: a trial that
        blew up at step 3 has not trained slowly.
        """
        known = self._metric(experiments, metric)
        if known is None or known.better is None or known.unit not in ("", "%"):
            return None
        return math.inf if known.better == "lower" else -math.inf

    def _metric(self, experiments: Iterable[str], metric: str) -> Any:
        for name in experiments:
            spec = find_task(self.suite.experiments[name].task, self.suite.packages)
            if metric in spec.metrics:
                return spec.metrics[metric]
        return ENGINE_METRICS.get(metric)


def _merit(trial: Result) -> tuple[bool, bool, bool]:
    return (trial.state == "finished", trial.state in LOST, not trial.stale)


def read(results: Results) -> Book:
    """The book of some results. Raises `ReportError` where the frame lacks a column."""
    frame = results.trials
    if frame.empty:
        return Book(results, [], frozenset(ALWAYS))
    lacking = [name for name in COLUMNS if name not in frame.columns]
    if lacking:
        raise ReportError(f"the trials frame lacks the columns {', '.join(lacking)}")
    names = [str(name) for name in frame.columns]
    settings = [n for n in names if n not in COLUMNS and "/" not in n]
    metrics = [n for n in names if "/" in n]
    trials = []
    for row in frame.to_dict("records"):
        values = {n: _plain(row[n]) for n in settings}
        trials.append(
            Result(
                id=str(row["trial"]),
                experiment=str(row["experiment"]),
                task=str(row["task"]),
                seed=int(row["seed"]),
                state=str(row["state"]),
                stale=bool(row["stale"]),
                reason="" if _plain(row["reason"]) is None else str(row["reason"]),
                run_id="" if _plain(row["run_id"]) is None else str(row["run_id"]),
                started=_plain(row["started"]),
                ended=_plain(row["ended"]),
                seconds=float(row["seconds"]),
                settings={n: v for n, v in values.items() if v is not None},
                metrics={n: float(row[n]) for n in metrics if not math.isnan(row[n])},
            )
        )
    return Book(results, trials, frozenset([*settings, *ALWAYS]))


def _plain(value: Any) -> Any:
    """A cell of the frame: NaN, NaT and NA are None."""
    if isinstance(value, (str, bool, int, list, tuple, dict)):
        return value
    return None if pd.isna(value) else value


def cells(trials: Iterable[Result]) -> list[Cell]:
    """Trials grouped by everything but the seed, in order of first appearance."""
    grouped: dict[str, list[Result]] = {}
    for trial in trials:
        grouped.setdefault(trial.cell_key, []).append(trial)
    return [Cell(tuple(sorted(group, key=lambda t: t.seed))) for group in grouped.values()]


def varying(group: Sequence[Cell]) -> list[str]:
    """The settings whose values differ between the cells, in the order of the frame."""
    names = dict.fromkeys(name for cell in group for name in cell.settings)
    return [name for name in names if len({canonical(cell.get(name)) for cell in group}) > 1]


def values_of(group: Iterable[Cell], setting: str) -> list[Any]:
    """The values that a setting takes: numbers ascending, others in order of first appearance; None is left out."""
    found = {canonical(v): v for cell in group if (v := cell.get(setting)) is not None}
    several = list(found.values())
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in several)
    return sorted(several) if numeric else several


def differing(group: Sequence[Cell]) -> str:
    """`lr, batch_size`: in what cells differ, for errors."""
    return ", ".join(varying(group)) or "task"


def select(group: Sequence[Cell], rule: Select) -> list[Choice]:
    """Per combination of the settings that are not selected over, the cell with the best mean over its seeds.

    A cell wins only if every one of its seeds finished. Ties are cells that `stats.is_tie` can't tell from the
    winner: within the seeds' interval, or within 1 % where there is one seed.
    """
    metric = rule.lowest or rule.highest or ""
    sign = 1.0 if rule.lowest else -1.0
    grouped: dict[str, list[Cell]] = {}
    for cell in group:
        rest = {k: v for k, v in cell.settings.items() if k not in rule.over}
        grouped.setdefault(canonical({"": cell.trials[0].task, **rest}), []).append(cell)
    choices = []
    for grid in grouped.values():
        diverged = [c for c in grid if c.in_state("diverged")]
        collapsed = [c for c in grid if c.in_state("collapsed") and not c.in_state("diverged")]
        complete = [c for c in grid if not c.lacking(metric)]
        other = {id(c) for c in [*complete, *diverged, *collapsed]}
        means = {id(c): mean(c.values(metric).values()) for c in complete}
        winner = min(complete, key=lambda c: sign * means[id(c)], default=None)
        ties = [c for c in complete if winner and c is not winner and is_tie(c.values(metric), winner.values(metric))]
        low, high = min(means.values(), default=math.nan), max(means.values(), default=math.nan)
        choices.append(
            Choice(
                metric=metric,
                lowest=bool(rule.lowest),
                over=tuple(rule.over),
                grid=tuple(grid),
                winner=winner,
                ties=tuple(ties),
                spread=high / low if low > 0 else math.nan,
                diverged=tuple(diverged),
                collapsed=tuple(collapsed),
                incomplete=tuple(c for c in grid if id(c) not in other),
            )
        )
    return choices


def mean(values: Iterable[float]) -> float:
    """The plain mean; nan of nothing."""
    several = list(values)
    return sum(several) / len(several) if several else math.nan


@dataclass(frozen=True)
class Seen:
    """What a view shows: its cells, after selection. `grid` are all the trials that it rests on."""

    cells: list[Cell]
    choices: list[Choice]
    grid: list[Result]


def look(book: Book, place: str, view: View, *wheres: Where, experiments: Iterable[str] | None = None) -> Seen:
    """The cells of a view (filtered by `wheres` too), with its selection applied after every filter."""
    trials = book.pick(place, experiments or view.from_, view.where, *wheres)
    every = cells(trials)
    if view.select is None:
        return Seen(every, [], trials)
    for name in view.select.over:
        book.require(place, name)
    methods, references = book.apart(every)  # a reference is never the best of anything
    choices = [*select(methods, view.select), *select(references, view.select)]
    return Seen([c.winner for c in choices if c.winner], choices, trials)


def describe(cell: Cell, names: Iterable[str], labels: Mapping[str, str] | None = None) -> str:
    """`adam`, `adam at lr 0.001`: a cell by some of its settings; one of text stands for itself."""
    words: list[str] = []
    numbers: list[str] = []
    for name in names:
        value = cell.get(name)
        if value is None:
            continue
        shown = (labels or {}).get(text(value), text(value))
        plain = isinstance(value, (bool, int, float))
        (numbers if plain else words).append(f"{name} {shown}" if plain else shown)
    if len(set(words)) == 1:  # `l1 l1 l1 l1`: the same choice in every part
        words = words[:1]
    if words and numbers:
        return f"{' '.join(words)} at {', '.join(numbers)}"
    return " ".join(words) or ", ".join(numbers)


def states(trials: Iterable[Result]) -> dict[str, int]:
    """State -> how many, in the order in which a report tells them."""
    found = [t.state for t in trials]
    order = ["finished", *LOST, "failed", "running", "missing"]
    return {s: found.count(s) for s in [*order, *sorted(set(found) - set(order))] if s in found}


def say_states(trials: Sequence[Result]) -> str:
    """`128 trials: 126 finished, 2 diverged`."""
    tally = states(trials)
    words = {"missing": "not run", "running": "still running"}
    parts = [f"{n} {words.get(state, state)}" for state, n in tally.items()]
    stale = sum(t.stale for t in trials)
    return f"{counted(len(trials), 'trial')}: {', '.join(parts) or 'none'}" + (f"; {stale} stale" if stale else "")


def how_lost(group: Iterable[Cell]) -> str:
    """`diverged`, `collapsed` or `diverged or collapsed`: how trials of these cells ended without a result to use."""
    ended = {t.state for cell in group for t in cell.in_state(*LOST)}
    return " or ".join(state for state in LOST if state in ended) or "diverged"


_STEP = re.compile(r"\bat step (\d+)")


def trouble(trial: Result) -> str:
    """What happened to a trial that did not finish: `diverged at step 40`, `collapsed: reason`, `not run`."""
    if trial.state == "diverged":
        step = _STEP.search(trial.reason)
        return f"diverged at step {step[1]}" if step else f"diverged ({trial.reason})" if trial.reason else "diverged"
    if trial.state in ("failed", "collapsed"):
        return f"{trial.state}: {trial.reason or 'no reason was recorded'}"
    return {"missing": "not run", "running": "still running", "finished": "not measured"}.get(trial.state, trial.state)


def grouped(labelled: Iterable[tuple[str, str]], most: int = 6) -> list[str]:
    """(reason, who) pairs as `reason: who; who and 3 more`, a text per reason."""
    found: dict[str, list[str]] = {}
    for why, who in labelled:
        found.setdefault(why, []).append(who)
    return [
        f"{why}: {'; '.join(who[:most])}" + (f" and {len(who) - most} more" if len(who) > most else "")
        for why, who in found.items()
    ]
