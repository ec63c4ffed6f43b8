"""`bench ui`: MLflow's interface on loopback, with the address of each experiment's comparison."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from retable.bench import tables
from retable.bench.commands.common import FINE, NOTHING, TRACKING, USAGE


@click.command("ui")
@click.option("--port", default=5000, show_default=True)
@click.option("--project", type=click.Path(path_type=Path, exists=True), default=Path(), help="[default: this folder]")
@TRACKING
def command(port: int, project: Path, tracking: str | None) -> int:
    """Serve MLflow's interface on this machine (loopback only), and say where each experiment's runs are compared."""
    from retable.bench.store import interface, places, reading

    place = places.locate(project.resolve(), tracking)
    if not reading.is_sql(place.tracking):
        print(f"{places.address(place.tracking)} is served already: open it in a browser", file=sys.stderr)
        return USAGE
    known = reading.experiments(place.tracking)
    if not known:
        print(f"nothing to show yet in {project.resolve()}: bench run SUITE", file=sys.stderr)
        return NOTHING
    address = f"http://127.0.0.1:{port}"
    shown = [(name, interface.comparison(address, group)) for name, group in known.items()]
    print(tables.text(("all experiments", f"{address}/#/experiments"), shown), file=sys.stderr)
    print("Ctrl-C ends it", file=sys.stderr)
    try:
        return subprocess.run(interface.command(place, port), env=interface.environment(place), check=False).returncode
    except KeyboardInterrupt:
        return FINE
