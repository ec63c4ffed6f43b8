"""Who runs a trial: a process by its machine, number and start, and whether it is still there."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def owner() -> str:
    """This process, as `host:pid:start:boot:namespace`: the start tells it from a later process of the same number,
    the namespace from one of that number in another container of the same host name."""
    return ":".join([socket.gethostname(), str(os.getpid()), _started(os.getpid()), _boot(), _namespace()])


def is_dead(owner: str) -> bool:
    """Whether the owner was a process of this machine that is gone. Of other machines and other containers nothing is
    known: False. Whoever ran before this machine's last start is gone."""
    host, *rest = owner.split(":")
    if host != socket.gethostname() or len(rest) not in (2, 4) or not rest[0].isdigit():
        return False
    pid, start, *where = rest
    if where and where[0] != _boot():
        return True
    if where and where[1] != _namespace():
        return False
    return _started(int(pid)) != start


def _boot() -> str:
    """Which start of the machine this is, empty where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    """Among which processes a process number counts, empty where the kernel does not tell."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""


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
