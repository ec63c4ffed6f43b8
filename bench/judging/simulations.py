"""How often the rules of a verdict are wrong: simulations through the functions that judge, for docs/verdicts.md.

    python -m retable.bench.judging.simulations [--draws 2000] [--seed 0]

Each case draws results of which the truth is known, judges them as `verdicts` does, and counts the words. `false` is
what must stay at 5 % or less: the share of a word that the truth forbids.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retable.bench.judging import moderation, orders
from retable.bench.judging.forms import ratio, spread
from retable.bench.judging.looks import look
from retable.bench.judging.sides import Clause, Comparison, Reader, level_share
from retable.bench.judging.stats import ALPHA, Outcome, Values
from retable.bench.judging.verdicts import weigh
from retable.bench.judging.views import Cell, Result, select
from retable.bench.suite.schema import Ratio, Select, Spread

Random = np.random.Generator
METRIC = "loss/total"


@dataclass(frozen=True)
class Case:
    """One situation. truth: what is so. forbids: the word that would be wrong. draw: one set of results, judged."""

    name: str
    truth: str
    forbids: str
    draw: Callable[[Random], Outcome]


def share(case: Case, draws: int, seed: int = 0) -> dict[str, float]:
    """Word -> share of it over so many draws."""
    random = np.random.default_rng(seed)
    words = [case.draw(random) for _ in range(draws)]
    return {word: words.count(word) / draws for word in dict.fromkeys(words)}


# What is judged


def _values(random: Random, n: int, mean: float = 0.0, sd: float = 1.0, first: int = 0) -> dict[int, float]:
    return dict(enumerate(random.normal(mean, sd, n), first))


def _clause(left: Values, right: Values, lender: Any = None) -> Clause:
    return (Comparison("", left, right, lambda d: d, "", lender=lender),)


def _word(clauses: Sequence[Clause]) -> Outcome:
    return weigh(clauses)[0].outcome


def pairs(k: int, n: int, effect: float, *, lend: int = 0, uneven: bool = False) -> Callable[[Random], Outcome]:
    """k pairs of n seeds, the right side `effect` standard deviations (of a difference) below the left.

    lend: so many more cells of the family, which lend their variance. uneven: standard deviations from 1 to 10.
    """

    def draw(random: Random) -> Outcome:
        sds = np.exp(random.uniform(0, math.log(10), 2 * k + lend)) if uneven else np.ones(2 * k + lend)
        cells = [_values(random, n, sd=s / math.sqrt(2)) for s in sds]
        lender = moderation.lender(cells, "cells") if lend else None
        lefts = [{s: v + effect * sds[i] for s, v in cells[i].items()} for i in range(k)]
        return _word([_clause(lefts[i], cells[k + i], lender) for i in range(k)])

    return draw


def looked(at: Sequence[int]) -> Callable[[Random], Outcome]:
    """One pair without an effect, judged with each of these numbers of seeds in turn until a look decides."""

    def draw(random: Random) -> Outcome:
        left, right = (_values(random, max(at)) for _ in range(2))
        word: Outcome = "within noise"
        for i, n in enumerate(at):
            clause = _clause({s: left[s] for s in range(n)}, {s: right[s] for s in range(n)})
            word = weigh([clause], look(at[:i], n))[0].outcome
            if word != "within noise":
                break
        return word

    return draw


def unequal(n: int, more: int, shared: int) -> Callable[[Random], Outcome]:
    """n seeds against `more`, of which some are shared, without an effect; seeds matter for both sides alike."""

    def draw(random: Random) -> Outcome:
        common = dict(enumerate(random.normal(0, 2, n + more)))
        left = {s: common[s] + random.normal() for s in range(n)}
        right = {s: common[s] + random.normal() for s in range(n - shared, n - shared + more)}
        return _word([_clause(left, right)])

    return draw


def diverging(k: int, n: int, chance: float) -> Callable[[Random], Outcome]:
    """k pairs without an effect in which each trial diverges by chance."""

    def side(random: Random) -> dict[int, float]:
        return {s: math.inf if random.random() < chance else v for s, v in _values(random, n).items()}

    return lambda random: _word([_clause(side(random), side(random)) for _ in range(k)])


def skewed(n: int, sigma: float) -> Callable[[Random], Outcome]:
    """Positive losses whose logarithm is normal, as wide as e^±sigma, compared as the engine does: on logarithms."""

    def draw(random: Random) -> Outcome:
        left, right = (_values(random, n, sd=sigma) for _ in range(2))
        return _word([_clause(left, right)])

    return draw


def cells_of(sides: Sequence[tuple[dict[str, Any], Values]]) -> list[Cell]:
    """Cells as a view has them: settings, seed -> value of the metric."""
    return [
        Cell(
            tuple(
                Result("", "e", "t", seed, "finished", False, "", "", None, None, 0.0, settings, {METRIC: value})
                for seed, value in values.items()
            )
        )
        for settings, values in sides
    ]


READER = Reader(METRIC, math.inf, "quick", log=True)


def _grid(random: Random, who: str, n: int, many: int, sd: float) -> list[tuple[dict[str, Any], Values]]:
    """A grid of cells of equal mean 1: their logarithms differ by noise alone."""
    settings = [{"who": who, "lr": i} for i in range(many)]
    return [(s, {k: math.exp(v) for k, v in _values(random, n, sd=sd).items()}) for s in settings]


def spreads(n: int, many: int, noisy: float) -> Callable[[Random], Outcome]:
    """Two grids without an effect of their settings, the first `noisy` times as noisy as the second."""
    check = Spread(form="spread", metric=METRIC, these={"who": "a"}, than={"who": "b"}, over=["lr"])

    def draw(random: Random) -> Outcome:
        cells = cells_of([*_grid(random, "a", n, many, 0.1 * noisy), *_grid(random, "b", n, many, 0.1)])
        return _word(spread(check, cells, READER).clauses)

    return draw


def selected(n: int, many: int, noisy: float) -> Callable[[Random], Outcome]:
    """The best of a noisy grid below the best of a quiet one, all cells being equal."""

    def draw(random: Random) -> Outcome:
        cells = cells_of([*_grid(random, "a", n, many, 0.1 * noisy), *_grid(random, "b", n, many, 0.1)])
        choices = select(cells, Select(lowest=METRIC, over=["lr"]))
        reader = Reader(METRIC, math.inf, "quick", log=True, choices={id(c.winner): c for c in choices})
        a, b = (reader.logs(reader.plain(c.winner)) for c in choices if c.winner)
        one = Comparison("", b, a, lambda d: d, "", share=level_share(n))
        return _word([(one,)])

    return draw


def best_of(n: int, many: int) -> Callable[[Random], Outcome]:
    """ "At least the lowest of several" where all are equal but for a hair: the statement is just about false."""
    check = Ratio(form="ratio", metric=METRIC, of={"who": "a"}, to={"who": "b"}, to_statistic="lowest", at_least=1.0)

    def draw(random: Random) -> Outcome:
        cells = cells_of([*_grid(random, "a", n, 1, 0.1), *_grid(random, "b", n, many, 0.1)])
        return _word(ratio(check, cells, READER).clauses)

    return draw


def ordered(n: int, many: int, sd: float) -> Callable[[Random], Outcome]:
    """An order of things that has nothing to do with the published one; their own differences are large."""

    def draw(random: Random) -> Outcome:
        truth = random.permutation(many)
        means = truth + random.normal(0, sd, (n, many)).mean(axis=0)
        found = orders.agreement(list(means), list(range(many)))
        return "reproduced" if found.above <= ALPHA else "contradicted" if found.below <= ALPHA else "within noise"

    return draw


def equivalent(n: int, apart: float, margin: float) -> Callable[[Random], Outcome]:
    """Two one-sided tests: things `apart` standard deviations from each other, called the same within `margin`."""

    def draw(random: Random) -> Outcome:
        a, b = _values(random, n, apart, math.sqrt(0.5)), _values(random, n, 0.0, math.sqrt(0.5))
        more = {s: v + margin for s, v in b.items()}
        less = {s: v - margin for s, v in b.items()}
        return _word([_clause(more, a), _clause(a, less)])

    return draw


CASES = (
    Case("one pair, 3 seeds", "no effect", "reproduced", pairs(1, 3, 0)),
    Case("one pair, 3 seeds, variance lent by 8 cells", "no effect", "reproduced", pairs(1, 3, 0, lend=8)),
    Case("the same, noise from 1 to 10", "no effect", "reproduced", pairs(1, 3, 0, lend=8, uneven=True)),
    Case("15 pairs, 3 seeds", "no effect", "contradicted", pairs(15, 3, 0)),
    Case("15 pairs, 3 seeds, variance lent", "no effect", "contradicted", pairs(15, 3, 0, lend=8)),
    Case("15 pairs, 1 seed", "true by 1 sd", "contradicted", pairs(15, 1, 1)),
    Case("15 pairs, 2 seeds", "true by 1 sd", "contradicted", pairs(15, 2, 1)),
    Case("3 seeds against 5, 3 shared", "no effect", "reproduced", unequal(3, 5, 3)),
    Case("3 seeds against 5, 1 shared", "no effect", "reproduced", unequal(3, 5, 1)),
    Case("15 pairs, 3 seeds, each diverges with .3", "no effect", "contradicted", diverging(15, 3, 0.3)),
    Case("one pair, 3 seeds, each diverges with .3", "no effect", "reproduced", diverging(1, 3, 0.3)),
    Case("skewed losses (e^±1), 3 seeds", "no effect", "reproduced", skewed(3, 1.0)),
    Case("spread of a noisy grid above a quiet one (×10), 3 seeds", "no effect", "reproduced", spreads(3, 4, 10)),
    Case("spread of a quiet grid above a noisy one", "no effect", "reproduced", spreads(3, 4, 0.1)),
    Case("the same, 8 seeds", "no effect", "reproduced", spreads(8, 4, 0.1)),
    Case("best of a noisy grid below that of a quiet one, 3 seeds", "no effect", "reproduced", selected(3, 4, 10)),
    Case("best of a noisy grid below that of a quiet one, 8 seeds", "no effect", "reproduced", selected(8, 4, 10)),
    Case("at least the lowest of 4, all equal", "no effect", "reproduced", best_of(3, 4)),
    Case("an order of 8, 3 seeds", "unrelated to the paper's", "reproduced", ordered(3, 8, 0.5)),
    Case("an order of 8, 3 seeds", "unrelated to the paper's", "contradicted", ordered(3, 8, 0.5)),
    Case("the same within 1 sd, 5 seeds", "apart by 1 sd", "reproduced", equivalent(5, 1.0, 1.0)),
    Case("one pair, looks at 3, 5, 8, 12 and 18 seeds", "no effect", "reproduced", looked([3, 5, 8, 12, 18])),
    Case("one pair, looks at 3, 4, 6, 7 and 10 seeds", "no effect", "reproduced", looked([3, 4, 6, 7, 10])),
    Case("one pair, 3 seeds", "true by 2 sd", "contradicted", pairs(1, 3, 2)),
    Case("one pair, 3 seeds, variance lent", "true by 2 sd", "contradicted", pairs(1, 3, 2, lend=8)),
    Case("one pair, 8 seeds", "true by 1 sd", "contradicted", pairs(1, 8, 1)),
)


def table(draws: int, seed: int = 0) -> str:
    """The cases as a Markdown table."""
    words = ("reproduced", "direction only", "within noise", "direction only (opposite)", "contradicted")
    lines = [f"| case | truth | {' | '.join(words)} |", "| --- | --- |" + " ---: |" * len(words)]
    done: dict[tuple[str, str], dict[str, float]] = {}
    for case in CASES:
        key = (case.name, case.truth)
        if key in done:
            continue
        done[key] = share(case, draws, seed)
        wrong = {c.forbids for c in CASES if (c.name, c.truth) == key}
        cells = []
        for word in words:
            said = f"{done[key].get(word, 0) * 100:.1f} %"
            cells.append(f"**{said}**" if word in wrong else said)
        lines.append(f"| {case.name} | {case.truth} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    sys.stdout.write(table(wanted.draws, wanted.seed) + "\n")
