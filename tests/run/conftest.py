"""A worker of the toy paper inside the test's own process: its orders, and whom it tells."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from retable.bench.queue import storage, study, versions
from retable.bench.run import orders
from retable.bench.run.attempt import Worker
from retable.bench.run.options import Options
from retable.bench.run.orders import Orders
from retable.bench.store import making, owners, places
from retable.bench.suite import loader, plan


@pytest.fixture
def toy(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[loader.SuiteFile]:
    """The toy suite, whose package is this project's for as long as the test lasts."""
    monkeypatch.syspath_prepend(project)
    yield loader.load("toy")
    for name in [name for name in sys.modules if name.partition(".")[0] == "toypaper"]:
        del sys.modules[name]


@pytest.fixture
def told(toy: loader.SuiteFile) -> Orders:
    """What the workers of a `bench run toy` would be told."""
    stores = places.locate(toy.project)
    experiments = toy.suite.experiments
    ids = making.prepare(stores, {places.experiment_name("toy", n): orders.about_of(toy, n) for n in experiments})
    storage.prepare(stores)
    return replace(
        orders.standing(toy, stores, Options(1, 1, "cpu"), orders.codes_of(toy), experiments),
        mlflow={n: ids[places.experiment_name("toy", n)] for n in experiments},
        guest=True,
    )


@pytest.fixture
def worker(told: Orders) -> Worker:
    """A worker that has these orders; a test says whom it tells."""
    return Worker(told, lambda event: None, {"retable.owner": owners.owner()})


Enqueued = Callable[[plan.Trial], study.Queue]


@pytest.fixture
def enqueued(toy: loader.SuiteFile, told: Orders) -> Enqueued:
    """Put a trial into the queue of its experiment."""

    def put(trial: plan.Trial) -> study.Queue:
        experiment = toy.suite.experiments[trial.experiment]
        values = study.space(t for t in plan.trials(toy.suite, "quick") if t.experiment == trial.experiment)
        name = study.study_name("toy", "quick", experiment, trial.experiment, values)
        queue = study.Queue(study.create(storage.connect(told.storage), name, experiment), values)
        queue.enqueue(trial, again=False, needs=versions.of(told.codes[trial.experiment], None))
        return queue

    return put
