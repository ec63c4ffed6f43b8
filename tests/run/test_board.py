"""The queue that a run keeps filled, on Optuna's own storage: what may start, how much waits, who has ended it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from retable.bench.queue import storage, study
from retable.bench.run import events, supervisor
from retable.bench.run.board import Board, fill, withdraw
from retable.bench.run.crew import Child
from retable.bench.store.places import Stores
from retable.bench.suite.plan import Trial
from retable.bench.suite.schema import Experiment

Make = Callable[..., Board]


class Told:
    """Notes what it is shown."""

    def __init__(self) -> None:
        self.events: list[events.OfTrial] = []

    def begin(self, todo: int, cached: int, workers: int) -> None: ...

    def event(self, trial: Trial, event: events.OfTrial) -> None:
        assert event.trial == trial.id
        self.events.append(event)

    def note(self, text: str) -> None: ...

    def end(self) -> None: ...


def trial(name: str, start: str | None = None) -> Trial:
    return Trial(name, "s", "quick", "e", "t", {}, {}, 0, start=start)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    stores = Stores("", url, None, tmp_path)
    storage.prepare(stores)

    def board(*trials: Trial, window: int = 16) -> Board:
        queue = study.Queue(study.create(storage.connect(url), "s", Experiment(task="t", about="x")), {})
        every = {t.id: t for t in trials}
        return Board(every, list(every), stores, {"e": queue}, {"e": ""}, Told(), needs={"e": {}}, window=window)

    return board


def waiting(board: Board) -> list[str]:
    found = board.queues["e"].study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return [frozen.user_attrs["cell"] for frozen in found]


def told(board: Board) -> list[events.OfTrial]:
    assert isinstance(board.show, Told)
    return board.show.events


def test_only_a_window_of_the_trials_waits_and_it_is_topped_up_when_half_of_it_is_gone(make: Make) -> None:
    board = make(*(trial(f"t{i}") for i in range(9)), window=4)
    assert fill(board)
    assert waiting(board) == ["t0", "t1", "t2", "t3"]
    found = board.queues["e"].study
    for _ in range(2):
        found.tell(found.ask(), 0.0)
    fill(board)
    assert waiting(board) == ["t2", "t3"]
    found.tell(found.ask(), 0.0)
    fill(board)
    assert waiting(board) == ["t3", "t4", "t5", "t6"]


def test_nothing_new_is_queued_once_the_run_is_stopping(make: Make) -> None:
    board = make(trial("a"))
    board.stopping = True
    assert not fill(board)
    assert waiting(board) == []


def test_a_trial_waits_for_the_one_that_it_starts_from(make: Make) -> None:
    board = make(trial("tuned", start="base"), trial("base"))
    fill(board)
    assert waiting(board) == ["base"]
    board.settle("base")
    fill(board)
    assert "tuned" in waiting(board)


def test_a_trial_whose_start_failed_fails_with_it(make: Make) -> None:
    base = trial("base")
    board = make(trial("tuned", start="base"), base)
    fill(board)
    board.settle("base", "it broke")
    fill(board)
    reason = f"its start {base.name} failed"
    assert board.done and board.bad == {"base": "it broke", "tuned": reason}
    assert told(board) == [events.Failed("tuned", reason)]


def test_a_start_outside_the_choice_holds_nobody_up(make: Make) -> None:
    board = make(trial("tuned", start="done long ago"))
    fill(board)
    assert waiting(board) == ["tuned"]


def test_what_ended_elsewhere_is_told_at_the_second_look(make: Make) -> None:
    """At the first one of our own workers may be about to tell of it."""
    board = make(trial("a"), trial("b"))
    fill(board)
    found = board.queues["e"].study
    found.tell(found.ask(), 1.0)
    failed = found.ask()
    failed.set_user_attr("failed", "ValueError: no")
    found.tell(failed, state=TrialState.FAIL)
    fill(board)
    assert told(board) == [] and not board.done
    fill(board)
    done, bad = sorted(told(board), key=lambda event: event.trial)
    assert isinstance(done, events.Done) and math.isfinite(done.seconds)
    assert replace(done, seconds=0.0) == events.Done("a", "finished elsewhere")
    assert bad == events.Failed("b", "ValueError: no") and board.bad == {"b": "ValueError: no"}
    assert board.done


def test_what_another_command_queued_is_not_queued_again(make: Make) -> None:
    first, second = make(trial("a")), make(trial("a"))
    fill(first)
    fill(second)
    assert waiting(second) == ["a"]


def test_a_run_that_ends_takes_back_what_still_waits_of_its_own(make: Make) -> None:
    board, other = make(trial("a")), make(trial("b"))
    fill(board)
    fill(other)
    withdraw(board)
    assert waiting(board) == ["b"]


def test_a_trial_of_another_command_changes_nothing(make: Make) -> None:
    board = make(trial("a"))
    board.settle("stranger", "whatever")
    assert not board.done and board.bad == {}


def test_a_trial_is_settled_once(make: Make) -> None:
    board = make(trial("a"), trial("b"))
    board.settle("a")
    board.settle("a", "failed after all")
    assert not board.done and board.bad == {"a": "failed after all"}


def test_a_trial_whose_end_is_told_once_more_is_counted_once(make: Make) -> None:
    """Its worker was killed between its run's end and telling the queue."""
    board = make(trial("a"), trial("b"))
    child = Child.__new__(Child)  # nobody's: the events are all that is looked at
    for event in (events.Done("a", "finished"), events.Done("a", "finished"), events.Failed("b", "why")):
        supervisor._heard(child, event, board)
    assert [event.trial for event in told(board)] == ["a", "b"] and board.done
