"""MLflow -> tidy pandas frames: what the runs of one suite at one scale measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from bench.schema import Suite

TrialState = Literal["finished", "diverged", "failed", "running", "missing"]


@dataclass(frozen=True)
class Results:
    """Everything a report is built from.

    trials: one row per trial that the suite declares at this scale, run or not. Columns:
        trial (id), experiment, task, seed (int), state (`TrialState`), stale (bool: its task's code has
        changed since), reason (why it failed, or at which step it diverged), run_id ("" if none),
        started, ended (UTC timestamps or NaT), seconds (wall time of the run), then every setting by its
        name (typed; NaN/None where the experiment's task has no such setting) and every final metric by
        its name, which holds a "/" (float, NaN where there is none).
    facts: run_id -> the system facts of that run (tags such as git commit, device, torch, threads, host).
    curves(run_ids, metric): a frame run_id, step, value, in order of step.
    artifact(run_id, path): local path of an artifact; raises FileNotFoundError.
    """

    suite: Suite
    scale: str
    trials: pd.DataFrame
    facts: dict[str, dict[str, str]]
    curves: Callable[[Sequence[str], str], pd.DataFrame]
    artifact: Callable[[str, str], Path]
