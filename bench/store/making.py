"""Making the store: MLflow's tables, and an MLflow experiment for each of a suite's."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from retable.bench.store import locks, patience, reading, sql
from retable.bench.store.client import MlflowClient, MlflowException, connect, entities, explained, patiently, settle
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


def has_moved(stores: Stores, before: str, now: str) -> bool:
    """Whether artifacts that are written down at one place belong to another: an SQLite file's lie beside it; those of
    a PostgreSQL server moved if the former folder is gone and the new one is here (another machine's stay its own)."""
    if before == now or stores.tracking.startswith("sqlite:"):
        return before != now
    return reading.is_sql(stores.tracking) and Path(now).is_dir() and not Path(before).exists()


def _experiment(stores: Stores, name: str, about: str) -> str:
    api = connect(stores.tracking)
    found = api.get_experiment_by_name(name)
    place = None if stores.artifacts is None else location(stores.artifacts / name)
    if found is None:
        _say_if_renamed(api, name)
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
    if place and has_moved(stores, found.artifact_location, place):
        sql.move_artifacts(stores.tracking, found.experiment_id, name, found.artifact_location, place)
    if found.lifecycle_stage != "active":
        _restore(api, found.experiment_id, name)
    if found.tags.get("mlflow.note.content") != about:
        api.set_experiment_tag(found.experiment_id, "mlflow.note.content", about)
    return str(found.experiment_id)


def _say_if_renamed(api: MlflowClient, name: str) -> None:
    """Tell of an experiment of another name that holds this one's runs: they do not count under it."""
    others = {e.experiment_id: e.name for e in api.search_experiments()}
    found = api.search_runs(list(others), f"tags.`retable.optuna` LIKE '{name}@%'", max_results=1) if others else []
    if found:
        other = others[found[0].info.experiment_id]
        patience.say(
            f"runs of {name} stand in the MLflow experiment '{other}': was it renamed? They do not count there and are "
            f"run again; named {name} once more, they do"
        )


def _restore(api: MlflowClient, number: str, name: str) -> None:
    """Bring a deleted experiment back with the runs that went with it, and say so.

    MLflow deletes all runs of an experiment with it, those too that somebody had deleted before. Where such a one's
    trial was run again since, a later finished run of the same code tells: it stays deleted.
    """
    later: dict[tuple[str, str], str] = {}
    before = []
    runs = api.search_runs(
        [number], "", entities.ViewType.ALL, max_results=50_000, order_by=["attributes.start_time DESC"]
    )
    for run in runs:
        key = (run.data.tags.get("retable.trial", ""), run.data.tags.get("retable.code", ""))
        if run.info.status == "FINISHED" and later.setdefault(key, run.info.run_id) != run.info.run_id:
            before.append(run.info.run_id)
    api.restore_experiment(number)
    for run_id in before:
        api.delete_run(run_id)
    aside = f"; {len(before)} that were deleted before stay so" if before else ""
    patience.say(f"the MLflow experiment {name} was deleted: it is back, with {len(runs) - len(before)} runs{aside}")
