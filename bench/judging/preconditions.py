"""Preconditions: what must hold of the models before a sentence about them can be tried.

A precondition holds where its check does in every seed of every pair: no statistics, since a model that is worse than
doing nothing in one seed of three is no model that works. What rounding makes is no difference. Where two sides have
different seeds, every one of one side is held against every one of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retable.bench.judging import stats, views
from retable.bench.judging.checks import prepare
from retable.bench.judging.sides import CannotJudge, Comparison, Setup
from retable.bench.judging.views import Book
from retable.bench.numbers import counted

State = Literal["holds", "does not hold", "not run"]


@dataclass(frozen=True)
class Condition:
    """A precondition at one scale. numbers: of the comparison that decides (the first that fails, else the first);
    held, of: how many comparisons hold."""

    name: str
    reads: str
    state: State
    numbers: str
    held: int = 0
    of: int = 0

    @property
    def words(self) -> str:
        """How it stands, beside a verdict that needs it."""
        return f"{self.reads}: {self.state} ({self.numbers})"


def hold_all(book: Book) -> dict[str, Condition]:
    """Every precondition of the suite, by name. Raises `ReportError` where one names an unknown setting."""
    return {name: hold(book, name) for name in book.suite.preconditions}


def hold(book: Book, name: str) -> Condition:
    """Whether a precondition holds. Raises `ReportError` where it names an unknown setting."""
    wanted = book.suite.preconditions[name]
    reason = book.not_here(wanted)
    if reason:
        return Condition(name, wanted.reads, "not run", f"not at scale {book.scale}: {reason}")
    try:
        setup = _setup(book, name)
    except CannotJudge as why:
        return Condition(name, wanted.reads, "not run", str(why))
    clauses = [[_always(one) for one in clause] for clause in setup.clauses]
    held = sum(any(clause) for clause in clauses)
    failing = next((c[0] for c, found in zip(setup.clauses, clauses, strict=True) if not any(found)), None)
    shown = failing or setup.clauses[0][0]
    words = f"{shown.label}: {shown.numbers}"
    if failing and len(clauses) > 1:
        words += f" ({held} of {counted(len(clauses), 'comparison')} hold)"
    return Condition(name, wanted.reads, "does not hold" if failing else "holds", words, held, len(clauses))


def _setup(book: Book, name: str) -> Setup:
    wanted, place = book.suite.preconditions[name], f"preconditions.{name}"
    seen = views.look(book, place, wanted)
    return prepare(book, wanted.from_, seen.cells, wanted.check, place, seen.choices)


def _always(one: Comparison) -> bool:
    """Whether a comparison holds in every seed: paired where the sides share their seeds, else each against each."""
    if one.given is not None:
        return stats.outcome(one.given) in ("reproduced", "direction only")
    if one.left.keys() == one.right.keys():
        return all(_above(one.left[s], one.right[s], one.factor) for s in one.left)
    return _above(min(one.left.values()), max(one.right.values()), one.factor)


def _above(a: float, b: float, log: bool) -> bool:
    d = stats.difference({0: a}, {0: b}, log=log)
    return d.mean > 0 and d.size > stats.ROUNDING
