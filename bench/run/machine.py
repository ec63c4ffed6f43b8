"""What this machine has for trials: cores, devices, and how many workers fit. Light: imports torch only if it must."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from retable.bench.run.options import Options, RunError, RunOptions


def settle(wanted: RunOptions) -> Options:
    """Workers, threads and device for this machine. Raises `RunError` for what it has no room for."""
    device, ranks = pick_device(wanted.device), wanted.ranks
    if wanted.ray is not None:
        count, threads = 0, 1  # Ray's workers settle for themselves, where they are placed
    else:
        count = (max(1, cores() // ranks) if device == "cpu" else 1) if wanted.workers is None else wanted.workers
        fits(device, count, ranks)
        threads = max(1, cores() // max(1, count * ranks))
    return Options(
        count, threads, device, wanted.fail_fast, wanted.stale, wanted.checkpoint_seconds, ranks, wanted.timeout
    )


def cores() -> int:
    """The cores this process may use: by its affinity, and by the quota of its container, rounded down (1 at least)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(count, quota())))


def quota(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores' worth of time that this process's control groups (version 2 or 1) allow; infinite without a limit.

    own: which groups this process is in. root: where their files are mounted. A limit of any group above counts too.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return math.inf  # no Linux
    least = math.inf
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root if not controllers else root / "cpu"
        inside = base / group.lstrip("/")
        # In a container its own group is often mounted as the root.
        for folder in dict.fromkeys([inside, *(p for p in inside.parents if p.is_relative_to(base)), base]):
            least = min(least, _limit(folder))
    return least


def _limit(folder: Path) -> float:
    try:
        if (folder / "cpu.max").is_file():
            allowed, period = (folder / "cpu.max").read_text().split()
        else:
            allowed, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return math.inf if allowed in ("max", "-1") else int(allowed) / int(period)
    except (OSError, ValueError):
        return math.inf


GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def pick_device(word: str) -> str:
    """`auto`, `cpu`, `cuda` or `cuda:N` -> a device that is there. Raises `RunError`."""
    if word == "cpu":
        return word
    if word == "auto" and sys.platform == "linux" and not any(Path(p).exists() for p in GPU_DRIVERS):
        return "cpu"  # no driver: not worth a second of import to hear it from torch
    import torch

    if word == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(word)
    except RuntimeError:
        raise RunError(f"device '{word}': write auto, cpu, cuda or cuda:N") from None
    if device.type != "cuda":
        raise RunError(f"device '{word}': write auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
        raise RunError(f"device {word}: this machine has {torch.cuda.device_count()} CUDA devices")
    return word


def fits(device: str, workers: int, ranks: int) -> None:
    """Raises `RunError` where so many processes have no place on this machine."""
    if not device.startswith("cuda"):
        return
    import torch

    first = torch.device(device).index or 0
    there = torch.cuda.device_count() - first
    if ranks > there:
        raise RunError(f"--ranks {ranks} needs as many GPUs from {device} on, and there are {there}")
    if ranks > 1 and workers > 1:
        raise RunError(
            "--ranks gives every trial GPUs of its own: use --workers 1, and a `bench worker --device cuda:N` more "
            "for each further group of GPUs"
        )
