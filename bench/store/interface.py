"""MLflow's own interface: how it is started for a store, and the page that compares an experiment's runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from urllib.parse import quote

from retable.bench.store.places import Stores
from retable.bench.store.records import Group


def comparison(address: str, group: Group) -> str:
    """The page that compares an experiment's runs: curves of every metric, the runs beside them.

    Of several seeds it shows the first, so that there is a curve for each cell; the filter stands in the page's
    search field, to be changed there.
    """
    only = "&searchFilter=" + quote(f"params.seed = '{group.first_seed}'") if group.seeds > 1 else ""
    return f"{address}/#/experiments/{group.id}/runs?workflowType=machine_learning&compareRunsMode=CHART{only}"


def command(stores: Stores, port: int) -> list[str]:
    """The command that serves MLflow's interface on loopback; its environment is `environment(stores)`."""
    found = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    return found + ([] if stores.artifacts is None else ["--default-artifact-root", str(stores.artifacts)])


def environment(stores: Stores) -> Mapping[str, str]:
    """This process's environment with MLflow's usage reports off, and the store, whose URL a process list must not
    show."""
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    return {**os.environ, **quiet, "MLFLOW_BACKEND_STORE_URI": stores.tracking}
