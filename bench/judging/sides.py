"""What a check compares: cells taken out of a view, their values on the scale of the test, and the pairs of them.

A `Comparison` says "this difference is above 0". A check is a list of clauses that must all hold; a clause is a list of
alternatives of which one must.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from retable.bench.judging import moderation, views
from retable.bench.judging.stats import ENOUGH, Difference, Lender, Values
from retable.bench.judging.views import Book, Cell, Choice
from retable.bench.numbers import short
from retable.bench.store.status import LOST
from retable.bench.suite.schema import Where
from retable.bench.suite.values import canonical, matches, text


class CannotJudge(Exception):
    """The check can't be judged on these trials; the text says why."""


@dataclass(frozen=True)
class Comparison:
    """One statement "left - right > 0", over replicates.

    left, right: seed (or another replicate) -> value on the scale of the test, oriented so that a positive difference
    supports the claim. shown: maps a difference back to what a reader wants to see, which is a factor where `factor`,
    and then the scale is logarithmic. label: the statement in words. numbers: the two sides, in the metric's own unit.
    unit: of what is shown, "" for factors and pure numbers. lender: of variance, where a family lends it. given, said:
    the difference and what is shown of it, where another test than t decides. share: of the level that it is held to,
    below 1 where what it compares was chosen on seeds that it is judged on too (`turns`). cells: whose values they are.
    """

    label: str
    left: Values
    right: Values
    shown: Callable[[float], float]
    numbers: str
    factor: bool = False
    unit: str = ""
    lender: Lender | None = None
    given: Difference | None = None
    said: str = ""
    share: float = 1.0
    cells: tuple[Cell, ...] = ()

    @property
    def of_seeds(self) -> bool:
        """Whether its replicates are seeds, and not the metrics that stand in for them."""
        return not any(isinstance(key, str) for key in self.left)


def turns(seeds: Sequence[Any]) -> list[tuple[list[Any], list[Any]]]:
    """How seeds are parted into those that choose a cell and those that judge it: (choosing, judged), in turns.

    Of five seeds or more the first third chooses and the others judge, so that a choice owes nothing to what it is
    judged by. Three or four are too few to part: each is judged by what the others choose. These turns share seeds, so
    such a comparison is held to `SHARED` of the level (simulations in docs/verdicts.md). Two give a direction, and one
    seed chooses for itself.
    """
    if len(seeds) > 4:
        first = len(seeds) // 3
        return [(list(seeds[:first]), list(seeds[first:]))]
    return [([o for o in seeds if o != s] or [s], [s]) for s in seeds]


SHARED = 0.5


def level_share(seeds: int) -> float:
    """The share of the level for a choice among so many seeds."""
    return 1.0 if seeds > 4 else SHARED


Clause = tuple[Comparison, ...]
"""Alternatives, of which one must hold."""


@dataclass(frozen=True)
class Setup:
    """A check made ready: its clauses, and the trials that they rest on."""

    clauses: list[Clause]
    used: list[Cell]

    @property
    def comparisons(self) -> list[Comparison]:
        return [one for clause in self.clauses for one in clause]


@dataclass(frozen=True)
class Reader:
    """Takes values out of cells: diverged and collapsed trials count as the worst one, on a logarithmic scale too.

    log: whether differences are of logarithms: where every value of the view is positive and none is a percentage.
    chosen: the settings that a selection has chosen for each cell; they may differ between two sides. choices: winner's
    id -> the selection that it comes from. replicates: metrics that each are the check's metric on one input; where
    they stand in for seeds. steady: tasks whose results no seed changes. lend: gives the lender of a scale.
    """

    metric: str
    worst: float | None
    scale: str
    unit: str = ""
    log: bool = False
    chosen: frozenset[str] = frozenset()
    choices: dict[int, Choice] = field(default_factory=dict)
    replicates: tuple[str, ...] = ()
    steady: frozenset[str] = frozenset()
    lend: Callable[[], Lender | None] = lambda: None

    def need(self, cells: Sequence[Cell]) -> None:
        """Raise `CannotJudge` with every trial that has no value."""
        wanted = self.replicates or (self.metric,)
        lacking = [(c, t, m) for c in cells for m in wanted for t in c.lacking(m, self.worst)]
        if not lacking:
            return
        names = views.varying(cells)
        said = []
        for cell, trial, metric in lacking:
            what = views.trouble(trial)
            if trial.state == "diverged":
                what = f"diverged, and a diverged trial has no {metric}"
            elif trial.state == "collapsed":
                what = f"collapsed, and a collapsed trial's {metric} does not count"
            elif trial.state == "finished":
                what = f"no {metric} was measured"
            label = views.describe(cell, names) or trial.experiment
            said.append((what, label + (f" seed {trial.seed}" if len(cell.trials) > 1 else "")))
        raise CannotJudge(". ".join(views.grouped(said)))

    def plain(self, cell: Cell) -> dict[Any, float]:
        """Replicate -> value. Of a selection, that of the cell which other seeds choose (`turns`)."""
        if self.replicates:
            return {m: views.mean(cell.values(m, self.worst).values()) for m in self.replicates}
        choice = self.choices.get(id(cell))
        return dict(self._chosen_elsewhere(cell, choice) if choice else cell.values(self.metric, self.worst))

    def _chosen_elsewhere(self, winner: Cell, choice: Choice) -> dict[int, float]:
        complete = [c for c in choice.grid if not c.lacking(choice.metric)]
        by = {id(c): c.values(choice.metric) for c in complete}
        seeds = sorted(s for s in by[id(winner)] if all(s in values for values in by.values()))
        if len(seeds) < 2:
            return winner.values(self.metric, self.worst)
        best = min if choice.lowest else max
        found = {}
        for choosing, judged in turns(seeds):
            means = {id(c): views.mean(by[id(c)][s] for s in choosing) for c in complete}
            values = best(complete, key=lambda c: means[id(c)]).values(self.metric, self.worst)
            found.update({s: values.get(s, math.nan) for s in judged})
        if any(math.isnan(v) for v in found.values()):
            raise CannotJudge(f"no {self.metric} was measured of a cell that the selection may choose")
        return found

    def logs(self, values: Values) -> dict[Any, float]:
        """Natural logarithms; a diverged or collapsed trial is infinitely far on the worse side."""
        found = {}
        for seed, value in values.items():
            if math.isinf(value):
                found[seed] = value
            elif value <= 0:
                raise CannotJudge(f"a ratio needs positive values, and {self.metric} is {short(value)}")
            else:
                found[seed] = math.log(value)
        return found

    def share(self, *cells: Cell) -> float:
        """The share of the level for a comparison of these cells: less than 1 where one was chosen on shared seeds."""
        chosen = [c for c in cells if id(c) in self.choices]
        return min((level_share(len(c.trials)) for c in chosen), default=1.0)

    def behind(self, *cells: Cell) -> tuple[Cell, ...]:
        """The cells that a comparison of these rests on: of a chosen one, all that it was chosen from."""
        return tuple(c for one in cells for c in (self.choices[id(one)].grid if id(one) in self.choices else (one,)))

    def mean(self, cell: Cell) -> float:
        return views.mean(self.plain(cell).values())

    def beside(self, *cells: Cell) -> list[dict[Any, float]]:
        """The values of cells, one whose task no seed changes standing beside every seed of the others."""
        found = [self.plain(c) for c in cells]
        still = [
            c.trials[0].task in self.steady and len(set(v.values())) == 1 for c, v in zip(cells, found, strict=True)
        ]
        moving = [v for v, fixed in zip(found, still, strict=True) if not fixed] or found
        seeds = list(dict.fromkeys(s for values in moving for s in values))
        return [
            dict.fromkeys(seeds, next(iter(v.values()))) if fixed else v for v, fixed in zip(found, still, strict=True)
        ]

    def side(self, cells: list[Cell], where: Where) -> list[Cell]:
        """The cells that match; raises `CannotJudge` where none does."""
        found = [c for c in cells if all(matches(c.get(name), wanted) for name, wanted in where.items())]
        if not found:
            wanted = ", ".join(f"{k} = {text(v)}" for k, v in where.items()) or "anything"
            raise CannotJudge(f"no trial at scale {self.scale} has {wanted}")
        return found


def exp(x: float) -> float:
    """e^x, infinite where a float cannot hold it."""
    return math.inf if x > 700 else math.exp(x)


def on_logs(cells: Iterable[Cell], metric: str, unit: str) -> bool:
    """Whether a metric is compared on logarithms: its spread grows with it wherever it can't be negative, so of
    positive values of an own scale ratios are compared; percentages are bounded and decibels are logarithms already:
    both are compared as they are."""
    values = [t.metrics[metric] for c in cells for t in c.in_state("finished", *LOST) if metric in t.metrics]
    return unit not in ("%", "dB") and bool(values) and all(v > 0 for v in values)


def family(book: Book, experiments: Sequence[str], metric: str, log: bool) -> Lender | None:
    """Who lends variance to a pair: all finished cells of the claim's experiments, by this metric."""
    table = []
    for cell in views.cells(book.pick("", experiments)):
        values = {t.seed: t.metrics[metric] for t in cell.in_state("finished") if metric in t.metrics}
        if len(values) >= ENOUGH and (not log or min(values.values()) > 0):
            table.append({s: math.log(v) if log else v for s, v in values.items()})
    return moderation.lender(table, " and ".join(experiments))


def held(these: Sequence[Cell], than: Sequence[Cell], named: Iterable[str], chosen: Iterable[str] = ()) -> list[str]:
    """The settings to hold equal in a pair: those that vary on a side among cells that agree in all `named` ones.

    What the named settings determine (an explicit cell and its own settings) is no free choice, so it isn't held;
    neither is what a selection has `chosen` for each cell: the best of one is held against the best of the other.
    """
    names = list(named)
    found: dict[str, None] = {}
    for side in (these, than):
        groups: dict[str, list[Cell]] = {}
        for cell in side:
            groups.setdefault(canonical([cell.get(n) for n in names]), []).append(cell)
        for group in groups.values():
            found.update(dict.fromkeys(n for n in views.varying(group) if n not in names))
    return [name for name in found if name not in set(chosen)]


def _agree(a: Cell, b: Cell, names: Iterable[str]) -> bool:
    """Equal in `names`; a setting that one of the two does not have agrees with any value."""
    pairs = [(a.get(n), b.get(n)) for n in names]
    return all(x is None or y is None or canonical(x) == canonical(y) for x, y in pairs)


def pairs(these: list[Cell], than: list[Cell], named: Sequence[str], names: list[str]) -> list[tuple[Cell, Cell]]:
    """Every pair to compare: equal in `names`, the settings that are held."""
    found = [(a, b) for a in these for b in than if a is not b and _agree(a, b, names)]
    lonely = [c for c in these if not any(c is a for a, _ in found)] + [
        c for c in than if not any(c is b for _, b in found)
    ]
    if lonely:
        words = "; ".join(views.describe(c, [*named, *names]) for c in lonely[:6])
        raise CannotJudge(f"nothing with equal {', '.join(names) or 'settings'} to hold against: {words}")
    return found


def naming(*wheres: Where) -> list[str]:
    """The settings that some sides name, in order."""
    return list(dict.fromkeys(name for where in wheres for name in where))
