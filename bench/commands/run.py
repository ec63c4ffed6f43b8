"""`bench run`: run what is not done yet, then write the report."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from retable.bench.commands import signals
from retable.bench.commands.common import (
    CHECKPOINT_EVERY,
    DEVICE,
    FINE,
    INTERRUPTED,
    RANKS,
    SOME_FAILED,
    Selection,
    plain,
    selecting,
)

if TYPE_CHECKING:
    from retable.bench.run.options import Share


def _on_ray(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of the engine; the command gets them as one `share`, None without Ray."""

    @functools.wraps(command)
    def run(
        *args: Any, engine: str, ray_address: str, cpus_per_trial: float, gpus_per_trial: float, **given: Any
    ) -> Any:
        share = None
        if engine == "ray":
            from retable.bench.run.options import Share

            share = Share(cpus_per_trial, gpus_per_trial, ray_address, given["workers"])
        return command(*args, share=share, **given)

    for option in (
        click.option(
            "--gpus-per-trial", type=click.FloatRange(0), default=0.0, help="with Ray, e.g. 0.25 [default: 0]"
        ),
        click.option("--cpus-per-trial", type=click.FloatRange(0.01), default=1.0, help="with Ray [default: 1]"),
        click.option(
            "--ray-address", default="", help="of a running Ray cluster, or `auto` [default: a new one, here]"
        ),
        click.option("--engine", type=click.Choice(["local", "ray"]), default="local", help="who places workers"),
    ):
        run = option(run)
    return run


@click.command("run")
@selecting(narrowing=True)
@click.option("--storage", help="Optuna storage [default: mlruns/optuna.db of the project]")
@click.option("--workers", type=click.IntRange(0, 512), help="processes [default: one a core on a CPU, one on a GPU]")
@RANKS
@DEVICE
@click.option("--fail-fast", is_flag=True, help="stop at the first failed trial")
@click.option("--stale", is_flag=True, help="run finished trials again whose code has changed")
@CHECKPOINT_EVERY
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="ends a trial as failed")
@_on_ray
@click.option("--report/--no-report", "with_report", default=True, help="write the report at the end")
@signals.sigterm_as_ctrl_c()
def command(
    selection: Selection,
    storage: str | None,
    workers: int | None,
    ranks: int,
    device: str,
    fail_fast: bool,
    stale: bool,
    checkpoint_every: float,
    timeout: float | None,
    with_report: bool,
    share: Share | None,
) -> int:
    """Run a suite's trials that are not done yet, then write its report. The same command goes on after a crash."""
    from retable.bench import api
    from retable.bench.run.options import RunError, RunOptions
    from retable.bench.store import patience

    file = api.load_suite(selection.suite)
    same: dict[str, Any] = {"scale": selection.scale, "seeds": selection.seeds, "overrides": selection.forced}
    with plain(RunError):
        result = api.run(
            file,
            **same,
            where=selection.where,
            only=selection.only,
            tracking=selection.tracking,
            storage=storage,
            options=RunOptions(workers, ranks, device, fail_fast, stale, checkpoint_every, share, timeout or math.inf),
        )
    if not result.finished:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    for trial, found in result.failed:
        print(f"{found.state}: {trial.experiment}: {trial.name} ({trial.id}) {found.reason}", file=sys.stderr)
    if with_report:
        from retable.bench.report import ledger

        patience.allow()  # the store has answered: it is waited for, as in the run
        page = api.report(file, **same, tracking=selection.tracking, anew=False)
        if page is not None:
            print("\n".join([*ledger.verdicts(page.with_suffix(".json")), f"report: {page}"]))
    return SOME_FAILED if result.failed else FINE
