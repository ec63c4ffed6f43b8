"""Making the store: MLflow's tables, and an MLflow experiment for each of a suite's."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from retable.bench.store import locks, reading, sql
from retable.bench.store.client import MlflowClient, MlflowException, connect, explained, patiently, settle
from retable.bench.store.places import Stores, sqlite_file, sqlite_url


def warm_up(uri: str) -> None:
    """Pay for the store's first use (seconds of imports and a schema check) before any trial's clock runs."""
    patiently(uri, lambda: connect(uri).search_experiments(max_results=1))


def prepare(stores: Stores, experiments: Mapping[str, str]) -> dict[str, str]:
    """Make the store if it is not there, and the experiments (name -> description); name -> MLflow id.

    An SQLite store is built beside its place under a lock and moved there whole: two processes that create one
    at once would corrupt it for good.
    """
    with locks.held(stores, "mlflow"), explained(stores.tracking):
        if stores.tracking.startswith("sqlite:") and not reading.exists(stores.tracking):
            _build_sqlite(stores.tracking)
        return {name: _experiment(stores, name, about) for name, about in experiments.items()}


def _build_sqlite(uri: str) -> None:
    path = sqlite_file(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    settle()
    MlflowClient(tracking_uri=sqlite_url(scratch)).search_experiments(max_results=1)
    with sqlite3.connect(scratch) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not wait for each other
    connection.close()
    scratch.replace(path)


def location(folder: Path) -> str:
    """A folder as MLflow is told it: as a path, or as a URL where MLflow would read the path as one."""
    folder = folder.resolve()
    return folder.as_uri() if set("%?#") & set(str(folder)) else str(folder)


def _experiment(stores: Stores, name: str, about: str) -> str:
    api = connect(stores.tracking)
    found = api.get_experiment_by_name(name)
    place = None if stores.artifacts is None else location(stores.artifacts / name)
    if found is None:
        try:
            identifier: str = api.create_experiment(name, artifact_location=place)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return _experiment(stores, name, about)  # another machine made it in this instant
        api.set_experiment_tag(identifier, "mlflow.note.content", about)
        # Its pages open on charts of training runs, not on those for prompts and traces.
        api.set_experiment_tag(identifier, "mlflow.experimentKind", "custom_model_development")
        return identifier
    if place and stores.tracking.startswith("sqlite:") and found.artifact_location != place:
        sql.move_artifacts(stores.tracking, found.experiment_id, name, found.artifact_location, place)
    if found.lifecycle_stage != "active":
        api.restore_experiment(found.experiment_id)
    if found.tags.get("mlflow.note.content") != about:
        api.set_experiment_tag(found.experiment_id, "mlflow.note.content", about)
    return str(found.experiment_id)
