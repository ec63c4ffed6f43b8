"""The final state of a finished trial, its run's `model.pt`: what another may start from and `bench apply` uses."""

from __future__ import annotations

from pathlib import Path

from retable.bench.run import training
from retable.bench.store import artifacts, digests, reading
from retable.bench.store.digests import Damaged
from retable.bench.store.records import Run
from retable.bench.task import State

NAME = "model.pt"


def state(uri: str, run: Run, folder: Path) -> State:
    """What the run left. Raises `Damaged` where that is gone or broken, FileNotFoundError where it left nothing or a
    server does not give it (it may do so later)."""
    try:
        data = artifacts.artifact(uri, run, NAME, folder).read_bytes()
    except FileNotFoundError:
        if digests.TAG in run.tags or reading.local(uri, run.artifact_uri) is None:
            raise
        raise Damaged(run, NAME, digests.GONE) from None
    try:
        found: State = training.from_bytes(data)
    except training.BROKEN as error:
        raise Damaged(run, NAME, "cannot be read") from error
    return found
