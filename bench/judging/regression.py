"""`bench check`: every held number of a trial against the baseline's, each trial with itself. What is missing fails."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retable.bench.judging import platforms
from retable.bench.judging.baseline import Baseline, Golden
from retable.bench.judging.measured import GateError, Measured

Kind = Literal["same", "moved", "new", "missing", "gone", "failed", "not held"]

FAILING: frozenset[Kind] = frozenset({"moved", "missing", "gone"})
"""Kinds that end with exit code 1; `failed` alone ends with 3."""


@dataclass(frozen=True)
class Checked:
    """One number of one trial, or what became of the trial.

    what: the number's name; `outcome` or `trial` for what is no number. allowed, moved: relative to the baseline's
    number; None where there is none. why: which tolerance was used, or the reason of a trial without one.
    """

    trial: str
    name: str
    what: str
    kind: Kind
    why: str
    was: float | None = None
    now: float | None = None
    allowed: float | None = None
    moved: float | None = None


def compare(baseline: Baseline, measured: Sequence[Measured], path: Path) -> list[Checked]:
    """Every number that the baseline holds of the given trials; one line for a trial that has none.

    Raises `GateError` where the baseline (of the file `path`) holds none of them, or nothing was run.
    """
    known = baseline.ids
    if not any(m.trial.id in known for m in measured):
        raise GateError(f"{path} holds none of the trials asked for: bench check --update adds them")
    if all(m.state in ("missing", "running") for m in measured):
        raise GateError("nothing measured: bench run comes before bench check")
    return [line for trial in measured for line in _of_trial(baseline, trial)]


def _of_trial(baseline: Baseline, found: Measured) -> Iterable[Checked]:
    def said(kind: Kind, why: str, what: str = "trial") -> list[Checked]:
        return [Checked(found.trial.id, found.name, what, kind, why)]

    held = baseline.find(found.trial.id, found.platform)
    if found.state == "failed":
        return said("failed", found.reason)
    if held is None:
        return said("new", "not in the baseline") if found.done else []
    if found.state == "gone":
        return said("gone", "in the baseline, but planned no more: --update drops it")
    if not found.done:
        why = {"missing": "not run", "running": "still running"}
        return said("missing", found.reason or why.get(found.state, found.state))
    golden, there = held
    if golden.outcome != found.state:
        how = f"was {golden.outcome}, is {found.state}"
        return said("moved", f"{how}: {found.reason}" if found.reason else how, "outcome")
    if not golden.values:
        return [Checked(found.trial.id, found.name, "outcome", "same", found.state)]
    return [_number(baseline, found, golden, there, what) for what in golden.values]


def _number(baseline: Baseline, found: Measured, golden: Golden, there: Mapping[str, str], what: str) -> Checked:
    was, now = golden.values[what], found.values.get(what)
    may = platforms.allowed(found.trial.experiment, what, there, found.platform, baseline.measurements)
    if now is None or not math.isfinite(now):
        why = "no longer measured" if now is None else "no number"
        return Checked(found.trial.id, found.name, what, "moved", why, was, now, may.relative if may.held else None)
    moved = platforms.moved(was, now)
    kind: Kind = "same" if moved <= may.relative or max(abs(was), abs(now)) <= may.residue else "moved"
    if not may.held:
        return Checked(found.trial.id, found.name, what, "not held", may.why, was, now, None, moved)
    return Checked(found.trial.id, found.name, what, kind, may.why, was, now, may.relative, moved)


def exit_code(compared: Sequence[Checked]) -> int:
    """0: every number held. 1: one moved, or a trial is missing or gone. 3: all that is wrong is failed trials. 4: no
    number could be held at all."""
    kinds = {c.kind for c in compared}
    if kinds & FAILING:
        return 1
    return 3 if "failed" in kinds else 0 if "same" in kinds else 4
