"""`bench run`: plans what is to do, keeps the queue filled, keeps workers alive, and settles what crashes left.

Everything it knows stands in the two stores, so killing it loses nothing: the next one reads MLflow for what is
done, closes the runs of dead processes, gives their trials back to the queue, and goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import optuna

from retable.bench.queue import storage, study, versions
from retable.bench.run import events, orders
from retable.bench.run.board import Board, fill, runs_of, withdraw
from retable.bench.run.crew import STOP_SECONDS, Child, Crew, end
from retable.bench.run.options import Options, RunError
from retable.bench.run.orders import Orders
from retable.bench.run.progress import Progress
from retable.bench.store import client, closing, making, owners, patience, reading, status
from retable.bench.store.places import Stores, experiment_name
from retable.bench.suite import fingerprint
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.plan import Trial

FILL_SECONDS = (0.1, 0.5, 2.0)
"""How soon the queue is looked at again: when a trial has just ended; when something has changed, each time without a
change twice as late; at the latest. A look costs what waits, some 10 ms an experiment."""

SILENT_SECONDS = 600.0
"""A step, or an evaluation, that takes longer is told of once."""

BROKEN = 3
"""So many workers in a row that could not use a store, or write a file, end the run: the next would fare alike."""


def run(
    file: SuiteFile,
    planned: Sequence[Trial],
    chosen: Sequence[Trial],
    stores: Stores,
    options: Options,
    show: Progress,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Run the chosen trials that are not done yet. True if it ran to the end, False if it was interrupted.

    planned: every trial of the suite at this scale (their values make up each study's space). stop: whether to
    stop, as at a Ctrl-C. Raises `StoreError` for a store that cannot be used or written, `RunError` if workers cannot
    start.
    """
    with client.explained(stores.tracking), storage.explained(stores.storage):
        board, told = _board(file, planned, chosen, stores, options, show)
        show.begin(len(board.todo), len(chosen) - len(board.todo), min(options.workers, len(board.todo)))
        try:
            if board.todo:
                _loop(board, told, options, stop)
                closing.deliver(stores)
                sweep(stores, [experiment_name(file.suite.suite, n) for n in board.queues], board.queues)
        finally:
            show.end()
            withdraw(board)
        return not board.interrupted


def _board(
    file: SuiteFile, planned: Sequence[Trial], chosen: Sequence[Trial], stores: Stores, options: Options, show: Progress
) -> tuple[Board, Orders]:
    """Open both stores, close what crashes left, and see what is to do; with what workers are told."""
    codes = orders.codes_of(file)
    digests = {name: fingerprint.digest(code) for name, code in codes.items()}
    names = sorted({t.experiment for t in planned}, key=list(file.suite.experiments).index)
    experiments = {n: file.suite.experiments[n] for n in names}
    ids = making.prepare(stores, {experiment_name(file.suite.suite, n): orders.about_of(file, n) for n in names})
    storage.prepare(stores)
    patience.allow()  # both stores have answered: from here on they are waited for
    made = storage.connect(stores.storage)
    queues: dict[str, study.Queue] = {}
    for name, experiment in experiments.items():
        space = study.space(t for t in planned if t.experiment == name)
        full = study.study_name(file.suite.suite, chosen[0].scale, experiment, name, space)
        queues[name] = study.Queue(study.create(made, full, experiment), space)

    closing.deliver(stores)
    sweep(stores, list(ids), queues)
    statuses = status.of(chosen, stores, digests, stale_counts=not options.stale)
    searches = {n: e.search.model_dump(mode="json") if e.search else None for n, e in experiments.items()}
    board = Board(
        {t.id: t for t in chosen},
        [t.id for t in chosen if not statuses[t.id].done],
        stores,
        queues,
        digests,
        show,
        settled={t.id for t in chosen if statuses[t.id].done},
        before=reading.attempted(stores.tracking, list(ids)),
        needs={n: versions.of(digests[n], searches[n]) for n in names},
        window=max(study.WINDOW, 4 * options.workers),
    )
    told = replace(
        orders.standing(file, stores, options, codes, experiments),
        studies={n: q.study.study_name for n, q in queues.items()},
        mlflow={n: ids[experiment_name(file.suite.suite, n)] for n in names},
    )
    return board, told


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


def _loop(board: Board, told: Orders, options: Options, stop: Callable[[], bool]) -> None:
    soonest, usual, latest = FILL_SECONDS
    pause = usual
    fill(board)
    crew = Crew(told)
    filled = beaten = time.monotonic()
    try:
        for _ in range(min(options.workers, len(board.todo))):
            crew.hire()
        while crew.children or (options.workers == 0 and not board.stopping):
            heard = crew.hear(0.2)
            if heard is not None:
                child, event = heard
                _heard(child, event, board)
                if event is None and not board.done and not board.stopping:
                    crew.hire()
                if isinstance(event, events.Done | events.Failed):
                    pause = soonest
            if time.monotonic() - filled > pause:
                changed = fill(board)
                pause = usual if changed else min(latest, max(usual, 2 * pause))
                filled = time.monotonic()
            if time.monotonic() - beaten > storage.HEARTBEAT_SECONDS:
                for found in board.queues.values():  # while its own workers are busy, or there are none
                    optuna.storages.fail_stale_trials(found.study)
                beaten = time.monotonic()
            _overdue(crew, board, options.timeout)
            board.interrupted |= not board.stopping and stop()
            if board.done or board.interrupted or (options.fail_fast and board.bad):
                _stop(crew, board)
                _hurry(crew, board)
    except KeyboardInterrupt:
        _interrupted(crew, board)
    finally:
        crew.kill()


def _stop(crew: Crew, board: Board) -> None:
    if not board.stopping:
        board.stopping = True
        crew.ask_to_stop()


def _hurry(crew: Crew, board: Board) -> None:
    for child in crew.hurry():
        what = f" in {child.claimed.name}" if child.claimed else ""
        board.show.note(f"a worker{what} did not stop within {STOP_SECONDS:g} s and is ended")


def _overdue(crew: Crew, board: Board, timeout: float) -> None:
    """End trials that have run for too long, and tell of those that give no sign of life."""
    now = time.monotonic()
    for child in crew.children:
        if child.claimed is None:
            continue
        if now - child.since > timeout and child.claimed.trial not in board.overdue:
            board.overdue[child.claimed.trial] = f"it took longer than the {timeout:g} s of --timeout"
            end(child)
        elif now - max(child.heard, child.since) > SILENT_SECONDS and child.claimed.trial not in board.silent:
            board.silent.add(child.claimed.trial)
            minutes = SILENT_SECONDS / 60
            board.show.note(f"{child.claimed.name}: no step for {minutes:g} min; --timeout SECONDS ends such a trial")


def _interrupted(crew: Crew, board: Board) -> None:
    """First Ctrl-C: let running trials leave a checkpoint. Second: end them where they are."""
    board.interrupted = True
    board.show.note("stopping: running trials write a checkpoint (Ctrl-C again to end at once)")
    _stop(crew, board)
    try:
        while crew.children:
            if heard := crew.hear(0.2):
                _heard(*heard, board)
            _hurry(crew, board)
    except KeyboardInterrupt:
        for child in crew.kill():
            _bury(child, board)


def _heard(child: Child, event: events.Event | None, board: Board) -> None:
    """What a worker's event, or its death, means for the run."""
    # A worker that dies before the queue heard of its trial's end leaves it to be told once more.
    again = isinstance(event, events.Done | events.Failed) and event.trial in board.settled
    match event:
        case None:
            _bury(child, board)
        case events.Done(trial=trial):
            board.settle(trial)
        case events.Failed(trial=trial, reason=reason):
            board.settle(trial, reason)
        case events.Broken(reason=reason):
            board.broken += 1
            board.show.note(f"a worker could not go on: {reason}")
            if board.broken >= BROKEN:
                raise RunError(f"{reason}\nmend that; the same command goes on from here")
        case events.Note(text=text):
            board.show.note(text)
        case events.Unfit(experiment=name, reason=reason):
            board.show.note(f"{name}: trials of another command wait that are not for us: {reason}")
    if isinstance(event, events.Done | events.Failed | events.Stopped):
        board.broken = 0
    if isinstance(event, events.OfTrial) and event.trial in board.trials and not again:
        board.show.event(board.trials[event.trial], event)


def _bury(child: Child, board: Board) -> None:
    """A worker has ended: settle the trial it had claimed, if any."""
    how = child.how_it_ended()
    if child.claimed is None:
        return
    trial = child.claimed.trial
    found = next(q for q in board.queues.values() if q.study.study_name == child.claimed.study)
    if trial in board.overdue:
        study.give_up(found.study, child.claimed.number, board.overdue[trial])
    else:
        board.show.note(f"a worker died ({how}) in {board.trials[trial].name if trial in board.trials else trial}")
        study.give_back(found.study, [child.claimed.number])
    found.refresh()
    gave_up = found.state(trial) == "failed"
    running = runs_of(board.trials[trial], board.stores) if trial in board.trials else []
    for run in (r for r in running if r.status == "RUNNING"):
        if owners.is_dead(run.tags.get("retable.owner", "")):
            final = "FAILED" if gave_up else "KILLED"
            reason = board.overdue.get(trial, f"its worker died: {how}")
            closing.terminate(board.stores.tracking, run.id, final, outcome="failed", reason=reason)
    if gave_up:
        died = f"its worker died {storage.MAX_KILLS + 1} times, the last by {how}"
        board.settle(trial, board.overdue.get(trial, died))
        if trial in board.trials:
            board.show.event(board.trials[trial], events.Failed(trial, board.bad[trial]))
