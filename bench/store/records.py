"""What is read from an MLflow store, as plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

LARGEST = 1.7976931348623157e308
"""MLflow stores +inf as the largest double."""


@dataclass(frozen=True)
class Run:
    """An MLflow run. Times are seconds since the epoch; `ended` is None while it runs."""

    id: str
    experiment: str
    name: str
    status: str
    started: float
    ended: float | None
    artifact_uri: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """An MLflow experiment that holds runs. seeds: how many its runs have; first_seed: the lowest of them."""

    id: str
    seeds: int
    first_seed: int


def number(value: float, is_nan: object) -> float:
    """A metric's value as it was logged."""
    if is_nan:
        return math.nan
    return math.copysign(math.inf, value) if abs(value) >= LARGEST else float(value)
