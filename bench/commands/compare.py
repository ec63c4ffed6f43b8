"""`bench compare`: which losses moved between two runs, or two sides of a suite."""

from __future__ import annotations

import click

from retable.bench.commands.common import JSON, TRACKING, dump, plain


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option("--suite", "suite_name", default="", metavar="SUITE", help="of the sides; of two runs it is known")
@click.option("--scale", default="quick", show_default=True, help="of a side that names none")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="beside each task's objective; repeatable")
@TRACKING
@JSON
def command(
    a: str, b: str, suite_name: str, scale: str, metrics: tuple[str, ...], tracking: str | None, as_json: bool
) -> None:
    """Which losses moved from A to B, and whether beyond the noise over seeds.

    A and B are two MLflow runs (ids, or their beginnings), or two sides of a suite: store=URL, commit=SHA,
    scale=NAME, joined with commas. For example: bench compare commit=1a2b3c commit=4d5e6f --suite optimizers
    """
    from retable.bench.judging import comparing

    with plain(comparing.CompareError):
        found = comparing.compare(a, b, suite_name=suite_name, scale=scale, metrics=metrics, tracking=tracking)
    print(dump(comparing.as_json(found)) if as_json else comparing.show(found))
