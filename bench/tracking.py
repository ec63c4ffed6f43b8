"""MLflow, all of it: making the store, writing a trial's run, fetching artifacts. No other module imports it."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

# Before the import: MLflow would otherwise report usage over the network and write an installation id.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from bench import store
from bench.plan import Trial
from bench.store import Run
from bench.stores import Stores
from bench.values import text

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

FLUSH_SECONDS = 2.0
FLUSH_POINTS = 500
BATCH = 1000
"""MLflow takes 1000 metrics, 100 parameters and 100 tags in one call."""


@cache
def client(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri)


def warm_up(uri: str) -> None:
    """Pay for the store's first use (seconds of imports and a schema check) before any trial's clock runs."""
    client(uri).search_experiments(max_results=1)


def prepare(stores: Stores, experiments: Mapping[str, str]) -> dict[str, str]:
    """Make the store if it is not there, and the experiments (name -> description); name -> MLflow id.

    An SQLite store is built beside its place under a lock and moved there whole: two processes that create one
    at once would corrupt it for good.
    """
    stores.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(stores.folder / "mlflow.lock"):
        if stores.tracking.startswith("sqlite:") and not store.exists(stores.tracking):
            _build_sqlite(stores.tracking)
        return {name: _experiment(stores, name, about) for name, about in experiments.items()}


def _build_sqlite(uri: str) -> None:
    import sqlite3

    path = Path(uri.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    MlflowClient(tracking_uri=f"sqlite:///{scratch}").search_experiments(max_results=1)
    with sqlite3.connect(scratch) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not wait for each other
    connection.close()
    scratch.replace(path)


def _experiment(stores: Stores, name: str, about: str) -> str:
    api = client(stores.tracking)
    found = api.get_experiment_by_name(name)
    if found is None:
        location = None if stores.artifacts is None else str((stores.artifacts / name).resolve())
        identifier: str = api.create_experiment(name, artifact_location=location)
        api.set_experiment_tag(identifier, "mlflow.note.content", about)
        # Its pages open on charts of training runs, not on those for prompts and traces.
        api.set_experiment_tag(identifier, "mlflow.experimentKind", "custom_model_development")
        return identifier
    if found.lifecycle_stage != "active":
        api.restore_experiment(found.experiment_id)
    if found.tags.get("mlflow.note.content") != about:
        api.set_experiment_tag(found.experiment_id, "mlflow.note.content", about)
    return str(found.experiment_id)


class Recorder:
    """One trial's MLflow run while it is written. Metrics wait in memory and go out in batches."""

    def __init__(self, stores: Stores, experiment_id: str, trial: Trial, tags: Mapping[str, str]):
        began = time.perf_counter()
        self._api = client(stores.tracking)
        self._points: list[Metric] = []
        self._flushed = time.monotonic()
        self.spent = 0.0
        """Seconds spent here so far."""
        run = self._api.create_run(experiment_id, tags=dict(tags), run_name=trial.name)
        self.run_id: str = run.info.run_id
        self._epoch = time.time()
        settings = {**trial.settings, **trial.varied, "seed": trial.seed, "scale": trial.scale}
        params = [Param(key, text(value)[:6000]) for key, value in settings.items()]
        for start in range(0, len(params), 100):
            self._api.log_batch(self.run_id, params=params[start : start + 100])
        if trial.data:
            inputs = [_dataset(name, version) for name, version in trial.data.items()]
            self._api.log_inputs(self.run_id, inputs)
        self.spent += time.perf_counter() - began

    def rebase(self, seconds: float) -> None:
        """Let `seconds` after the trial's start be now, for one that goes on from a checkpoint."""
        self._epoch = time.time() - seconds

    def log(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Note values at a step, `seconds` after the start; written within two seconds or 500 points."""
        stamp = int((self._epoch + seconds) * 1000)
        self._points += [Metric(key, float(value), stamp, step) for key, value in values.items()]
        if len(self._points) >= FLUSH_POINTS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write everything noted so far."""
        with self._timed():
            while self._points:
                self._api.log_batch(self.run_id, metrics=self._points[:BATCH])
                del self._points[:BATCH]
            self._flushed = time.monotonic()

    def tag(self, **tags: str) -> None:
        """Set `retable.<name>` tags."""
        if not tags:
            return
        with self._timed():
            self._api.log_batch(self.run_id, tags=[RunTag(f"retable.{k}", v[:5000]) for k, v in tags.items()])

    def artifacts(self, files: Mapping[str, bytes]) -> None:
        """Store files by path inside the run ("images/stylised.png")."""
        with self._timed(), tempfile.TemporaryDirectory() as scratch:
            for path, content in files.items():
                target = Path(scratch) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            self._api.log_artifacts(self.run_id, scratch)

    def finish(self, status: str) -> None:
        """Flush, then set the run's final status: FINISHED, FAILED or KILLED."""
        self.flush()
        with self._timed():
            self._api.set_terminated(self.run_id, status)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent += time.perf_counter() - began


def _dataset(name: str, version: str) -> DatasetInput:
    source = json.dumps({"retable": name})
    dataset = Dataset(name=name[:500], digest=version[:36], source_type="retable", source=source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def terminate(uri: str, run_id: str, status: str, **tags: str) -> None:
    """Set the final status of a run that its own process no longer can."""
    api = client(uri)
    if tags:
        api.log_batch(run_id, tags=[RunTag(f"retable.{k}", v) for k, v in tags.items()])
    api.set_terminated(run_id, status)


def artifact(uri: str, run: Run, path: str, folder: Path) -> Path:
    """A local copy (or the file itself, where the store is local) of an artifact. Raises FileNotFoundError."""
    parts = Path(path).parts
    if ".." in parts or Path(path).is_absolute():
        raise FileNotFoundError(f"'{path}' is no artifact path")
    local = _local(run.artifact_uri)
    if local is not None:
        file = local.joinpath(*parts)
        if not file.is_file():
            raise FileNotFoundError(f"run {run.id} has no artifact '{path}'")
        return file
    target = folder / run.id
    if not target.joinpath(*parts).is_file():
        target.mkdir(parents=True, exist_ok=True)
        try:
            mlflow.artifacts.download_artifacts(
                run_id=run.id, artifact_path=path, dst_path=str(target), tracking_uri=uri
            )
        except (mlflow.MlflowException, OSError) as error:
            raise FileNotFoundError(f"run {run.id}: artifact '{path}' could not be fetched: {error}") from error
    return target.joinpath(*parts)


def _local(uri: str) -> Path | None:
    parsed = urlparse(uri)
    if parsed.scheme == "":
        return Path(uri)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else None


def runs_over_http(uri: str, experiments: Sequence[str], trial: str | None) -> list[Run]:
    """`store.runs` for a tracking server."""
    api = client(uri)
    names = {}
    for name in experiments:
        found = api.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "active":
            names[found.experiment_id] = name
    if not names:
        return []
    wanted = f"tags.`retable.trial` = '{trial}'" if trial else ""
    result: list[Run] = []
    token: str | None = None
    while True:
        page = api.search_runs(
            list(names), wanted, max_results=1000, order_by=["attributes.start_time ASC"], page_token=token
        )
        result += [_run(found, names[found.info.experiment_id]) for found in page]
        token = page.token
        if not token:
            return result


def run_over_http(uri: str, run_id: str) -> list[Run]:
    """`store.starting_with` for a tracking server, which knows whole ids alone."""
    try:
        found = client(uri).get_run(run_id)
    except mlflow.MlflowException:
        return []
    return [_run(found, client(uri).get_experiment(found.info.experiment_id).name)]


def _run(found: Any, experiment: str) -> Run:
    info = found.info
    ended = None if info.end_time is None else info.end_time / 1000
    began = info.start_time / 1000
    tags = dict(found.data.tags)
    return Run(info.run_id, experiment, info.run_name, info.status, began, ended, info.artifact_uri, tags)


def metrics_over_http(uri: str, run_ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """`store.metrics` for a tracking server."""
    return {run_id: dict(client(uri).get_run(run_id).data.metrics) for run_id in run_ids}


def params_over_http(uri: str, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """`store.params` for a tracking server."""
    return {run_id: dict(client(uri).get_run(run_id).data.params) for run_id in run_ids}


def curves_over_http(uri: str, run_ids: Sequence[str], metric: str) -> list[tuple[str, int, float]]:
    """`store.curves` for a tracking server."""
    rows: list[tuple[str, int, float]] = []
    for run_id in run_ids:
        steps: dict[int, Any] = {}
        for point in client(uri).get_metric_history(run_id, metric):
            steps[point.step] = point.value
        rows += [(run_id, step, value) for step, value in sorted(steps.items())]
    return rows
