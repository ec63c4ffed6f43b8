"""`bench gc`: what can go from the folder of the stores."""

from __future__ import annotations

from pathlib import Path

import click

from retable.bench import tables
from retable.bench.commands.common import FINE, JSON, TRACKING, dump


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="say what would go; remove nothing")
@click.option("--orphans", is_flag=True, help="also artifacts whose run no store in this folder has")
@TRACKING
@JSON
def command(dry_run: bool, orphans: bool, tracking: str | None, as_json: bool) -> int:
    """Remove checkpoints of finished trials, half-written files, points of deleted runs: only what retable wrote."""
    from retable.bench.store import garbage, places
    from retable.bench.suite import loader

    suites = loader.available()
    place = places.locate(loader.project_of(suites[0]) if suites else Path.cwd(), tracking)
    found = garbage.find(place)
    going = [piece for piece in found if orphans or not piece.orphan]
    if not dry_run:
        for piece in going:
            garbage.remove(place, piece)
    told = [{"file": str(p.path), "bytes": p.size, "why": p.why, "removed": p in going and not dry_run} for p in found]
    if as_json:
        print(dump(told))
        return FINE
    if told:
        rows = [[str(t["file"]), f"{t['bytes']:,}", str(t["why"])] for t in told]
        print(tables.text(["file", "bytes", "why"], rows, rule=True))
    verb = "would go" if dry_run else "removed"
    print(f"{len(going)} files, {sum(p.size for p in going):,} bytes {verb}")
    if len(going) < len(found):
        print(f"{len(found) - len(going)} stay: another store may have their runs; --orphans removes them too")
    return FINE
