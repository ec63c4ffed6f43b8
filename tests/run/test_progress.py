"""What a person reads while a run goes on."""

from __future__ import annotations

import io

import pytest

from retable.bench.run import events
from retable.bench.run.progress import Live, make
from retable.bench.suite.plan import Trial

TRIAL = Trial("a", "s", "quick", "grid", "t", {"lr": 0.1}, {"lr": 0.1}, 0)


def told(*happened: events.OfTrial, todo: int = 3) -> list[str]:
    stream = io.StringIO()
    show = make(stream)
    show.begin(todo, 2, 1)
    for event in happened:
        show.event(TRIAL, event)
    return stream.getvalue().splitlines()


def test_a_log_begins_with_what_is_to_do() -> None:
    assert told() == ["3 trials to run, 2 done already, 1 workers"]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (events.Done("a", "finished", 2.0, 0.123456, "loss"), "finished loss=0.12346 in 2"),
        (events.Done("a", "finished elsewhere", 2.0), "finished elsewhere in 2"),
        (events.Done("a", "pruned", value=1.0), "pruned value=1 in 0"),
        (events.Done("a", "diverged", 2.0, None, "loss", "loss is nan at step 3"), "diverged: loss is nan at step 3"),
        (events.Done("a", "collapsed", 2.0, None, "loss", "a constant picture"), "collapsed: a constant picture"),
        (events.Failed("a", "ValueError: no"), "FAILED: ValueError: no"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_trial_that_ends_is_a_line_that_counts(event: events.OfTrial, line: str) -> None:
    assert told(event)[1].startswith(f"[1/3] grid: {TRIAL.name}: {line}")


def test_a_trial_that_stops_is_told_and_not_counted() -> None:
    (_, line) = told(events.Stopped("a"))
    assert line == f"[0/3] grid: {TRIAL.name}: stopped; goes on from its checkpoint next time"


def test_a_log_keeps_silent_about_signs_of_life() -> None:
    assert len(told(events.Claimed("a", "x", "s", 0), events.Tick("a", 1, 2), events.Refused("a"))) == 1


def test_a_log_says_what_is_left_until_nothing_is() -> None:
    _, first, last = told(events.Done("a", "finished"), events.Done("a", "finished"), todo=2)
    assert " left)" in first and " left)" not in last


def test_a_terminal_has_a_bar_for_each_trial_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    show = Live()
    show.begin(2, 0, 1)
    show.event(TRIAL, events.Claimed("a", TRIAL.name, "s", 0))
    show.event(TRIAL, events.Tick("a", 3, 20))
    (bar,) = [task for task in show.bars.tasks if task.id == show.running["a"]]
    assert (bar.completed, bar.total) == (3, 20)
    show.event(TRIAL, events.Done("a", "finished", 1.0))
    show.end()
    assert show.running == {} and [task.completed for task in show.bars.tasks] == [1]
    assert "finished in 1" in capsys.readouterr().err
