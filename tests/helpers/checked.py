"""Checks made ready over made-up trials: what they compare, before anything is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from trials import book

from retable.bench.judging import views
from retable.bench.judging.checks import prepare
from retable.bench.judging.sides import Comparison, Setup
from retable.bench.judging.views import Result
from retable.bench.suite.schema import Check, Replicates, Select

ADAM_RPROP: dict[str, Any] = {"these": {"optimizer": "adam"}, "than": {"optimizer": "rprop"}}


def made(
    form: str,
    *groups: Sequence[Result],
    select: Mapping[str, Any] | None = None,
    replicates: Mapping[str, str] | None = None,
    experiments: Sequence[str] = ("defaults",),
    scale: str = "quick",
    parts: Mapping[str, Any] | None = None,
    **check: Any,
) -> Setup:
    """A check (of loss/total, where it names no other metric) over these trials, as plain data like the rest."""
    found = [t for group in groups for t in group]
    parsed = TypeAdapter[Any](Check).validate_python({"form": form, "metric": "loss/total", **check})
    cells, choices = views.cells(found), []
    if select is not None:
        choices = views.select(cells, Select.model_validate(select))
        cells = [c.winner for c in choices if c.winner]
    units = Replicates.model_validate(replicates) if replicates else None
    here = book(found, scale, **(parts or {}))
    return prepare(here, list(experiments), cells, parsed, "claims.c", choices, units)


def labels(setup: Setup) -> list[str]:
    return [c.label for c in setup.comparisons]


def only(setup: Setup) -> Comparison:
    (one,) = setup.comparisons
    return one


def gap(one: Comparison) -> dict[Any, float]:
    """Seed -> left - right: positive where it supports the claim."""
    return {s: one.left[s] - one.right[s] for s in one.left if s in one.right}
