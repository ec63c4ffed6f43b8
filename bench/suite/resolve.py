"""A suite's experiments at one scale as plain combinations of settings, each knowing where it was written.

Later layers win: the suite's settings, the experiment's, the scale's, the experiment's at that scale (`at`), a cell's,
`--set`. A list is a grid.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from retable.bench.suite.schema import Constants, Experiment, Suite
from retable.bench.task import TaskSpec

Path_ = tuple[str | int, ...]
OVERRIDE: Path_ = ("--set",)


@dataclass(frozen=True)
class Combination:
    """One cell of an experiment: raw settings and the ones that vary. paths: where each was written, its list if it was
    taken from one; at: which of the list it is."""

    settings: dict[str, Any]
    varied: dict[str, Any]
    paths: Mapping[str, Path_]
    at: Mapping[str, int]

    @property
    def origin(self) -> dict[str, Path_]:
        """Where each setting was written."""
        return {k: (*path, self.at[k]) if k in self.at else path for k, path in self.paths.items()}


def seeds(experiment: Experiment, scale: str, count: int | None = None) -> list[int]:
    """The seeds of an experiment at a scale; `count` (from the command line) overrides with 0 .. count-1."""
    declared = _declared_seeds(experiment, scale, count)
    return list(range(declared)) if isinstance(declared, int) else list(declared)


def _declared_seeds(experiment: Experiment, scale: str, count: int | None) -> list[int] | int:
    return count if count is not None else experiment.seeds_at.get(scale, experiment.seeds)


def count(
    suite: Suite,
    scale: str,
    name: str,
    spec: TaskSpec,
    overrides: Mapping[str, Any] | None = None,
    seeds: int | None = None,
) -> int:
    """How many trials experiment `name` has at a scale. None of them is made: there may be very many."""
    experiment = suite.experiments[name]
    declared = _declared_seeds(experiment, scale, seeds)
    each = max(declared, 0) if isinstance(declared, int) else len(declared)
    slots = experiment.search.trials if experiment.search else 1
    return each * slots * sum(grid.size for grid in _grids(suite, scale, name, spec, overrides))


def first_of_space(experiment: Experiment) -> dict[str, Any]:
    """A value for each searched setting, so that a task's other settings can be tried without a search."""
    space = experiment.search.space if experiment.search else {}
    return {k: s[0] if isinstance(s, list) else (int(s.low) if s.integer else s.low) for k, s in space.items()}


@dataclass(frozen=True)
class _Grid:
    """The settings of one explicit cell (`cell`; None where the experiment has none), lists and all."""

    cell: str | None
    merged: dict[str, tuple[Any, Path_]]
    own: set[str]

    @property
    def lists(self) -> list[str]:
        return [key for key, (value, _) in self.merged.items() if isinstance(value, list)]

    @property
    def size(self) -> int:
        return math.prod(len(self.merged[key][0]) for key in self.lists)


def combinations(
    suite: Suite, scale: str, name: str, spec: TaskSpec, overrides: Mapping[str, Any] | None = None
) -> Iterator[Combination]:
    """Every cell of experiment `name`, in the order the YAML lists them."""
    for grid in _grids(suite, scale, name, spec, overrides):
        lists = grid.lists
        values = {k: v for k, (v, _) in grid.merged.items()}
        paths = {k: path for k, (_, path) in grid.merged.items()}
        several = [k for k, v in values.items() if k in grid.own or (k in lists and len(v) > 1)]
        called = {"cell": grid.cell} if grid.cell is not None else {}
        for choice in itertools.product(*(range(len(values[key])) for key in lists)):
            at = dict(zip(lists, choice, strict=True))
            settings = {**values, **{k: values[k][i] for k, i in at.items()}}
            yield Combination(settings, {**called, **{k: settings[k] for k in several}}, paths, at)


def _grids(suite: Suite, scale: str, name: str, spec: TaskSpec, overrides: Mapping[str, Any] | None) -> Iterator[_Grid]:
    experiment = suite.experiments[name]
    known = set(spec.settings.model_fields)
    searched = set(experiment.search.space) if experiment.search else set()
    shared = _merge(_layers(suite, scale, name), known)
    cells: list[tuple[str | None, dict[str, tuple[Any, Path_]]]]
    if experiment.cells is None:
        cells = [(None, {})]
    else:
        cells = [
            (cell, _merge([(("experiments", name, "cells", cell), constants)], None))
            for cell, constants in experiment.cells.items()
        ]
    forced = {k: (v, OVERRIDE) for k, v in (overrides or {}).items() if k in known}
    in_cells = {key for _, own in cells for key in own}
    for cell, own in cells:
        yield _Grid(cell, {k: v for k, v in {**shared, **own, **forced}.items() if k not in searched}, in_cells)


def _layers(suite: Suite, scale: str, name: str) -> list[tuple[Path_, Constants]]:
    experiment = suite.experiments[name]
    return [
        (("settings",), suite.settings),
        (("experiments", name, "settings"), experiment.settings),
        (("scales", scale, "settings"), suite.scales[scale].settings),
        (("experiments", name, "at", scale), experiment.at.get(scale, {})),
    ]


def _merge(layers: list[tuple[Path_, Constants]], known: set[str] | None) -> dict[str, tuple[Any, Path_]]:
    """Settings with their places; keys that the task does not know are some other task's and are left out."""
    return {
        key: (constant.value, (*path, key, "value"))
        for path, constants in layers
        for key, constant in constants.items()
        if known is None or key in known
    }
