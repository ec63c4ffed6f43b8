"""Fast reading of MLflow's database: which runs there are, their last metrics, their curves.

MLflow's client takes 6 s for the curves of 500 runs and 1.4 s to import; two SQL queries take 0.2 s. All SQL on
MLflow's tables is here, and a test holds it against a store that MLflow made. A store behind http(s) is read
through the client (`remote.py`), which is slower and needs no database access.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from bench import patience
from bench.stores import StoreError, redact

if TYPE_CHECKING:
    from sqlalchemy import Engine

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


def is_sql(uri: str) -> bool:
    """Whether a tracking URI is a database that we may read directly."""
    return uri.startswith(("sqlite:", "postgresql:", "postgresql+"))


_made: set[str] = set()
"""PostgreSQL databases that have been seen with MLflow's tables."""


def exists(uri: str) -> bool:
    """Whether the store can hold anything yet: an SQLite file may not have been made, a database's tables neither."""
    if uri.startswith("sqlite:"):
        return bool(_sqlite_path(uri).is_file())
    if not is_sql(uri) or uri in _made:
        return True
    ((there,),) = _query(uri, "SELECT to_regclass('experiments') IS NOT NULL", {})
    if there:
        _made.add(uri)
    return bool(there)


def runs(uri: str, experiments: Sequence[str], *, trial: str | None = None, running: bool = False) -> list[Run]:
    """The runs of some MLflow experiments, oldest first, with our tags. `trial`: of that trial alone. `running`:
    those with that status alone."""
    if not exists(uri):
        return []
    if not is_sql(uri):
        from bench import remote

        return remote.runs(uri, experiments, trial, running)
    wanted = "AND r.run_uuid IN (SELECT w.run_uuid FROM tags w WHERE w.key = 'retable.trial' AND w.value = :t)"
    values = {"names": list(experiments), **({"t": trial} if trial else {})}
    alive = "AND r.status = 'RUNNING'" if running else ""
    return _runs(uri, f"e.name IN :names {wanted if trial else ''} {alive}", values)


def attempted(uri: str, experiments: Sequence[str]) -> set[str]:
    """The ids of the trials that have a run of any status in some MLflow experiments."""
    if not exists(uri):
        return set()
    if not is_sql(uri):
        return {run.tags["retable.trial"] for run in runs(uri, experiments) if "retable.trial" in run.tags}
    sql = (
        "SELECT DISTINCT t.value FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id "
        "JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'retable.trial' "
        "WHERE r.lifecycle_stage = 'active' AND e.name IN :names"
    )
    return {str(value) for (value,) in _query(uri, sql, {"names": list(experiments)})}


@dataclass(frozen=True)
class Group:
    """An MLflow experiment that holds runs. seeds: how many its runs have; first_seed: the lowest of them."""

    id: str
    seeds: int
    first_seed: int


def experiments(uri: str) -> dict[str, Group]:
    """Every experiment that holds a run, by name, in order of creation. The store must be a database."""
    if not exists(uri):
        return {}
    rows = _query(
        uri,
        "SELECT e.name, e.experiment_id, COUNT(DISTINCT p.value), MIN(CAST(p.value AS INTEGER)) FROM experiments e "
        "JOIN runs r ON r.experiment_id = e.experiment_id LEFT JOIN params p ON p.run_uuid = r.run_uuid "
        "AND p.key = 'seed' WHERE e.lifecycle_stage = 'active' AND r.lifecycle_stage = 'active' "
        "GROUP BY e.name, e.experiment_id ORDER BY e.experiment_id",
        {},
    )
    return {str(name): Group(str(number), seeds, first or 0) for name, number, seeds, first in rows}


def starting_with(uri: str, beginning: str) -> list[Run]:
    """The runs whose id begins so, of any experiment; a tracking server is asked for the whole id."""
    if not exists(uri):
        return []
    if not is_sql(uri):
        from bench import remote

        return remote.starting_with(uri, beginning)
    return _runs(uri, "r.run_uuid LIKE :beginning", {"beginning": f"{beginning}%"})


def _runs(uri: str, condition: str, values: dict[str, Any]) -> list[Run]:
    rows = _query(
        uri,
        "SELECT r.run_uuid, e.name, r.name, r.status, r.start_time, r.end_time, r.artifact_uri "
        "FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id "
        f"WHERE r.lifecycle_stage = 'active' AND {condition} ORDER BY r.start_time, r.run_uuid",
        values,
    )
    alike: dict[str, str] = {}
    same = alike.setdefault  # most of a run's tags are every run's: each text is kept once (2 KiB a run in place of 17)
    found: dict[str, Run] = {}
    for run_id, experiment, name, status, start, end, artifacts in rows:
        ended = None if end is None else end / 1000
        group, state = same(experiment, experiment), same(status, status)
        found[run_id] = Run(run_id, group, name or "", state, (start or 0) / 1000, ended, artifacts or "")
    for batch in _batches(list(found)):
        for run_id, key, value in _query(
            uri, "SELECT run_uuid, key, value FROM tags WHERE run_uuid IN :ids", {"ids": batch}
        ):
            found[run_id].tags[same(key, key)] = same(value or "", value or "")
    return list(found.values())


def metrics(uri: str, run_ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """run id -> the last value of each metric."""
    if not is_sql(uri):
        from bench import remote

        return remote.metrics(uri, run_ids)
    found: dict[str, dict[str, float]] = {run_id: {} for run_id in run_ids}
    for batch in _batches(run_ids):
        sql = "SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE run_uuid IN :ids"
        for run_id, key, value, is_nan in _query(uri, sql, {"ids": batch}):
            found[run_id][key] = number(value, is_nan)
    return found


def params(uri: str, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """run id -> its parameters as MLflow holds them, as text."""
    if not is_sql(uri):
        from bench import remote

        return remote.params(uri, run_ids)
    found: dict[str, dict[str, str]] = {run_id: {} for run_id in run_ids}
    for batch in _batches(run_ids):
        sql = "SELECT run_uuid, key, value FROM params WHERE run_uuid IN :ids"
        for run_id, key, value in _query(uri, sql, {"ids": batch}):
            found[run_id][key] = value
    return found


def curves(uri: str, run_ids: Sequence[str], metric: str) -> list[tuple[str, int, float]]:
    """(run id, step, value) of one metric, by run and step; one value a step."""
    if not is_sql(uri):
        from bench import remote

        return remote.curves(uri, run_ids, metric)
    found: dict[tuple[str, int], float] = {}
    for batch in _batches(run_ids):
        sql = (
            "SELECT run_uuid, step, value, is_nan FROM metrics WHERE run_uuid IN :ids AND key = :key "
            "ORDER BY run_uuid, step, timestamp"
        )
        for run_id, step, value, is_nan in _query(uri, sql, {"ids": batch, "key": metric}):
            found[run_id, step] = number(value, is_nan)
    return [(run_id, step, value) for (run_id, step), value in found.items()]


def number(value: float, is_nan: object) -> float:
    """A metric's value as it was logged."""
    if is_nan:
        return math.nan
    return math.copysign(math.inf, value) if abs(value) >= LARGEST else float(value)


def _batches(run_ids: Sequence[str], size: int = 500) -> Iterator[list[str]]:
    for start in range(0, len(run_ids), size):
        yield list(run_ids[start : start + size])


def _sqlite_path(uri: str) -> Any:
    from pathlib import Path

    return Path(uri.removeprefix("sqlite:///"))


@cache
def _engine(uri: str) -> Engine:
    from sqlalchemy import create_engine

    if uri.startswith("sqlite:"):
        return create_engine(uri, connect_args={"timeout": 30})
    return create_engine(uri, pool_pre_ping=True)  # a connection that the server has closed is replaced


def _query(uri: str, sql: str, values: dict[str, Any]) -> Iterable[Any]:
    from sqlalchemy import bindparam, text
    from sqlalchemy.exc import DatabaseError, OperationalError

    lists: list[Any] = [bindparam(key, expanding=True) for key, value in values.items() if isinstance(value, list)]

    def ask() -> Iterable[Any]:
        with _engine(uri).connect() as connection:
            return connection.execute(text(sql).bindparams(*lists), values).fetchall()

    def away(error: Exception) -> bool:
        return isinstance(error, OperationalError) and not uri.startswith("sqlite:")

    try:
        return patience.wait_for(ask, away, "the tracking store")
    except DatabaseError as error:
        raise StoreError(f"the tracking store {redact(uri)} cannot be read: {redact(str(error.orig))}") from None
