"""Fast reading of MLflow's database: which runs there are, their last metrics, their curves.

MLflow's client takes 6 s for the curves of 500 runs and 1.4 s to import; two SQL queries take 0.2 s. All SQL on
MLflow's tables is here, and a test holds it against a store that MLflow made. `reading` is the door to it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retable.bench.store import patience
from retable.bench.store.places import StoreError, redact, sqlite_file
from retable.bench.store.records import Group, Run, number

if TYPE_CHECKING:
    from sqlalchemy import Engine

_made: set[str] = set()
"""PostgreSQL databases that have been seen with MLflow's tables."""


def exists(uri: str) -> bool:
    """Whether the database can hold anything yet: an SQLite file may not have been made, a server's tables neither."""
    if uri.startswith("sqlite:"):
        return sqlite_file(uri).is_file()
    if uri in _made:
        return True
    ((there,),) = _query(uri, "SELECT to_regclass('experiments') IS NOT NULL", {})
    if there:
        _made.add(uri)
    return bool(there)


def runs(uri: str, experiments: Sequence[str], trial: str | None, running: bool) -> list[Run]:
    """`reading.runs`."""
    wanted = "AND r.run_uuid IN (SELECT w.run_uuid FROM tags w WHERE w.key = 'retable.trial' AND w.value = :t)"
    values = {"names": list(experiments), **({"t": trial} if trial else {})}
    alive = "AND r.status = 'RUNNING'" if running else ""
    return _runs(uri, f"e.name IN :names {wanted if trial else ''} {alive}", values)


def attempted(uri: str, experiments: Sequence[str]) -> set[str]:
    """`reading.attempted`."""
    sql = (
        "SELECT DISTINCT t.value FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id "
        "JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'retable.trial' "
        "WHERE r.lifecycle_stage = 'active' AND e.name IN :names"
    )
    return {str(value) for (value,) in _query(uri, sql, {"names": list(experiments)})}


def experiments(uri: str) -> dict[str, Group]:
    """`reading.experiments`."""
    rows = _query(
        uri,
        "SELECT e.name, e.experiment_id, COUNT(DISTINCT p.value), MIN(CAST(p.value AS INTEGER)) FROM experiments e "
        "JOIN runs r ON r.experiment_id = e.experiment_id LEFT JOIN params p ON p.run_uuid = r.run_uuid "
        "AND p.key = 'seed' WHERE e.lifecycle_stage = 'active' AND r.lifecycle_stage = 'active' "
        "GROUP BY e.name, e.experiment_id ORDER BY e.experiment_id",
        {},
    )
    return {str(name): Group(str(number), seeds, first or 0) for name, number, seeds, first in rows}


def tags(uri: str, experiments: Sequence[str], beginning: str) -> dict[str, dict[str, str]]:
    """`reading.tags`."""
    sql = (
        "SELECT e.name, t.key, t.value FROM experiments e LEFT JOIN experiment_tags t "
        "ON t.experiment_id = e.experiment_id AND substr(t.key, 1, :length) = :beginning "
        "WHERE e.lifecycle_stage = 'active' AND e.name IN :names"
    )
    found: dict[str, dict[str, str]] = {}
    values = {"names": list(experiments), "beginning": beginning, "length": len(beginning)}
    for name, key, value in _query(uri, sql, values):
        found.setdefault(str(name), {}).update({str(key): str(value)} if key is not None else {})
    return found


def tag(uri: str, experiment: str, key: str, value: str) -> None:
    """`reading.tag`."""
    from sqlalchemy import text
    from sqlalchemy.exc import DatabaseError

    sql = (
        "INSERT INTO experiment_tags (key, value, experiment_id) "
        "SELECT :key, :value, experiment_id FROM experiments WHERE name = :name "
        "ON CONFLICT (key, experiment_id) DO UPDATE SET value = excluded.value"
    )
    try:
        with _engine(uri).begin() as connection:
            connection.execute(text(sql), {"key": key, "value": value, "name": experiment})
    except DatabaseError as error:
        raise StoreError(f"the tracking store {redact(uri)} cannot be written: {redact(str(error.orig))}") from None


def starting_with(uri: str, beginning: str) -> list[Run]:
    """`reading.starting_with`."""
    return _runs(uri, "substr(r.run_uuid, 1, :length) = :beginning", {"beginning": beginning, "length": len(beginning)})


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
        place = _artifacts(uri, run_id, experiment, artifacts or "")
        found[run_id] = Run(run_id, group, name or "", state, (start or 0) / 1000, ended, place)
    for batch in _batches(list(found)):
        for run_id, key, value in _query(
            uri, "SELECT run_uuid, key, value FROM tags WHERE run_uuid IN :ids", {"ids": batch}
        ):
            found[run_id].tags[same(key, key)] = same(value or "", value or "")
    return list(found.values())


@dataclass(frozen=True)
class Row:
    """A run of any experiment, deleted ones included. trial: its trial's id, empty for a run that is not ours."""

    id: str
    trial: str
    status: str
    active: bool
    artifact_uri: str


def every(uri: str) -> list[Row]:
    """All runs of the store."""
    rows = _query(
        uri,
        "SELECT r.run_uuid, t.value, r.status, r.lifecycle_stage, e.name, r.artifact_uri FROM runs r "
        "JOIN experiments e ON e.experiment_id = r.experiment_id "
        "LEFT JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'retable.trial'",
        {},
    )
    return [
        Row(run_id, trial or "", status, stage == "active", _artifacts(uri, run_id, name, place or ""))
        for run_id, trial, status, stage, name, place in rows
    ]


def locations(uri: str) -> dict[str, tuple[str, str]]:
    """Experiment's name -> its id and where the database says that its artifacts are."""
    rows = _query(uri, "SELECT name, experiment_id, artifact_location FROM experiments", {})
    return {str(name): (str(number), str(place or "")) for name, number, place in rows}


def _artifacts(uri: str, run_id: str, experiment: str, recorded: str) -> str:
    """Where a run's artifacts are: beside an SQLite file that was moved or copied with them, not where it once lay."""
    tail = f"/artifacts/{experiment}/{run_id}/artifacts"
    if uri.startswith("sqlite:") and recorded.endswith(tail):
        here = f"{_folder(uri)}{tail}"
        return here if here != recorded and Path(here).is_dir() else recorded
    return recorded


@cache
def _folder(uri: str) -> Path:
    return sqlite_file(uri).resolve().parent


def move_artifacts(uri: str, experiment_id: str, name: str, before: str, now: str) -> None:
    """Let an experiment whose store was moved or copied keep its artifacts where they are now, new ones and those that
    came along. An experiment whose artifacts somebody put elsewhere is left as it is."""
    from sqlalchemy import text

    if not before.endswith(f"/artifacts/{name}"):
        return
    mended = ["UPDATE experiments SET artifact_location = :now WHERE experiment_id = :id"]
    if Path(now).is_dir():
        mended.append(
            "UPDATE runs SET artifact_uri = CAST(:now AS VARCHAR(2000)) || substr(artifact_uri, :length + 1) "
            "WHERE experiment_id = :id AND substr(artifact_uri, 1, :length + 1) = CAST(:before AS VARCHAR(2000)) || '/'"
        )
    with _engine(uri).begin() as connection:
        for sql in mended:
            values = {"now": now, "id": int(experiment_id), "before": before, "length": len(before)}
            connection.execute(text(sql), {k: v for k, v in values.items() if f":{k}" in sql})


def metrics(uri: str, run_ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """`reading.metrics`."""
    found: dict[str, dict[str, float]] = {run_id: {} for run_id in run_ids}
    for batch in _batches(run_ids):
        sql = "SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE run_uuid IN :ids"
        for run_id, key, value, is_nan in _query(uri, sql, {"ids": batch}):
            found[run_id][key] = number(value, is_nan)
    return found


def params(uri: str, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """`reading.params`."""
    found: dict[str, dict[str, str]] = {run_id: {} for run_id in run_ids}
    for batch in _batches(run_ids):
        sql = "SELECT run_uuid, key, value FROM params WHERE run_uuid IN :ids"
        for run_id, key, value in _query(uri, sql, {"ids": batch}):
            found[run_id][key] = value
    return found


def curves(uri: str, run_ids: Sequence[str], metric: str) -> list[tuple[str, int, float]]:
    """`reading.curves`."""
    found: dict[tuple[str, int], float] = {}
    for batch in _batches(run_ids):
        sql = (
            "SELECT run_uuid, step, value, is_nan FROM metrics WHERE run_uuid IN :ids AND key = :key "
            "ORDER BY run_uuid, step, timestamp"
        )
        for run_id, step, value, is_nan in _query(uri, sql, {"ids": batch, "key": metric}):
            found[run_id, step] = number(value, is_nan)
    return [(run_id, step, value) for (run_id, step), value in found.items()]


def _batches(run_ids: Sequence[str], size: int = 500) -> Iterator[list[str]]:
    for start in range(0, len(run_ids), size):
        yield list(run_ids[start : start + size])


@cache
def _engine(uri: str) -> Engine:
    from sqlalchemy import QueuePool, create_engine

    if uri.startswith("sqlite:"):
        file = sqlite_file(uri).resolve()
        if os.access(file.parent, os.W_OK):
            return create_engine(uri, connect_args={"timeout": 30})
        return create_engine("sqlite://", creator=partial(_read_only, file), poolclass=QueuePool)
    return create_engine(uri, pool_pre_ping=True)  # a connection that the server has closed is replaced


def _read_only(file: Path) -> sqlite3.Connection:
    """A connection to a database in a folder that cannot be written, where SQLite cannot make the files that readers
    and writers share. As long as nothing waits in its log the file is all there is, and is read as it stands."""
    waits = _log(file).is_file() and _log(file).stat().st_size
    if not waits:
        _say_once(f"{file} is in a folder that cannot be written: it is read as it stands, and nobody may write it now")
    return sqlite3.connect(
        f"{file.as_uri()}?{'mode=ro' if waits else 'immutable=1'}", uri=True, check_same_thread=False
    )


def _log(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


@cache
def _say_once(text: str) -> None:
    patience.say(text)


def _mend(uri: str) -> str:
    """What to do about an SQLite file that cannot be read because its folder cannot be written."""
    if not uri.startswith("sqlite:") or os.access(sqlite_file(uri).resolve().parent, os.W_OK):
        return ""
    file = sqlite_file(uri)
    return (
        f"; its newest entries are in {_log(file).name}, which needs a folder that can be written: copy {file.name}* "
        "and the artifacts to one"
    )


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
        raise StoreError(
            f"the tracking store {redact(uri)} cannot be read: {redact(str(error.orig))}{_mend(uri)}"
        ) from None
