"""A mistake of a suite: where it stands, and in words what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from retable.bench.suite.schema import Suite
from retable.bench.task import did_you_mean

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """A mistake at `path`; `at_key` points at the key rather than at its value."""

    path: Path_
    message: str
    at_key: bool = False


def unknown(path: Path_, what: str, word: object, known: Iterable[str], *, at_key: bool = True) -> Problem:
    return Problem(path, f"unknown {what} '{word}'{did_you_mean(word, sorted(known))}", at_key)


def published_cell(suite: Suite, path: Path_, cell: str) -> Iterator[Problem]:
    """A reference 'table/row/column' must lead to a published number."""
    table, row, column = [*cell.split("/"), "", ""][:3]
    rows = suite.tables[table].published if table in suite.tables else {}
    if table not in suite.tables:
        yield unknown(path, "table", table, suite.tables, at_key=False)
    elif row not in rows:
        yield unknown(path, "published row", row, rows, at_key=False)
    elif not isinstance(rows[row].get(column), (int, float)):
        numbers = [key for key, value in rows[row].items() if isinstance(value, (int, float))]
        yield unknown(path, "published number in column", column, numbers, at_key=False)
