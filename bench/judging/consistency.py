"""Do a paper's published values agree with each other? Looks at what the suite declares alone, at no results.

A suite says under `consistency:` which published cells state one quantity, and which difference of two cells the
text states; here these are compared, with the rounding that the printed digits allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations

from retable.bench.numbers import printed
from retable.bench.suite.schema import Consistency, Suite


@dataclass(frozen=True)
class Finding:
    """One declared consistency. words: what the cells say; support: where they disagree, which value the text fits."""

    name: str
    about: str
    agrees: bool
    words: str
    support: str = ""


def check(suite: Suite) -> list[Finding]:
    """Every declared consistency of a suite, in its order. Raises ValueError for a cell without a published number."""
    return [_finding(suite, name, declared) for name, declared in suite.consistency.items()]


def published(suite: Suite, cell: str) -> float:
    """The published number at 'table/row/column'. Raises ValueError, naming the part that is unknown."""
    table, row, column = [*cell.split("/"), "", ""][:3]
    if table not in suite.tables:
        raise ValueError(f"'{cell}': there is no table '{table}'; write table/row/column")
    cells = suite.tables[table].published
    if row not in cells:
        raise ValueError(f"'{cell}': table '{table}' has no published row '{row}'")
    value = cells[row].get(column)
    if not isinstance(value, (int, float)):
        raise ValueError(f"'{cell}': table '{table}' publishes no number in row '{row}', column '{column}'")
    return float(value)


def _finding(suite: Suite, name: str, declared: Consistency) -> Finding:
    if declared.difference is not None:
        stated = declared.difference
        of, minus = published(suite, stated.of), published(suite, stated.minus)
        agrees = _fits(of, minus, stated.states)
        found = f"{_text(of)} − {_text(minus)} = {_text(float(_difference(of, minus)))}"
        words = f"{found} ({_place(suite, stated.of)}, less {_place(suite, stated.minus)}); the text: “{stated.quote}”"
        return Finding(name, declared.about, agrees, words)
    values = {cell: published(suite, cell) for cell in declared.same}
    agrees = all(_same(a, b) for a, b in combinations(values.values(), 2))
    words = "; ".join(f"{_text(value)} ({_place(suite, cell)})" for cell, value in values.items())
    support = [] if agrees else _supported(suite, values)
    return Finding(name, declared.about, agrees, words, "; ".join(support))


def _supported(suite: Suite, values: dict[str, float]) -> list[str]:
    """Which of several values for one quantity the differences in the text fit."""
    found = []
    for declared in suite.consistency.values():
        stated = declared.difference
        if stated is None or (stated.of not in values and stated.minus not in values):
            continue
        fitting = []
        for value in dict.fromkeys(values.values()):
            of = value if stated.of in values else published(suite, stated.of)
            minus = value if stated.minus in values else published(suite, stated.minus)
            if _fits(of, minus, stated.states):
                fitting.append(_text(value))
        if fitting:
            found.append(f"“{stated.quote}” fits {' and '.join(fitting)}")
    return found


def _same(a: float, b: float) -> bool:
    """Whether two printed values may be one number, each rounded to its own digits (53.3 and 53.26 may)."""
    return abs(_difference(a, b)) < half_unit(a) + half_unit(b)


def _fits(of: float, minus: float, states: float) -> bool:
    """Whether a difference is the stated one, each of the three being rounded to its printed digits."""
    apart = abs(_difference(of, minus) - _exact(states))
    return apart <= half_unit(of) + half_unit(minus) + half_unit(states)


def _difference(of: float, minus: float) -> Decimal:
    return _exact(of) - _exact(minus)


def _exact(value: float) -> Decimal:
    """As it is written, so that 54.89 - 53.26 is 1.63."""
    return Decimal(repr(value))


def half_unit(value: float) -> Decimal:
    """Half a unit in the last printed place: 0.005 of 53.26, 0.5 of 50; from 10⁵ on, where zeros at the end stand for
    a power of ten, 50 of 4.2293·10⁶."""
    exponent = int(_exact(value).normalize().as_tuple().exponent)
    return Decimal(5).scaleb((exponent if abs(value) >= 1e5 else min(0, exponent)) - 1)


def _text(value: float) -> str:
    return printed(value).text()


def _place(suite: Suite, cell: str) -> str:
    """'Table 1, Model B' for 'table1/model_b/miou'."""
    name, row, column = cell.split("/")
    table = suite.tables[name]
    label = table.labels.get(row, row)
    if not isinstance(table.rows, str) and row in table.rows:
        label = table.rows[row].label or label
    return f"{table.source or name}, {label}, {table.columns[column].label or column}"
