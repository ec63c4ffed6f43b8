"""The forms of a check that are more than a pair of cells: ratios, spreads, orders and published values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.special import stdtr

from retable.bench.judging import orders, stats, views
from retable.bench.judging.consistency import half_unit, published
from retable.bench.judging.sides import (
    CannotJudge,
    Clause,
    Comparison,
    Reader,
    Setup,
    exp,
    held,
    level_share,
    naming,
    pairs,
    turns,
)
from retable.bench.judging.stats import Difference
from retable.bench.judging.views import Cell
from retable.bench.numbers import short, times
from retable.bench.store.status import LOST
from retable.bench.suite.schema import Agrees, PublishedRatio, Ratio, Spread, Suite, Value
from retable.bench.suite.values import canonical, text


def agrees(check: Agrees, cells: list[Cell], reader: Reader, suite: Suite) -> Setup:
    """Kendall's tau of the means over seeds with the published values, against its permutation distribution."""
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
    values = reader.beside(*ranked.values())
    seeds = [s for s in values[0] if all(s in v for v in values)]
    if not seeds:
        raise CannotJudge("the cells share no seed to rank them by")
    ours = [views.mean(v[s] for s in seeds) for v in values]
    paper = [float(printed[key]) for key in ranked]  # type: ignore[arg-type]
    try:
        order = orders.agreement(ours, paper, check.tied_within)
    except ValueError:
        raise CannotJudge("all values are equal, or none of the paper's are told apart, which is no order") from None
    enough = len(seeds) >= stats.ENOUGH
    sign = (order.tau > 0) - (order.tau < 0)
    settled = (order.above, order.below) if enough else (1.0, 1.0)
    given = Difference(order.tau, math.inf, 0, len(seeds), True, abs(order.tau), 0 if enough else sign, None, settled)
    apart = f" further apart than {check.tied_within * 100:g} %" if check.tied_within else ""
    one = Comparison(
        label=f"{len(ranked)} {check.over}s in the published order",
        left={},
        right={},
        shown=lambda d: d,
        numbers=f"{order.concordant} of {order.compared} pairs{apart} in the published order, {order.discordant} not",
        given=given,
        cells=reader.behind(*ranked.values()),
        said=f"Kendall's tau {short(order.tau)}, {order.concordant} of {order.compared} pairs{apart}, "
        f"chance {short(order.above if sign >= 0 else order.below)}",
    )
    return Setup([(one,)], list(ranked.values()))


def value(check: Value, cells: list[Cell], reader: Reader, suite: Suite) -> Setup:
    """A published number against the prediction interval of one more run, which must be narrow enough to say it."""
    side = reader.side(cells, check.of)
    if len(side) > 1:
        raise CannotJudge(f"{len(side)} cells stand for one published value; they differ in {views.differing(side)}")
    reader.need(side)
    stated = published(suite, check.published)
    values = [v * check.factor for v in reader.plain(side[0]).values()]
    name = views.describe(side[0], naming(check.of)) or "ours"
    if not all(map(math.isfinite, values)):
        raise CannotJudge(f"{name} {views.how_lost(side)}")
    middle, half = views.mean(values), min(float(half_unit(stated)), check.within * abs(stated))
    printed = min(max(middle, stated - half), stated + half)  # of what the printed digits allow, the nearest to ours
    spare = check.within - abs(printed - middle) / abs(middle) if middle else -math.inf
    said = f"{short(middle, 4)} here, {short(stated, 4)} published"
    settled, sign = (1.0, 1.0), (spare > 0) - (spare < 0)
    if len(values) >= stats.ENOUGH:
        low, high = stats.prediction(values)
        said = f"{said}; one more run of ours lies within [{short(low, 4)}, {short(high, 4)}]"
        narrow = high - middle <= check.within * abs(middle) and middle - low <= check.within * abs(middle)
        inside, sign = low <= printed <= high or abs(printed - middle) <= stats.ROUNDING * abs(middle), 0
        settled = (0.0, 1.0) if inside and narrow else (1.0, 1.0 if inside else _outside(values, printed))
    given = Difference(spare, math.inf, 0, len(values), True, abs(spare), sign, None, settled)
    one = Comparison(
        f"{name} as published, within {check.within * 100:g} %", {}, {}, lambda d: d, said, given=given, said=said
    )
    return Setup([(one,)], side)


def _outside(values: list[float], printed: float) -> float:
    """One-sided p-value of a published number that one more run would not give."""
    log = min(values) > 0 and printed > 0
    on = [math.log(v) for v in values] if log else values
    error = stats.sd(on) * math.sqrt(1 + 1 / len(on))
    away = abs((math.log(printed) if log else printed) - views.mean(on))
    return float(stdtr(len(on) - 1, -away / error)) if error else 0.0


def ratio(check: Ratio, cells: list[Cell], reader: Reader) -> Setup:
    """Logarithms per seed: that of the mean over `of`, less that of the mean over `to` or of each of its cells.

    The lowest or highest of several cells is never chosen on the values that are judged. "At most the lowest" holds
    where it holds for each; "at least the lowest" where it does for one, each tested at its share of the level.
    """
    of, to = reader.side(cells, check.of), reader.side(cells, check.to)
    reader.need([*of, *to])
    clauses: list[Clause] = []
    for key in dict.fromkeys(canonical([c.get(n) for n in check.per]) for c in [*of, *to]):
        here, there = ([c for c in side if canonical([c.get(n) for n in check.per]) == key] for side in (of, to))
        if not here or not there:
            where = views.describe((here or there)[0], check.per)
            raise CannotJudge(f"{where} is on one side of the ratio alone")
        clauses += _ratios(check, here, there, reader)
    return Setup(clauses, [*of, *to])


def _ratios(check: Ratio, of: list[Cell], to: list[Cell], reader: Reader) -> list[Clause]:
    values = reader.beside(*of, *to)
    upper, over = _log_mean(values[: len(of)], reader), views.mean(reader.mean(c) for c in of)
    name = _side_label(naming(check.of) + check.per, of)
    if check.to_statistic == "mean":
        lowers = [_log_mean(values[len(of) :], reader)]
        labels = [_side_label(naming(check.to) + check.per, to)]
        unders = [views.mean(reader.mean(c) for c in to)]
        lower_cells = [tuple(to)]
    else:
        lowers = [reader.logs(v) for v in values[len(of) :]]
        labels = [views.describe(c, naming(check.to) + check.per) for c in to]
        unders = [reader.mean(c) for c in to]
        lower_cells = [(c,) for c in to]
    lent = reader.lend() if len(of) == 1 and not (reader.replicates or reader.choices) else None
    made: list[Clause] = []
    for bound, sign, word in ((check.at_least, 1.0, "at least"), (check.at_most, -1.0, "at most")):
        if bound is None:
            continue
        several = [
            Comparison(
                label=f"{name} / {label} {word} {short(bound)}",
                left={s: sign * v for s, v in upper.items()},
                right={s: sign * (v + math.log(bound)) for s, v in under_it.items()},
                shown=_ratio_shown(sign, bound),
                numbers=f"{short(over, 4)} / {short(under, 4)}",
                factor=True,
                lender=lent if check.to_statistic != "mean" or len(to) == 1 else None,
                share=reader.share(*of, *to),
                cells=reader.behind(*of, *those),
            )
            for label, under_it, under, those in zip(labels, lowers, unders, lower_cells, strict=True)
        ]
        any_of = (check.to_statistic, word) in (("lowest", "at least"), ("highest", "at most"))
        made += [tuple(several)] if any_of else [(one,) for one in several]
    return made


def published_ratio(suite: Suite, check: Ratio) -> str:
    """The paper's own ratio: `×1.5` where its text states it; where it follows from printed cells, by the same
    statistic as ours, `×1.84, from Table 1`, as a range where several are held; "" for none."""
    found, stated = _published(suite, check), check.published
    said = " to ".join(map(times, dict.fromkeys([*found[:1], *found[-1:]])))
    if not isinstance(stated, PublishedRatio):
        return said
    tables = dict.fromkeys(cell.partition("/")[0] for cell in [*stated.of, *stated.to])
    return f"{said}, from {' and '.join(dict.fromkeys(suite.tables[name].source or name for name in tables))}"


def published_effect(suite: Suite, check: Ratio) -> float | None:
    """How far the published ratio is inside the nearest bound, as a logarithm; None where it is not inside."""
    away = [
        sign * math.log(value / bound)
        for value in _published(suite, check)
        for bound, sign in ((check.at_least, 1.0), (check.at_most, -1.0))
        if bound is not None
    ]
    return min(away) if away and min(away) > 0 else None


def _published(suite: Suite, check: Ratio) -> list[float]:
    stated = check.published
    if stated is None or isinstance(stated, (int, float)):
        return [] if stated is None else [stated]
    of = views.mean(published(suite, cell) for cell in stated.of)
    to = [published(suite, cell) for cell in stated.to]
    ends = {"mean": [views.mean(to)], "lowest": [min(to)], "highest": [max(to)]}.get(check.to_statistic, to)
    return sorted(of / under for under in ends)


def _ratio_shown(sign: float, bound: float) -> Callable[[float], float]:
    return lambda d: exp(sign * d) * bound


def _side_label(names: list[str], side: list[Cell]) -> str:
    if len(side) == 1:
        return views.describe(side[0], names)
    return f"mean of {', '.join(dict.fromkeys(views.describe(c, names) for c in side))}"


def _log_mean(several: list[dict[Any, float]], reader: Reader) -> dict[Any, float]:
    """Per seed the logarithm of the mean over cells, of the seeds that all cells have."""
    seeds = set.intersection(*(set(values) for values in several))
    if not seeds:
        raise CannotJudge("the cells of a side share no seed to average over")
    return reader.logs({s: views.mean(values[s] for values in several) for s in several[0] if s in seeds})


def spread(check: Spread, cells: list[Cell], reader: Reader) -> Setup:
    """Highest over lowest cell of each grid, per seed, the two chosen on other seeds, so that noise makes no spread.

    A grid with a diverged or collapsed cell has an infinite spread in that seed.
    """
    these, than = reader.side(cells, check.these), reader.side(cells, check.than)
    reader.need([*these, *than])
    named = [n for n in naming(check.these, check.than) if n not in check.over]
    left, right = _grids(these, check, reader), _grids(than, check, reader)
    names = held(these, than, [*named, *check.over], reader.chosen)
    found = pairs([g.cell for g in left], [g.cell for g in right], named, names)
    by_cell = {id(g.cell): g for g in [*left, *right]}
    names = [*named, *names]
    clauses: list[Clause] = []
    for a, b in ((by_cell[id(x)], by_cell[id(y)]) for x, y in found):
        one = Comparison(
            label=f"spread of {views.describe(a.cell, names) or 'one grid'} above "
            f"{views.describe(b.cell, names) or 'the other'}",
            left=a.contrast,
            right=b.contrast,
            shown=exp,
            numbers=f"{times(a.ratio)} against {times(b.ratio)}",
            factor=True,
            share=level_share(min(a.seeds, b.seeds)),
            cells=(*a.cells, *b.cells),
        )
        clauses.append((one,))
    return Setup(clauses, [*these, *than])


@dataclass(frozen=True)
class _Grid:
    """contrast: seed -> logarithm of highest over lowest. ratio: of the means.
    seeds: how many there were to choose and to judge by."""

    cells: tuple[Cell, ...]
    contrast: dict[Any, float]
    ratio: float
    seeds: int

    @property
    def cell(self) -> Cell:
        """One of it, for the settings that all share."""
        return self.cells[0]


def _grids(side: list[Cell], check: Spread, reader: Reader) -> list[_Grid]:
    grouped: dict[str, list[Cell]] = {}
    for cell in side:
        # A cell's name says nothing that its settings don't, and would keep apart what differs in `over` alone.
        rest = {k: v for k, v in cell.settings.items() if k not in (*check.over, "cell")}
        grouped.setdefault(canonical(rest), []).append(cell)
    grids = []
    for group in grouped.values():
        if len(group) < 2:
            where = views.describe(group[0], naming(check.these, check.than)) or "a grid"
            raise CannotJudge(f"{where} has one cell over {', '.join(check.over)} at scale {reader.scale}")
        logs = [reader.logs(values) for values in reader.beside(*group)]
        seeds = sorted(s for s in logs[0] if all(s in values for values in logs))
        if not seeds:
            raise CannotJudge("the cells of a grid share no seed")
        lost = reader.worst is not None and any(c.in_state(*LOST) for c in group)
        means = [reader.mean(c) for c in group]
        whole = math.inf if lost else max(means) / min(means)
        grids.append(_Grid(tuple(group), _contrasts(logs, seeds), whole, len(seeds)))
    return grids


def _contrasts(logs: Sequence[Mapping[Any, float]], seeds: Sequence[Any]) -> dict[Any, float]:
    """Seed -> the logarithm of highest over lowest, the two cells being the extremes of the seeds that choose."""
    found = {}
    for choosing, judged in turns(seeds):
        means = [views.mean(values[s] for s in choosing) for values in logs]
        high, low = logs[means.index(max(means))], logs[means.index(min(means))]
        for seed in judged:
            here = [math.isinf(values[seed]) for values in logs]
            found[seed] = (0.0 if all(here) else math.inf) if any(here) else high[seed] - low[seed]
    return found
