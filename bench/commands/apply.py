"""`bench apply`: a trained model on pictures of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from retable.bench.commands.common import DEVICE, SUITE, TRACKING, plain

FILE = click.Path(path_type=Path)


@click.command("apply")
@SUITE
@click.argument("contents", nargs=-1, required=True, type=FILE, metavar="CONTENT...")
@click.option("-o", "--out", required=True, type=FILE, help="a folder, one picture's file, or .gif for a film")
@click.option(
    "--style", "styles", multiple=True, metavar="FILE|WORD", help="a picture, or an embedded style; repeatable"
)
@click.option("--weight", "weights", multiple=True, type=float, help="how much of each --style, in their order")
@click.option("--mask", "masks", multiple=True, type=FILE, help="white where each --style goes; black in all: kept")
@click.option("--photo", is_flag=True, help="keep it photorealistic")
@click.option("--upscale", type=click.IntRange(1, 8), default=1, help="enlarge so many times, with --style as a guide")
@click.option("--intensity", type=click.FloatRange(0, 10), default=1.0, show_default=True, help="of the style")
@click.option("--size", type=click.IntRange(0), help="reduce to this longest side first; 0: not  [1024; --upscale: 0]")
@click.option("--film", is_flag=True, help="a folder's pictures are the frames of a film; -o film.gif says so too")
@click.option("--scale", default="quick", show_default=True, help="whose models: which size of the suite")
@click.option("--only", multiple=True, metavar="NAME", help="the experiment whose model it is")
@click.option("--where", default="", metavar="CONDITIONS", help="which of its models, e.g. 'optimizer=adam,lr=0.001'")
@DEVICE
@TRACKING
def command(
    suite: str,
    contents: tuple[Path, ...],
    out: Path,
    scale: str,
    only: tuple[str, ...],
    where: str,
    device: str,
    tracking: str | None,
    **wish: Any,
) -> None:
    """Use a trained model on pictures of your own.

    CONTENT: one or more pictures, a folder of them, or a film. Say which model by --only and --where; otherwise it
    is the one that the suite's other trials start from, else the one with the lowest loss.

    \b
    bench apply flexible_solver me.jpg --style mosaic -o me.png
    bench apply flexible_solver a.jpg b.jpg --style x.jpg --style waves --weight 7 --weight 3 -o out/
    bench apply flexible_solver frames/ --style sky.jpg --photo -o film.gif
    """
    from retable.bench.apply import applying
    from retable.bench.run import machine
    from retable.bench.run.options import RunError

    with plain(applying.ApplyError, RunError):
        which = applying.Which(scale, only, where)
        made = applying.apply(
            suite, contents, out, applying.Wish(**wish), which, device=machine.pick_device(device), tracking=tracking
        )
    trial = made.model.trial
    stale = "; its code has changed since it was trained" if made.model.status.stale else ""
    click.echo(f"model: {trial.experiment}: {trial.name} ({trial.id}){stale}", err=True)
    for line in made.reduced[:3]:
        click.echo(f"{line} (--size 0: as it is)", err=True)
    if len(made.reduced) > 3:
        click.echo(f"... and {len(made.reduced) - 3} more", err=True)
    for path in made.files:
        click.echo(path)
