"""`bench decide` as a function: seeds are added where a claim is undecided, until a budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from retable.bench import api
from retable.bench.judging import deciding, verdicts, views
from retable.bench.judging.deciding import Step
from retable.bench.judging.looks import SCHEDULE
from retable.bench.judging.verdicts import Verdict
from retable.bench.judging.words import Word
from retable.bench.run import machine
from retable.bench.run.options import RunOptions
from retable.bench.store import looks, places
from retable.bench.suite import plan
from retable.bench.suite.loader import SuiteFile

DECIDED: tuple[Word, ...] = ("reproduced", "the same", "contradicted")


@dataclass(frozen=True)
class Round:
    """One addition of seeds. step: what was run. word: of its claim afterwards. seconds: by the clock."""

    step: Step
    word: Word
    seconds: float


@dataclass(frozen=True)
class Decided:
    """What a call of `decide` came to.

    before, after: the verdicts at its start and end. rounds: what was run, in order. seconds: in all, by the clock.
    why: why it ended.
    """

    before: tuple[Verdict, ...]
    after: tuple[Verdict, ...]
    rounds: tuple[Round, ...]
    seconds: float
    why: str

    @property
    def new(self) -> tuple[Verdict, ...]:
        """The claims that were undecided and no longer are."""
        words = {v.name: v.word for v in self.before}
        return tuple(v for v in self.after if v.word in DECIDED and words[v.name] not in DECIDED)


def decide(
    suite: str | SuiteFile,
    *,
    budget: float,
    scale: str = "quick",
    most: int = max(SCHEDULE),
    tracking: str | None = None,
    storage: str | None = None,
    options: RunOptions = RunOptions(),  # noqa: B008 - it is frozen
    told: Callable[[Round], None] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
) -> Decided:
    """Add seeds to the claims of a suite that are undecided, those first that are decided soonest by a second's work.

    budget: seconds by the clock; a step is begun only if it is expected to end within. most: seeds that no claim gets
    more than. told: called after each step. stop: asked while trials run, as `api.run`'s. Every judging is a look,
    remembered in the store. Trials that fail end their claim's turn.
    Raises what `api.run` does.
    """
    began = time.monotonic()
    file = api.opened(suite)
    place = places.locate(file.project, tracking, storage)
    workers = machine.settle(options).workers or 1
    planned = {n: plan.trials(file.suite, scale, seeds=n) for n in SCHEDULE if n <= most}
    first, book = _judged(file, scale, place)
    current, rounds, stuck = first, list[Round](), set[str]()
    steps = deciding.steps(book, current, planned, most)
    why = "no claim is left that more seeds may decide"
    while True:
        left = budget - (time.monotonic() - began)
        ready = [s for s in steps if s.claim not in stuck]
        fitting = [s for s in ready if s.seconds / workers <= left]
        if not fitting:
            why = "the budget is spent" if ready else why
            break
        step, started = fitting[0], time.monotonic()
        # Before it is run: its seeds belong to the results from now on.
        looks.note(file.suite, scale, place, {step.claim: step.seeds})
        ran = api.run(
            file,
            scale=scale,
            seeds=step.seeds,
            trials=step.trials,
            tracking=tracking,
            storage=storage,
            options=options,
            stop=stop,
        )
        if not ran.finished:
            why = "it was interrupted; the same command goes on from here"
            break
        current, book = _judged(file, scale, place)
        word = next(v.word for v in current if v.name == step.claim)
        steps = deciding.steps(book, current, planned, most)
        again = {s.claim: s.seeds for s in steps}
        if ran.failed or again.get(step.claim, most + 1) <= step.seeds:
            stuck.add(step.claim)
        rounds.append(Round(step, word, time.monotonic() - started))
        told(rounds[-1])
    return Decided(tuple(first), tuple(current), tuple(rounds), time.monotonic() - began, why)


def _judged(file: SuiteFile, scale: str, place: places.Stores) -> tuple[list[Verdict], views.Book]:
    """The verdicts as they are now, remembered as a look."""
    book = views.read(api.results(file, scale=scale, tracking=place.tracking))
    judged = verdicts.judge_book(book)
    looks.note(file.suite, scale, place, deciding.seen(judged))
    return judged, book
