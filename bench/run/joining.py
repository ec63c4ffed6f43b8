"""`bench worker`: serves the queue of a suite whose `bench run` goes on elsewhere. It may come and go at any time.

It shares nothing with the machine that planned the trials but the two stores: a trial brings its settings along, the
code is this machine's own and must be the same, checkpoints and starting states are fetched through MLflow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import optuna

from retable.bench.numbers import duration
from retable.bench.queue import storage, study
from retable.bench.run import events, orders
from retable.bench.run.crew import Child, Crew
from retable.bench.run.options import Options, RunError
from retable.bench.run.orders import Orders
from retable.bench.store import client, closing, making, patience
from retable.bench.store.places import Stores, experiment_name, redact
from retable.bench.suite.loader import SuiteFile


@dataclass
class Served:
    """What this machine has done. unfit: why waiting trials were not for it. names: of the trials that run."""

    done: int = 0
    failed: int = 0
    unfit: list[str] = field(default_factory=list)
    interrupted: bool = False
    names: dict[str, str] = field(default_factory=dict)

    def say(self, trial: str, what: str) -> None:
        """Tell of a trial's end."""
        patience.say(f"{self.names.pop(trial, trial)}: {what}")


def serve(
    file: SuiteFile,
    stores: Stores,
    options: Options,
    *,
    scale: str,
    idle: float,
    mixed: bool,
    asked: Callable[[], int] = lambda: 0,
) -> Served:
    """Run what others enqueue, `options.workers` trials at a time, until nothing has come for `idle` seconds.

    It ends at once, with what differs in `unfit`, when all that waits was planned with other code or packages.
    asked: how often somebody has asked to leave: once, running trials leave a checkpoint; twice, they end where they
    are. Raises `StoreError` for a store that does not answer, `RunError` if workers cannot start.
    """
    with client.explained(stores.tracking), storage.explained(stores.storage):
        told = _told(file, stores, options, scale=scale, mixed=mixed)
        return _serve(told, options.workers, idle, asked)


def _told(file: SuiteFile, stores: Stores, options: Options, *, scale: str, mixed: bool) -> Orders:
    """What the workers are told, both stores having answered."""
    experiments = file.suite.experiments
    ids = making.prepare(stores, {experiment_name(file.suite.suite, n): orders.about_of(file, n) for n in experiments})
    storage.prepare(stores)
    patience.allow()
    closing.deliver(stores)
    return replace(
        orders.standing(file, stores, options, orders.codes_of(file), experiments),
        mlflow={n: ids[experiment_name(file.suite.suite, n)] for n in experiments},
        guest=True,
        scale=scale,
        mixed=mixed,
    )


def _serve(told: Orders, workers: int, idle: float, asked: Callable[[], int]) -> Served:
    made = storage.connect(told.storage)
    served, crew = Served(), Crew(told)
    busy = time.monotonic()
    stopping = False
    try:
        for _ in range(workers):
            crew.hire()
        patience.say(f"{workers} workers wait for trials of {told.suite} in {redact(told.storage)}")
        while crew.children and asked() < 2:
            if asked() and not served.interrupted:
                patience.say("leaving: running trials write a checkpoint and go back to the queue (again: end at once)")
                stopping = served.interrupted = True
                crew.ask_to_stop()
            heard = crew.hear(0.2)
            for child in crew.hurry():
                patience.say(
                    f"a worker{f' in {child.claimed.name}' if child.claimed else ''} did not stop and is ended"
                )
            if any(c.claimed or not c.ready for c in crew.children):
                busy = time.monotonic()
            if heard is not None:
                _heard(*heard, served, made)
                if heard[1] is None and not stopping:
                    crew.hire()
            idles = time.monotonic() - busy
            refused = served.unfit and not served.done and idles > 2.0
            if not stopping and (refused or idles > idle):
                stopping = True
                crew.ask_to_stop()
    finally:
        alive = [child for child in crew.children if child.process.poll() is None]
        crew.kill()
        for child in alive:
            _bury(child, made)
    return served


def _heard(child: Child, event: events.Event | None, served: Served, made: storage.Storage) -> None:
    """What a worker's event, or its death, means here: a line for whoever watches."""
    match event:
        case None:
            _bury(child, made)
        case events.Claimed():
            served.names[event.trial] = f"{event.study.partition('#')[0]}: {event.name}"
        case events.Done(outcome=outcome, seconds=seconds):
            served.done += 1
            served.say(event.trial, f"{outcome} in {duration(seconds)}")
        case events.Failed(reason=reason):
            served.failed += 1
            served.say(event.trial, f"FAILED: {reason}")
        case events.Stopped():
            served.say(event.trial, "stopped; goes on from its checkpoint elsewhere")
        case events.Refused():
            served.say(event.trial, "given to another worker")
        case events.Broken(reason=reason):
            raise RunError(reason)
        case events.Note(text=text):
            patience.say(text)
        case events.Unfit(experiment=name, reason=reason):
            served.unfit.append(f"{name}: {reason}")


def _bury(child: Child, made: storage.Storage) -> None:
    """Give the trial of a worker that died back to the queue. Its run is closed by the next attempt's worker."""
    how = child.how_it_ended()
    if child.claimed is not None:
        patience.say(f"a worker died ({how}); its trial goes back to the queue")
        study.give_back(optuna.load_study(study_name=child.claimed.study, storage=made), [child.claimed.number])
