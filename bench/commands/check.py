"""The command `bench check`: losses of a suite, or of any MLflow experiment, against a committed baseline."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retable.bench.commands.common import ANY_SUITE, FINE, JSON, NOTHING, SOME_FAILED, Selection, selecting

if TYPE_CHECKING:
    from retable.bench.judging.baseline import Baseline
    from retable.bench.judging.measured import Measured
    from retable.bench.judging.platforms import Measurement


@dataclass(frozen=True)
class Subject:
    """What is held against a baseline. measured: the trials asked for, those that are missing or gone included.

    experiments: experiment -> its MLflow experiment. about: whose losses a new baseline would say that it holds.
    """

    tracking: str
    project: Path
    measured: Sequence[Measured]
    experiments: dict[str, str]
    about: dict[str, str]


@click.command("check")
@selecting(ANY_SUITE, narrowing=True)
@JSON
@click.option("--baseline", type=click.Path(path_type=Path), help="[default: reports/baselines/SUITE.SCALE.json]")
@click.option("--update", is_flag=True, help="write what was measured into the baseline; the rest of it stays")
@click.option("--measure", default="", metavar="OTHER", help="how far the same trials lie apart in another store")
@click.option("--runs", default="", metavar="EXPERIMENT", help="of MLflow, in place of a suite")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="of --runs [default: loss/total]")
@click.option("--match", multiple=True, metavar="PARAM", help="tell --runs apart by these [default: all]")
@click.option("--tag", default="", metavar="TAG", help="tell --runs apart by this tag")
@click.option("--junit", type=click.Path(path_type=Path), help="also write JUnit XML")
@click.option("--markdown", type=click.Path(path_type=Path), help="also write Markdown")
def command(
    selection: Selection,
    as_json: bool,
    baseline: Path | None,
    update: bool,
    measure: str,
    runs: str,
    metrics: tuple[str, ...],
    match: tuple[str, ...],
    tag: str,
    junit: Path | None,
    markdown: Path | None,
) -> int:
    """Compare losses at fixed steps and at the end with a committed baseline, each trial with itself.

    On the baseline's platform a loss is equal to rounding, elsewhere within what was measured between the two. Exit
    code 1 if one moved or a trial is missing, 3 if one failed, 4 if there is nothing to compare. --where, --only and
    --seeds ask for a part.
    """
    from retable.bench.judging.baseline import Baseline, read
    from retable.bench.judging.measured import GateError

    began = time.monotonic()
    if bool(selection.suite) == bool(runs):
        raise click.UsageError("name a SUITE, or with --runs an MLflow experiment")
    if not runs and (metrics or match or tag):
        raise click.UsageError("--metric, --match and --tag tell of the runs that --runs names")
    if match and tag:
        raise click.UsageError("runs are told apart by --match or by --tag, not by both")
    if runs and (baseline is None or selection.only or selection.overrides or selection.seeds):
        raise click.UsageError("--runs needs --baseline FILE, and takes of what selects trials --where alone")
    try:
        path = baseline or _default(selection)
        held = Baseline({}) if update and not path.is_file() else read(path)
        if runs:
            subject = _runs(selection, runs, metrics or ("loss/total",), match, tag, held)
        else:
            subject = _suite(selection, held, path)
        if update or measure:
            whole = not (selection.where or selection.only or selection.seeds)
            return _write(subject, held, path, update, measure, whole, as_json)
        return _compare(subject, held, path, began, as_json, junit, markdown)
    except GateError as error:
        print(error, file=sys.stderr)
        return NOTHING


def _default(selection: Selection) -> Path:
    from retable.bench.suite import loader

    file = loader.load(selection.suite)
    return file.project / "reports" / "baselines" / f"{file.suite.suite}.{selection.scale}.json"


def _suite(selection: Selection, held: Baseline, path: Path) -> Subject:
    """The chosen trials of a suite, and those of the baseline that it plans no more."""
    from retable.bench.judging import measured
    from retable.bench.store import places
    from retable.bench.suite import loader, plan

    file = loader.load(selection.suite)
    suite, scale, forced = file.suite, selection.scale, selection.forced
    place = places.locate(file.project, selection.tracking)
    planned = plan.trials(suite, scale, overrides=forced, seeds=selection.seeds)
    # `--seeds` asks for a part: seeds that the suite declares are not gone because fewer are asked for.
    every = {t.id: t for t in [*plan.trials(suite, scale, overrides=forced), *planned]}
    if held.ids and not held.ids & every.keys():
        raise measured.GateError(f"{path} holds no trial of {suite.suite} at this scale with these settings (--set)")
    seeds = {t.seed for t in planned}
    gone = [t for t in held.gone(every) if selection.seeds is None or t.seed in seeds]
    chosen = plan.select([*planned, *gone], selection.where, selection.only, suite)
    lost = {t.id for t in gone}
    found = measured.of_suite(file, [t for t in chosen if t.id not in lost], place)
    found += [measured.Measured(t, held.name(t.id), "gone") for t in chosen if t.id in lost]
    about = {"suite": suite.suite, "scale": scale}
    return Subject(place.tracking, file.project, found, measured.suite_experiments(found), about)


def _runs(
    selection: Selection, experiment: str, metrics: Sequence[str], match: Sequence[str], tag: str, held: Baseline
) -> Subject:
    """The runs of an MLflow experiment, and the trials of the baseline that none of them is."""
    from retable.bench.judging import measured
    from retable.bench.store import places
    from retable.bench.suite import plan

    place = places.locate(Path.cwd(), selection.tracking)
    found = measured.of_runs(place.tracking, experiment, metrics, match, tag)
    lacking = held.gone({m.trial.id: m.trial for m in found})
    found += [measured.Measured(t, held.name(t.id), "missing", "no run of it") for t in lacking]
    chosen = {t.id for t in plan.select([m.trial for m in found], selection.where)}
    found = [m for m in found if m.trial.id in chosen]
    return Subject(place.tracking, Path.cwd(), found, {experiment: experiment}, {"experiment": experiment})


def _write(subject: Subject, held: Baseline, path: Path, update: bool, measure: str, whole: bool, as_json: bool) -> int:
    """`--update` and `--measure`: write the baseline, and say what became of it."""
    from dataclasses import replace

    from retable.bench.judging import baseline

    new, code = replace(held, about=held.about or subject.about), FINE
    said: dict[str, Any] = {}
    if update:
        # Only a full update drops what is gone: a part does not see all that there is.
        new, changes = baseline.merge(new, [m for m in subject.measured if whole or m.state != "gone"])
        code = SOME_FAILED if changes.refused else FINE if changes.held else NOTHING
        said["update"] = changes
    if measure:
        said["measured"] = found = _measure(subject, measure)
        new = baseline.with_measurements(new, found)
    if [*new.sections, *new.measurements] != [*held.sections, *held.measurements]:
        baseline.write(new, path)
    if as_json:
        print(json.dumps({"baseline": str(path), **said}, indent=1, default=vars))
        return code
    for part in (*([said["update"]] if update else []), *said.get("measured", [])):
        print(f"{path}: {part.text()}")
    if code == NOTHING:
        print("nothing measured yet: bench run comes before bench check", file=sys.stderr)
    return code


def _measure(subject: Subject, other: str) -> list[Measurement]:
    """How far the subject's trials are from the same trials in another store, or in another experiment of this one."""
    from retable.bench.judging import baseline, measured
    from retable.bench.store import places

    elsewhere = "://" in other
    uri = places.locate(subject.project, other).tracking if elsewhere else subject.tracking
    experiments = dict(subject.experiments) if elsewhere else dict.fromkeys(subject.experiments, other)
    there = measured.counterparts(subject.tracking, subject.measured, uri, experiments)
    if not there:
        raise measured.GateError(
            f"{places.redact(other)} holds no finished run of the same settings and code as one of these trials"
        )
    return baseline.measure(subject.measured, there, f"{datetime.now(UTC):%Y-%m-%d}")


def _compare(
    subject: Subject,
    held: Baseline,
    path: Path,
    began: float,
    as_json: bool,
    junit: Path | None,
    markdown: Path | None,
) -> int:
    from retable.bench import files
    from retable.bench.judging import regression
    from retable.bench.report import gate

    compared = regression.compare(held, subject.measured, path)
    if junit:
        shown = os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)
        files.write(junit, gate.junit(compared, shown, time.monotonic() - began))
    if markdown:
        files.write(markdown, gate.markdown(compared))
    if as_json:
        print(json.dumps([_plain(vars(c)) for c in compared], indent=1))
    else:
        print(gate.text(compared))
    return regression.exit_code(compared)


def _plain(line: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows neither NaN nor infinity: they are words there."""
    return {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
