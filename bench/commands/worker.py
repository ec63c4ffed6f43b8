"""The command `bench worker`; light to import like the others."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

from retable.bench.commands import signals

RANKS = click.option(
    "--ranks",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="processes (with CUDA a GPU each) that share every trial's batches, where its task can",
)


def on_ray(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `bench run` the options of its engine; it gets them as one `share`, None without Ray."""

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


@click.command()
@click.argument("suite")
@click.option("--scale", default="", help="serve this scale only [default: all]")
@click.option("--tracking-uri", "tracking", help="MLflow tracking store [default: MLFLOW_TRACKING_URI]")
@click.option("--storage", help="Optuna storage [default: RETABLE_STORAGE]")
@click.option("--workers", type=click.IntRange(1, 512), help="processes [default: one a core on a CPU, one on a GPU]")
@RANKS
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N")
@click.option("--idle", default=600.0, show_default=True, metavar="SECONDS", help="leave when nothing came for so long")
@click.option("--checkpoint-every", default=60.0, show_default=True, metavar="SECONDS", help="of a long trial")
@click.option("--mixed-versions", "mixed", is_flag=True, help="run trials planned with other packages too, marked so")
def worker(
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
    from retable.bench import api
    from retable.bench.run import joining, machine
    from retable.bench.run.options import RunError, RunOptions
    from retable.bench.store import places

    file = api.load_suite(suite)
    try:
        place = places.locate(file.project, tracking, storage)
        options = machine.settle(RunOptions(workers, ranks, device, checkpoint_seconds=checkpoint_every))
        with signals.counted() as asked:
            served = joining.serve(file, place, options, scale=scale, idle=idle, mixed=mixed, asked=asked)
    except RunError as error:
        raise click.ClickException(str(error)) from None
    print(f"{served.done} trials finished, {served.failed} failed", file=sys.stderr)
    for line in dict.fromkeys(served.unfit):
        print(f"not for this worker: {line}", file=sys.stderr)
    if served.interrupted:
        return 130
    return 3 if served.failed else 2 if served.unfit and not served.done else 0
