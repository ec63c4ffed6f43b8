"""MLflow, all of it: making the store, writing a trial's run, fetching artifacts. No other module imports it."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlparse

# Before the import: MLflow would otherwise report usage over the network and write an installation id.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
# MLflow would try a request seven times, for minutes, with the training standing still. We wait ourselves, and longer.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException as MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from bench import locks, outbox, owners, patience, store
from bench.plan import Trial
from bench.store import Run
from bench.stores import StoreError, Stores, redact
from bench.values import text

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.WARNING)

FLUSH_SECONDS = 2.0
FLUSH_POINTS = 500
BATCH = 1000
"""MLflow takes 1000 metrics, 100 parameters and 100 tags in one call."""

_AWAY = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED", "ABORTED")
T = TypeVar("T")


def away(uri: str) -> Callable[[Exception], bool]:
    """Whether an error of the store at `uri` may pass by itself. Of SQLite none does: MLflow waits for its lock."""

    def passes(error: Exception) -> bool:
        if uri.startswith("sqlite:"):
            return False
        if isinstance(error, MlflowException):
            return error.error_code in _AWAY
        if isinstance(error, requests.HTTPError):
            return error.response is None or error.response.status_code >= 500
        return isinstance(error, (requests.RequestException, ConnectionError))

    return passes


def patiently(uri: str, call: Callable[[], T]) -> T:
    """The answer of a call that may be repeated, waited for if this process may wait."""
    return patience.wait_for(call, away(uri), "the tracking store")


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn the errors of a store that cannot be used into a `StoreError` that a person can read."""
    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        said = redact(str(error)).strip().splitlines()
        raise StoreError(
            f"the tracking store {redact(uri)} cannot be used: {said[0] if said else repr(error)}"
        ) from None


@cache
def client(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri)


def warm_up(uri: str) -> None:
    """Pay for the store's first use (seconds of imports and a schema check) before any trial's clock runs."""
    patiently(uri, lambda: client(uri).search_experiments(max_results=1))


def prepare(stores: Stores, experiments: Mapping[str, str]) -> dict[str, str]:
    """Make the store if it is not there, and the experiments (name -> description); name -> MLflow id.

    An SQLite store is built beside its place under a lock and moved there whole: two processes that create one
    at once would corrupt it for good.
    """
    with locks.held(stores, "mlflow"), explained(stores.tracking):
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
        try:
            identifier: str = api.create_experiment(name, artifact_location=location)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return _experiment(stores, name, about)  # another machine made it in this instant
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
    """One trial's MLflow run while it is written.

    Metrics wait in memory and on disk and go out in batches. When the store is away they wait longer and the trial
    goes on; only what must be there before the trial may end (artifacts, tags, the final status) waits for it.
    """

    def __init__(self, stores: Stores, experiment_id: str, trial: Trial, tags: Mapping[str, str]):
        began = time.perf_counter()
        self._uri = stores.tracking
        self._api = client(stores.tracking)
        self._points: list[Metric] = []
        self._flushed = time.monotonic()
        self._checkpoints = False
        self.spent = 0.0
        """Seconds spent here so far."""
        self.run_id: str = self._create(experiment_id, trial, dict(tags))
        self._outbox = outbox.Outbox(stores, self.run_id)
        self._began, self._start = time.monotonic(), time.time()
        self._epoch = self._start
        settings = {**trial.settings, **trial.varied, "seed": trial.seed, "scale": trial.scale}
        params = [Param(key, text(value)[:6000]) for key, value in settings.items()]
        for start in range(0, len(params), 100):
            self._call(partial(self._api.log_batch, self.run_id, params=params[start : start + 100]))
        if trial.data:
            inputs = [_dataset(name, version) for name, version in trial.data.items()]
            self._call(lambda: self._api.log_inputs(self.run_id, inputs))
        self.spent = time.perf_counter() - began

    def _create(self, experiment_id: str, trial: Trial, tags: dict[str, str]) -> str:
        """Make the run, once: where an answer may have been lost, the one that was made is looked for first."""
        lost = False

        def make() -> str:
            nonlocal lost
            if lost and (found := self._created(experiment_id, tags)):
                return found
            try:
                run_id: str = self._api.create_run(experiment_id, tags=tags, run_name=trial.name).info.run_id
            except Exception as error:
                lost = away(self._uri)(error)
                raise
            return run_id

        return self._call(make)

    def _created(self, experiment_id: str, tags: Mapping[str, str]) -> str | None:
        same = " and ".join(f"tags.`{k}` = '{tags[k]}'" for k in ("retable.optuna", "retable.owner"))
        found = self._api.search_runs([experiment_id], f"{same} and attributes.status = 'RUNNING'", max_results=1)
        return found[0].info.run_id if found else None

    def rebase(self, seconds: float) -> None:
        """Let `seconds` after the trial's start be now, for one that goes on from a checkpoint."""
        self._epoch = time.time() - seconds

    def log(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Note values at a step, `seconds` after the start; written within two seconds or 500 points."""
        stamp = int((self._epoch + seconds) * 1000)
        points = [Metric(key, float(value), stamp, step) for key, value in values.items()]
        self._points += points
        self._outbox.add(points)
        waited = time.monotonic() - self._flushed
        if (len(self._points) >= FLUSH_POINTS and waited > 0.2) or waited > FLUSH_SECONDS:
            self._try_flush()

    def _try_flush(self) -> None:
        """Write what is noted if the store answers; else it is tried again two seconds later."""
        try:
            with self._timed():
                self._send()
        except Exception as error:
            if not away(self._uri)(error):
                raise
            patience.notice()
            self._flushed = time.monotonic()

    def flush(self) -> None:
        """Write everything noted so far, waiting for the store if it is away."""
        self._call(self._send)

    def _send(self) -> None:
        # Sent twice because an answer was lost, a point stays one: MLflow knows it by its key, step, time and value.
        while self._points:
            self._api.log_batch(self.run_id, metrics=self._points[:BATCH])
            del self._points[:BATCH]
        self._outbox.clear()
        self._flushed = time.monotonic()

    def tag(self, **tags: str) -> None:
        """Set `retable.<name>` tags."""
        if not tags:
            return
        made = [RunTag(f"retable.{k}", redact(v)[:5000]) for k, v in tags.items()]
        self._call(lambda: self._api.log_batch(self.run_id, tags=made))

    def artifacts(self, files: Mapping[str, bytes], *, wait: bool = True) -> None:
        """Store files by path inside the run ("images/stylised.png")."""
        with tempfile.TemporaryDirectory() as scratch:
            for path, content in files.items():
                target = Path(scratch) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            with self._timed():
                if wait:
                    patiently(self._uri, lambda: self._api.log_artifacts(self.run_id, scratch))
                else:
                    self._api.log_artifacts(self.run_id, scratch)

    def checkpoint(self, path: str, data: bytes, *, wait: bool) -> bool:
        """Store a checkpoint, the points so far before it. False if the store is away and we do not `wait` for it:
        the trial goes on, and the next checkpoint may find it back."""
        self._checkpoints = True
        if wait:
            self.flush()
            self.artifacts({path: data})
            return True
        try:
            with self._timed():
                self._send()
            self.artifacts({path: data}, wait=False)
        except Exception as error:
            if not away(self._uri)(error):
                raise
            patience.notice()
            return False
        return True

    def drop_checkpoints(self) -> None:
        """Delete the checkpoints, which a finished run needs no more; they stay where the server deletes nothing."""
        if not self._checkpoints:
            return
        with self._timed():
            try:
                place = self._api.get_run(self.run_id).info.artifact_uri
                get_artifact_repository(place, self._uri).delete_artifacts("checkpoint")
            except (MlflowException, requests.RequestException) as error:
                sys.stderr.write(f"the checkpoints of run {self.run_id} stay: {redact(str(error))}\n")

    def finish(self, status: str) -> None:
        """Flush, then set the run's final status: FINISHED, FAILED or KILLED."""
        self.flush()
        # By a clock that nobody sets, so that a trial never ends before it began.
        end = int(1000 * (self._start + time.monotonic() - self._began))
        self._call(lambda: self._api.set_terminated(self.run_id, status, end_time=end))
        self._outbox.close()

    def _call(self, call: Callable[[], T]) -> T:
        with self._timed():
            return patiently(self._uri, call)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent += time.perf_counter() - began


def deliver(stores: Stores) -> int:
    """Send the metrics that dead processes of this machine left on disk; how many there were."""
    sent = 0
    for left in outbox.left(stores, owners.is_dead):
        points = [Metric(key, value, stamp, step) for key, value, stamp, step in left.points()]
        try:
            for start in range(0, len(points), BATCH):
                batch = points[start : start + BATCH]
                patiently(stores.tracking, partial(client(stores.tracking).log_batch, left.run_id, metrics=batch))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        sent += len(points)
        left.close()
    return sent


def _dataset(name: str, version: str) -> DatasetInput:
    source = json.dumps({"retable": name})
    dataset = Dataset(name=name[:500], digest=version[:36], source_type="retable", source=source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def terminate(uri: str, run_id: str, status: str, **tags: str) -> None:
    """Set the final status of a run that its own process no longer can."""
    api = client(uri)
    if tags:
        made = [RunTag(f"retable.{k}", redact(v)) for k, v in tags.items()]
        patiently(uri, lambda: api.log_batch(run_id, tags=made))
    patiently(uri, lambda: api.set_terminated(run_id, status))


def artifact(uri: str, run: Run, path: str, folder: Path) -> Path:
    """A local copy (or the file itself, where the store is local) of an artifact. Raises FileNotFoundError.

    Run ids and paths come from the store: none may lead out of `folder`.
    """
    parts = Path(path).parts
    if not parts or ".." in parts or Path(path).is_absolute() or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", run.id):
        raise FileNotFoundError(f"'{path}' of run '{run.id}' is no artifact path")
    local = _local(run.artifact_uri) if store.is_sql(uri) else None
    if local is not None:
        file = local.joinpath(*parts)
        if not file.is_file():
            raise FileNotFoundError(f"run {run.id} has no artifact '{path}'")
        return file
    target = (folder / run.id).joinpath(*parts)
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # whole or not at all, whoever else fetches it now
            try:
                fetched = patiently(uri, lambda: _download(uri, run.id, path, scratch))
            except (MlflowException, requests.RequestException, OSError) as error:
                said = redact(str(error))
                raise FileNotFoundError(f"run {run.id}: artifact '{path}' could not be fetched: {said}") from error
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(fetched).replace(target)
    return target


def artifact_bytes(uri: str, run: Run, path: str, folder: Path) -> bytes:
    """The content of an artifact, of which no copy is kept. Raises FileNotFoundError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        return artifact(uri, run, path, Path(scratch)).read_bytes()


def _download(uri: str, run_id: str, path: str, folder: str) -> str:
    got: str = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path, dst_path=folder, tracking_uri=uri)
    return got


def _local(uri: str) -> Path | None:
    parsed = urlparse(uri)
    if parsed.scheme == "":
        return Path(uri)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else None
