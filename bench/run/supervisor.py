"""`bench run`: plans what is to do, keeps the queue filled, keeps workers alive, and settles what crashes left.

Everything it knows stands in the two stores, so killing it loses nothing: the next one reads MLflow for what is
done, closes the runs of dead processes, gives their trials back to the queue, and goes on.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import optuna

from retable.bench.queue import storage, study, versions
from retable.bench.run import orders
from retable.bench.run.board import Board, Progress, fill, runs_of, withdraw
from retable.bench.run.options import Options, RunError
from retable.bench.run.orders import Orders
from retable.bench.store import client, closing, making, owners, patience, reading, status
from retable.bench.store.places import Stores, experiment_name
from retable.bench.suite import fingerprint
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.plan import Trial

# glibc otherwise gives freed tensors back to the kernel and faults them in again at every step: 8 to 20 % of one.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}


FILL_SECONDS = (0.1, 0.5, 2.0)
"""How soon the queue is looked at again: when a trial has just ended; when something has changed, each time without a
change twice as late; at the latest. A look costs what waits, some 10 ms an experiment."""

BROKEN = 3
"""So many workers in a row that could not use a store, or write a file, end the run: the next would fare alike."""


@dataclass
class Child:
    """A worker process, the trial it has claimed, and its log."""

    process: subprocess.Popen[str]
    log: Path
    ready: bool = False
    claimed: tuple[str, str, int] | None = None  # trial, study, number


def run(
    file: SuiteFile, planned: Sequence[Trial], chosen: Sequence[Trial], stores: Stores, options: Options, show: Progress
) -> bool:
    """Run the chosen trials that are not done yet. True if it ran to the end, False if it was interrupted.

    planned: every trial of the suite at this scale (their values make up each study's space). Raises `StoreError` for a
    store that cannot be used or written, `RunError` if workers cannot start.
    """
    with client.explained(stores.tracking), storage.explained(stores.storage):
        return _run(file, planned, chosen, stores, options, show)


def _run(
    file: SuiteFile, planned: Sequence[Trial], chosen: Sequence[Trial], stores: Stores, options: Options, show: Progress
) -> bool:
    codes = orders.codes_of(file)
    digests = {name: fingerprint.digest(code) for name, code in codes.items()}
    names = sorted({t.experiment for t in planned}, key=list(file.suite.experiments).index)
    experiments = {n: file.suite.experiments[n] for n in names}
    about = {experiment_name(file.suite.suite, n): orders.about_of(file, n) for n in names}
    ids = making.prepare(stores, about)
    storage.prepare(stores)
    patience.allow()  # both stores have answered: from here on they are waited for
    made = storage.connect(stores.storage)
    queues: dict[str, study.Queue] = {}
    studies: dict[str, str] = {}
    for name, experiment in experiments.items():
        space = study.space(t for t in planned if t.experiment == name)
        studies[name] = study.study_name(file.suite.suite, chosen[0].scale, experiment, name, space)
        queues[name] = study.Queue(study.create(made, studies[name], experiment), space)

    closing.deliver(stores)
    sweep(stores, list(about), queues)
    statuses = status.of(chosen, stores, digests, stale_counts=not options.stale)
    todo = [t.id for t in chosen if not statuses[t.id].done]
    searches = {n: e.search.model_dump(mode="json") if e.search else None for n, e in experiments.items()}
    board = Board(
        {t.id: t for t in chosen},
        todo,
        settled={t.id for t in chosen if statuses[t.id].done},
        before=reading.attempted(stores.tracking, list(about)),
        needs={n: versions.of(digests[n], searches[n]) for n in names},
        window=max(study.WINDOW, 4 * options.workers),
    )
    show.begin(len(todo), len(chosen) - len(todo), min(options.workers, len(todo)))
    if not todo:
        show.end()
        return True

    told = replace(
        orders.standing(file, stores, options, codes, experiments),
        studies=studies,
        mlflow={n: ids[experiment_name(file.suite.suite, n)] for n in names},
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what Slurm sends before the end
    try:
        _loop(board, queues, stores, digests, told, options, show)
        closing.deliver(stores)
        sweep(stores, list(about), queues)
    finally:
        show.end()
        withdraw(board, queues)
    return not board.interrupted


def sweep(stores: Stores, experiments: Sequence[str], queues: Mapping[str, study.Queue]) -> int:
    """Close the runs that nobody writes any more, and give the trials of this machine's dead back to the queue."""
    by_study = {q.study.study_name: q for q in queues.values()}
    swept = 0
    for run in reading.runs(stores.tracking, experiments, running=True):
        name, _, number = run.tags.get("retable.optuna", "").rpartition(":")
        dead = owners.is_dead(run.tags.get("retable.owner", ""))
        if dead or (name in by_study and by_study[name].given_up(int(number))):
            closing.terminate(stores.tracking, run.id, "KILLED", reason="its process died")
            if dead and name in by_study:
                study.give_back(by_study[name].study, [int(number)])
            swept += 1
    return swept


def _loop(
    board: Board,
    queues: Mapping[str, study.Queue],
    stores: Stores,
    digests: Mapping[str, str],
    told: Orders,
    options: Options,
    show: Progress,
) -> None:
    events: queue.Queue[tuple[Child, dict[str, Any] | None]] = queue.Queue()
    soonest, usual, latest = FILL_SECONDS
    pause = usual
    fill(board, queues, stores, digests, show)
    children = [spawn(told, events, i) for i in range(min(options.workers, len(board.todo)))]
    filled = beaten = time.monotonic()
    try:
        while children or (options.workers == 0 and not board.stopping):
            try:
                child, event = events.get(timeout=0.2)
            except queue.Empty:
                event = {}
            else:
                if event is None:
                    children.remove(child)
                    _buried(child, board, queues, stores, show)
                    if not board.done and not board.stopping:
                        children.append(spawn(told, events, len(children)))
                else:
                    _heard(child, event, board, show)
            if event is not None and event.get("event") in ("done", "failed"):
                pause = soonest
            if time.monotonic() - filled > pause:
                changed = fill(board, queues, stores, digests, show)
                pause = usual if changed else min(latest, max(usual, 2 * pause))
                filled = time.monotonic()
            if time.monotonic() - beaten > storage.HEARTBEAT_SECONDS:
                for found in queues.values():  # while its own workers are busy, or there are none
                    optuna.storages.fail_stale_trials(found.study)
                beaten = time.monotonic()
            if board.done or (options.fail_fast and board.bad):
                _stop(children, board)
    except KeyboardInterrupt:
        _interrupted(children, events, board, queues, stores, show)
    finally:
        for child in children:
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait()


def _stop(children: Sequence[Child], board: Board) -> None:
    if not board.stopping:
        board.stopping = True
        stop(children)


def stop(children: Sequence[Child]) -> None:
    """Ask workers to leave a checkpoint and end."""
    for child in children:
        try:
            assert child.process.stdin is not None
            child.process.stdin.write("stop\n")
            child.process.stdin.flush()
        except (BrokenPipeError, OSError):
            pass  # it is on its way out already


def _interrupted(
    children: list[Child],
    events: queue.Queue[tuple[Child, dict[str, Any] | None]],
    board: Board,
    queues: Mapping[str, study.Queue],
    stores: Stores,
    show: Progress,
) -> None:
    """First Ctrl-C: let running trials leave a checkpoint. Second: end them where they are."""
    board.interrupted = True
    show.note("stopping: running trials write a checkpoint (Ctrl-C again to end at once)")
    _stop(children, board)
    try:
        while children:
            child, event = events.get()
            if event is None:
                children.remove(child)
                _buried(child, board, queues, stores, show)
            else:
                _heard(child, event, board, show)
    except KeyboardInterrupt:
        for child in children:
            child.process.kill()
            child.process.wait()
            _buried(child, board, queues, stores, show)
        children.clear()


def _heard(child: Child, event: dict[str, Any], board: Board, show: Progress) -> None:
    kind = event["event"]
    if kind == "ready":
        child.ready = True
        board.early_deaths = 0
    elif kind == "claimed":
        child.claimed = (event["trial"], event["study"], event["number"])
    elif kind in ("done", "failed", "stopped"):
        child.claimed = None
        board.broken = 0
        if kind != "stopped":
            board.settle(event["trial"], event["reason"] if kind == "failed" else "")
    elif kind == "refused":
        child.claimed = None
    elif kind == "broken":
        board.broken += 1
        show.note(f"a worker could not go on: {event['reason']}")
        if board.broken >= BROKEN:
            raise RunError(f"{event['reason']}\nmend that; the same command goes on from here")
    elif kind == "note":
        show.note(event["text"])
    elif kind == "unfit":
        show.note(f"{event['experiment']}: trials of another command wait that are not for us: {event['reason']}")
    trial = board.trials.get(event.get("trial", ""))
    if trial is not None:
        show.event(trial, event)


def _buried(child: Child, board: Board, queues: Mapping[str, study.Queue], stores: Stores, show: Progress) -> None:
    """A worker has ended: settle the trial it had claimed, if any."""
    code = child.process.wait()
    if child.claimed is not None:
        trial, name, number = child.claimed
        how = how_it_ended(code)
        show.note(f"a worker died ({how}) in {board.trials[trial].name if trial in board.trials else trial}")
        found = next(q for q in queues.values() if q.study.study_name == name)
        study.give_back(found.study, [number])
        found.refresh()
        gave_up = found.state(trial) == "failed"
        running = runs_of(board.trials[trial], stores) if trial in board.trials else []
        for run in (r for r in running if r.status == "RUNNING"):
            if owners.is_dead(run.tags.get("retable.owner", "")):
                end = "FAILED" if gave_up else "KILLED"
                closing.terminate(stores.tracking, run.id, end, outcome="failed", reason=f"its worker died: {how}")
        if gave_up:
            board.settle(trial, f"its worker died {storage.MAX_KILLS + 1} times, the last by {how}")
    elif not child.ready:
        board.early_deaths += 1
        if board.early_deaths >= 3:
            raise RunError(dead_at_birth(child))


def how_it_ended(code: int) -> str:
    """A process's return code in words: `SIGKILL`, `exit code 1`."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def dead_at_birth(child: Child) -> str:
    """What to say when workers cannot start."""
    tail = child.log.read_text(errors="replace")[-2000:]
    return f"workers die before they are ready; the log {child.log} ends:\n{tail}"


def spawn(told: Orders, events: queue.Queue[tuple[Child, dict[str, Any] | None]], index: int) -> Child:
    logs = Path(told.folder) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"worker-{os.getpid()}-{index}.log"
    threads = {f"{lib}_NUM_THREADS": str(told.threads) for lib in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "retable.bench.run.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            env={**ALLOCATOR, **os.environ, **threads},
            start_new_session=True,  # the terminal's Ctrl-C is for the supervisor
        )
    child = Child(process, log)
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(asdict(told)) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it died at once; the reader will say so
    threading.Thread(target=_listen, args=(child, process.stdout, events), daemon=True).start()
    return child


def _listen(child: Child, stream: IO[str], events: queue.Queue[tuple[Child, dict[str, Any] | None]]) -> None:
    for line in stream:
        try:
            events.put((child, json.loads(line)))
        except json.JSONDecodeError:
            continue  # a line cut short by a kill
    events.put((child, None))
