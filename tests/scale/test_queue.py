"""The queue on PostgreSQL: eight writers, and trials whose claim nobody survived."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from servers import Postgres

from retable.bench.queue import storage, study, versions
from retable.bench.store.places import Stores, locate
from retable.bench.suite.plan import Trial
from retable.bench.suite.schema import Experiment

CLAIM = """
import sys, optuna
from retable.bench.queue import storage, study
found = optuna.load_study(study_name="s", storage=storage.connect(sys.argv[1]), sampler=optuna.samplers.RandomSampler())
def objective(trial):
    if "cell" not in trial.user_attrs:
        trial.study.stop(); raise optuna.TrialPruned
    print(trial.user_attrs["cell"], flush=True)
    return 0.0
found.optimize(objective, n_trials=1000)
"""


@pytest.mark.parametrize("kind", [pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"])
def test_eight_writers_claim_each_trial_once(tmp_path: Path, postgres: Postgres, kind: str) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}" if kind == "sqlite" else postgres.fresh("eight")
    stores = locate(tmp_path, storage=url)
    storage.prepare(stores)
    trials = [Trial(f"{i:03}", "s", "quick", "e", "t", {"a": i}, {"a": i}, 0) for i in range(64)]
    made = study.create(storage.connect(stores.storage), "s", Experiment(task="t", about="x"))
    queue = study.Queue(made, study.space(trials))
    for trial in trials:
        queue.enqueue(trial, again=False)
    command = [sys.executable, "-c", CLAIM, stores.storage]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    outputs = [worker.communicate(timeout=200) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 8, outputs
    assert Counter(cell for out, _ in outputs for cell in out.split()) == Counter(t.id for t in trials)
    queue.refresh()
    assert {queue.state(t.id) for t in trials} == {"done"}


def test_all_that_optuna_asks_of_its_storage_waits_for_a_database_that_restarts() -> None:
    """Its cache stands in front of the storage and calls more than the public methods."""
    import inspect
    import re

    from optuna.storages import _cached_storage

    asked = set(re.findall(r"self\._backend\.(\w+)\(", inspect.getsource(_cached_storage)))
    without_database = {"get_heartbeat_interval", "get_heartbeat_stale_trial_callback"}
    never_by_us = {"delete_study"}
    waits = {name for name, value in vars(storage.Storage).items() if hasattr(value, "__wrapped__")}
    assert asked - without_database - never_by_us <= waits


def _queue(tmp_path: Path) -> tuple[study.Queue, Trial]:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    storage.prepare(Stores("", url, None, tmp_path))
    queue = study.Queue(study.create(storage.connect(url), "s", Experiment(task="t", about="x")), {})
    return queue, Trial("x", "s", "quick", "e", "t", {}, {}, 0)


def test_a_claim_that_nobody_survived_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies between its claim and its first heartbeat leaves no heartbeat to go stale."""
    import optuna

    monkeypatch.setattr(storage, "GRACE_SECONDS", 1)
    queue, trial = _queue(tmp_path)
    queue.enqueue(trial, again=False)
    queue.study.ask()
    optuna.storages.fail_stale_trials(queue.study)
    queue.refresh()
    assert queue.state("x") == "running"  # it may be about to send its first
    time.sleep(1.2)
    optuna.storages.fail_stale_trials(queue.study)
    queue.refresh()
    assert queue.state("x") == "waiting"


def test_a_trial_that_was_enqueued_twice_runs_once(tmp_path: Path) -> None:
    queue, trial = _queue(tmp_path)
    queue.enqueue(trial, again=False)
    queue.enqueue(trial, again=False)
    queue.refresh()
    assert queue.waiting == 1 and queue.state("x") == "waiting"
    queue.study.tell(queue.study.ask(), 1.0)
    queue.refresh()
    assert queue.waiting == 0 and queue.state("x") == "done"


@pytest.mark.parametrize(
    ("needs", "differs"),
    [
        ({}, set()),
        ({"code": "b"}, {"code"}),
        ({"torch": "0.1"}, {"torch"}),
        ({"numpy": "0.1.2"}, {"numpy"}),
        ({"python": "3.999.1"}, {"python"}),
    ],
    ids=str,
)
def test_versions_that_differ_are_noticed(needs: dict[str, str], differs: set[str]) -> None:
    here = versions.of("a")
    assert set(versions.differences({**here, **needs}, here)) == differs


def test_a_patch_release_of_numpy_or_another_build_of_torch_is_no_difference() -> None:
    here = versions.of("a")
    near = ".".join([*here["numpy"].split(".")[:2], "999"])
    assert "+" not in here["torch"] and versions.differences({**here, "numpy": near}, here) == {}
