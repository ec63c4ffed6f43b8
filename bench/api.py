"""What the commands do, as functions: `load_suite`, `run`, `results`, `report`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retable.bench import data
from retable.bench.run import machine, progress
from retable.bench.run.options import Options, RunError
from retable.bench.store import places, reading, status
from retable.bench.store.status import Status
from retable.bench.suite import loader, plan
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.plan import Trial

if TYPE_CHECKING:
    from retable.bench.results.frames import Results
    from retable.bench.run.ray_engine import Share

load_suite = loader.load


def run(
    file: SuiteFile | str | Path,
    *,
    scale: str = "quick",
    where: str = "",
    only: Sequence[str] = (),
    seeds: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    workers: int | None = None,
    ranks: int = 1,
    device: str = "auto",
    fail_fast: bool = False,
    stale: bool = False,
    checkpoint_seconds: float = 60.0,
    tracking: str | None = None,
    storage: str | None = None,
    share: Share | None = None,
    show: Any = None,
) -> tuple[bool, list[tuple[Trial, Status]]]:
    """Run the trials of a suite that are not done yet; on Ray, if `share` says what each trial gets there.

    workers: trials at a time; default: as many as there are cores for, or one on GPUs. ranks: processes that share each
    trial whose task can be shared.
    Returns whether it ran to the end (False: interrupted), and every chosen trial with its status.
    Raises SuiteError, PlanError, or RunError (data is missing, workers cannot start).
    """
    file = loader.load(file) if not isinstance(file, SuiteFile) else file
    planned = plan.trials(file.suite, scale, overrides=overrides, seeds=seeds)
    chosen = plan.select(planned, where, only, file.suite)
    place = places.locate(file.project, tracking, storage)
    read = sorted({name for trial in chosen for name in trial.data})
    lacking = [m for name in read if (m := data.missing(name, file.suite.packages))]
    if lacking:
        raise RunError("\n".join(lacking))
    digests = status.code_digests(file.suite)
    show = show or progress.make()
    if _nothing_to_do(chosen, place, digests, stale=stale):
        show.begin(0, len(chosen), 0)
        show.end()
        return True, _statuses(chosen, place, digests)

    from retable.bench.run import supervisor  # MLflow and Optuna: a run with nothing to do never waits for their import

    here = machine.options_of(workers, ranks, device) if share is None else Options(0, 1, machine.pick_device(device))
    options = replace(here, fail_fast=fail_fast, stale=stale, checkpoint_seconds=checkpoint_seconds)
    if share is None:
        ended = supervisor.run(file, planned, chosen, place, options, show)
    else:
        from retable.bench.run import ray_engine

        crew = ray_engine.workers(file, place, share, scale=scale, ranks=ranks, checkpoint_seconds=checkpoint_seconds)
        with crew as count:
            show.note(f"{count} workers on Ray, {share.cpus:g} cores and {share.gpus:g} GPUs each")
            ended = supervisor.run(file, planned, chosen, place, options, show)
    return ended, _statuses(chosen, place, digests)


def results(
    file: SuiteFile | str | Path,
    *,
    scale: str = "quick",
    seeds: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    tracking: str | None = None,
) -> Results:
    """What the runs of a suite measured, as tidy pandas frames."""
    from retable.bench.results import frames

    file = loader.load(file) if not isinstance(file, SuiteFile) else file
    return frames.load(file, scale, places.locate(file.project, tracking), overrides=overrides, seeds=seeds)


def report(
    file: SuiteFile | str | Path,
    *,
    scale: str = "quick",
    seeds: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    tracking: str | None = None,
    out: Path | None = None,
    formats: Sequence[str] = ("md",),
) -> Path | None:
    """Write a suite's report from MLflow alone, and the ledger of the folder it goes to.

    The path of the page (of the first format), or None when nothing has run yet. A broken suite beside this one
    leaves the ledger as it was, with a warning: the report itself is whole.
    """
    from retable.bench.report import ledger, write

    file = loader.load(file) if not isinstance(file, SuiteFile) else file
    found = results(file, scale=scale, seeds=seeds, overrides=overrides, tracking=tracking)
    if not (found.trials["run_id"] != "").any():
        return None
    folder = out or file.project / "reports"
    page = write(found, folder, formats)
    if "md" in formats:
        try:
            ledger.write(ledger.read(folder, sorted(file.path.parent.glob("*.yaml"))), folder)
        except (loader.SuiteError, ledger.LedgerError) as error:
            warnings.warn(f"{folder / 'README.md'} was not written: {error}", stacklevel=2)
    return page


def _nothing_to_do(chosen: Sequence[Trial], place: places.Stores, digests: Mapping[str, str], *, stale: bool) -> bool:
    """Whether every trial is done and no run of a dead process is left to close."""
    if not all(found.done for found in status.of(chosen, place, digests, stale_counts=not stale).values()):
        return False
    names = sorted({places.experiment_name(t.suite, t.experiment) for t in chosen})
    return not reading.runs(place.tracking, names, running=True)


def _statuses(chosen: Sequence[Trial], place: places.Stores, digests: Mapping[str, str]) -> list[tuple[Trial, Status]]:
    found = status.of(chosen, place, digests)
    return [(trial, found[trial.id]) for trial in chosen]
