"""What a `bench run` knows while it runs: its trials, which are settled, and how the queue is kept filled.

A queue holds few waiting trials at a time (`study.WINDOW`), and a look at it costs what has changed since the last one,
not what is done: a run of ten thousand trials ends as fast as it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial

from retable.bench.queue import study
from retable.bench.run import events
from retable.bench.run.progress import Progress
from retable.bench.store import reading, records, status
from retable.bench.store.places import Stores, experiment_name
from retable.bench.suite.plan import Trial


@dataclass
class Board:
    """What is known of the chosen trials, and where it stands.

    queues: by experiment. digests: of each experiment's code. show: who is told. todo: those that were not done at the
    start. before: the ids of those that had a run then, which may have left a checkpoint. needs: by experiment, what a
    worker must have (`versions.of`). bad: why a trial failed. ending: done in the queue, and perhaps about to be told
    of by a worker of ours. pending: by experiment, what was never queued, in order. queued: by experiment, what was and
    is not settled. overdue: trials that were ended for the time they took, with the reason. silent: those that it was
    told of that they give no sign of life.
    """

    trials: dict[str, Trial]
    todo: list[str]
    stores: Stores
    queues: dict[str, study.Queue]
    digests: dict[str, str]
    show: Progress
    settled: set[str] = field(default_factory=set)
    before: set[str] = field(default_factory=set)
    needs: dict[str, dict[str, str]] = field(default_factory=dict)
    window: int = study.WINDOW
    bad: dict[str, str] = field(default_factory=dict)
    ending: set[str] = field(default_factory=set)
    stopping: bool = False
    interrupted: bool = False
    broken: int = 0
    overdue: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    pending: dict[str, list[str]] = field(init=False)
    queued: dict[str, dict[str, None]] = field(init=False)

    def __post_init__(self) -> None:
        self.pending = {}
        for trial in self.todo:
            self.pending.setdefault(self.trials[trial].experiment, []).append(trial)
        self.queued = {name: {} for name in self.pending}
        self._left = len(self.todo)

    @property
    def done(self) -> bool:
        """Whether every trial is settled."""
        return self._left == 0

    @property
    def standing(self) -> tuple[int, int, int]:
        """Numbers that differ when anything was settled or queued."""
        return self._left, len(self.ending), sum(len(queued) for queued in self.queued.values())

    def settle(self, trial: str, bad: str = "") -> None:
        """A trial has ended for good, well or with a reason."""
        if trial not in self.trials:
            return  # another command's, that a worker of ours ran
        if trial not in self.settled:
            self.settled.add(trial)
            self._left -= 1
            self.queued[self.trials[trial].experiment].pop(trial, None)
        if bad:
            self.bad[trial] = bad


def fill(board: Board) -> bool:
    """See what has been settled (by anybody's workers) and top the queues up. Whether there was anything to do."""
    before = board.standing
    for name in board.pending:
        found, queued = board.queues[name], board.queued[name]
        if not queued and not board.pending[name]:
            continue
        found.refresh()
        for trial in list(queued):
            state = found.state(trial)
            if state == "done" or (state == "failed" and trial not in board.bad):
                if trial not in board.ending:  # one of ours may be telling of it just now
                    board.ending.add(trial)
                    continue
                _elsewhere(trial, found.latest[trial], state, board)
        window = max(board.window, 4 * found.running)  # other machines' workers are hungry too
        if board.stopping or found.waiting >= window // 2:
            continue
        forgotten = [trial for trial in queued if found.forgotten(trial)]
        ready = _ready(board, name, window - found.waiting - len(forgotten))
        if forgotten or ready:
            _enqueue(found, [*forgotten, *ready], board, window)
        board.pending[name] = [t for t in board.pending[name] if t not in queued and t not in board.settled]
    return board.standing != before


def _ready(board: Board, name: str, most: int) -> list[str]:
    """The next trials that may start, so many at most."""
    found: list[str] = []
    for trial in board.pending[name]:
        if len(found) >= most:
            break
        if trial not in board.settled and _startable(board.trials[trial], board):
            found.append(trial)
    return found


def _startable(trial: Trial, board: Board) -> bool:
    if trial.start is None or trial.start not in board.trials:
        return True
    if trial.start in board.bad:
        board.settle(trial.id, f"its start {board.trials[trial.start].name} failed")
        board.show.event(trial, events.Failed(trial.id, board.bad[trial.id]))
        return False
    return trial.start in board.settled


def _elsewhere(trial: str, frozen: FrozenTrial, state: str, board: Board) -> None:
    """A trial ended that no worker of ours told of."""
    if state == "failed":
        board.settle(trial, str(frozen.user_attrs.get("failed", "its workers died")))
        board.show.event(board.trials[trial], events.Failed(trial, board.bad[trial]))
    else:
        board.settle(trial)
        seconds = frozen.duration.total_seconds() if frozen.duration else 0.0
        board.show.event(board.trials[trial], events.Done(trial, "finished elsewhere", seconds))


def _enqueue(found: study.Queue, ready: Sequence[str], board: Board, window: int) -> None:
    with study.enqueue_lock(board.stores, found.study.study_name):
        found.refresh()
        for trial_id in ready:
            if found.waiting >= window:
                break
            trial = board.trials[trial_id]
            state = found.state(trial_id)
            board.queued[trial.experiment][trial_id] = None
            if state in ("waiting", "running"):
                continue  # another command's
            if state == "done":
                again = status.of([trial], board.stores, board.digests, stale_counts=False)[trial_id]
                if again.done:  # another command finished it since we planned
                    board.settle(trial_id)
                    continue
            found.enqueue(trial, again=state != "none" or trial_id in board.before, needs=board.needs[trial.experiment])
            found.waiting += 1


def withdraw(board: Board) -> None:
    """Take back what still waits, so that a later command with another selection does not find it."""
    if board.done:
        return
    for name, queued in board.queued.items():
        board.queues[name].withdraw(set(queued))


def runs_of(trial: Trial, stores: Stores) -> list[records.Run]:
    """A trial's runs, oldest first."""
    return reading.runs(stores.tracking, [experiment_name(trial.suite, trial.experiment)], trial=trial.id)
