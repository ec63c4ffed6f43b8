"""What no type can say of a suite: names that refer to each other, values that a task must accept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError

from retable.bench import data
from retable.bench.suite import plan, resolve
from retable.bench.suite.checks_views import ViewCheck
from retable.bench.suite.problems import Path_, Problem, published_cell, unknown
from retable.bench.suite.schema import Constants, Suite
from retable.bench.suite.values import text
from retable.bench.task import ENGINE_METRICS, TaskSpec, UnknownTask, did_you_mean, find_task, legal_metric

VIEWS = ("tables", "figures", "preconditions", "claims")


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
    check = partial(ViewCheck, suite, specs, values)
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
                yield unknown(("paper", "contents", item), "table or figure", name, views, at_key=False)


def _consistency(suite: Suite) -> Iterator[Problem]:
    """Cells that are to agree must be published numbers."""
    for name, declared in suite.consistency.items():
        here: Path_ = ("consistency", name)
        cells: list[tuple[Path_, str]] = [((*here, "same", i), cell) for i, cell in enumerate(declared.same)]
        if declared.difference is not None:
            cells += [((*here, "difference", key), getattr(declared.difference, key)) for key in ("of", "minus")]
        for path, cell in cells:
            yield from published_cell(suite, path, cell)


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
                    yield unknown(("experiments", name, part, scale), "scale", scale, suite.scales)
    for name, table in suite.tables.items():
        for i, scale in enumerate(table.absolute):
            if scale not in suite.scales:
                yield unknown(("tables", name, "absolute", i), "scale", scale, suite.scales, at_key=False)
    for kind in VIEWS:
        for name, view in getattr(suite, kind).items():
            for scale in view.not_at:
                if scale not in suite.scales:
                    yield unknown((kind, name, "not_at", scale), "scale", scale, suite.scales)


def _unknown_settings(suite: Suite, specs: Mapping[str, TaskSpec]) -> Iterator[Problem]:
    def check(path: Path_, constants: Constants, known: set[str]) -> Iterator[Problem]:
        for key, constant in constants.items():
            if key not in known:
                yield unknown((*path, key), "setting", key, known)
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
                    yield unknown((*here, "search", "space", key), "setting", key, known)
            metrics = {*specs[name].metrics, *ENGINE_METRICS}
            if experiment.search.metric not in metrics:
                path = (*here, "search", "metric")
                yield unknown(path, "metric", experiment.search.metric, metrics, at_key=False)


def _starts(suite: Suite, specs: Mapping[str, TaskSpec]) -> Iterator[Problem]:
    for name, experiment in suite.experiments.items():
        start, here = experiment.from_, ("experiments", name, "from")
        if start is None:
            continue
        if start.experiment not in suite.experiments:
            yield unknown((*here, "experiment"), "experiment", start.experiment, suite.experiments, at_key=False)
            continue
        for i, key in enumerate(start.match):
            for owner in (name, start.experiment):
                if key not in specs[owner].settings.model_fields:
                    yield unknown((*here, "match", i), f"setting of '{owner}'", key, specs[owner].settings.model_fields)
        way = [name]
        while (at := suite.experiments.get(way[-1])) and at.from_ and at.from_.experiment not in way:
            way.append(at.from_.experiment)
        # Told once, of the member that the suite names first; what starts from a member has no mistake of its own.
        back = at.from_.experiment if at and at.from_ else None
        if back == name == min(way, key=list(suite.experiments).index):
            said = ", ".join(f"'{one}' from '{other}'" for one, other in zip(way, [*way[1:], name], strict=True))
            yield Problem((*here, "experiment"), f"'{name}' would start from itself: {said}")


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
