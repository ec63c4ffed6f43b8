"""Optuna's storage as our queue needs it: it waits for a database that is away, serialises SQLite's writers, is small.

SQLite has no row locks, so there every transaction that may write begins IMMEDIATE, which serialises them (without: 25
of 200 trials ran twice with six workers; with: none, at the same speed).
"""

from __future__ import annotations

import functools
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from sqlalchemy import text as sql_text
from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError

from retable.bench.store import locks, patience
from retable.bench.store.places import StoreError, Stores, redact, sqlite_file

HEARTBEAT_SECONDS = int(os.environ.get("RETABLE_HEARTBEAT", "10"))
GRACE_SECONDS = 6 * HEARTBEAT_SECONDS
"""A worker of another machine that gave no sign of life for so long is dead, and its trial another's."""
MAX_KILLS = 5
"""A trial whose worker died is run again at most so often: one that kills its worker must not do so for ever."""

PAGE = 500
"""Trials that are read from the database at once."""
LAST = 2**31 - 1
"""No trial's id is above it."""


def away(error: Exception) -> bool:
    """Whether the database server does not answer now (it may soon)."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, PendingRollbackError):
        return True  # the connection broke, and Optuna asked once more within the transaction that it took along
    return isinstance(cause, (OperationalError, InterfaceError)) and not _is_sqlite(cause)


def _is_sqlite(error: OperationalError | InterfaceError) -> bool:
    return type(error.orig).__module__.startswith("sqlite3")


T = TypeVar("T")


def _patient(method: Callable[..., T]) -> Callable[..., T]:
    """A storage method that waits for the database. The whole method is repeated, since a connection that breaks takes
    its transaction along. Where the transaction was done and only the answer was lost, a state that is set twice is
    refused the second time, and a trial that was made twice is noticed (`Queue.refresh`)."""

    @functools.wraps(method)
    def call(*args: Any, **options: Any) -> T:
        return patience.wait_for(lambda: method(*args, **options), away, "the queue's database")

    return call


_only_reads: ContextVar[bool] = ContextVar("_only_reads", default=False)


def _reading(method: Callable[..., T]) -> Callable[..., T]:
    """A patient storage method that writes nothing: on SQLite it takes no lock and waits for no writer."""

    @functools.wraps(method)
    def call(*args: Any, **options: Any) -> T:
        token = _only_reads.set(True)
        try:
            return method(*args, **options)
        finally:
            _only_reads.reset(token)

    return _patient(call)


class Storage(RDBStorage):
    """Optuna's storage for machines that come and go.

    It waits while the database restarts. Heartbeats are judged only by a process that could have seen them: not just
    after an outage, and not when the clock was set or the machine slept. A trial that was claimed by a worker that
    died before its first heartbeat, which Optuna would leave running for ever, counts as stale after the same time.
    """

    # What Optuna asks of its storage while a study is run, and the parts of it that it caches in front of.
    create_new_study = _patient(RDBStorage.create_new_study)
    set_study_user_attr = _patient(RDBStorage.set_study_user_attr)
    set_study_system_attr = _patient(RDBStorage.set_study_system_attr)
    get_study_id_from_name = _reading(RDBStorage.get_study_id_from_name)
    get_study_name_from_id = _reading(RDBStorage.get_study_name_from_id)
    get_study_directions = _reading(RDBStorage.get_study_directions)
    get_study_user_attrs = _reading(RDBStorage.get_study_user_attrs)
    get_study_system_attrs = _reading(RDBStorage.get_study_system_attrs)
    get_all_studies = _reading(RDBStorage.get_all_studies)
    get_trial = _reading(RDBStorage.get_trial)
    get_trial_id_from_study_id_trial_number = _reading(RDBStorage.get_trial_id_from_study_id_trial_number)
    get_trial_user_attrs = _reading(RDBStorage.get_trial_user_attrs)
    get_trial_system_attrs = _reading(RDBStorage.get_trial_system_attrs)
    set_trial_state_values = _patient(RDBStorage.set_trial_state_values)
    set_trial_intermediate_value = _patient(RDBStorage.set_trial_intermediate_value)
    set_trial_user_attr = _patient(RDBStorage.set_trial_user_attr)
    set_trial_system_attr = _patient(RDBStorage.set_trial_system_attr)
    record_heartbeat = _patient(RDBStorage.record_heartbeat)
    _create_new_trial = _patient(RDBStorage._create_new_trial)
    _set_trial_param = _patient(RDBStorage._set_trial_param)
    _get_best_trial_id = _reading(RDBStorage._get_best_trial_id)

    def __init__(self, url: str, **options: Any):
        self._clocks = (time.monotonic(), time.time())
        self._unjudged_until = 0.0
        self._silent: dict[int, float] = {}
        self._alike: dict[Any, Any] = {}
        super().__init__(url, **options)

    @_reading
    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Optuna keeps in memory what this returns: it is little, and read in pages, since reading takes several times
        as much (15 KiB a trial became 4)."""
        ids = self._ids(study_id, included_trial_ids, trial_id_greater_than)
        found = []
        for first in range(0, len(ids), PAGE):
            page = set(ids[first : first + PAGE])
            found += [self._light(t) for t in super()._get_trials(study_id, states, page, LAST)]
        return found

    def _ids(self, study_id: int, among: set[int], above: int) -> list[int]:
        """A study's trials that are among some or above one, in order."""
        sql = "SELECT trial_id FROM trials WHERE study_id = :study AND trial_id >= :first ORDER BY trial_id"
        first = min(among, default=above + 1)
        with self.engine.connect() as connection:
            there = [row[0] for row in connection.execute(sql_text(sql), {"study": study_id, "first": first})]
        return [trial for trial in there if trial > above or trial in among]

    def _light(self, trial: FrozenTrial) -> FrozenTrial:
        """A trial that has ended well without what only running it needs; what is alike in many is kept once."""
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            same = self._alike.setdefault
            trial.distributions = {same(k, k): same((k, d), d) for k, d in trial.distributions.items()}
            trial.params = {same(k, k): same(v, v) if isinstance(v, str) else v for k, v in trial.params.items()}
            trial.user_attrs = {same(k, k): v for k, v in trial.user_attrs.items() if k not in ("trial", "needs")}
        return trial

    @_reading
    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        now, clock = time.monotonic(), time.time()
        jump = abs((clock - self._clocks[1]) - (now - self._clocks[0]))
        self._clocks = (now, clock)
        if jump > GRACE_SECONDS / 2 or patience.since_outage() < GRACE_SECONDS:
            self._unjudged_until = now + GRACE_SECONDS
        if now < self._unjudged_until:
            return []
        stale: list[int] = super()._get_stale_trial_ids(study_id)
        return stale + self._never_heard(study_id, now)

    def _never_heard(self, study_id: int, now: float) -> list[int]:
        sql = (
            "SELECT trial_id FROM trials t WHERE study_id = :study AND state = 'RUNNING' "
            "AND NOT EXISTS (SELECT 1 FROM trial_heartbeats h WHERE h.trial_id = t.trial_id)"
        )
        with self.engine.connect() as connection:
            silent = {row[0] for row in connection.execute(sql_text(sql), {"study": study_id})}
        self._silent = {trial: self._silent.get(trial, now) for trial in silent}
        return [trial for trial, since in self._silent.items() if now - since > GRACE_SECONDS]


@functools.cache
def settle() -> None:
    """Quieten Optuna, once, before this process first uses it: its line a trial, and that heartbeats may yet change."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)


def connect(url: str) -> Storage:
    """Optuna's storage with heartbeats and, on SQLite, transactions that serialise."""
    settle()
    sqlite = url.startswith("sqlite:")
    make = functools.partial(
        Storage,
        url,
        engine_kwargs={"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True},
        heartbeat_interval=HEARTBEAT_SECONDS,
        grace_period=GRACE_SECONDS,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MAX_KILLS),
    )
    made = patience.wait_for(make, away, "the queue's database")
    if sqlite:
        event.listen(made.engine, "connect", _manual_transactions)
        event.listen(made.engine, "begin", _begin)
        made.engine.dispose()  # connections opened before the listeners
    return made


def _manual_transactions(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN" if _only_reads.get() else "BEGIN IMMEDIATE")


def prepare(stores: Stores) -> None:
    """Make the storage's tables if they are not there, once, under a lock; SQLite in WAL mode. Raises `StoreError`."""
    with explained(stores.storage), locks.held(stores, "optuna"):
        if stores.storage.startswith("sqlite:"):
            path = sqlite_file(stores.storage)
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=60)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.close()
        connect(stores.storage).engine.dispose()


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn the errors of a database that cannot be used into a `StoreError` that a person can read."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        said = redact(str(getattr(cause, "orig", None) or cause)).strip().splitlines()
        raise StoreError(f"the queue {redact(url)} cannot be used: {said[0] if said else repr(cause)}") from None
