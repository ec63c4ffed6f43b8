"""The forms of a check as comparisons: which cells are held against which, and on what scale.

Each form turns a view's cells into clauses of `Comparison`s, each of which says "this difference is above 0"; a check
holds where one comparison of every clause holds. `verdicts.py` judges them.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import pairwise

from retable.bench.judging import views
from retable.bench.judging.forms import agrees, ratio, spread, value
from retable.bench.judging.sides import (
    CannotJudge,
    Clause,
    Comparison,
    Reader,
    Setup,
    exp,
    family,
    held,
    naming,
    on_logs,
    pairs,
)
from retable.bench.judging.stats import ENOUGH, Lender
from retable.bench.judging.views import Book, Cell, Choice, ReportError
from retable.bench.numbers import short
from retable.bench.store.status import LOST
from retable.bench.suite.schema import (
    Agrees,
    Below,
    Check,
    Extreme,
    Monotone,
    Ratio,
    Replicates,
    Same,
    Spread,
    Value,
)
from retable.bench.suite.values import canonical
from retable.bench.task import find_task


def prepare(
    book: Book,
    experiments: Sequence[str],
    cells: list[Cell],
    check: Check,
    place: str,
    choices: Sequence[Choice] = (),
    replicates: Replicates | None = None,
) -> Setup:
    """The clauses of a check over the cells of its view.

    choices: the selections that the cells come from; the settings they chose may differ between two sides.
    Raises `CannotJudge` where there is nothing to compare or a needed trial is missing, failed or without a value
    (all of them are named), and `ReportError` where a setting is unknown.
    """
    for where in (getattr(check, part, {}) for part in ("these", "than", "of", "to")):
        for name in where:
            book.require(place, name)
            if name == "seed":
                raise ReportError(f"{place}: 'seed' can't tell the sides of a check apart; seeds are what it averages")
    unit = book.unit(experiments, check.metric)
    log = on_logs(cells, check.metric, unit)
    steady = _steady(book, experiments)
    reader = Reader(
        metric=check.metric,
        worst=book.worst(experiments, check.metric),
        scale=book.scale,
        unit=unit,
        log=log,
        chosen=frozenset(name for choice in choices for name in choice.over),
        choices={id(choice.winner): choice for choice in choices if choice.winner},
        replicates=_replicates(book, experiments, cells, replicates, check, steady),
        steady=steady,
        lend=cache(partial(family, book, experiments, check.metric, log or isinstance(check, Ratio))),
    )
    match check:
        case Below():
            return _below(check, cells, reader)
        case Extreme():
            return _extreme(check, cells, reader)
        case Monotone():
            return _monotone(check, cells, reader)
        case Same():
            return _same(check, cells, reader)
        case Ratio():
            return ratio(check, cells, reader)
        case Spread():
            return spread(check, cells, reader)
        case Agrees():
            return agrees(check, cells, reader, book.suite)
        case Value():
            return value(check, cells, reader, book.suite)


def _replicates(
    book: Book,
    experiments: Sequence[str],
    cells: Sequence[Cell],
    declared: Replicates | None,
    check: Check,
    steady: frozenset[str],
) -> tuple[str, ...]:
    """The metrics that stand in for seeds: those that fit the pattern, unless every cell has seeds enough.

    A trial that diverged or collapsed has lost all of them at once, which says no more than one seed does: then seeds
    count. So they do for an order, which takes means, and for a published value, which one more run would give.
    """
    if declared is None or isinstance(check, (Agrees, Value)) or any(c.in_state(*LOST) for c in cells):
        return ()
    if all(len(c.in_state("finished")) >= ENOUGH for c in cells if c.trials[0].task not in steady):
        return ()
    specs = (find_task(book.suite.experiments[name].task, book.suite.packages) for name in experiments)
    fitting = dict.fromkeys(m for spec in specs for m in fnmatch.filter(spec.metrics, declared.metrics))
    measured = {m for c in cells for t in c.trials for m in t.metrics}  # a scale may have fewer of them than another
    return tuple(m for m in fitting if m in measured)


def _steady(book: Book, experiments: Sequence[str]) -> frozenset[str]:
    """Tasks whose results no seed changes: they stand beside every seed of the others."""
    names = {book.suite.experiments[name].task for name in experiments}
    return frozenset(name for name in names if not find_task(name, book.suite.packages).seeded)


def _against(
    reader: Reader, found: list[tuple[Cell, Cell]], names: Sequence[str], higher: bool, margin: float = 0.0
) -> list[Clause]:
    """Clauses "the first is below (above) the second", by `margin` of the first at least."""
    sign, word = (-1.0, "above") if higher else (1.0, "below")
    by = f" by {margin:.3g} of it" if margin else ""
    slack = math.log1p(sign * margin) if reader.log else 0.0
    made = []
    for a, b in found:
        ours, theirs = reader.beside(a, b)
        if reader.log:
            left, right = reader.logs(theirs), {s: v + slack for s, v in reader.logs(ours).items()}
        else:
            left = theirs
            right = {s: v if math.isinf(v) else v + sign * margin * abs(v) for s, v in ours.items()}
        made.append(
            Comparison(
                label=f"{views.describe(a, names)} {word} {views.describe(b, names)}{by}",
                left={s: sign * v for s, v in left.items()},
                right={s: sign * v for s, v in right.items()},
                shown=_shown(sign, slack) if reader.log else lambda d: -sign * d,
                numbers=f"{short(views.mean(ours.values()), 4)} against {short(views.mean(theirs.values()), 4)} "
                f"{reader.unit}".rstrip(),
                factor=reader.log,
                unit=_unit(reader),
                lender=_lent(reader, a, b),
                share=reader.share(a, b),
                cells=reader.behind(a, b),
            )
        )
    return [(one,) for one in made]


def _shown(sign: float, slack: float) -> Callable[[float], float]:
    """From a difference of logarithms, with its margin, back to the first over the second."""
    return lambda d: exp(-sign * d - slack)


def _unit(reader: Reader) -> str:
    """Of a difference: of shares it is points, a factor has none."""
    return "" if reader.log else "points" if reader.unit == "%" else reader.unit


def _lent(reader: Reader, *cells: Cell) -> Lender | None:
    """The family's variance, for a comparison of plain cells over seeds."""
    return None if reader.replicates or any(id(c) in reader.choices for c in cells) else reader.lend()


def _below(check: Below, cells: list[Cell], reader: Reader) -> Setup:
    these, than = reader.side(cells, check.these), reader.side(cells, check.than)
    reader.need([*these, *than])
    named = naming(check.these, check.than)
    names = held(these, than, named, reader.chosen)
    found = pairs(these, than, named, names)
    return Setup(_against(reader, found, [*named, *names], check.higher, check.margin), [*these, *than])


def _extreme(check: Extreme, cells: list[Cell], reader: Reader) -> Setup:
    these = reader.side(cells, check.these)
    others = [c for c in cells if not any(c is t for t in these)]
    if not others:
        raise CannotJudge(f"there is nothing else at scale {reader.scale} to compare with")
    reader.need(cells)
    named = naming(check.these)
    names = held(these, others, named, reader.chosen)
    found = pairs(these, others, named, names)
    return Setup(_against(reader, found, [*named, *names], check.end == "highest"), cells)


def _same(check: Same, cells: list[Cell], reader: Reader) -> Setup:
    """Two one-sided tests a pair (D. J. Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15, 1987)."""
    these, than = reader.side(cells, check.these), reader.side(cells, check.than)
    reader.need([*these, *than])
    named = naming(check.these, check.than)
    names = held(these, than, named, reader.chosen)
    log = check.within is not None
    margin = math.log1p(check.within) if check.within is not None else float(check.within_absolute or 0)
    by = f"{check.within * 100:g} %" if check.within is not None else f"{short(margin)} {_unit(reader)}".rstrip()
    made: list[Clause] = []
    for a, b in pairs(these, than, named, names):
        ours, theirs = reader.beside(a, b)
        numbers = f"{short(views.mean(ours.values()), 4)} and {short(views.mean(theirs.values()), 4)} {reader.unit}"
        if log:
            ours, theirs = reader.logs(ours), reader.logs(theirs)
        for sign, word in ((1.0, "above"), (-1.0, "below")):
            made.append(
                (
                    Comparison(
                        label=f"{views.describe(a, [*named, *names])} at most {by} {word} "
                        f"{views.describe(b, [*named, *names])}",
                        left={s: sign * v + margin for s, v in theirs.items()},
                        right={s: sign * v for s, v in ours.items()},
                        shown=_same_shown(sign, margin, log),
                        numbers=numbers.rstrip(),
                        factor=log,
                        unit="" if log else _unit(reader),
                        lender=_lent(reader, a, b) if log == reader.log else None,
                        share=reader.share(a, b),
                        cells=reader.behind(a, b),
                    ),
                )
            )
    return Setup(made, [*these, *than])


def _same_shown(sign: float, margin: float, log: bool) -> Callable[[float], float]:
    """From `sign (theirs - ours) + margin` back to ours over (or less) theirs."""
    if log:
        return lambda d: exp(sign * (margin - d))
    return lambda d: sign * (margin - d)


def _monotone(check: Monotone, cells: list[Cell], reader: Reader) -> Setup:
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
    clauses: list[Clause] = []
    for group in groups.values():
        line = sorted(group, key=lambda c: order[canonical(c.get(check.over))])
        if len(line) < 2:
            raise CannotJudge(f"{views.describe(line[0], [check.over, *others])} has no neighbour along {check.over}")
        steps = [(b, a) for a, b in pairwise(line)]  # the later one is below (above) the earlier
        clauses += _against(reader, steps, [check.over, *others], check.direction == "rises")
    return Setup(clauses, along)
