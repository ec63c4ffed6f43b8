"""Which seeds to add next: those that decide a claim soonest, by the chance of it per second of computing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from retable.bench.judging import power, stats
from retable.bench.judging.looks import SCHEDULE
from retable.bench.judging.verdicts import Verdict
from retable.bench.judging.views import Book, Result
from retable.bench.judging.words import UNDECIDED
from retable.bench.store.status import DONE
from retable.bench.suite.plan import Trial
from retable.bench.suite.values import canonical


@dataclass(frozen=True)
class Step:
    """New seeds for one claim. trials: ids of those to run, with what they start from. seconds: of computing, for one
    core's worth of worker. chance: that the look at `seeds` seeds decides it."""

    claim: str
    seeds: int
    trials: tuple[str, ...]
    seconds: float
    chance: float

    @property
    def worth(self) -> float:
        return self.chance / max(self.seconds, 1e-3)


def undecided(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The claims about learned models that more seeds may decide: not those whose replicates stand in for seeds."""
    return [v for v in verdicts if v.word in UNDECIDED and v.claim.kind == "learned" and _of_seeds(v)]


def _of_seeds(verdict: Verdict) -> bool:
    return all(j.comparison.of_seeds for j in verdict.judged)


def steps(book: Book, verdicts: Iterable[Verdict], planned: Mapping[int, Sequence[Trial]], most: int) -> list[Step]:
    """The next step of every undecided claim, the most worth first; none for one that has `most` seeds.

    planned: seeds -> every trial that the suite has with so many, for each number on the schedule.
    """
    found = [step for v in undecided(verdicts) if (step := _step(book, v, planned, most)) is not None]
    return sorted(found, key=lambda s: (-s.worth, s.claim))


def _step(book: Book, verdict: Verdict, planned: Mapping[int, Sequence[Trial]], most: int) -> Step | None:
    open_ = [j for j in verdict.judged if j.outcome not in ("reproduced", "contradicted")]
    have = max((j.difference.n for j in open_), default=0)
    n = next((seeds for seeds in SCHEDULE if have < seeds <= most), None)
    if n is None or n not in planned:
        return None
    cells = {id(c): c for j in open_ for c in j.comparison.cells}
    wanted = _new(book, [c.trials[0] for c in cells.values()], planned[n], n)
    if not wanted:
        return None
    costs = _costs(book.trials)
    seconds = sum(costs.get(t.experiment, costs.get("", 1.0)) for t in wanted)
    return Step(verdict.name, n, tuple(t.id for t in wanted), seconds, _chance(verdict, n))


def _chance(verdict: Verdict, n: int) -> float:
    """That the claim is decided at n seeds: every open comparison must hold, or one must fail."""
    clauses = max(1, len(verdict.judged))
    open_ = [j for j in verdict.judged if j.outcome != "reproduced"]
    each = [power.chance(j.difference, n, clauses) for j in open_]
    return min(1.0, min(up for up, _ in each) + max(down for _, down in each))


def _new(book: Book, examples: Sequence[Result], planned: Sequence[Trial], n: int) -> list[Trial]:
    """The trials of these cells with the seeds that they lack up to n, and what those start from, that are not done."""
    done = {t.id for t in book.trials if t.state in DONE}
    by_id = {t.id: t for t in planned}
    wanted_cells = {_cell(by_id[e.id]) for e in examples if e.id in by_id}
    found: dict[str, Trial] = {}
    for trial in planned:
        if _cell(trial) not in wanted_cells or trial.id in done or trial.seed >= n:
            continue
        at: Trial | None = trial
        while at is not None and at.id not in found and at.id not in done:
            found[at.id] = at
            at = by_id.get(at.start) if at.start else None
    return [t for t in planned if t.id in found]


def _cell(trial: Trial) -> str:
    return canonical({"": trial.experiment, "slot": trial.slot, **trial.settings, **trial.varied})


def _costs(trials: Iterable[Result]) -> dict[str, float]:
    """Experiment -> mean seconds of its trials; "" -> of all."""
    seconds: dict[str, list[float]] = {}
    for trial in trials:
        if trial.seconds == trial.seconds:  # NaN where it has not run
            seconds.setdefault(trial.experiment, []).append(trial.seconds)
            seconds.setdefault("", []).append(trial.seconds)
    return {name: statistics.fmean(values) for name, values in seconds.items()}


def seen(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Claim -> the seeds at which it was judged just now, of those that had enough for an interval."""
    found = {}
    for v in verdicts:
        n = max((j.difference.n for j in v.judged), default=0)
        if n >= stats.ENOUGH and _of_seeds(v):
            found[v.name] = n
    return found
