"""`bench check`: today's losses against the committed baseline."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from retable.bench.commands.common import FINE, JSON, NOTHING, Selection, dump, selecting


@click.command("check")
@selecting(narrowing=True)
@JSON
@click.option("--baseline", type=click.Path(path_type=Path), help="[default: reports/baselines/SUITE.SCALE.json]")
@click.option("--update", is_flag=True, help="write the baseline from the runs there are")
@click.option("--junit", type=click.Path(path_type=Path), help="also write JUnit XML")
@click.option("--markdown", type=click.Path(path_type=Path), help="also write Markdown")
def command(
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
    print(dump([vars(c) for c in compared]) if as_json else regression.text(compared))
    return regression.exit_code(compared)
