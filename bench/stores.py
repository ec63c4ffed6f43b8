"""Which stores a run uses: two URLs (Optuna's storage, MLflow's tracking store), and where their files lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stores:
    """Where trials are queued and results kept.

    tracking: MLflow tracking URI. storage: Optuna storage URL. artifacts: root for artifacts of a local
    tracking store; None lets the tracking server decide. folder: for locks and other local files.
    """

    tracking: str
    storage: str
    artifacts: Path | None
    folder: Path


def locate(project: Path, tracking: str | None = None, storage: str | None = None) -> Stores:
    """The stores by command line, environment (MLFLOW_TRACKING_URI, RETABLE_STORAGE), or `mlruns/` of the project.

    Artifacts, locks and logs lie beside an SQLite tracking store, else in `mlruns/`; a tracking server keeps its own.
    """
    folder = project / "mlruns"
    tracking = tracking or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
    storage = storage or os.environ.get("RETABLE_STORAGE") or f"sqlite:///{folder / 'optuna.db'}"
    if tracking.startswith("sqlite:///"):
        folder = Path(tracking.removeprefix("sqlite:///")).resolve().parent
    local = tracking.startswith(("sqlite:", "postgresql"))
    return Stores(tracking, storage, folder / "artifacts" if local else None, folder)


def experiment_name(suite: str, experiment: str) -> str:
    """The MLflow experiment of a suite's experiment, all scales together."""
    return f"{suite}/{experiment}"
