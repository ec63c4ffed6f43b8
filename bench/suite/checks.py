"""What no type can say of a suite: names that refer to each other, values that a task must accept."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from retable.bench import data
from retable.bench.suite import plan, resolve
from retable.bench.suite.schema import (
    Agrees,
    Check,
    Claim,
    Column,
    Constants,
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
from retable.bench.task import ENGINE_METRICS, TaskSpec, UnknownTask, did_you_mean, find_task, legal_metric

Path_ = tuple[str | int, ...]


VIEWS = ("tables", "figures", "preconditions", "claims")


@dataclass(frozen=True)
class Problem:
    """A mistake at `path`; `at_key` points at the key rather than at its value."""

    path: Path_
    message: str
    at_key: bool = False


def problems(suite: Suite) -> Iterator[Problem]:
    """Every mistake of a suite that fits the schema."""
    specs: dict[str, TaskSpec] = {}
    broken = False
    for name, experiment in suite.experiments.items():
        try:
            specs[name] = find_task(experiment.task, suite.packages)
        except UnknownTask as error:
            yield Problem(("experiments", name, "task"), str(error))
            broken = True
        except ImportError as error:
            yield Problem(("packages",), f"cannot be imported: {error}")
            return
        else:
            words = next(_unfit(specs[name]), "")
            if words:
                yield Problem(("experiments", name, "task"), f"task '{experiment.task}' {words}")
                broken = True
    try:
        data.sources(suite.packages)
    except data.DataError as error:
        yield Problem(("packages",), str(error))
        return
    if broken:
        return
    found = [*_scale_names(suite), *_unknown_settings(suite, specs), *_starts(suite, specs)]
    yield from found
    if found:
        return  # what follows would only repeat them
    for scale in suite.scales:
        refused = plan.too_many(suite, scale, specs)
        if refused:
            yield Problem(("experiments", refused[0]), refused[1], at_key=True)
            return
    values: dict[str, dict[str, list[Any]]] = {}
    for name, spec in specs.items():
        yield from _settings_values(suite, name, spec, values.setdefault(name, {}))
    check = partial(_View, suite, specs, values)
    for kind in VIEWS:
        for name, view in getattr(suite, kind).items():
            yield from check((kind, name), view).problems()
    yield from _contents(suite)
    yield from _consistency(suite)


def _contents(suite: Suite) -> Iterator[Problem]:
    """What the paper shows must be a view here, and a view that says where it stands must be in the list."""
    views = {**suite.tables, **suite.figures}
    for item, names in suite.paper.contents.items():
        for name in names if isinstance(names, list) else []:
            if name not in views:
                yield _unknown(("paper", "contents", item), "table or figure", name, views, at_key=False)


def _consistency(suite: Suite) -> Iterator[Problem]:
    """Cells that are to agree must be published numbers."""
    for name, declared in suite.consistency.items():
        here: Path_ = ("consistency", name)
        cells: list[tuple[Path_, str]] = [((*here, "same", i), cell) for i, cell in enumerate(declared.same)]
        if declared.difference is not None:
            cells += [((*here, "difference", key), getattr(declared.difference, key)) for key in ("of", "minus")]
        for path, cell in cells:
            yield from _published_cell(suite, path, cell)


def _published_cell(suite: Suite, path: Path_, cell: str) -> Iterator[Problem]:
    """A reference 'table/row/column' must lead to a published number."""
    table, row, column = [*cell.split("/"), "", ""][:3]
    rows = suite.tables[table].published if table in suite.tables else {}
    if table not in suite.tables:
        yield _unknown(path, "table", table, suite.tables, at_key=False)
    elif row not in rows:
        yield _unknown(path, "published row", row, rows, at_key=False)
    elif not isinstance(rows[row].get(column), (int, float)):
        numbers = [key for key, value in rows[row].items() if isinstance(value, (int, float))]
        yield _unknown(path, "published number in column", column, numbers, at_key=False)


def _unknown(path: Path_, what: str, word: object, known: Iterable[str], *, at_key: bool = True) -> Problem:
    return Problem(path, f"unknown {what} '{word}'{did_you_mean(word, sorted(known))}", at_key)


RESERVED = (
    *("trial", "experiment", "task", "cell", "state", "stale", "reason", "run_id", "started", "ended", "seconds"),
    *("seed", "id"),
)
"""A result's own columns and words of `--where`: a setting of such a name would overwrite them."""


def _unfit(spec: TaskSpec) -> Iterator[str]:
    """What of a task's own declaration cannot be stored or told apart."""
    for metric in spec.metrics:
        if "/" not in metric:  # a frame of results tells metrics from settings by it, and MLflow groups charts by it
            yield f"measures '{metric}'; a metric's name has a group, as 'loss/total'"
        elif not legal_metric(metric):
            yield f"measures '{metric}', which MLflow refuses; a metric's name has letters, digits, and / _ - . only"
    for setting in spec.settings.model_fields:
        if setting in RESERVED:
            yield f"has a setting '{setting}', which is a word for results: call it otherwise"


def _scale_names(suite: Suite) -> Iterator[Problem]:
    for name, experiment in suite.experiments.items():
        for part in ("at", "seeds_at", "not_at", "seconds_at"):
            for scale in getattr(experiment, part):
                if scale not in suite.scales:
                    yield _unknown(("experiments", name, part, scale), "scale", scale, suite.scales)
    for kind in VIEWS:
        for name, view in getattr(suite, kind).items():
            for scale in view.not_at:
                if scale not in suite.scales:
                    yield _unknown((kind, name, "not_at", scale), "scale", scale, suite.scales)


def _unknown_settings(suite: Suite, specs: Mapping[str, TaskSpec]) -> Iterator[Problem]:
    def check(path: Path_, constants: Constants, known: set[str]) -> Iterator[Problem]:
        for key, constant in constants.items():
            if key not in known:
                yield _unknown((*path, key), "setting", key, known)
            elif isinstance(constant.value, list) and not constant.value:
                yield Problem((*path, key, "value"), "an empty list is a grid without a cell")

    anywhere = {field for spec in specs.values() for field in spec.settings.model_fields}
    yield from check(("settings",), suite.settings, anywhere)
    for scale, declared in suite.scales.items():
        yield from check(("scales", scale, "settings"), declared.settings, anywhere)
    for name, experiment in suite.experiments.items():
        known = set(specs[name].settings.model_fields)
        here: Path_ = ("experiments", name)
        yield from check((*here, "settings"), experiment.settings, known)
        for scale, constants in experiment.at.items():
            yield from check((*here, "at", scale), constants, known)
        for cell, constants in (experiment.cells or {}).items():
            yield from check((*here, "cells", cell), constants, known)
        if experiment.search:
            for key in experiment.search.space:
                if key not in known:
                    yield _unknown((*here, "search", "space", key), "setting", key, known)
            metrics = {*specs[name].metrics, *ENGINE_METRICS}
            if experiment.search.metric not in metrics:
                path = (*here, "search", "metric")
                yield _unknown(path, "metric", experiment.search.metric, metrics, at_key=False)


def _starts(suite: Suite, specs: Mapping[str, TaskSpec]) -> Iterator[Problem]:
    for name, experiment in suite.experiments.items():
        start, here = experiment.from_, ("experiments", name, "from")
        if start is None:
            continue
        if start.experiment not in suite.experiments:
            yield _unknown((*here, "experiment"), "experiment", start.experiment, suite.experiments, at_key=False)
            continue
        for i, key in enumerate(start.match):
            for owner in (name, start.experiment):
                if key not in specs[owner].settings.model_fields:
                    yield _unknown(
                        (*here, "match", i), f"setting of '{owner}'", key, specs[owner].settings.model_fields
                    )
        seen, at = {name}, start.experiment
        while at is not None:
            if at in seen:
                yield Problem((*here, "experiment"), f"'{name}' starts from itself by way of '{start.experiment}'")
                break
            seen.add(at)
            following = suite.experiments[at].from_ if at in suite.experiments else None
            at = following.experiment if following else None  # type: ignore[assignment]


def _settings_values(suite: Suite, name: str, spec: TaskSpec, values: dict[str, list[Any]]) -> Iterator[Problem]:
    """Validate every cell at every scale; collect the values that each setting takes."""
    experiment = suite.experiments[name]
    seen: dict[str, set[str]] = {}
    for scale in suite.scales:
        if scale in experiment.not_at:
            continue
        seen.setdefault("seed", set()).update(map(str, resolve.seeds(experiment, scale)))
        for cell in resolve.combinations(suite, scale, name, spec):
            raw = {**cell.settings, **resolve.first_of_space(experiment)}
            try:
                resolved: Mapping[str, Any] = spec.settings.model_validate(raw).model_dump()
            except ValidationError as error:
                resolved = {}
                for item in error.errors(include_url=False):
                    key = str(item["loc"][0]) if item["loc"] else ""
                    path = cell.origin.get(key, ("experiments", name, "settings"))
                    if item["type"] == "missing" and key not in cell.origin:
                        message = f"the task '{spec.name}' needs the setting '{key}' (at scale '{scale}')"
                    else:
                        message = _value_message(key, item)
                    yield Problem(path, message)  # once a cell: the loader tells equal ones once
            for key, value in {**resolved, **({"cell": cell.varied["cell"]} if "cell" in cell.varied else {})}.items():
                if text(value) not in seen.setdefault(key, set()):
                    seen[key].add(text(value))
                    values.setdefault(key, []).append(value)
    values["seed"] = sorted(map(int, seen.get("seed", ())))
    values["experiment"] = [name]
    values.update({key: [] for key in resolve.first_of_space(experiment)})


def _value_message(key: str, item: Mapping[str, Any]) -> str:
    given, message = item.get("input"), str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "literal_error":
        words = [w.strip(" '") for w in item["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"'{given}' is no value of '{key}'{did_you_mean(given, words)}"
    return f"{key}: {message}" + ("" if isinstance(given, (dict, list)) else f" (got {given!r})")


@dataclass(frozen=True)
class _View:
    """The checks of one table, figure or claim."""

    suite: Suite
    specs: Mapping[str, TaskSpec]
    values: Mapping[str, Mapping[str, list[Any]]]
    path: Path_
    view: View

    def problems(self) -> Iterator[Problem]:
        unknown = [e for e in self.view.from_ if e not in self.suite.experiments]
        for name in unknown:
            yield _unknown((*self.path, "from"), "experiment", name, self.suite.experiments, at_key=False)
        if unknown:
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
            yield _unknown((*self.path, *at), "setting", key, self.known(experiments), at_key=False)

    def metric(self, at: Path_, name: str | None, experiments: Iterable[str] | None = None) -> Iterator[Problem]:
        metrics = {m for e in (experiments or self.view.from_) for m in self.specs[e].metrics} | set(ENGINE_METRICS)
        if name is not None and name not in metrics:
            yield _unknown((*self.path, *at), "metric", name, metrics, at_key=False)

    def where(self, at: Path_, where: Mapping[str, Any], experiments: Iterable[str] | None = None) -> Iterator[Problem]:
        known = self.known(experiments)
        for key, wanted in where.items():
            path = (*self.path, *at, key)
            if key not in known:
                yield _unknown(path, "setting", key, known)
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
                yield _unknown(path, "row", row_name, known_rows)
            for column_name, value in cells.items():
                if column_name not in table.columns:
                    yield _unknown((*path, column_name), "column", column_name, table.columns)
                elif not isinstance(value, NotPublished) and table.columns[column_name].published_from:
                    yield Problem(
                        (*path, column_name), "is derived from another column's published value; leave it out"
                    )
        for label in table.labels:
            if label not in known_rows:
                yield _unknown((*self.path, "labels", label), "row", label, known_rows)

    def experiments(self, at: Path_, names: Iterable[str] | None) -> Iterator[Problem]:
        for name in names or ():
            if name not in self.suite.experiments:
                yield _unknown((*self.path, *at), "experiment", name, self.suite.experiments, at_key=False)

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
            yield _unknown(path, "column", column.published_from, table.columns, at_key=False)

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
                yield _unknown((*self.path, "needs", i), "precondition", name, self.suite.preconditions, at_key=False)
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
                yield _unknown(path, "table", table, tables, at_key=False)
            elif column not in numbers:
                yield _unknown(path, "published column", column, numbers, at_key=False)
        elif isinstance(check, Value):
            yield from _published_cell(self.suite, path, check.published)
        elif isinstance(check, Ratio) and isinstance(check.published, PublishedRatio):
            for part in ("of", "to"):
                for i, cell in enumerate(getattr(check.published, part)):
                    yield from _published_cell(self.suite, (*path, part, i), cell)
