"""`bench worker`: serve the queue of a suite whose `bench run` goes on elsewhere."""

from __future__ import annotations

import sys

import click

from retable.bench.commands import signals
from retable.bench.commands.common import (
    CHECKPOINT_EVERY,
    DEVICE,
    FINE,
    INTERRUPTED,
    RANKS,
    SOME_FAILED,
    SUITE,
    USAGE,
    plain,
)


@click.command("worker")
@SUITE
@click.option("--scale", default="", help="serve this scale only [default: all]")
@click.option("--tracking-uri", "tracking", help="MLflow tracking store [default: MLFLOW_TRACKING_URI]")
@click.option("--storage", help="Optuna storage [default: RETABLE_STORAGE]")
@click.option("--workers", type=click.IntRange(1, 512), help="processes [default: one a core on a CPU, one on a GPU]")
@RANKS
@DEVICE
@click.option("--idle", default=600.0, show_default=True, metavar="SECONDS", help="leave when nothing came for so long")
@CHECKPOINT_EVERY
@click.option("--mixed-versions", "mixed", is_flag=True, help="run trials planned with other packages too, marked so")
def command(
    suite: str,
    scale: str,
    tracking: str | None,
    storage: str | None,
    workers: int | None,
    ranks: int,
    device: str,
    idle: float,
    checkpoint_every: float,
    mixed: bool,
) -> int:
    """Serve the queue of a suite whose `bench run` goes on elsewhere; on any number of machines, for any time.

    Needs the same code and the two URLs, no common file system. Ctrl-C or SIGTERM: running trials leave a checkpoint
    and go back to the queue. Exit code 2: all that waited was planned with other code or packages.
    """
    from retable.bench.run import joining, machine
    from retable.bench.run.options import RunError, RunOptions
    from retable.bench.store import places
    from retable.bench.suite import loader

    file = loader.load(suite)
    with plain(RunError):
        place = places.locate(file.project, tracking, storage)
        options = machine.settle(RunOptions(workers, ranks, device, checkpoint_seconds=checkpoint_every))
        with signals.counted() as asked:
            served = joining.serve(file, place, options, scale=scale, idle=idle, mixed=mixed, asked=asked)
    print(f"{served.done} trials finished, {served.failed} failed", file=sys.stderr)
    for line in dict.fromkeys(served.unfit):
        print(f"not for this worker: {line}", file=sys.stderr)
    if served.interrupted:
        return INTERRUPTED
    return SOME_FAILED if served.failed else USAGE if served.unfit and not served.done else FINE
