"""What a worker makes of a claimed trial, with both stores real and the worker in this process."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from retable.bench.queue import storage, study
from retable.bench.run import claiming, events
from retable.bench.run.attempt import Worker
from retable.bench.store import reading, records
from retable.bench.suite import loader, plan

Enqueued = Callable[[plan.Trial], study.Queue]


def first(toy: loader.SuiteFile, **settings: object) -> plan.Trial:
    trial = plan.select(plan.trials(toy.suite, "quick"), "experiment=grid,method=plain,lr=0.1,seed=0", (), toy.suite)[0]
    return replace(trial, settings={**trial.settings, **settings})


def serve_one(worker: Worker, queue: study.Queue, hear: Callable[[events.Event], object] = lambda event: None) -> list:
    """Let the worker find its studies and run one trial; what it told."""
    said: list[events.Event] = []

    def tell(event: events.Event) -> None:
        said.append(event)
        hear(event)

    worker.tell = tell
    served: claiming.Served = {}
    claiming._find_studies(worker, storage.connect(worker.orders.storage), served)
    found, name, experiment = served[queue.study.study_name]
    if claiming._something_waits(worker, found, name):
        claiming._one(worker, found, name, experiment)
    queue.refresh()
    return said


def runs(worker: Worker) -> list[records.Run]:
    return reading.runs(worker.orders.tracking, ["toy/grid"])


def states(queue: study.Queue) -> list[TrialState]:
    return [frozen.state for frozen in queue.study.get_trials(deepcopy=False)]


def test_a_trial_is_claimed_and_done(toy: loader.SuiteFile, worker: Worker, enqueued: Enqueued) -> None:
    trial = first(toy)
    queue = enqueued(trial)
    said = serve_one(worker, queue)
    assert said[0] == events.Claimed(trial.id, trial.name, queue.study.study_name, 0)
    assert isinstance(said[-1], events.Done) and said[-1].outcome == "finished" and said[-1].metric == "loss/final"
    assert states(queue) == [TrialState.COMPLETE] and worker.current is None
    (run,) = runs(worker)
    assert run.status == "FINISHED" and run.tags["retable.outcome"] == "finished"
    assert reading.metrics(worker.orders.tracking, [run.id])[run.id]["loss/final"] == said[-1].value


def test_the_final_status_stands_before_anybody_is_told(
    toy: loader.SuiteFile, worker: Worker, enqueued: Enqueued
) -> None:
    """Metrics, artifacts, FINISHED, then Optuna: whoever hears of an end finds all of it."""
    seen = []

    def hear(event: events.Event) -> None:
        if isinstance(event, events.Done):
            (run,) = runs(worker)
            there = reading.metrics(worker.orders.tracking, [run.id])[run.id]
            seen.append((run.status, "loss/final" in there, states(queue)))

    queue = enqueued(first(toy))
    serve_one(worker, queue, hear)
    assert seen == [("FINISHED", True, [TrialState.RUNNING])]


def test_a_task_that_raises_fails_its_run_and_its_trial_with_the_reason(
    toy: loader.SuiteFile, worker: Worker, enqueued: Enqueued
) -> None:
    trial = first(toy, fail_at=5)
    queue = enqueued(trial)
    (*_, last) = serve_one(worker, queue)
    assert isinstance(last, events.Failed) and last.reason.startswith("ValueError: the toy was told to fail (tasks.py:")
    assert queue.state(trial.id) == "failed" and queue.latest[trial.id].user_attrs["failed"] == last.reason
    assert [(run.status, run.tags["retable.reason"]) for run in runs(worker)] == [("FAILED", last.reason)]


def test_a_late_result_is_killed_never_finished_and_the_trial_waits_once(
    toy: loader.SuiteFile, worker: Worker, enqueued: Enqueued
) -> None:
    """Its heartbeat was missed, so Optuna gave the trial back to the queue while we were at it."""

    def hear(event: events.Event) -> None:
        if isinstance(event, events.Claimed):
            study.give_back(queue.study, [event.number])

    trial = first(toy)
    queue = enqueued(trial)
    (*_, last) = serve_one(worker, queue, hear)
    assert last == events.Refused(trial.id)
    assert [(run.status, run.tags["retable.reason"]) for run in runs(worker)] == [("KILLED", "given to another worker")]
    assert states(queue) == [TrialState.FAIL, TrialState.WAITING]


@pytest.mark.parametrize(("settings", "end"), [({"fail_at": 0}, "FAILED"), ({"steps": 2000}, "KILLED")], ids=str)
def test_a_worker_outlives_a_trial_that_fails_or_stops_when_it_is_anothers(
    toy: loader.SuiteFile, worker: Worker, enqueued: Enqueued, settings: dict[str, int], end: str
) -> None:
    def hear(event: events.Event) -> None:
        if isinstance(event, events.Claimed):
            study.give_back(queue.study, [event.number])
            worker.stopping.set()

    queue = enqueued(first(toy, **settings))
    serve_one(worker, queue, hear)
    assert [run.status for run in runs(worker)] == [end]
    assert states(queue) == [TrialState.FAIL, TrialState.WAITING]


def test_a_guest_that_is_stopped_puts_its_trial_back_with_a_checkpoint(
    toy: loader.SuiteFile, worker: Worker, enqueued: Enqueued
) -> None:
    def hear(event: events.Event) -> None:
        if isinstance(event, events.Tick):
            worker.stopping.set()

    trial = first(toy, steps=2000)
    queue = enqueued(trial)
    (*_, last) = serve_one(worker, queue, hear)
    assert last == events.Stopped(trial.id)
    assert queue.state(trial.id) == "waiting" and queue.latest[trial.id].user_attrs["again"]
    worker.stopping.clear()
    *_, last = serve_one(worker, queue)
    assert isinstance(last, events.Done)
    stopped, done = runs(worker)
    assert (stopped.status, done.status) == ("KILLED", "FINISHED")
    assert done.tags["retable.resumed"].startswith(f"run {stopped.id} at step ")


def test_a_result_that_optuna_never_heard_of_is_told_late_and_not_run_again(
    toy: loader.SuiteFile, worker: Worker, enqueued: Enqueued
) -> None:
    """The worker was killed between the end of its run and telling Optuna."""
    trial = first(toy)
    queue = enqueued(trial)
    first_time = serve_one(worker, queue)[-1]
    queue.enqueue(trial, again=True)
    (claimed, done) = serve_one(worker, queue)
    assert isinstance(claimed, events.Claimed) and done == events.Done(trial.id, "finished")
    assert len(runs(worker)) == 1 and queue.latest[trial.id].value == first_time.value


def test_a_collapsed_trial_keeps_what_it_measured_and_optuna_sees_the_worst(
    toy: loader.SuiteFile, worker: Worker, enqueued: Enqueued
) -> None:
    trial = first(toy, collapsed="all the same")
    queue = enqueued(trial)
    done = serve_one(worker, queue)[-1]
    assert isinstance(done, events.Done)
    assert (done.outcome, done.value, done.reason) == ("collapsed", None, "all the same")
    assert states(queue) == [TrialState.COMPLETE] and queue.latest[trial.id].value == math.inf
    (run,) = runs(worker)
    assert (run.status, run.tags["retable.outcome"]) == ("FINISHED", "collapsed")
    assert reading.metrics(worker.orders.tracking, [run.id])[run.id]["loss/final"] < 1
    queue.enqueue(trial, again=True)  # as if Optuna had never heard of it
    assert serve_one(worker, queue)[-1] == events.Done(trial.id, "collapsed", reason="all the same")
    assert queue.latest[trial.id].value == math.inf


@pytest.mark.parametrize("mixed", [False, True])
def test_a_trial_of_other_packages_is_left_alone_unless_they_may_differ(
    toy: loader.SuiteFile, worker: Worker, enqueued: Enqueued, mixed: bool
) -> None:
    worker.orders = replace(worker.orders, mixed=mixed)
    trial = first(toy)
    queue = enqueued(trial)
    queue.withdraw({trial.id})
    queue.enqueue(trial, again=False, needs={"torch": "0.1"})
    said = serve_one(worker, queue)
    if mixed:
        assert isinstance(said[-1], events.Done)
        assert "torch" in runs(worker)[0].tags["retable.differs"]
    else:
        (unfit,) = said
        assert isinstance(unfit, events.Unfit) and unfit.experiment == "grid" and "torch" in unfit.reason
        assert queue.state(trial.id) == "waiting"
        assert serve_one(worker, queue) == []  # said once
