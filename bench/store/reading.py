"""Reading what runs have left: from MLflow's database itself, or over HTTP where a tracking server stands before it.

A database takes a few queries and no MLflow (`sql`); a server is asked through MLflow's client (`http`), which is
slower and needs no access to the database. Every function takes the tracking URI first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlparse

from retable.bench.store import sql
from retable.bench.store.records import Group, Run


def is_sql(uri: str) -> bool:
    """Whether a tracking URI is a database that we may read directly."""
    return uri.startswith(("sqlite:", "postgresql:", "postgresql+"))


def exists(uri: str) -> bool:
    """Whether the store can hold anything yet: an SQLite file may not have been made, a database's tables neither."""
    return not is_sql(uri) or sql.exists(uri)


def local(uri: str, artifact_uri: str) -> Path | None:
    """The folder of a run's artifacts, where the store is a database and they lie on this machine."""
    if not is_sql(uri):
        return None
    parsed = urlparse(artifact_uri)
    if parsed.scheme == "":
        return Path(artifact_uri)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else None


def _reader(uri: str) -> ModuleType:
    if is_sql(uri):
        return sql
    from retable.bench.store import http  # MLflow's client: seconds that a database does not cost

    return http


def runs(uri: str, experiments: Sequence[str], *, trial: str | None = None, running: bool = False) -> list[Run]:
    """The runs of some MLflow experiments, oldest first, with our tags. `trial`: of that trial alone. `running`:
    those with that status alone."""
    found: list[Run] = _reader(uri).runs(uri, experiments, trial, running) if exists(uri) else []
    return found


def attempted(uri: str, experiments: Sequence[str]) -> set[str]:
    """The ids of the trials that have a run of any status in some MLflow experiments."""
    found: set[str] = _reader(uri).attempted(uri, experiments) if exists(uri) else set()
    return found


def experiments(uri: str) -> dict[str, Group]:
    """Every experiment that holds a run, by name, in order of creation. The store must be a database."""
    return sql.experiments(uri) if exists(uri) else {}


def tags(uri: str, experiments: Sequence[str], beginning: str) -> dict[str, dict[str, str]]:
    """Name of each of these experiments that is there -> those of its own tags whose key begins so."""
    found: dict[str, dict[str, str]] = _reader(uri).tags(uri, experiments, beginning) if exists(uri) else {}
    return found


def tag(uri: str, experiment: str, key: str, value: str) -> None:
    """Set a tag of an experiment that is there."""
    _reader(uri).tag(uri, experiment, key, value)


def starting_with(uri: str, beginning: str) -> list[Run]:
    """The runs whose id begins so, of any experiment; a tracking server is asked for the whole id."""
    found: list[Run] = _reader(uri).starting_with(uri, beginning) if exists(uri) else []
    return found


def metrics(uri: str, run_ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """run id -> the last value of each metric."""
    found: dict[str, dict[str, float]] = _reader(uri).metrics(uri, run_ids)
    return found


def params(uri: str, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """run id -> its parameters as MLflow holds them, as text."""
    found: dict[str, dict[str, str]] = _reader(uri).params(uri, run_ids)
    return found


def curves(uri: str, run_ids: Sequence[str], metric: str) -> list[tuple[str, int, float]]:
    """(run id, step, value) of one metric, by run and step; one value a step."""
    found: list[tuple[str, int, float]] = _reader(uri).curves(uri, run_ids, metric)
    return found
