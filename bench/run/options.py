"""How a run is carried out, as opposed to what is run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from retable.bench.errors import RetableError


class RunError(RetableError, RuntimeError):
    """The run cannot start or go on; the text says what to do."""


@dataclass(frozen=True)
class Share:
    """What one trial gets on Ray. cpus: cores; gpus: GPUs, or a part of one. address: of a running cluster; "": start
    one here. count: trials at a time; None: as many as fit."""

    cpus: float = 1.0
    gpus: float = 0.0
    address: str = ""
    count: int | None = None


@dataclass(frozen=True)
class RunOptions:
    """How `run` goes about it.

    workers: trials at a time; None: as many as there are cores for, or one on GPUs; 0: only keep the queue, for workers
    elsewhere. ranks: processes that share each trial whose task can be shared. device: `auto`, `cpu`, `cuda` or
    `cuda:N`. fail_fast: stop at the first failed trial. stale: run finished trials again whose code has changed.
    checkpoint_seconds: between two checkpoints of a long trial. timeout: seconds after which a trial is ended and has
    failed; inf: never. ray: let Ray place the workers, so much for each.
    """

    workers: int | None = None
    ranks: int = 1
    device: str = "auto"
    fail_fast: bool = False
    stale: bool = False
    checkpoint_seconds: float = 60.0
    ray: Share | None = None
    timeout: float = math.inf


@dataclass(frozen=True)
class Options:
    """`RunOptions` settled for this machine (`machine.settle`). workers: here, none with Ray. threads: of each process.
    device: where tasks run; with ranks the first of them."""

    workers: int
    threads: int
    device: str
    fail_fast: bool = False
    stale: bool = False
    checkpoint_seconds: float = 60.0
    ranks: int = 1
    timeout: float = math.inf
