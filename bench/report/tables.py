"""Tables in the paper's own layout: per cell the published value and ours, or in words why there is none.

What a table says is worked out here once, and in `layout` how it is laid out; `markdown`, `html`, `latex` and `csv`
only spell it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from retable.bench.judging import stats, views
from retable.bench.judging.views import Book, Choice, ReportError, Result, Seen
from retable.bench.numbers import Number, counted, number, printed
from retable.bench.suite.schema import Column, NotPublished, Row, Table
from retable.bench.suite.values import same, text

State = Literal["measured", "setting", "partial", "diverged", "collapsed", "failed", "not run", "not here", "none"]


@dataclass(frozen=True)
class Entry:
    """One cell of a table.

    published: the paper's value, as a number or as its own words; None where the paper has none, and then
    `not_published` may say why. measured, sd: ours, in the column's unit (the mean over `n` seeds); `setting`: the
    value of a setting, as text. state: "measured", "setting"; "partial" (some seeds are lost: the mean is of the
    others); or the reason that there is no value, which `note` spells out, with the numbers of collapsed trials.
    stale: it rests on older code.
    """

    published: float | str | None = None
    not_published: str = ""
    measured: float | None = None
    sd: float | None = None
    n: int = 0
    setting: str = ""
    state: State = "none"
    note: str = ""
    stale: bool = False

    def ours(self, column: Column) -> Number | str:
        """Our value, or the words that stand in its place."""
        if self.state == "setting":
            return self.setting
        if self.measured is None:
            return {"none": "", "not here": "not run here"}.get(self.state, self.note or self.state)
        return number(self.measured, column.format, self.sd if self.n > 1 else None)

    def papers(self, column: Column) -> Number | str:
        """The published value, or what stands in its place."""
        if isinstance(self.published, str):
            return self.published
        if self.published is None:
            return "not published" if self.not_published else ""
        return number(self.published, column.format) if column.published_from else printed(self.published)


@dataclass(frozen=True)
class Built:
    """A table ready to be spelled. entries: row key -> column key -> entry; rows: row key -> label.

    with_published: columns that have a published side. selections: what the winners alone would hide, by row.
    references: row key -> what its trials do, for the rows that are yardsticks and no methods of the paper.
    n: seeds of most cells. problem: why the whole table can't be shown at this scale, or empty. caution: what a reader
    must not read out of it, or empty.
    """

    name: str
    table: Table
    rows: dict[str, str]
    entries: dict[str, dict[str, Entry]]
    with_published: frozenset[str]
    selections: dict[str, list[Choice]]
    references: dict[str, str]
    n: int
    problem: str = ""
    caution: str = ""

    @property
    def shown(self) -> bool:
        """Whether it has a number at all, ours or the paper's; else `problem` says everything."""
        return not self.problem or bool(self.with_published)

    @property
    def ours(self) -> str:
        """What our numbers are, as a sentence; empty where there is none."""
        if not self.n:
            return ""
        what = f"mean ± standard deviation over {self.n} seeds" if self.n > 1 else "one seed"
        return f"Our runs: {what}, unless marked."

    @property
    def said(self) -> tuple[str, ...]:
        """What stands under it: what our numbers are, the suite's note, the caution."""
        return tuple(filter(None, (self.ours, self.table.note, self.caution)))

    @property
    def corner(self) -> str:
        """What the rows are, where they are the values of a setting."""
        return self.table.rows if isinstance(self.table.rows, str) else ""

    def heading(self, column: str) -> str:
        """The column's label with its unit."""
        spec = self.table.columns[column]
        label = spec.label or column
        return f"{label} ({spec.unit})" if spec.unit else label

    def published_heading(self, column: str) -> str:
        """`paper`, with the published unit where it differs from ours."""
        spec = self.table.columns[column]
        other = spec.published_unit and spec.published_unit != spec.unit
        return f"paper ({spec.published_unit})" if other else "paper"


def build(book: Book, name: str, table: Table, caution: str = "") -> Built:
    """A table from the trials. `caution` stands under it where a metric of ours is beside a published one.

    Raises `ReportError` where a cell would average over anything but seeds.
    """
    problem = book.not_here(table)
    rows = _rows(book, name, table)
    entries: dict[str, dict[str, Entry]] = {}
    selections: dict[str, list[Choice]] = {}
    references: dict[str, str] = {}
    for key, (_, row) in rows.items():
        published = _published_row(table, key)
        grid: list[Result] = []
        entries[key] = {}
        for column_name, column in table.columns.items():
            entry = _published(published.get(column_name))
            if problem:
                entries[key][column_name] = replace(entry, state="not here", note=problem)
                continue
            place = f"tables.{name}: row {key}, column {column_name}"
            experiments = _experiments(book, table, row, column)
            if not experiments:
                entries[key][column_name] = entry
                continue
            seen = views.look(book, place, table, row.where, column.where, experiments=experiments)
            entry = _measured(book, place, entry, column, seen, experiments)
            if book.scale in table.absolute:
                entry = _absolute(entry, column, seen)
            entries[key][column_name] = entry
            grid += seen.grid
            if seen.choices and not column.where and not column.from_:
                selections[key] = seen.choices
        reference = _reference(book, grid, row.from_ or table.from_)
        if reference:
            references[key] = reference
            selections.pop(key, None)
    methods = [row for key, row in entries.items() if key not in references]
    for column_name, column in table.columns.items():
        if column.published_from:
            _derive_published(table, column_name, column, entries)
        if column.relative_to:
            _make_relative(column_name, column, entries, methods)
    shown = frozenset(
        c
        for c in table.columns
        if any(row[c].published is not None or row[c].not_published for row in entries.values())
    )
    counts = [e.n for row in methods or entries.values() for e in row.values() if e.n]
    usual = max(counts, key=counts.count, default=0)
    labels = {key: label for key, (label, _) in rows.items()}
    beside = usual and any(table.columns[c].metric is not None for c in shown)
    return Built(name, table, labels, entries, shown, selections, references, usual, problem, caution if beside else "")


def _rows(book: Book, name: str, table: Table) -> dict[str, tuple[str, Row]]:
    """Row key -> label and filter: explicit rows, or a row per value of a setting, published ones included, and a row
    per reference."""
    if not isinstance(table.rows, str):
        return {key: (row.label or table.labels.get(key, key), row) for key, row in table.rows.items()}
    place = f"tables.{name}.rows"
    every, references = book.apart(views.cells(book.pick(place, table.from_, table.where)))
    if every:
        book.require(place, table.rows)
    found = {text(v): v for v in views.values_of(every, table.rows)}
    for key in table.published:
        if not any(_is_key(key, value) for value in found.values()):
            found[key] = key
    listed = [k for k in [*table.published, *table.labels] if k in found]
    order = [*dict.fromkeys(listed), *(k for k in found if k not in listed)] if set(listed) == set(found) else [*found]
    methods = [name for name in table.from_ if not book.suite.experiments[name].reference]
    rows = {key: (table.labels.get(key, key), _row(methods, {table.rows: found[key]})) for key in order}
    for own in dict.fromkeys(cell.trials[0].experiment for cell in references):
        label, key = table.labels.get(own, own), f"reference {own}"
        values = views.values_of([c for c in references if c.trials[0].experiment == own], table.rows)
        if len(values) < 2:
            rows[key] = (label, _row([own]))
            continue
        for word, value in ((text(value), value) for value in values):
            rows[f"{key} {word}"] = (f"{label}, {table.labels.get(word, word)}", _row([own], {table.rows: value}))
    return rows


def _row(experiments: Sequence[str], where: Mapping[str, Any] | None = None) -> Row:
    return Row.model_validate({"from": experiments, "where": where or {}})


def _experiments(book: Book, table: Table, row: Row, column: Column) -> Sequence[str]:
    """Where a cell's trials come from: what its column says, then its row, then the table. A reference's row shows
    nothing but the reference."""
    if column.from_ and row.from_ and all(book.suite.experiments[name].reference for name in row.from_):
        return [name for name in row.from_ if name in column.from_]
    return column.from_ or row.from_ or table.from_


def _reference(book: Book, grid: Sequence[Result], declared: Sequence[str]) -> str:
    """What the trials of a row do, where all of them are a reference's; empty where it is a method's."""
    if grid:
        return book.reference(grid)
    said = [book.suite.experiments[name].reference for name in declared]
    return "; ".join(dict.fromkeys(said)) if all(said) else ""


def _is_key(key: str, value: Any) -> bool:
    """Whether a key of `published` names a setting's value: by its text, or as the same number."""
    if key == text(value):
        return True
    try:
        return isinstance(value, (int, float)) and same(float(key), value)
    except ValueError:
        return False


def _published_row(table: Table, key: str) -> Mapping[str, Any]:
    if key in table.published:
        return table.published[key]
    try:
        return next((row for k, row in table.published.items() if float(k) == float(key)), {})
    except ValueError:
        return {}


def _published(value: float | str | NotPublished | None) -> Entry:
    if isinstance(value, NotPublished):
        return Entry(not_published=value.not_published)
    return Entry(published=value)


def _measured(book: Book, place: str, entry: Entry, column: Column, seen: Seen, experiments: Sequence[str]) -> Entry:
    if not seen.cells:
        return _nothing(book, entry, seen, experiments)
    if column.setting is not None:
        book.require(place, column.setting)
        return _setting(place, entry, column, seen)
    if len(seen.cells) > 1:
        raise ReportError(
            f"{place}: {len(seen.cells)} cells remain, which differ in {views.differing(seen.cells)}; "
            "name these in where, rows or select.over, since only seeds are averaged"
        )
    cell, metric = seen.cells[0], column.metric or ""
    values = [v * column.factor for v in cell.values(metric).values()]
    stale = any(t.stale for t in cell.trials)
    lost = cell.lacking(metric)
    if not values:
        states: dict[str, State] = {"diverged": "diverged", "collapsed": "collapsed", "failed": "failed"}
        note = "; ".join(dict.fromkeys(_trouble(t, column) for t in lost))
        return replace(entry, state=states.get(lost[0].state, "not run"), note=note, stale=stale)
    note = ""
    if lost:
        by_words = Counter(_trouble(t, column) for t in lost)
        said = ", ".join(f"{n} {words}" for words, n in by_words.items())
        note = f"mean of {len(values)} of {len(cell.trials)} seeds; {said}"
    return replace(
        entry,
        measured=views.mean(values),
        sd=stats.sd(values) if len(values) > 1 else None,
        n=len(values),
        state="partial" if lost else "measured",
        note=note,
        stale=stale,
    )


def _absolute(entry: Entry, column: Column, seen: Seen) -> Entry:
    """A measured cell with a note on whether one more value of ours could well be the published one."""
    derived = column.relative_to or column.published_from or column.published_unit not in ("", column.unit)
    if derived or entry.state != "measured" or not isinstance(entry.published, float) or entry.n < stats.ENOUGH:
        return entry
    low, high = stats.prediction([v * column.factor for v in seen.cells[0].values(column.metric or "").values()])
    where = "in" if low <= entry.published <= high else "outside"
    return replace(entry, note=f"the published value lies {where} the 95 % prediction interval of ours")


def _trouble(trial: Result, column: Column) -> str:
    """What happened to a trial whose number is not ours, a collapsed one's number included."""
    words, measured = views.trouble(trial), trial.metrics.get(column.metric or "")
    if trial.state != "collapsed" or measured is None:
        return words
    return f"{words} ({number(measured * column.factor, column.format).text()})"


def _nothing(book: Book, entry: Entry, seen: Seen, experiments: Sequence[str]) -> Entry:
    """No cell: nothing was declared here, or a selection found no winner."""
    if seen.choices:
        lost: Counter[str] = sum((Counter(choice.lost) for choice in seen.choices), Counter())
        gone = [c for choice in seen.choices for c in choice.incomplete]
        if lost and not gone:
            note = f"all {lost.total()} cells {' or '.join(lost)}"
            return replace(entry, state="diverged" if lost["diverged"] else "collapsed", note=note)
        trial = next((t for c in gone for t in c.trials if t.state != "finished"), None)
        if trial is None:
            return replace(entry, state="not run", note=f"no {seen.choices[0].metric} was measured")
        if trial.state == "failed":
            return replace(entry, state="failed", note=f"{counted(len(gone), 'cell')} failed: {trial.reason}")
        return replace(entry, state="not run", note="not run")
    reasons = [book.suite.experiments[e].not_at.get(book.scale, "") for e in experiments]
    if all(reasons):
        return replace(entry, state="not here", note="; ".join(dict.fromkeys(reasons)))
    if entry.published is None and not entry.not_published:
        return entry
    return replace(entry, state="not here", note=f"no trial of scale {book.scale} has these settings")


def _setting(place: str, entry: Entry, column: Column, seen: Seen) -> Entry:
    values = list(dict.fromkeys(text(cell.get(column.setting or "")) for cell in seen.cells))
    if len(values) > 1:
        raise ReportError(f"{place}: {column.setting} has several values here ({', '.join(values)})")
    value = seen.cells[0].get(column.setting or "")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        shown = printed(float(value) * column.factor).text()
    else:
        shown = "" if value is None else values[0]
    note = ""
    if seen.choices and column.setting in seen.choices[0].over and seen.choices[0].ties:
        others = [views.describe(c, seen.choices[0].over) for c in seen.choices[0].ties]
        note = f"tied with {some(others)}"
    stale = any(t.stale for cell in seen.cells for t in cell.trials)
    return replace(entry, setting=shown, state="setting", note=note, stale=stale)


def some(words: Sequence[str], most: int = 4) -> str:
    """The first of several, and how many more there are."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return "; ".join(words[:most]) + more


def _derive_published(table: Table, name: str, column: Column, entries: dict[str, dict[str, Entry]]) -> None:
    source = column.published_from or ""
    if source not in table.columns:
        raise ReportError(f"tables: column {name} derives from '{source}', which is no column")
    numbers = {key: row[source].published for key, row in entries.items()}
    best = _best([v for v in numbers.values() if isinstance(v, float)], column)
    for key, value in numbers.items():
        if isinstance(value, float):
            entries[key][name] = replace(entries[key][name], published=value / best if best else value)
        else:
            entries[key][name] = replace(entries[key][name], not_published=entries[key][source].not_published)


def _make_relative(
    name: str, column: Column, entries: dict[str, dict[str, Entry]], methods: Sequence[dict[str, Entry]]
) -> None:
    best = _best([row[name].measured for row in methods], column)
    if not best:
        return
    for row in entries.values():
        entry = row[name]
        if entry.measured is not None:
            spread = None if entry.sd is None else entry.sd / abs(best)
            row[name] = replace(entry, measured=entry.measured / best, sd=spread)


def _best(values: Sequence[float | None], column: Column) -> float | None:
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known or column.relative_to is None:
        return None
    return min(known) if column.relative_to == "lowest" else max(known)
