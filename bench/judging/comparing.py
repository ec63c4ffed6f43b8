"""`bench compare`: which losses moved between two runs, stores, commits or scales, and whether beyond the noise.

The noise is that over seeds. Of two single runs: Student's t for the difference of two draws, with the standard
deviation of the runs that differ from them in the seed alone. Of two sides: the interval of `judging.stats`, which
pairs the seeds that both have.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retable.bench import tables
from retable.bench.errors import RetableError
from retable.bench.judging import stats
from retable.bench.store import places, reading, records
from retable.bench.suite import loader, plan
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.values import canonical, text
from retable.bench.task import find_task

KEYS = ("store", "commit", "scale")
NOT_LOSSES = ("time/", "memory/", "system/")
"""Metrics of the machine: shown, never said to have moved."""


class CompareError(RetableError, ValueError):
    """The sides cannot be compared; the text says what to write instead."""


@dataclass(frozen=True)
class Line:
    """One number on both sides. a, b: means over seeds. n: seeds of the side with fewer. moved: (b - a) / |a|.

    says: "same", "within noise", "beyond noise", or, where there are too few seeds to know, "noise unknown".
    """

    what: str
    metric: str
    a: float
    b: float
    n: int
    moved: float
    says: str


@dataclass(frozen=True)
class Compared:
    """a, b: what each side is, in words. differs: setting or fact -> the two values. lines: the numbers."""

    a: str
    b: str
    differs: dict[str, tuple[str, str]]
    lines: list[Line]
    only: dict[str, int] = field(default_factory=dict)


def compare(
    a: str,
    b: str,
    *,
    suite_name: str = "",
    scale: str = "quick",
    metrics: Sequence[str] = (),
    tracking: str | None = None,
) -> Compared:
    """Compare two runs (ids, or their beginnings) or two sides (`store=URL`, `commit=SHA`, `scale=NAME`, with commas).

    suite_name: of the sides; of runs it is known. scale: of a side that names none. metrics: beside the objectives
    of the tasks; of two runs all are shown. Raises `CompareError`, `SuiteError`, `PlanError`.
    """
    if ("=" in a) != ("=" in b):
        raise CompareError(f"compare two runs or two sides, not '{a}' with '{b}'")
    if "=" not in a:
        return _runs(a, b, tracking)
    if not suite_name:
        raise CompareError("sides are of a suite: --suite NAME")
    file = loader.load(suite_name)
    return _sides(file, a, b, scale, metrics, tracking)


def _place(file: SuiteFile | None, tracking: str | None) -> places.Stores:
    if file is not None:
        return places.locate(file.project, tracking)
    here = loader.available()
    if not here and not tracking:
        raise CompareError("there is no suites/ folder here: run it inside the project, or give --tracking-uri")
    return places.locate(loader.project_of(here[0]) if here else Path.cwd(), tracking)


# Two runs


def _runs(a: str, b: str, tracking: str | None) -> Compared:
    uri = _place(None, tracking).tracking
    runs = [_find(uri, word) for word in (a, b)]
    ids = [r.id for r in runs]
    values, params = reading.metrics(uri, ids), reading.params(uri, ids)
    noise = _noise(uri, runs)
    names = [n for n in values[runs[0].id] if n in values[runs[1].id]]
    lines = [_single(n, values[runs[0].id][n], values[runs[1].id][n], noise.get(n)) for n in sorted(names)]
    one, other = ({**params[r.id], **_facts(r)} for r in runs)
    return Compared(_called(runs[0]), _called(runs[1]), _differing(one, other), lines)


def _find(uri: str, word: str) -> records.Run:
    found = reading.starting_with(uri, word) if word else []
    if len(found) != 1:
        said = "no run" if not found else f"{len(found)} runs"
        raise CompareError(
            f"{said} in {places.redact(uri)} has an id that begins with '{word}'; `bench show` tells ids"
        )
    return found[0]


def _called(run: records.Run) -> str:
    scale = run.tags.get("retable.scale", "")
    return f"{run.experiment}: {run.name}" + (f" at {scale}" if scale else "") + f" ({run.id[:8]})"


def _facts(run: records.Run) -> dict[str, str]:
    names = {"mlflow.source.git.commit": "commit", "retable.code": "code", "retable.scale": "scale"}
    names |= {f"retable.{n}": n for n in ("torch", "device", "gpu", "cpu", "threads", "ranks", "host", "python")}
    return {name: run.tags[tag] for tag, name in names.items() if tag in run.tags}


def _differing(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {n: (a.get(n, ""), b.get(n, "")) for n in sorted({*a, *b}) if a.get(n) != b.get(n)}


def _noise(uri: str, runs: Sequence[records.Run]) -> dict[str, tuple[float, int]]:
    """Metric -> standard deviation over seeds and its degrees of freedom, pooled over the two runs' cells."""
    groups: dict[str, set[str]] = {}
    for run in runs:
        near = [r for r in reading.runs(uri, [run.experiment]) if r.status == "FINISHED"]
        near = [r for r in near if r.tags.get("retable.code") == run.tags.get("retable.code")]
        params = reading.params(uri, [r.id for r in near])
        cells = {r.id: canonical({k: v for k, v in params[r.id].items() if k != "seed"}) for r in near}
        if run.id in cells:
            groups[cells[run.id]] = {r.id for r in near if cells[r.id] == cells[run.id]}
    values = reading.metrics(uri, sorted(set().union(*groups.values())))
    found = {}
    for name in {n for row in values.values() for n in row}:
        several = [[values[i][name] for i in ids if name in values[i]] for ids in groups.values()]
        several = [v for v in several if len(v) > 1 and all(map(math.isfinite, v))]
        freedom = sum(len(v) - 1 for v in several)
        if freedom:
            spread = sum(statistics.variance(v) * (len(v) - 1) for v in several) / freedom
            found[name] = (math.sqrt(spread), freedom)
    return found


def _single(metric: str, a: float, b: float, noise: tuple[float, int] | None) -> Line:
    moved = _moved(a, b)
    if metric.startswith(NOT_LOSSES):
        says = ""
    elif a == b or (math.isnan(a) and math.isnan(b)):
        says = "same"
    elif noise is None or not math.isfinite(b - a):
        says = "noise unknown"
    else:
        sd, freedom = noise
        allowed = stats.t_quantile(freedom, stats.CONFIDENCE) * sd * math.sqrt(2)
        says = "beyond noise" if abs(b - a) > allowed else "within noise"
    return Line("", metric, a, b, 1, moved, says)


def _moved(a: float, b: float) -> float:
    return (b - a) / abs(a) if a and math.isfinite(a) else math.nan


# Two sides


def _sides(file: SuiteFile, a: str, b: str, scale: str, metrics: Sequence[str], tracking: str | None) -> Compared:
    found = [_side(file, word, scale, tracking) for word in (a, b)]
    keys = list(dict.fromkeys([*found[0], *found[1]]))
    lines: list[Line] = []
    only: dict[str, int] = {}
    for name in metrics:
        if not any(name in values for side in found for cell in side.values() for values in cell.values()):
            raise CompareError(f"no run of these sides has a metric '{name}'")
    for key in keys:
        one, other = (side.get(key) for side in found)
        if one is None or other is None:
            side = a if other is None else b
            only[side] = only.get(side, 0) + 1
            continue
        experiment, cell = key
        objective = find_task(file.suite.experiments[experiment].task, file.suite.packages).objective
        for metric in dict.fromkeys([objective, *metrics]):
            left, right = ({s: v[metric] for s, v in side.items() if metric in v} for side in (one, other))
            if left and right:
                lines.append(_grouped(f"{experiment}: {cell}" if cell else experiment, metric, left, right))
    if not lines:
        raise CompareError(f"nothing to compare: {len(found[0])} cells are on side '{a}', {len(found[1])} on '{b}'")
    return Compared(a, b, {}, lines, only)


Cells = dict[tuple[str, str], dict[int, dict[str, float]]]
"""(experiment, cell in words) -> seed -> metrics."""


def _side(file: SuiteFile, word: str, scale: str, tracking: str | None) -> Cells:
    wanted: dict[str, str] = {}
    for part in word.split(","):
        key, _, value = part.partition("=")
        if key not in KEYS or not value:
            raise CompareError(f"'{part}': write store=URL, commit=SHA or scale=NAME, joined with commas")
        wanted[key] = value
    uri = _place(file, wanted.get("store", tracking)).tracking
    scale = wanted.get("scale", scale)
    varied = _varied(file, scale)
    names = {places.experiment_name(file.suite.suite, name): name for name in file.suite.experiments}
    runs = [
        r
        for r in reading.runs(uri, list(names))
        if r.status == "FINISHED"
        and r.tags.get("retable.scale") == scale
        and r.tags.get("mlflow.source.git.commit", "").startswith(wanted.get("commit", ""))
    ]
    ids = [r.id for r in runs]
    params, metrics = reading.params(uri, ids), reading.metrics(uri, ids)
    cells: Cells = {}
    for run in runs:  # oldest first: of one cell and seed the newest run counts
        own = params[run.id]
        experiment = names[run.experiment]
        cell = " ".join(f"{k}={own[k]}" for k in varied.get(experiment, ()) if k in own)
        cells.setdefault((experiment, cell), {})[int(own.get("seed", 0))] = metrics[run.id]
    return cells


def _varied(file: SuiteFile, scale: str) -> dict[str, list[str]]:
    """Experiment -> the settings that tell its cells apart at this scale."""
    found: dict[str, dict[str, Any]] = {}
    for trial in plan.trials(file.suite, scale):
        found.setdefault(trial.experiment, {}).update(trial.varied)
    return {name: list(keys) for name, keys in found.items()}


def _grouped(what: str, metric: str, a: Mapping[int, float], b: Mapping[int, float]) -> Line:
    left, right = statistics.fmean(a.values()), statistics.fmean(b.values())
    if any(math.isnan(v) for v in [*a.values(), *b.values()]):
        return Line(what, metric, left, right, min(len(a), len(b)), math.nan, "noise unknown")
    d = stats.difference(b, a)
    if d.paired:
        a, b = ({s: v for s, v in side.items() if s in a and s in b} for side in (a, b))
        left, right = statistics.fmean(a.values()), statistics.fmean(b.values())
    same = d.paired and a == b
    if metric.startswith(NOT_LOSSES):
        says = ""
    elif same:
        says = "same"
    elif d.n < stats.ENOUGH:
        says = "within noise" if d.size < stats.TIE else "noise unknown"
    else:
        says = "beyond noise" if stats.outcome(d) in ("reproduced", "contradicted") else "within noise"
    return Line(what, metric, left, right, d.n, 0.0 if same else _moved(left, right), says)


# In words


def as_json(found: Compared) -> dict[str, Any]:
    """As plain data."""
    return {**vars(found), "lines": [vars(line) for line in found.lines]}


def show(found: Compared) -> str:
    """For a person: what differs, then a line per number, what moved beyond noise first."""
    out = [f"A  {found.a}", f"B  {found.b}"]
    out += [f"   {name}: {a or '(none)'} -> {b or '(none)'}" for name, (a, b) in found.differs.items()]
    order = ("beyond noise", "noise unknown", "within noise", "same", "")
    lines = sorted(found.lines, key=lambda line: order.index(line.says))
    rows = [[line.what, line.metric, *_numbers(line), line.says] for line in lines]
    header = ["", "metric", "A", "B", "moved", "seeds", "says"]
    if not any(line.what for line in lines):
        rows, header = [row[1:] for row in rows], header[1:]
    out += ["", tables.text(header, rows)]
    out += ["", _tally(line.says for line in lines)]
    out += [f"{n} cells are on side '{side}' alone" for side, n in found.only.items()]
    return "\n".join(out)


def _numbers(line: Line) -> list[str]:
    moved = "" if math.isnan(line.moved) else f"{line.moved:+.2%}"
    return [text(float(f"{line.a:.5g}")), text(float(f"{line.b:.5g}")), moved, str(line.n)]


def _tally(says: Iterable[str]) -> str:
    found = [s for s in says if s]
    return ", ".join(f"{found.count(s)} {s}" for s in dict.fromkeys(found)) or "nothing but the machine's own figures"
