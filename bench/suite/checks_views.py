"""What a table, figure, precondition or claim may name: experiments, settings, values, metrics, published cells."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from retable.bench.suite.problems import Path_, Problem, published_cell, unknown
from retable.bench.suite.schema import (
    Agrees,
    Check,
    Claim,
    Column,
    Figure,
    Importance,
    NotPublished,
    Plot,
    Precondition,
    PublishedRatio,
    Ratio,
    Suite,
    Table,
    Value,
    View,
)
from retable.bench.suite.values import matches, text
from retable.bench.task import ENGINE_METRICS, TaskSpec, did_you_mean


@dataclass(frozen=True)
class ViewCheck:
    """The checks of one table, figure or claim."""

    suite: Suite
    specs: Mapping[str, TaskSpec]
    values: Mapping[str, Mapping[str, list[Any]]]
    path: Path_
    view: View

    def problems(self) -> Iterator[Problem]:
        lost = [e for e in self.view.from_ if e not in self.suite.experiments]
        for name in lost:
            yield unknown((*self.path, "from"), "experiment", name, self.suite.experiments, at_key=False)
        if lost:
            return
        yield from self.where(("where",), self.view.where)
        if self.view.select:
            yield from self.metric(("select",), self.view.select.lowest or self.view.select.highest)
            for i, key in enumerate(self.view.select.over):
                yield from self.setting(("select", "over", i), key)
        if isinstance(self.view, Table):
            yield from self.table(self.view)
        elif isinstance(self.view, Figure):
            yield from self.figure(self.view)
        elif isinstance(self.view, Claim | Precondition):
            yield from self.check(self.view.check)
            if isinstance(self.view, Claim):
                yield from self.claim(self.view)

    def known(self, experiments: Iterable[str] | None = None) -> dict[str, list[Any]]:
        """Setting -> its values over the experiments that the view looks at."""
        known: dict[str, list[Any]] = {}
        for name in experiments or self.view.from_:
            for key, values in self.values.get(name, {}).items():
                known.setdefault(key, []).extend(values)
        return known

    def searched(self) -> set[str]:
        found = (self.suite.experiments[name].search for name in self.view.from_)
        return {key for search in found if search for key in search.space}

    def setting(self, at: Path_, key: str | None, experiments: Iterable[str] | None = None) -> Iterator[Problem]:
        if key is not None and key not in self.known(experiments):
            yield unknown((*self.path, *at), "setting", key, self.known(experiments), at_key=False)

    def metric(self, at: Path_, name: str | None, experiments: Iterable[str] | None = None) -> Iterator[Problem]:
        metrics = {m for e in (experiments or self.view.from_) for m in self.specs[e].metrics} | set(ENGINE_METRICS)
        if name is not None and name not in metrics:
            yield unknown((*self.path, *at), "metric", name, metrics, at_key=False)

    def where(self, at: Path_, where: Mapping[str, Any], experiments: Iterable[str] | None = None) -> Iterator[Problem]:
        known = self.known(experiments)
        for key, wanted in where.items():
            path = (*self.path, *at, key)
            if key not in known:
                yield unknown(path, "setting", key, known)
                continue
            if key in self.searched():
                continue
            for one in wanted if isinstance(wanted, list) else [wanted]:
                if not any(matches(value, one) for value in known[key]):
                    taken = did_you_mean(text(one), dict.fromkeys(text(v) for v in known[key]))
                    yield Problem(path, f"no trial has {key} = {text(one)}{taken}")

    def table(self, table: Table) -> Iterator[Problem]:
        for name, column in table.columns.items():
            yield from self.column(("columns", name), column, table)
        known_rows: dict[str, Any]
        if isinstance(table.rows, str):
            yield from self.setting(("rows",), table.rows)
            known_rows = {text(v): v for v in self.known().get(table.rows, [])}
        else:
            known_rows = dict(table.rows)
            for name, row in table.rows.items():
                here: Path_ = ("rows", name)
                yield from self.experiments((*here, "from"), row.from_)
                if not any(e not in self.suite.experiments for e in row.from_ or ()):
                    yield from self.where((*here, "where"), row.where, row.from_)
        for row_name, cells in table.published.items():
            path = (*self.path, "published", row_name)
            if row_name not in known_rows:
                yield unknown(path, "row", row_name, known_rows)
            elif self.of_reference(table, row_name):
                yield Problem(path, "is a reference's row, of which the paper publishes nothing; leave it out")
            for column_name, value in cells.items():
                if column_name not in table.columns:
                    yield unknown((*path, column_name), "column", column_name, table.columns)
                elif not isinstance(value, NotPublished) and table.columns[column_name].published_from:
                    yield Problem(
                        (*path, column_name), "is derived from another column's published value; leave it out"
                    )
        references = [name for name in table.from_ if self.suite.experiments[name].reference]
        for label in table.labels:
            if label not in (*known_rows, *references):
                yield unknown((*self.path, "labels", label), "row", label, known_rows)

    def of_reference(self, table: Table, row: str) -> bool:
        """Whether a row shows references alone."""
        if isinstance(table.rows, str):
            key = table.rows
            own = [e for e in table.from_ if any(text(v) == row for v in self.values.get(e, {}).get(key, ()))]
        else:
            own = list(table.rows[row].from_ or table.from_)
        known = self.suite.experiments
        return bool(own) and all(e in known and known[e].reference for e in own)

    def experiments(self, at: Path_, names: Iterable[str] | None) -> Iterator[Problem]:
        for name in names or ():
            if name not in self.suite.experiments:
                yield unknown((*self.path, *at), "experiment", name, self.suite.experiments, at_key=False)

    def column(self, at: Path_, column: Column, table: Table) -> Iterator[Problem]:
        wrong = list(self.experiments((*at, "from"), column.from_))
        yield from wrong
        if wrong:
            return
        yield from self.setting((*at, "setting"), column.setting, column.from_)
        yield from self.metric((*at, "metric"), column.metric, column.from_)
        yield from self.where((*at, "where"), column.where, column.from_)
        if column.published_from is not None and column.published_from not in table.columns:
            path = (*self.path, *at, "published_from")
            yield unknown(path, "column", column.published_from, table.columns, at_key=False)

    def figure(self, figure: Figure) -> Iterator[Problem]:
        if isinstance(figure, Importance):
            for i, name in enumerate(figure.from_):
                if self.suite.experiments[name].search is None or i > 0:
                    yield Problem((*self.path, "from"), f"an importance figure is of one search; '{name}' is not it")
        for key, setting in figure.axes.items():
            yield from self.setting((key,), setting)
        if isinstance(figure, Plot | Importance):
            yield from self.metric(("metric",), figure.metric)

    def claim(self, claim: Claim) -> Iterator[Problem]:
        for i, name in enumerate(claim.needs):
            if name not in self.suite.preconditions:
                yield unknown((*self.path, "needs", i), "precondition", name, self.suite.preconditions, at_key=False)
        if claim.replicates is not None:
            pattern, here = claim.replicates.metrics, (*self.path, "replicates", "metrics")
            if isinstance(claim.check, Agrees | Value):
                yield Problem(here, f"the form '{claim.check.form}' has no replicates")
            for name in self.view.from_:
                if len(fnmatch.filter(self.specs[name].metrics, pattern)) < 2:
                    task = self.suite.experiments[name].task
                    yield Problem(here, f"fewer than two metrics of task '{task}' fit the pattern '{pattern}'")

    def check(self, check: Check) -> Iterator[Problem]:
        yield from self.metric(("check", "metric"), check.metric)
        for part in ("these", "than", "of", "to"):
            where = getattr(check, part, None)
            if where is not None:
                yield from self.where(("check", part), where)
        for part in ("over", "per"):
            keys = getattr(check, part, ())
            for key in [keys] if isinstance(keys, str) else keys:
                yield from self.setting(("check", part), key)
        path = (*self.path, "check", "published")
        if isinstance(check, Agrees):
            table, _, column = check.published.partition("/")
            tables = self.suite.tables
            rows = tables[table].published.values() if table in tables else ()
            numbers = {name for row in rows for name, value in row.items() if isinstance(value, (int, float))}
            if table not in tables:
                yield unknown(path, "table", table, tables, at_key=False)
            elif column not in numbers:
                yield unknown(path, "published column", column, numbers, at_key=False)
        elif isinstance(check, Value):
            yield from published_cell(self.suite, path, check.published)
        elif isinstance(check, Ratio) and isinstance(check.published, PublishedRatio):
            for part in ("of", "to"):
                for i, cell in enumerate(getattr(check.published, part)):
                    yield from published_cell(self.suite, (*path, part, i), cell)
