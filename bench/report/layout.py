"""A built table laid out: each side of a cell short enough for a table, with footnotes; and what stood behind the best.

LaTeX has room for neither and spells the entries themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retable.bench.judging import stats, views
from retable.bench.judging.views import Choice
from retable.bench.numbers import Number, short, times
from retable.bench.report.tables import Built, Entry, some
from retable.bench.report.words import Listing
from retable.bench.store.status import LOST


@dataclass(frozen=True)
class Side:
    """The paper's side of a cell or ours: a value, or the words in its place.

    marks: letter and words of each footnote. number: the value unrounded, to sort by. state: "paper", or of our side
    as in `Entry`.
    """

    value: Number | str
    marks: tuple[tuple[str, str], ...]
    number: float | None
    state: str

    @property
    def text(self) -> str:
        return self.value.text() if isinstance(self.value, Number) else self.value


@dataclass(frozen=True)
class Line:
    """A row: its sides in the order of the columns, the paper's before ours. reference: letter and words of the
    footnote that says what it does, where it is a yardstick; else nothing."""

    label: str
    reference: tuple[tuple[str, str], ...]
    sides: list[Side]


@dataclass(frozen=True)
class Layout:
    """footnotes: letter and words."""

    rows: list[Line]
    footnotes: list[tuple[str, str]]


def lay_out(built: Built) -> Layout:
    """The sides of every cell. Equal footnotes share a letter; letters are in order of first use."""
    letters: dict[str, str] = {}

    def marks(notes: Sequence[str]) -> tuple[tuple[str, str], ...]:
        for words in notes:
            n = len(letters)
            letters.setdefault(words, "abcdefghijklmnopqrstuvwxyz"[n % 26] * (n // 26 + 1))
        return tuple((letters[words], words) for words in notes)

    rows = []
    for key, label in built.rows.items():
        sides: list[Side] = []
        reference = marks([f"reference: {built.references[key]}"] if key in built.references else [])
        for name, column in built.table.columns.items():
            entry = built.entries[key][name]
            if name in built.with_published:
                lacks = [f"not published: {entry.not_published}"] if entry.not_published else []
                known = entry.published if isinstance(entry.published, float) else None
                sides.append(Side(entry.papers(column), marks(lacks), known, "paper"))
            shown, notes = _ours(built, name, entry)
            sides.append(Side(shown, marks(notes), entry.measured, entry.state))
        rows.append(Line(label, reference, sides))
    return Layout(rows, [(letter, words) for words, letter in letters.items()])


def _ours(built: Built, column: str, entry: Entry) -> tuple[Number | str, list[str]]:
    """What stands in our side of a cell, short enough for a table, and the notes that go with it."""
    shown, notes = entry.ours(built.table.columns[column]), []
    words = "" if isinstance(shown, Number) or entry.state == "setting" else shown
    if words and entry.state in ("failed", *LOST, "not run") and len(words) > 24:
        shown = entry.state
    if entry.note and entry.note != shown:
        notes.append(entry.note)
    if entry.measured is not None and entry.n != built.n and entry.state == "measured":
        notes.append(f"n = {entry.n}")
    if entry.stale:
        notes.append("from older code: stale")
    return shown, notes


@dataclass(frozen=True)
class Selection:
    """What stood behind the winners of a table: per row and choice the cells that tie, the spread, the cells lost."""

    title: str
    lines: Listing
    rule: str


def selection(built: Built) -> Selection | None:
    """How the best cells were chosen, or None where nothing was selected."""
    lines = [line for key, choices in built.selections.items() for line in _lines(built.rows[key], choices)]
    if not lines:
        return None
    first = next(c for choices in built.selections.values() for c in choices)
    head = ("", "chosen", first.metric, "ties with it", "highest / lowest", "lost cells")
    title = f"How the best cell over {', '.join(first.over)} was chosen: ties and spread"
    return Selection(title, Listing(head, "llrlrl", lines), _tie_rule(built))


def _lines(row: str, choices: Sequence[Choice]) -> Iterator[tuple[str, ...]]:
    grids = [choice.grid[0] for choice in choices]
    for choice in choices:
        rest = [name for name in views.varying(grids) if name not in choice.over]
        winner = choice.winner
        yield (
            f"{row}, {views.describe(choice.grid[0], rest)}" if len(choices) > 1 else row,
            views.describe(winner, choice.over) if winner else "none",
            short(views.mean(winner.values(choice.metric).values()), 4) if winner else "",
            some([views.describe(c, choice.over) for c in choice.ties]) or "none",
            times(choice.spread) if math.isfinite(choice.spread) else "",
            f"{_lost(choice)} of {len(choice.grid)}",
        )


def _lost(choice: Choice) -> str:
    failed = sum(bool(c.in_state("failed")) for c in choice.incomplete)
    tally = {**choice.lost, "failed": failed, "not run": len(choice.incomplete) - failed}
    return ", ".join(f"{n} {what}" for what, n in tally.items() if n) or "none"


def _tie_rule(built: Built) -> str:
    """How ties were told, in words, for the selections of a table."""
    seeds = max((choice.seeds for choices in built.selections.values() for choice in choices), default=1)
    if seeds < 2:
        return f"A tie is a cell within {stats.TIE * 100:g} % of the chosen one: one seed says nothing of the noise."
    return "A tie is a cell whose difference to the chosen one has 0 inside its 95 % t interval over the seeds."
