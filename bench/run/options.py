"""How a run is carried out, as opposed to what is run."""

from __future__ import annotations

from dataclasses import dataclass


class RunError(RuntimeError):
    """The run cannot start or go on; the text says what to do."""


@dataclass(frozen=True)
class Options:
    """workers: trials at a time. ranks: processes that share each trial, where its task can be shared. threads: of each
    process. device: where tasks run; with ranks the first of them. stale: run trials of changed code again."""

    workers: int
    threads: int
    device: str
    fail_fast: bool = False
    stale: bool = False
    checkpoint_seconds: float = 60.0
    ranks: int = 1
