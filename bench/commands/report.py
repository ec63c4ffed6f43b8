"""`bench report`: a suite's report from MLflow alone; without a suite, the ledger of all reports."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from retable.bench.commands.common import ANY_SUITE, FINE, NOTHING, Selection, plain, selecting


@click.command("report")
@selecting(ANY_SUITE)
@click.option("--format", "formats", multiple=True, type=click.Choice(["md", "html", "latex", "csv"]), default=("md",))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="folder [default: reports/ of the project]")
def command(selection: Selection, formats: tuple[str, ...], out: Path | None) -> int:
    """Rebuild a suite's tables, figures and verdicts from MLflow alone. Without a suite: the ledger of all reports."""
    from retable.bench import api
    from retable.bench.report import ledger

    if not selection.suite:
        with plain(ledger.LedgerError):
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
