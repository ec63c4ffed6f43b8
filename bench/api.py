"""What the commands do, as functions: `load_suite`, `run`, `results`, `report`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retable.bench import data
from retable.bench.run import machine
from retable.bench.run.options import RunError, RunOptions
from retable.bench.run.progress import Progress, make
from retable.bench.store import patience, places, reading, status
from retable.bench.store.status import Status
from retable.bench.suite import drawable, loader, plan
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.plan import Trial
from retable.bench.suite.project import enter

if TYPE_CHECKING:
    from retable.bench.judging.verdicts import Verdict
    from retable.bench.results.frames import Results

load_suite = loader.load


@dataclass(frozen=True)
class RunResult:
    """What became of a run. finished: it went to its end; False: it was interrupted, and the same call goes on from
    there. trials: every chosen trial, in the suite's order, with its status now."""

    finished: bool
    trials: tuple[tuple[Trial, Status], ...]

    @property
    def failed(self) -> tuple[tuple[Trial, Status], ...]:
        """The trials that are not done: of a run that finished, those that failed."""
        return tuple((trial, found) for trial, found in self.trials if not found.done)

    @property
    def ok(self) -> bool:
        """Whether the run went to its end and every trial is done."""
        return self.finished and not self.failed


def run(
    suite: SuiteFile | str | Path,
    *,
    scale: str = "quick",
    where: str = "",
    only: Sequence[str] = (),
    seeds: int | None = None,
    trials: Collection[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    tracking: str | None = None,
    storage: str | None = None,
    options: RunOptions = RunOptions(),  # noqa: B008 - it is frozen
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Run the trials of a suite that are not done yet, in worker processes; return when all have ended.

    where, only, seeds, overrides: which trials, as on the command line; trials: ids of those that are meant, where
    not all are. tracking, storage: URLs of the stores.
    options: how. progress: who is told what happens; by default, whoever reads standard error.
    stop: asked a few times a second; once it says yes, running trials leave a checkpoint and the run ends. In the main
    thread Ctrl-C does the same; no signal is set, so `run` works in any thread and inside a running event loop.

    Raises `SuiteError`, `PlanError`, `StoreError`, or `RunError` (data is missing, workers cannot start).
    """
    file = opened(suite)
    planned = plan.trials(file.suite, scale, overrides=overrides, seeds=seeds)
    chosen = plan.select(planned, where, only, file.suite, trials)
    drawable.require(file.suite, planned)
    place = places.locate(file.project, tracking, storage)
    read = sorted({name for trial in chosen for name in trial.data})
    lacking = [m for name in read if (m := data.missing(name, file.suite.packages))]
    if lacking:
        raise RunError("\n".join(lacking))
    digests = status.code_digests(file.suite)
    show = progress or make()
    if _nothing_to_do(chosen, place, digests, stale=options.stale):
        show.begin(0, len(chosen), 0)
        show.end()
        return _result(True, chosen, place, digests)

    from retable.bench.run import supervisor  # MLflow and Optuna: a run with nothing to do never waits for their import

    here = machine.settle(options)
    with patience.kept():
        if options.ray is None:
            ended = supervisor.run(file, planned, chosen, place, here, show, stop)
        else:
            from retable.bench.run import ray_engine

            crew = ray_engine.workers(file, place, options, scale)
            with crew as (count, all_left):
                share = options.ray
                show.note(f"{count} workers on Ray, {share.cpus:g} cores and {share.gpus:g} GPUs each")
                ended = supervisor.run(file, planned, chosen, place, here, show, lambda: stop() or all_left())
        return _result(ended, chosen, place, digests)


def results(
    suite: SuiteFile | str | Path,
    *,
    scale: str = "quick",
    seeds: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    tracking: str | None = None,
) -> Results:
    """What the runs of a suite measured, as tidy pandas frames. Raises `SuiteError`, `PlanError` or `StoreError`."""
    from retable.bench.results import frames

    file = opened(suite)
    return frames.load(file, scale, places.locate(file.project, tracking), overrides=overrides, seeds=seeds)


def report(
    suite: SuiteFile | str | Path,
    *,
    scale: str = "quick",
    seeds: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    tracking: str | None = None,
    out: Path | None = None,
    formats: Sequence[str] = ("md",),
    anew: bool = True,
) -> Path | None:
    """Write a suite's report from MLflow alone, and the ledger of the folder it goes to.

    anew: False leaves a page as it is where neither the suite nor its runs nor any code have changed since.

    The path of the page (of the first format), or None when nothing has run yet. A broken suite beside this one
    leaves the ledger as it was, with a warning: the report itself is whole.
    """
    from retable.bench.report import unchanged

    file = opened(suite)
    folder = out or file.project / "reports"
    place = places.locate(file.project, tracking)
    planned = plan.trials(file.suite, scale, overrides=overrides, seeds=seeds)
    made_from = unchanged.inputs(file, scale, planned, place)
    if not anew and tuple(formats) == ("md",) and unchanged.is_current(made_from, file, scale, place, folder):
        return folder / file.suite.suite / f"{scale}.md"
    found = results(file, scale=scale, seeds=seeds, overrides=overrides, tracking=tracking)
    if not (found.trials["run_id"] != "").any():
        return None
    from retable.bench.report import compose, ledger, spell

    made = compose(found, formats)
    page = spell(made, folder, formats)
    if not overrides:  # the claims are about the suite as it is
        _remember(file, scale, made.verdicts, place)
    if "md" in formats:
        unchanged.note(made_from, file, scale, place, folder)
        try:
            ledger.write(ledger.read(folder, sorted(file.path.parent.glob("*.yaml"))), folder)
        except (loader.SuiteError, ledger.LedgerError) as error:
            warnings.warn(f"{folder / 'README.md'} was not written: {error}", stacklevel=2)
    return page


def _remember(file: SuiteFile, scale: str, judged: Sequence[Verdict], place: places.Stores) -> None:
    """Count this judging of the claims as a look at them; a store that cannot be written is said and does no harm."""
    from retable.bench.judging import deciding
    from retable.bench.store import looks

    try:
        looks.note(file.suite, scale, place, deciding.seen(judged))
    except places.StoreError as error:
        warnings.warn(f"this look at the claims was not remembered: {error}", stacklevel=3)


def _nothing_to_do(chosen: Sequence[Trial], place: places.Stores, digests: Mapping[str, str], *, stale: bool) -> bool:
    """Whether every trial is done and no run of a dead process is left to close."""
    if not all(found.done for found in status.of(chosen, place, digests, stale_counts=not stale).values()):
        return False
    names = sorted({places.experiment_name(t.suite, t.experiment) for t in chosen})
    return not reading.runs(place.tracking, names, running=True)


def opened(suite: SuiteFile | str | Path) -> SuiteFile:
    """The suite, whose project this process works for from now on."""
    file = suite if isinstance(suite, SuiteFile) else loader.load(suite)
    enter(file.project)
    return file


def _result(finished: bool, chosen: Sequence[Trial], place: places.Stores, digests: Mapping[str, str]) -> RunResult:
    found = status.of(chosen, place, digests)
    return RunResult(finished, tuple((trial, found[trial.id]) for trial in chosen))
