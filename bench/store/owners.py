"""Who runs a trial: a process by its machine, number and start, and whether it is still there."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def owner() -> str:
    """This process, as `host:pid:start`; the start time tells it from a later process of the same number."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether the owner was a process of this machine that is gone. Of other machines nothing is known: False."""
    host, _, rest = owner.rpartition(":")[0].partition(":")
    start = owner.rpartition(":")[2]
    if host != socket.gethostname() or not rest.isdigit():
        return False
    return _started(int(rest)) != start


def _started(pid: int) -> str:
    """When a process started, in ticks since boot where the kernel tells (a clock that is set does not move them)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self/stat").exists():
            return "gone"
    else:
        state, *fields = stat.rpartition(")")[2].split()
        return "gone" if state in "ZX" else fields[18]
    import psutil

    try:
        return str(int(psutil.Process(pid).create_time()))
    except psutil.Error:
        return "gone"
