"""Writing a trial's MLflow run while it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import requests

from retable.bench.store import artifacts, digests, outbox, patience
from retable.bench.store.client import (
    BATCH,
    MlflowException,
    away,
    connect,
    entities,
    get_artifact_repository,
    patiently,
    sent,
)
from retable.bench.store.places import Stores, redact
from retable.bench.store.records import Run
from retable.bench.suite.plan import Trial
from retable.bench.suite.values import text

FLUSH_SECONDS = 2.0
FLUSH_POINTS = 500
T = TypeVar("T")


class Recorder:
    """One trial's MLflow run while it is written.

    Metrics wait in memory and on disk and go out in batches. When the store is away they wait longer and the trial
    goes on; only what must be there before the trial may end (artifacts, tags, the final status) waits for it.
    """

    def __init__(self, stores: Stores, experiment_id: str, trial: Trial, tags: Mapping[str, str]):
        began = time.perf_counter()
        self._uri = stores.tracking
        self._api = connect(stores.tracking)
        self._points: list[entities.Metric] = []
        self._flushed = time.monotonic()
        self._checkpoints = False
        self.spent = 0.0
        """Seconds spent here so far."""
        info = self._create(experiment_id, trial, dict(tags)).info
        self.run_id: str = info.run_id
        self._place: str = info.artifact_uri
        self._outbox = outbox.Outbox(stores, self.run_id)
        self._began, self._start = time.monotonic(), time.time()
        self._epoch = self._start
        # A setting may be called `scale` too; the suite's scale is a tag as well.
        settings = {"scale": trial.scale, **trial.settings, **trial.varied, "seed": trial.seed}
        params = [entities.Param(key, text(value)[:6000]) for key, value in settings.items()]
        for start in range(0, len(params), 100):
            self._call(partial(self._api.log_batch, self.run_id, params=params[start : start + 100]))
        if trial.data:
            inputs = [_dataset(name, version) for name, version in trial.data.items()]
            self._call(lambda: self._log_inputs(inputs))
        self.spent = time.perf_counter() - began

    def _log_inputs(self, inputs: list[entities.DatasetInput]) -> None:
        """MLflow makes a data set's row where it finds none: of two workers that do so at once one is refused."""
        for left in (2, 1, 0):
            try:
                self._api.log_inputs(self.run_id, inputs)
                return
            except MlflowException as error:
                if not left or "unique constraint" not in str(error).lower():
                    raise

    def _create(self, experiment_id: str, trial: Trial, tags: dict[str, str]) -> entities.Run:
        """Make the run, once: where an answer may have been lost, the one that was made is looked for first."""
        lost = False

        def make() -> entities.Run:
            nonlocal lost
            if lost and (found := self._created(experiment_id, tags)):
                return found
            try:
                return self._api.create_run(experiment_id, tags=tags, run_name=trial.name)
            except Exception as error:
                lost = away(self._uri)(error)
                raise

        return self._call(make)

    def _created(self, experiment_id: str, tags: Mapping[str, str]) -> entities.Run | None:
        same = " and ".join(f"tags.`{k}` = '{tags[k]}'" for k in ("retable.optuna", "retable.owner"))
        found = self._api.search_runs([experiment_id], f"{same} and attributes.status = 'RUNNING'", max_results=1)
        return found[0] if found else None

    def rebase(self, seconds: float) -> None:
        """Let `seconds` after the trial's start be now, for one that goes on from a checkpoint."""
        self._epoch = time.time() - seconds

    def log(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Note values at a step, `seconds` after the start; written within two seconds or 500 points."""
        stamp = int((self._epoch + seconds) * 1000)
        points = [entities.Metric(key, float(value), stamp, step) for key, value in values.items()]
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
        made = [entities.RunTag(f"retable.{k}", redact(v)[:5000]) for k, v in tags.items()]
        self._call(lambda: self._api.log_batch(self.run_id, tags=made))

    def artifacts(self, files: Mapping[str, bytes]) -> None:
        """Store all that the run is to keep, by path inside it ("images/stylised.png"), with the list of digests."""
        listing = digests.listing(files)
        self._store({**files, digests.LIST: listing}, wait=True)
        self.tag(**{digests.TAG.removeprefix("retable."): digests.of(listing)})

    def _store(self, files: Mapping[str, bytes], *, wait: bool) -> None:
        store = partial(artifacts.store, self._uri, self.run_id, self._place, files)
        with self._timed():
            if wait:
                patiently(self._uri, store)
            else:
                store()

    def checkpoint(self, path: str, data: bytes, *, wait: bool) -> bool:
        """Store a checkpoint, the points so far before it. False if the store is away and we do not `wait` for it:
        the trial goes on, and the next checkpoint may find it back."""
        self._checkpoints = True
        if wait:
            self.flush()
            self._store({path: data}, wait=True)
            return True
        try:
            with self._timed():
                self._send()
            self._store({path: data}, wait=False)
        except Exception as error:
            if not away(self._uri)(error):
                raise
            patience.notice()
            return False
        return True

    def drop_checkpoints(self, earlier: Sequence[Run] = ()) -> None:
        """Delete the checkpoints of this run and of earlier attempts, which a finished trial needs no more; they stay
        where the server deletes nothing."""
        runs = [self.run_id] if self._checkpoints else []
        for run_id in [*runs, *(run.id for run in earlier if "retable.checkpoint" in run.tags)]:
            with self._timed():
                try:
                    place = self._api.get_run(run_id).info.artifact_uri
                    get_artifact_repository(place, sent(self._uri)).delete_artifacts("checkpoint")
                except (MlflowException, requests.RequestException) as error:
                    patience.say(f"the checkpoints of run {run_id} stay: {redact(str(error))}")

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


def _dataset(name: str, version: str) -> entities.DatasetInput:
    source = json.dumps({"retable": name})
    dataset = entities.Dataset(name=name[:500], digest=version[:36], source_type="retable", source=source)
    return entities.DatasetInput(dataset, [entities.InputTag("mlflow.data.context", "training")])
