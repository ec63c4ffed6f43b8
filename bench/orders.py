"""What a supervisor tells its workers: one JSON line, light enough that telling needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.stores import Stores


@dataclass(frozen=True)
class Orders:
    """What a worker must know; everything else comes with the trials.

    experiments: name -> definition. studies: name -> Optuna study. mlflow: name -> MLflow experiment id.
    codes: name -> digest of the task's code; code_files: the same by definition, stored with each run.
    facts: tags for every run (git commit, versions). device: "cpu", "cuda", "cuda:1".
    guest: serve every study of the suite (of `scale`, if that is not empty) that the storage holds or comes to hold,
        and put back what one is asked to stop; else serve `studies`, whose supervisor sees to the rest.
    mixed: also run trials that were planned with other versions of packages, marked as such.
    """

    suite: str
    packages: list[str]
    project: str
    tracking: str
    storage: str
    artifacts: str | None
    folder: str
    experiments: dict[str, Any]
    studies: dict[str, str]
    mlflow: dict[str, str]
    codes: dict[str, str]
    code_files: dict[str, str]
    facts: dict[str, str]
    device: str
    threads: int
    checkpoint_seconds: float = 60.0
    guest: bool = False
    scale: str = ""
    mixed: bool = False

    @property
    def stores(self) -> Stores:
        artifacts = None if self.artifacts is None else Path(self.artifacts)
        return Stores(self.tracking, self.storage, artifacts, Path(self.folder))
