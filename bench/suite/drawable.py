"""Whether a suite's tables and figures can be drawn from the trials that it plans, before any of them is run.

A view averages over seeds and nothing else, so each of its places must be left with one cell (one value of every other
setting) once its filters and its selection have been applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retable.bench.suite.figures import Figure, Importance
from retable.bench.suite.parts import View, Where
from retable.bench.suite.plan import PlanError, Trial
from retable.bench.suite.schema import Images, Row, Suite, Table
from retable.bench.suite.values import canonical, matches, same, text

Cell = Mapping[str, Any]
"""The settings of a cell, the selected ones left out; its task stands under the empty name."""


Known = Sequence[tuple[Trial, Mapping[str, Any]]]
"""Trials, each with all of its settings."""


def require(suite: Suite, trials: Sequence[Trial]) -> None:
    """Raise `PlanError` with a line for every view that could not be drawn. trials: all that the suite plans at a
    scale."""
    if not trials:
        return
    scale = trials[0].scale
    methods = [trial for trial in trials if not suite.experiments[trial.experiment].reference]  # those stand apart
    known = [(trial, {**trial.settings, **trial.varied}) for trial in methods]
    tables = [(name, table) for name, table in suite.tables.items() if scale not in table.not_at]
    figures = [(name, figure) for name, figure in suite.figures.items() if scale not in figure.not_at]
    wrong = [line for name, table in tables for line in _table(known, name, table)]
    wrong += [line for name, figure in figures for line in _figure(known, name, figure)]
    if wrong:
        head = f"suite '{suite.suite}' has views that cannot be drawn at scale '{scale}':"
        raise PlanError("\n".join([head, *wrong]))


def _table(trials: Known, name: str, table: Table) -> Iterator[str]:
    for key, row in _rows(trials, table).items():
        for column_name, column in table.columns.items():
            from_ = column.from_ or row.from_ or table.from_
            cells = _cells(trials, table, from_, table.where, row.where, column.where)
            place = f"tables.{name}: row {key}, column {column_name}"
            if column.setting is None:
                if len(cells) > 1:
                    left = f"{len(cells)} cells remain, {_open(cells)}"
                    yield f"{place}: {left}; name these in where, rows or select.over"
            elif len({text(cell.get(column.setting)) for cell in cells}) > 1:
                yield f"{place}: {column.setting} has several values here"


def _rows(trials: Known, table: Table) -> dict[str, Row]:
    if not isinstance(table.rows, str):
        return table.rows
    setting = table.rows
    values = [cell.get(setting) for cell in _cells(trials, table, table.from_, table.where)]
    return {text(v): Row(where={setting: v}) for v in values if v is not None}


def _figure(trials: Known, name: str, figure: Figure) -> Iterator[str]:
    axes = list(figure.axes.values())
    if isinstance(figure, Importance) or (isinstance(figure, Images) and not axes):
        return  # one looks at all cells together, the other shows each
    placed: dict[str, list[Cell]] = {}
    for cell in _cells(trials, figure, figure.from_, figure.where):
        placed.setdefault(canonical([cell.get(axis) for axis in axes]), []).append(cell)
    for cells in placed.values():
        if len(cells) > 1:
            where = ", ".join(f"{axis} {text(cells[0].get(axis))}" for axis in axes) or "the figure"
            cells_left = f"{len(cells)} cells for {where}, {_open(cells)}"
            yield f"figures.{name}: {cells_left}; name these in where, select.over or an axis"
            return


def _cells(trials: Known, view: View, experiments: Sequence[str], *wheres: Where) -> list[Cell]:
    """What is left of each cell that a view looks at, once each."""
    over = set(view.select.over) if view.select else set()
    found: dict[str, Cell] = {}
    conditions = [(name, wanted) for where in wheres for name, wanted in where.items()]
    for trial, settings in trials:
        if trial.experiment not in experiments:
            continue
        beside = {"seed": trial.seed, "experiment": trial.experiment}
        if all(matches(beside.get(name, settings.get(name)), wanted) for name, wanted in conditions):
            if trial.slot is not None:
                return []  # what a search will choose is not known before it runs
            cell = {"": trial.task, **{k: v for k, v in settings.items() if k not in over}}
            found.setdefault(canonical(cell), cell)
    return list(found.values())


def _open(cells: Sequence[Cell]) -> str:
    names = dict.fromkeys(name for cell in cells for name in cell if name)
    differ = [n for n in names if not all(same(cell.get(n), cells[0].get(n)) for cell in cells)]
    return f"which differ in {', '.join(differ) or 'their task'}"
