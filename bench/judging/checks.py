"""The six forms of a check as comparisons: which cells are held against which, and on what scale.

Each form turns a view's cells into `Comparison`s, each of which says "this difference is above 0"; a check holds
where all of them hold. `verdicts.py` judges them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from retable.bench.judging import views
from retable.bench.judging.stats import Values
from retable.bench.judging.views import Book, Cell, ReportError
from retable.bench.numbers import short, times
from retable.bench.store.status import LOST
from retable.bench.suite.schema import Agrees, Below, Check, Extreme, Monotone, Ratio, Spread, Suite, Where
from retable.bench.suite.values import canonical, matches, text


class CannotJudge(Exception):
    """The check can't be judged on these trials; the text says why."""


@dataclass(frozen=True)
class Comparison:
    """One statement "left - right > 0", over seeds.

    left, right: seed -> value on the scale of the test (logarithms for ratios), oriented so that a positive
    difference supports the claim. shown: maps a difference back to what a reader wants to see, which is a
    factor where `factor`, and then the scale is logarithmic. label: the statement in words. numbers: the two
    sides, in the metric's own unit. unit: of what is shown, "" for factors and pure numbers.
    """

    label: str
    left: Values
    right: Values
    shown: Callable[[float], float]
    numbers: str
    factor: bool = False
    unit: str = ""


@dataclass(frozen=True)
class Setup:
    """A check made ready: its comparisons, and the trials that they rest on."""

    comparisons: list[Comparison]
    used: list[Cell]


def prepare(
    book: Book, experiments: Sequence[str], cells: list[Cell], check: Check, place: str, chosen: Sequence[str] = ()
) -> Setup:
    """The comparisons of a check over the cells of its view.

    chosen: the settings that a selection has chosen for each cell; they may differ between the two sides.
    Raises `CannotJudge` where there is nothing to compare or a needed trial is missing, failed or without a value
    (all of them are named), and `ReportError` where a setting is unknown.
    """
    for where in (getattr(check, part, {}) for part in ("these", "than", "of", "to")):
        for name in where:
            book.require(place, name)
            if name == "seed":
                raise ReportError(f"{place}: 'seed' can't tell the sides of a check apart; seeds are what it averages")
    forms: dict[str, Callable[..., Setup]] = {
        "below": _below,
        "ratio": _ratio,
        "spread": _spread,
        "monotone": _monotone,
        "extreme": _extreme,
    }
    worst = book.worst(experiments, check.metric)
    if isinstance(check, Agrees):
        return _agrees(check, cells, _Reader(check.metric, worst, book.scale), book.suite)
    unit = book.unit(experiments, check.metric)
    return forms[check.form](check, cells, _Reader(check.metric, worst, book.scale, unit, frozenset(chosen)))


@dataclass(frozen=True)
class _Reader:
    """Takes values out of cells: diverged and collapsed trials count as the worst one, on a logarithmic scale too."""

    metric: str
    worst: float | None
    scale: str
    unit: str = ""
    chosen: frozenset[str] = frozenset()

    def need(self, cells: Sequence[Cell]) -> None:
        """Raise `CannotJudge` with every trial that has no value."""
        lacking = [(c, t) for c in cells for t in c.lacking(self.metric, self.worst)]
        if not lacking:
            return
        names = views.varying(cells)
        said = []
        for cell, trial in lacking:
            what = views.trouble(trial)
            if trial.state == "diverged":
                what = f"diverged, and a diverged trial has no {self.metric}"
            elif trial.state == "collapsed":
                what = f"collapsed, and a collapsed trial's {self.metric} does not count"
            elif trial.state == "finished":
                what = f"no {self.metric} was measured"
            label = views.describe(cell, names) or trial.experiment
            said.append((what, label + (f" seed {trial.seed}" if len(cell.trials) > 1 else "")))
        raise CannotJudge(". ".join(views.grouped(said)))

    def plain(self, cell: Cell) -> dict[int, float]:
        return cell.values(self.metric, self.worst)

    def logs(self, cell: Cell) -> dict[int, float]:
        """Natural logarithms; a diverged or collapsed trial is infinitely far on the worse side."""
        found = {}
        for seed, value in self.plain(cell).items():
            if math.isinf(value):
                found[seed] = value
            elif value <= 0:
                raise CannotJudge(f"a ratio needs positive values, and {self.metric} is {short(value)}")
            else:
                found[seed] = math.log(value)
        return found

    def mean(self, cell: Cell) -> float:
        return views.mean(self.plain(cell).values())

    def side(self, cells: list[Cell], where: Where) -> list[Cell]:
        """The cells that match; raises `CannotJudge` where none does."""
        found = [c for c in cells if _fits(c, where)]
        if not found:
            wanted = ", ".join(f"{k} = {text(v)}" for k, v in where.items()) or "anything"
            raise CannotJudge(f"no trial at scale {self.scale} has {wanted}")
        return found


def _fits(cell: Cell, where: Where) -> bool:
    return all(matches(cell.get(name), wanted) for name, wanted in where.items())


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


def _pairs(these: list[Cell], than: list[Cell], named: Sequence[str], names: list[str]) -> list[tuple[Cell, Cell]]:
    """Every pair to compare: equal in `names`, the settings that are held."""
    pairs = [(a, b) for a in these for b in than if a is not b and _agree(a, b, names)]
    lonely = [c for c in these if not any(c is a for a, _ in pairs)] + [
        c for c in than if not any(c is b for _, b in pairs)
    ]
    if lonely:
        words = "; ".join(views.describe(c, [*named, *names]) for c in lonely[:6])
        raise CannotJudge(f"nothing with equal {', '.join(names) or 'settings'} to hold against: {words}")
    return pairs


def _named(*wheres: Where) -> list[str]:
    return list(dict.fromkeys(name for where in wheres for name in where))


def _against(
    reader: _Reader, pairs: list[tuple[Cell, Cell]], names: Sequence[str], higher: bool, margin: float = 0.0
) -> list[Comparison]:
    """Comparisons "the first is below (above) the second", by `margin` of the first at least."""
    sign, word = (-1.0, "above") if higher else (1.0, "below")
    made = []
    for a, b in pairs:
        left, right = reader.plain(b), reader.plain(a)
        slack = {s: v if math.isinf(v) else v + sign * margin * abs(v) for s, v in right.items()}
        by = f" by {margin:.3g} of it" if margin else ""
        made.append(
            Comparison(
                label=f"{views.describe(a, names)} {word} {views.describe(b, names)}{by}",
                left={s: sign * v for s, v in left.items()},
                right={s: sign * v for s, v in slack.items()},
                shown=lambda d: -sign * d,
                numbers=f"{short(reader.mean(a), 4)} against {short(reader.mean(b), 4)} {reader.unit}".rstrip(),
                unit="points" if reader.unit == "%" else reader.unit,  # of 100: a difference of shares is no share
            )
        )
    return made


def _below(check: Below, cells: list[Cell], reader: _Reader) -> Setup:
    these, than = reader.side(cells, check.these), reader.side(cells, check.than)
    reader.need([*these, *than])
    named = _named(check.these, check.than)
    names = held(these, than, named, reader.chosen)
    pairs = _pairs(these, than, named, names)
    return Setup(_against(reader, pairs, [*named, *names], check.higher, check.margin), [*these, *than])


def _extreme(check: Extreme, cells: list[Cell], reader: _Reader) -> Setup:
    these = reader.side(cells, check.these)
    others = [c for c in cells if not any(c is t for t in these)]
    if not others:
        raise CannotJudge(f"there is nothing else at scale {reader.scale} to compare with")
    reader.need(cells)
    named = _named(check.these)
    names = held(these, others, named, reader.chosen)
    pairs = _pairs(these, others, named, names)
    return Setup(_against(reader, pairs, [*named, *names], check.end == "highest"), cells)


def _monotone(check: Monotone, cells: list[Cell], reader: _Reader) -> Setup:
    """Each neighbour is held against the next along the setting; numbers in order of size, words as declared."""
    order = {canonical(v): i for i, v in enumerate(views.values_of(cells, check.over))}
    along = [c for c in cells if c.get(check.over) is not None]
    if len(order) < 2:
        raise CannotJudge(f"{check.over} has {len(order)} value at scale {reader.scale}; a trend needs two")
    reader.need(along)
    others = held(along, [], [check.over], reader.chosen)
    groups: dict[str, list[Cell]] = {}
    for cell in along:
        groups.setdefault(canonical([cell.get(n) for n in others]), []).append(cell)
    comparisons = []
    for group in groups.values():
        line = sorted(group, key=lambda c: order[canonical(c.get(check.over))])
        if len(line) < 2:
            raise CannotJudge(f"{views.describe(line[0], [check.over, *others])} has no neighbour along {check.over}")
        steps = [(b, a) for a, b in pairwise(line)]  # the later one is below (above) the earlier
        comparisons += _against(reader, steps, [check.over, *others], check.direction == "rises")
    return Setup(comparisons, along)


def _agrees(check: Agrees, cells: list[Cell], reader: _Reader, suite: Suite) -> Setup:
    """Per seed Kendall's tau-b (M. G. Kendall, Biometrika 33, 1945) of our values with the published ones."""
    from scipy.stats import kendalltau  # half a second to import: only where a claim asks for it

    table, _, column = check.published.partition("/")
    printed = {row: cells.get(column) for row, cells in suite.tables[table].published.items()}
    ranked: dict[str, Cell] = {}
    for cell in cells:
        key = text(cell.get(check.over))
        if not isinstance(printed.get(key), (int, float)):
            continue
        if key in ranked:
            raise CannotJudge(f"several cells have {check.over} = {key}; name the others' settings in where or select")
        ranked[key] = cell
    if len(ranked) < 3:
        raise CannotJudge(f"{len(ranked)} values of {check.over} are both published and run; an order needs three")
    reader.need(list(ranked.values()))
    values = {key: reader.plain(cell) for key, cell in ranked.items()}
    seeds = set.intersection(*(set(v) for v in values.values()))
    if not seeds:
        raise CannotJudge("the cells share no seed to rank them by")
    paper = [float(printed[key]) for key in ranked]  # type: ignore[arg-type]
    taus = {s: float(kendalltau(paper, [values[key][s] for key in ranked]).statistic) for s in sorted(seeds)}
    if any(math.isnan(tau) for tau in taus.values()):
        raise CannotJudge("all values are equal, which is no order")
    comparison = Comparison(
        label=f"Kendall's tau of {len(ranked)} {check.over}s with the published order above {short(0.0)}",
        left=taus,
        right=dict.fromkeys(taus, 0.0),
        shown=lambda d: d + 0.0,
        numbers=f"tau {', '.join(short(tau) for tau in taus.values())} by seed",
    )
    return Setup([comparison], list(ranked.values()))


def _ratio(check: Ratio, cells: list[Cell], reader: _Reader) -> Setup:
    """Logarithms per seed: that of the mean over `of`, less that of the mean over `to` or of its best or worst cell
    (the cell with the lowest or highest mean over seeds)."""
    of, to = reader.side(cells, check.of), reader.side(cells, check.to)
    reader.need([*of, *to])
    upper = _log_mean([reader.plain(c) for c in of], reader)
    end = {"lowest": min, "highest": max}.get(check.to_statistic)
    if check.to_statistic == "each":
        lowers = [(views.describe(c, _named(check.to)), reader.logs(c), reader.mean(c)) for c in to]
    elif end:
        cell = end(to, key=reader.mean)
        label = f"{views.describe(cell, _named(check.to))} ({check.to_statistic})" if len(to) > 1 else ""
        lowers = [(label or views.describe(cell, _named(check.to)), reader.logs(cell), reader.mean(cell))]
    else:
        label = _side_label(check.to, to)
        lowers = [(label, _log_mean([reader.plain(c) for c in to], reader), views.mean(reader.mean(c) for c in to))]
    over = views.mean(reader.mean(c) for c in of)
    name, comparisons = _side_label(check.of, of), []
    for label, values, under in lowers:
        for bound, sign, word in ((check.at_least, 1.0, "at least"), (check.at_most, -1.0, "at most")):
            if bound is None:
                continue
            comparisons.append(
                Comparison(
                    label=f"{name} / {label} {word} {short(bound)}",
                    left={s: sign * v for s, v in upper.items()},
                    right={s: sign * (v + math.log(bound)) for s, v in values.items()},
                    shown=_ratio_shown(sign, bound),
                    numbers=f"{short(over, 4)} / {short(under, 4)}",
                    factor=True,
                )
            )
    return Setup(comparisons, [*of, *to])


def _ratio_shown(sign: float, bound: float) -> Callable[[float], float]:
    return lambda d: _exp(sign * d) * bound


def _exp(x: float) -> float:
    return math.inf if x > 700 else math.exp(x)


def _side_label(where: Mapping[str, Any], side: list[Cell]) -> str:
    if len(side) == 1:
        return views.describe(side[0], where)
    return f"mean of {', '.join(dict.fromkeys(views.describe(c, where) for c in side))}"


def _log_mean(several: list[dict[int, float]], reader: _Reader) -> dict[int, float]:
    """Per seed the logarithm of the mean over cells, of the seeds that all cells have."""
    seeds = set.intersection(*(set(values) for values in several))
    if not seeds:
        raise CannotJudge("the cells of a side share no seed to average over")
    found = {}
    for seed in sorted(seeds):
        value = views.mean(values[seed] for values in several)
        if value <= 0 and not math.isinf(value):
            raise CannotJudge(f"a ratio needs positive values, and {reader.metric} is {short(value)}")
        found[seed] = value if math.isinf(value) else math.log(value)
    return found


def _spread(check: Spread, cells: list[Cell], reader: _Reader) -> Setup:
    """Highest over lowest mean of each grid; its interval is that of the contrast of these two cells over seeds.

    A grid with a diverged or collapsed cell has an infinite spread. Choosing the two cells by their means stretches
    both sides alike, so that the comparison of two grids without effect stays symmetric about 0.
    """
    these, than = reader.side(cells, check.these), reader.side(cells, check.than)
    reader.need([*these, *than])
    named = [n for n in _named(check.these, check.than) if n not in check.over]
    left, right = _grids(these, check, reader), _grids(than, check, reader)
    names = held(these, than, [*named, *check.over], reader.chosen)
    pairs = _pairs([g.high for g in left], [g.high for g in right], named, names)
    by_cell = {id(g.high): g for g in [*left, *right]}
    names = [*named, *names]
    comparisons = []
    for a, b in ((by_cell[id(x)], by_cell[id(y)]) for x, y in pairs):
        comparisons.append(
            Comparison(
                label=f"spread of {views.describe(a.high, names)} above {views.describe(b.high, names)}",
                left=a.contrast,
                right=b.contrast,
                shown=_exp,
                numbers=f"{times(a.ratio)} against {times(b.ratio)}",
                factor=True,
            )
        )
    return Setup(comparisons, [*these, *than])


@dataclass(frozen=True)
class _Grid:
    high: Cell
    contrast: dict[int, float]
    ratio: float


def _grids(side: list[Cell], check: Spread, reader: _Reader) -> list[_Grid]:
    grouped: dict[str, list[Cell]] = {}
    for cell in side:
        # A cell's name says nothing that its settings don't, and would keep apart what differs in `over` alone.
        rest = {k: v for k, v in cell.settings.items() if k not in (*check.over, "cell")}
        grouped.setdefault(canonical(rest), []).append(cell)
    grids = []
    for group in grouped.values():
        if len(group) < 2:
            where = views.describe(group[0], _named(check.these, check.than)) or "a grid"
            raise CannotJudge(f"{where} has one cell over {', '.join(check.over)} at scale {reader.scale}")
        lost = reader.worst is not None and any(c.in_state(*LOST) for c in group)
        gone = {id(c): len(c.in_state(*LOST)) for c in group}
        high = max(group, key=lambda c: (gone[id(c)] if reader.worst == math.inf else 0, reader.mean(c)))
        low = min(group, key=lambda c: (-gone[id(c)] if reader.worst == -math.inf else 0, reader.mean(c)))
        top, bottom = reader.logs(high), reader.logs(low)
        seeds = sorted(set(top) & set(bottom))
        if not seeds:
            raise CannotJudge("the cells of a grid share no seed")
        contrast = {s: top[s] - bottom[s] if top[s] != bottom[s] else 0.0 for s in seeds}
        ratio = math.inf if lost else reader.mean(high) / reader.mean(low)
        grids.append(_Grid(high, contrast, ratio))
    return grids
