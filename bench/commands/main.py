"""The commands. Nothing heavy is imported before a command needs it: `--help`, `list` and `plan` stay light.

Exit codes: 0 fine; 1 a baseline or claim regressed; 2 usage or configuration; 3 some trials failed;
4 nothing measured or no baseline; 130 interrupted, can be resumed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retable.bench.commands import apply, compare, signals, ui, worker

if TYPE_CHECKING:
    from retable.bench.commands.listing import Selection
    from retable.bench.run.options import Share

FINE, REGRESSED, USAGE, SOME_FAILED, NOTHING, INTERRUPTED = 0, 1, 2, 3, 4, 130

SUITE = click.argument("suite")
SCALE = click.option("--scale", default="quick", show_default=True, help="which size of the suite")
WHERE = click.option("--where", default="", metavar="CONDITIONS", help="e.g. 'optimizer=adam*,lr<=0.01,seed=0'")
ONLY = click.option("--only", multiple=True, metavar="NAME", help="an experiment, table, figure or claim; repeatable")
SEEDS = click.option("--seeds", type=click.IntRange(1), help="this many seeds, whatever the suite says")
SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="force a setting; repeatable")
TRACKING = click.option("--tracking-uri", help="MLflow tracking store [default: mlruns/mlflow.db of the project]")
STORAGE = click.option("--storage", help="Optuna storage [default: mlruns/optuna.db of the project]")
JSON = click.option("--json", "as_json", is_flag=True, help="print JSON")


def _selecting(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Give a command these options, and of them those that select trials as one `Selection`, its first argument."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def command(*args: Any, **given: Any) -> Any:
            from retable.bench.commands.listing import Selection

            names = {f.name: "tracking_uri" if f.name == "tracking" else f.name for f in fields(Selection)}
            return function(Selection(**{n: given.pop(o) for n, o in names.items() if o in given}), *args, **given)

        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@contextlib.contextmanager
def _plain(*kinds: type[Exception]) -> Iterator[None]:
    """Errors of these kinds are a person's to mend: printed without a traceback."""
    try:
        yield
    except kinds as error:
        raise click.ClickException(str(error)) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="retable", prog_name="bench")
def bench() -> None:
    """Rebuild the tables and figures of papers from real runs.

    A suite is one YAML file: give its path, or its name. Start with: bench run optimizers
    """


_NOT_OURS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
)
"""Errors of files that only the person at the keyboard can mend: a full disk, a folder that may not be written."""


def main() -> None:
    """Entry point of the console script: errors that a person can mend are printed plainly, with exit code 2."""
    from retable.bench.data import DataError
    from retable.bench.store.places import StoreError
    from retable.bench.suite.loader import SuiteError
    from retable.bench.suite.plan import PlanError

    try:
        sys.exit(bench.main(prog_name="bench", standalone_mode=False) or FINE)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except (click.Abort, KeyboardInterrupt):
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except (SuiteError, PlanError, DataError, StoreError) as error:
        print(error, file=sys.stderr)
        sys.exit(USAGE)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(FINE)
        if error.errno not in _NOT_OURS:
            raise
        print(error, file=sys.stderr)
        sys.exit(USAGE)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, default=str))


def _table(rows: list[list[str]], header: list[str]) -> None:
    from retable.bench import tables

    print(tables.text(header, rows, rule=True))


@bench.command("list")
@click.argument("suite", required=False)
@JSON
def list_(suite: str | None, as_json: bool) -> None:
    """The suites of this project, or one suite's experiments, tables, figures and claims."""
    from retable.bench.commands import listing

    if as_json:
        _print_json(listing.suites() if suite is None else listing.one(suite))
    elif suite is None:
        keys = ["suite", "paper", "scales", "tables", "figures", "claims"]
        _table([[str(row[key]) for key in keys] for row in listing.suites()], keys)
    else:
        print(listing.text(listing.one(suite)))


@bench.command()
@_selecting(SUITE, SCALE, WHERE, ONLY, SEEDS, SET, TRACKING)
@JSON
@click.option("--workers", type=click.IntRange(1), help="processes, for the time estimate [default: cores]")
def plan(selection: Selection, workers: int | None, as_json: bool) -> None:
    """What a run would do: trials to run, done, stale; data needed; estimated time. Runs nothing."""
    from retable.bench.commands import listing
    from retable.bench.run import machine

    found = listing.plan(selection, workers or machine.cores())
    if as_json:
        _print_json(found)
    else:
        print(listing.plan_text(found))


@bench.command()
@_selecting(SUITE, SCALE, WHERE, ONLY, SEEDS, SET, TRACKING)
@STORAGE
@click.option("--workers", type=click.IntRange(0, 512), help="processes [default: one a core on a CPU, one on a GPU]")
@worker.RANKS
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N")
@click.option("--fail-fast", is_flag=True, help="stop at the first failed trial")
@click.option("--stale", is_flag=True, help="run finished trials again whose code has changed")
@click.option("--checkpoint-every", default=60.0, show_default=True, metavar="SECONDS", help="of a long trial")
@worker.on_ray
@click.option("--report/--no-report", "with_report", default=True, help="write the report at the end")
@signals.sigterm_as_ctrl_c()
def run(
    selection: Selection,
    storage: str | None,
    workers: int | None,
    ranks: int,
    device: str,
    fail_fast: bool,
    stale: bool,
    checkpoint_every: float,
    with_report: bool,
    share: Share | None,
) -> int:
    """Run a suite's trials that are not done yet, then write its report. The same command goes on after a crash."""
    from retable.bench import api
    from retable.bench.run.options import RunError, RunOptions
    from retable.bench.store import patience

    file = api.load_suite(selection.suite)
    same: dict[str, Any] = {"scale": selection.scale, "seeds": selection.seeds, "overrides": selection.forced}
    with _plain(RunError):
        result = api.run(
            file,
            **same,
            where=selection.where,
            only=selection.only,
            tracking=selection.tracking,
            storage=storage,
            options=RunOptions(workers, ranks, device, fail_fast, stale, checkpoint_every, share),
        )
    if not result.finished:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    for trial, found in result.failed:
        print(f"{found.state}: {trial.experiment}: {trial.name} ({trial.id}) {found.reason}", file=sys.stderr)
    if with_report:
        patience.allow()  # the store has answered: it is waited for, as in the run
        page = api.report(file, **same, tracking=selection.tracking)
        print(f"report: {page}")
    return SOME_FAILED if result.failed else FINE


@bench.command()
@_selecting(click.argument("suite", default=""), SCALE, WHERE, ONLY, SEEDS, SET, TRACKING)
@JSON
def status(selection: Selection, as_json: bool) -> None:
    """How far a suite is: its trials by state. Without a suite: the ledger of all, from their last reports."""
    from retable.bench.commands import listing

    if not selection.suite:
        from retable.bench.report import ledger

        with _plain(ledger.LedgerError):
            entries = ledger.read()
        if as_json:
            _print_json(ledger.as_json(entries))
        else:
            print(ledger.text(entries))
        return
    found = [listing.progress(selection)]
    if as_json:
        _print_json(found)
    else:
        states = ["declared", "finished", "diverged", "pruned", "failed", "running", "missing", "stale"]
        rows = [[r["suite"], r["experiment"], *(str(r[s]) for s in states)] for f in found for r in f["experiments"]]
        _table(rows, ["suite", "experiment", *states])


@bench.command()
@_selecting(SUITE, SCALE, SEEDS, SET, TRACKING)
@click.argument("trial")
@JSON
def show(selection: Selection, trial: str, as_json: bool) -> None:
    """One trial: settings, state, metrics, facts of its run, where its files are. TRIAL: an id or its beginning."""
    from retable.bench.commands import listing

    found = listing.show(selection, trial)
    if as_json:
        _print_json(found)
    else:
        print(listing.show_text(found))


@bench.command()
@_selecting(SUITE, SCALE, SEEDS, SET, TRACKING)
@click.argument("trial")
@JSON
def why(selection: Selection, trial: str, as_json: bool) -> None:
    """Why a trial is in the state it is in; for a stale one, which code has changed."""
    from retable.bench.commands import listing

    found = listing.why(selection, trial)
    if as_json:
        _print_json(found)
    else:
        print(f"{found['name']} ({found['id']}): {found['state']}")
        for line in found["because"]:
            print(f"  {line}")


@bench.command()
@_selecting(click.argument("suite", default=""), SCALE, SEEDS, SET, TRACKING)
@click.option("--format", "formats", multiple=True, type=click.Choice(["md", "html", "latex", "csv"]), default=("md",))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="folder [default: reports/ of the project]")
def report(selection: Selection, formats: tuple[str, ...], out: Path | None) -> int:
    """Rebuild a suite's tables, figures and verdicts from MLflow alone. Without a suite: the ledger of all reports."""
    from retable.bench import api
    from retable.bench.report import ledger

    if not selection.suite:
        with _plain(ledger.LedgerError):
            print(ledger.write(ledger.read(out), out or ledger.folder()))
        return FINE
    page = api.report(
        selection.suite,
        scale=selection.scale,
        seeds=selection.seeds,
        overrides=selection.forced,
        tracking=selection.tracking,
        out=out,
        formats=formats,
    )
    if page is None:
        print(f"nothing measured yet: bench run {selection.suite} --scale {selection.scale}", file=sys.stderr)
        return NOTHING
    print(page)
    return FINE


@bench.command()
@_selecting(SUITE, SCALE, WHERE, ONLY, SEEDS, SET, TRACKING)
@JSON
@click.option("--baseline", type=click.Path(path_type=Path), help="[default: reports/baselines/SUITE.SCALE.json]")
@click.option("--update", is_flag=True, help="write the baseline from the runs there are")
@click.option("--junit", type=click.Path(path_type=Path), help="also write JUnit XML")
@click.option("--markdown", type=click.Path(path_type=Path), help="also write Markdown")
def check(
    selection: Selection,
    as_json: bool,
    baseline: Path | None,
    update: bool,
    junit: Path | None,
    markdown: Path | None,
) -> int:
    """Compare losses at fixed steps and at the end with the committed baseline; exit code 1 if one moved."""
    from retable.bench.judging import regression
    from retable.bench.results import frames
    from retable.bench.store import places
    from retable.bench.suite import loader, plan

    file = loader.load(selection.suite)
    scale, forced, seeds = selection.scale, selection.forced, selection.seeds
    place = places.locate(file.project, selection.tracking)
    planned = plan.trials(file.suite, scale, overrides=forced, seeds=seeds)
    chosen = plan.select(planned, selection.where, selection.only, file.suite)
    path = baseline or file.project / "reports" / "baselines" / f"{file.suite.suite}.{scale}.json"
    found = frames.load(file, scale, place, overrides=forced, seeds=seeds)
    if update:
        count = regression.update(found, chosen, path)
        print(
            f"{path}: {count} trials"
            if count
            else f"nothing measured yet: bench run {file.suite.suite} --scale {scale}"
        )
        return FINE if count else NOTHING
    try:
        compared = regression.compare(found, chosen, path)
    except regression.BaselineError as error:
        print(error, file=sys.stderr)
        return NOTHING
    if junit:
        regression.write_junit(compared, junit)
    if markdown:
        regression.write_markdown(compared, markdown)
    if as_json:
        _print_json([vars(c) for c in compared])
    else:
        print(regression.text(compared))
    return regression.exit_code(compared)


bench.add_command(apply.apply)
bench.add_command(compare.compare)
bench.add_command(worker.worker)
bench.add_command(ui.ui)


@bench.group()
def data() -> None:
    """Data sets and weights: what there is, and getting what is not embedded."""


@data.command("list")
@JSON
def data_list(as_json: bool) -> None:
    """The data sets and weights that suites can name, and whether they are here."""
    from retable.bench import data as sets

    rows: list[dict[str, Any]] = [
        {"name": s.name, "here": s.missing() is None, "embedded": s.embedded, "licence": s.licence, "about": s.about}
        for s in sets.sources(_packages()).values()
    ]
    if as_json:
        _print_json(rows)
    else:
        _table([[r["name"], "yes" if r["here"] else "no", r["about"]] for r in rows], ["name", "here", "what it is"])


def _packages() -> list[str]:
    """The packages of this project's suites, which may bring data of their own; suites that are broken are told of."""
    from retable.bench.suite import loader

    packages, broken = loader.packages()
    for line in broken:
        print(f"{line}\n(the data of its packages is left out)", file=sys.stderr)
    return packages


@data.command("get")
@click.argument("name")
def data_get(name: str) -> None:
    """Download, verify and prepare a data set. The only command that uses the network."""
    from retable.bench import data as sets

    try:
        source = sets.find(name, _packages())
    except LookupError as error:
        raise click.ClickException(str(error)) from None
    if source.get is None:
        print(f"{name} needs no download: {source.missing() or 'it is here'}")
        return
    source.get()
    print(f"{name} is ready")


@bench.command()
@JSON
def doctor(as_json: bool) -> int:
    """What this machine has: versions, devices, threads, stores, data and weights; what is wrong and the mend."""
    from retable.bench.commands import examining as checks

    found = checks.examine()
    if as_json:
        _print_json([vars(c) for c in found])
    else:
        print(checks.text(found))
    return FINE if all(c.fine for c in found) else USAGE


if __name__ == "__main__":
    main()
