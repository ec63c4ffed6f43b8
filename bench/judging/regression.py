"""`bench check`: losses at fixed steps and at the end, held against a committed baseline.

A baseline holds, per trial, the loss at a few steps and the final metrics, and how far each may move. The
allowance is measured, not chosen: the spread over seeds of the same cell at that step (pooled over the cells of
an experiment where a cell has one seed), four standard deviations wide, and never under `FLOOR`.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import quoteattr

from retable.bench import files, tables
from retable.bench.errors import RetableError
from retable.bench.results.frames import Results
from retable.bench.suite.plan import Trial
from retable.bench.suite.values import canonical
from retable.bench.task import TaskSpec, find_task

FLOOR = 1e-4
"""Relative: what a change of compiler, BLAS or core count moves a loss in fp32."""

TINY = 1e-9
"""Size under which a number is rounding: what it moves is told relative to this."""

WIDTH = 4.0
"""Standard deviations of the measured spread that a loss may move."""

STEPS = (0.05, 0.25, 0.5, 1.0)
"""Shares of a trial's steps at which its loss is held."""

Kind = Literal["same", "moved", "new", "gone", "failed"]


class BaselineError(RetableError, ValueError):
    """There is no usable baseline, or nothing to compare with it."""


@dataclass(frozen=True)
class Comparison:
    """One number of one trial. `allowed` is relative; `moved` how far it went, relative to the baseline."""

    trial: str
    name: str
    what: str
    kind: Kind
    was: float | None
    now: float | None
    allowed: float
    moved: float


def update(results: Results, chosen: Sequence[Trial], path: Path) -> int:
    """Write the baseline of the chosen trials that are done; return how many."""
    measured = _measure(results, chosen)
    if not measured:
        return 0
    spread = _spreads(results, chosen, measured)
    body = {
        "suite": results.suite.suite,
        "scale": results.scale,
        "width": WIDTH,
        "environment": _environment(results),
        "trials": {
            trial.id: {
                "name": f"{trial.experiment}: {trial.name}",
                "values": measured[trial.id],
                "allowed": {what: spread[trial.experiment, what] for what in measured[trial.id]},
            }
            for trial in chosen
            if trial.id in measured
        },
    }
    files.write(path, json.dumps(body, indent=1, sort_keys=True) + "\n")
    return len(measured)


def _environment(results: Results) -> dict[str, str]:
    facts = next((results.facts[r] for r in results.trials["run_id"] if r in results.facts), {})
    return {key: facts[key] for key in ("cpu", "torch", "device", "threads", "python") if key in facts}


def _specs(results: Results) -> dict[str, TaskSpec]:
    return {n: find_task(e.task, results.suite.packages) for n, e in results.suite.experiments.items()}


def _measure(results: Results, chosen: Sequence[Trial]) -> dict[str, dict[str, float | str]]:
    """Trial id -> what -> value, of the chosen trials that are done; "diverged" for one that was."""
    rows = results.trials.set_index("trial")
    specs = _specs(results)
    found: dict[str, dict[str, float | str]] = {}
    for objective in {s.objective for s in specs.values()}:
        mine = [t for t in chosen if specs[t.experiment].objective == objective]
        done = [t for t in mine if rows.loc[t.id, "state"] in ("finished", "diverged")]
        curves = results.curves([str(rows.loc[t.id, "run_id"]) for t in done], _curve(specs, objective))
        by_run = {str(run): frame for run, frame in curves.groupby("run_id")} if len(curves) else {}
        for trial in done:
            row: Any = rows.loc[trial.id]
            if row["state"] == "diverged":
                found[trial.id] = {"outcome": "diverged"}
                continue
            values: dict[str, float | str] = {}
            frame = by_run.get(row["run_id"])
            if frame is not None:
                last = int(frame["step"].max())
                for share in STEPS:
                    at = frame[frame["step"] >= share * last].iloc[0]
                    values[f"{_curve(specs, objective)} at step {int(at['step'])}"] = float(at["value"])
            for metric, meaning in specs[trial.experiment].metrics.items():
                timed = metric.startswith("time/") or meaning.unit in ("s", "ms")
                if not timed and metric in rows.columns and math.isfinite(float(row[metric])):
                    values[metric] = float(row[metric])
            found[trial.id] = values
    return found


def _curve(specs: Mapping[str, TaskSpec], objective: str) -> str:
    """The metric whose curve is held: `loss/total` where the task has one, else its objective."""
    owner = next(s for s in specs.values() if s.objective == objective)
    return "loss/total" if "loss/total" in owner.metrics else objective


def _spreads(
    results: Results, chosen: Sequence[Trial], measured: Mapping[str, Mapping[str, float | str]]
) -> dict[tuple[str, str], float]:
    """(experiment, what) -> allowed relative move: WIDTH x the pooled relative deviation over seeds, at least FLOOR."""
    cells: dict[tuple[str, str, str], list[float]] = {}
    for trial in chosen:
        for what, value in measured.get(trial.id, {}).items():
            key = (trial.experiment, canonical([trial.settings, trial.varied]), what)
            if isinstance(value, float):
                cells.setdefault(key, []).append(value)
    pooled: dict[tuple[str, str], list[float]] = {}
    for (experiment, _, what), values in cells.items():
        several = pooled.setdefault((experiment, what), [])
        if len(values) > 1 and statistics.fmean(values):
            several.append(statistics.variance(values) / statistics.fmean(values) ** 2)
    return {
        key: max(FLOOR, WIDTH * math.sqrt(statistics.fmean(several)) if several else FLOOR)
        for key, several in pooled.items()
    } | {(t.experiment, "outcome"): 0.0 for t in chosen}


def compare(results: Results, chosen: Sequence[Trial], path: Path) -> list[Comparison]:
    """Every held number of the chosen trials against the baseline. Raises `BaselineError`."""
    baseline = _read(path, results)
    measured = _measure(results, chosen)
    if not measured:
        raise BaselineError(f"nothing measured: bench run {results.suite.suite} --scale {results.scale}")
    states = results.trials.set_index("trial")
    compared: list[Comparison] = []
    for trial in chosen:
        held = baseline["trials"].get(trial.id)
        name = f"{trial.experiment}: {trial.name}"
        if trial.id not in measured:
            if states.loc[trial.id, "state"] == "failed":
                reason = str(states.loc[trial.id, "reason"])
                compared.append(Comparison(trial.id, name, reason, "failed", None, None, 0.0, math.inf))
            continue
        if held is None:
            compared.append(Comparison(trial.id, name, "not in the baseline", "new", None, None, 0.0, 0.0))
            continue
        for what, was in held["values"].items():
            compared.append(_compare(trial.id, name, what, was, measured[trial.id].get(what), held["allowed"][what]))
    if not any(c.kind in ("same", "moved") for c in compared):
        raise BaselineError(f"{path} holds none of the trials that were measured: bench check --update writes it anew")
    return compared


def _compare(trial: str, name: str, what: str, was: Any, now: Any, allowed: float) -> Comparison:
    if not isinstance(was, float | int) or not isinstance(now, float | int):
        kind: Kind = "same" if was == now else "moved"
        return Comparison(trial, name, f"{what}: was {was}, is {now}", kind, None, None, allowed, 0.0)
    moved = abs(now - was) / max(abs(was), TINY)
    kind = "moved" if moved > allowed else "same"
    return Comparison(trial, name, what, kind, float(was), float(now), allowed, moved)


def _read(path: Path, results: Results) -> dict[str, Any]:
    if not path.is_file():
        raise BaselineError(f"no baseline at {path}: bench check {results.suite.suite} --update writes one")
    try:
        baseline: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for held in baseline["trials"].values():
            for what, value in held["values"].items():
                if not isinstance(value, str) and not math.isfinite(value):
                    raise ValueError(f"'{what}' is {value}")
                if not (math.isfinite(held["allowed"][what]) and held["allowed"][what] >= 0):
                    raise ValueError(f"'{what}' may move by {held['allowed'][what]}")
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:  # JSON's are ValueErrors
        raise BaselineError(
            f"{path} is no baseline ({type(error).__name__}: {error}): --update writes it anew"
        ) from None
    return baseline


def exit_code(compared: Sequence[Comparison]) -> int:
    """0 when nothing moved, 1 when something did, 3 when a trial failed."""
    if any(c.kind == "moved" for c in compared):
        return 1
    return 3 if any(c.kind == "failed" for c in compared) else 0


def _cells(c: Comparison) -> tuple[str, ...]:
    was = "" if c.was is None else f"{c.was:.6g}"
    now = "" if c.now is None else f"{c.now:.6g}"
    return (c.kind, c.name, c.what, was, now, f"{c.moved:.2%}" if c.was is not None else "", f"{c.allowed:.2%}")


HEADER = ("", "trial", "what", "baseline", "now", "moved by", "allowed")


def text(compared: Sequence[Comparison]) -> str:
    """What moved, as a table; one line when nothing did."""
    odd = [c for c in compared if c.kind != "same"]
    held = sum(c.kind in ("same", "moved") for c in compared)
    lines = [f"{held} numbers held, {sum(c.kind == 'moved' for c in odd)} moved"]
    if odd:
        lines.append(tables.text(HEADER, (_cells(c) for c in odd)))
    return "\n".join(lines)


def write_markdown(compared: Sequence[Comparison], path: Path) -> None:
    """The table for a pull request's summary."""
    odd = [c for c in compared if c.kind != "same"] or list(compared)
    rows = ["| " + " | ".join(r) + " |" for r in (HEADER, ("---",) * len(HEADER), *(_cells(c) for c in odd))]
    files.write(path, text(compared).splitlines()[0] + "\n\n" + "\n".join(rows) + "\n")


def write_junit(compared: Sequence[Comparison], path: Path) -> None:
    """One test case per held number."""
    bad = [c for c in compared if c.kind in ("moved", "failed")]
    lines = [f'<testsuite name="bench check" tests="{len(compared)}" failures="{len(bad)}">']
    for c in compared:
        case = f"  <testcase classname={quoteattr(c.name)} name={quoteattr(c.what)}"
        if c in bad:
            lines.append(f"{case}><failure message={quoteattr(str(asdict(c)))}/></testcase>")
        else:
            lines.append(f"{case}/>")
    files.write(path, "\n".join([*lines, "</testsuite>"]) + "\n")
