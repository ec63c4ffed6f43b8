"""`bench worker`: serves the queue of a suite whose `bench run` goes on elsewhere. It may come and go at any time.

It shares nothing with the machine that planned the trials but the two stores: a trial brings its settings along, the
code is this machine's own and must be the same, checkpoints and starting states are fetched through MLflow.
"""

from __future__ import annotations

import queue
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import optuna

from retable.bench.numbers import duration
from retable.bench.queue import storage, study
from retable.bench.run import orders, supervisor
from retable.bench.run.options import Options, RunError
from retable.bench.run.supervisor import Child
from retable.bench.store import client, closing, making, patience
from retable.bench.store.places import Stores, experiment_name, redact
from retable.bench.suite.loader import SuiteFile


@dataclass
class Served:
    """What this machine has done. unfit: why waiting trials were not for it."""

    done: int = 0
    failed: int = 0
    unfit: list[str] = field(default_factory=list)
    interrupted: bool = False


def serve(file: SuiteFile, stores: Stores, options: Options, *, scale: str, idle: float, mixed: bool) -> Served:
    """Run what others enqueue, `options.workers` trials at a time, until nothing has come for `idle` seconds.

    It ends at once, with what differs in `unfit`, when all that waits was planned with other code or packages.
    Raises `StoreError` for a store that does not answer, `RunError` if workers cannot start.
    """
    with client.explained(stores.tracking), storage.explained(stores.storage):
        return _serve(file, stores, options, scale=scale, idle=idle, mixed=mixed)


def _serve(file: SuiteFile, stores: Stores, options: Options, *, scale: str, idle: float, mixed: bool) -> Served:
    experiments = file.suite.experiments
    ids = making.prepare(stores, {experiment_name(file.suite.suite, n): orders.about_of(file, n) for n in experiments})
    storage.prepare(stores)
    patience.allow()
    closing.deliver(stores)
    told = replace(
        orders.standing(file, stores, options, orders.codes_of(file), experiments),
        mlflow={n: ids[experiment_name(file.suite.suite, n)] for n in experiments},
        guest=True,
        scale=scale,
        mixed=mixed,
    )
    made = storage.connect(stores.storage)
    served, names, early = Served(), dict[str, str](), 0
    events: queue.Queue[tuple[Child, dict[str, Any] | None]] = queue.Queue()
    children = [supervisor.spawn(told, events, i) for i in range(options.workers)]
    print_line(f"{options.workers} workers wait for trials of {file.suite.suite} in {redact(stores.storage)}")
    busy = time.monotonic()
    stopping = False
    asked = _listen_for_signals()
    try:
        while children and len(asked) < 2:
            if asked and not served.interrupted:
                print_line("leaving: running trials write a checkpoint and go back to the queue (again: end at once)")
                stopping = served.interrupted = True
                supervisor.stop(children)
            child, event = _next(events)
            if any(c.claimed or not c.ready for c in children):
                busy = time.monotonic()
            if child is not None and event is None:
                children.remove(child)
                early = early + 1 if not child.ready else 0
                _bury(child, made)
                if early >= 3:
                    raise RunError(supervisor.dead_at_birth(child))
                if not stopping:
                    children.append(supervisor.spawn(told, events, len(children)))
            elif child is not None and event:
                _heard(child, event, served, names)
            idles = time.monotonic() - busy
            refused = served.unfit and not served.done and idles > 2.0
            if not stopping and (refused or idles > idle):
                stopping = True
                supervisor.stop(children)
    finally:
        for child in children:
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait()
                _bury(child, made)
    return served


def _listen_for_signals() -> list[int]:
    """Ctrl-C and SIGTERM (Slurm's, Kubernetes') from now on: a list that grows by one each time."""
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: asked.append(number))
    return asked


def _next(events: queue.Queue[tuple[Child, dict[str, Any] | None]]) -> tuple[Child | None, dict[str, Any] | None]:
    try:
        return events.get(timeout=0.2)
    except queue.Empty:
        return None, {}


def _heard(child: Child, event: Mapping[str, Any], served: Served, names: dict[str, str]) -> None:
    kind = event["event"]
    if kind == "ready":
        child.ready = True
    elif kind == "claimed":
        child.claimed = (event["trial"], event["study"], event["number"])
        names[event["trial"]] = f"{event['study'].partition('#')[0]}: {event['name']}"
    elif kind in ("done", "failed", "stopped", "refused"):
        trial = child.claimed[0] if child.claimed else ""
        child.claimed = None
        served.done += kind == "done"
        served.failed += kind == "failed"
        said = {
            "done": f"{event.get('outcome')} in {duration(event.get('seconds', 0.0))}",
            "failed": f"FAILED: {event.get('reason')}",
            "stopped": "stopped; goes on from its checkpoint elsewhere",
            "refused": "given to another worker",
        }[kind]
        print_line(f"{names.pop(trial, trial)}: {said}")
    elif kind == "broken":
        raise RunError(event["reason"])
    elif kind == "note":
        print_line(event["text"])
    elif kind == "unfit":
        served.unfit.append(f"{event['experiment']}: {event['reason']}")


def _bury(child: Child, made: storage.Storage) -> None:
    """Give the trial of a worker that died back to the queue. Its run is closed by the next attempt's worker."""
    code = child.process.wait()
    if child.claimed is None:
        return
    _, name, number = child.claimed
    print_line(f"a worker died ({supervisor.how_it_ended(code)}); its trial goes back to the queue")
    study.give_back(optuna.load_study(study_name=name, storage=made), [number])


def print_line(text: str) -> None:
    """A line for the person or the log that watches."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
