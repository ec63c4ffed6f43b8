"""`bench ui`: MLflow's interface on loopback, with the address of each experiment's comparison."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from bench import store, stores

NOTHING, USAGE = 4, 2


def comparison(address: str, group: store.Group) -> str:
    """The page that compares an experiment's runs: curves of every metric, the runs beside them.

    Of several seeds it shows the first, so that there is a curve for each cell; the filter stands in the page's
    search field, to be changed there.
    """
    only = "&searchFilter=" + quote(f"params.seed = '{group.first_seed}'") if group.seeds > 1 else ""
    return f"{address}/#/experiments/{group.id}/runs?workflowType=machine_learning&compareRunsMode=CHART{only}"


def serve(project: Path, tracking: str | None, port: int) -> int:
    """Serve MLflow's interface for the project's store until Ctrl-C; the exit code."""
    place = stores.locate(project, tracking)
    if not store.is_sql(place.tracking):
        print(f"{place.tracking} is served already: open it in a browser", file=sys.stderr)
        return USAGE
    known = store.experiments(place.tracking)
    if not known:
        print(f"nothing to show yet in {project}: bench run SUITE", file=sys.stderr)
        return NOTHING
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", place.tracking]
    if place.artifacts is not None:
        command += ["--default-artifact-root", str(place.artifacts)]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    address = f"http://127.0.0.1:{port}"
    width = max(map(len, known))
    print(f"{'all experiments':<{width}}  {address}/#/experiments", file=sys.stderr)
    for name, group in known.items():
        print(f"{name:<{width}}  {comparison(address, group)}", file=sys.stderr)
    print("Ctrl-C ends it", file=sys.stderr)
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0
