"""What a machine has for trials: its cores by affinity and by the quota of a container."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from retable.bench.run import machine


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/pod/app\n", {"pod/app": {"cpu__max": "50000 100000\n"}}, 0.5),
        ("0::/pod/app\n", {"pod/app": {"cpu__max": "max 100000\n"}, "pod": {"cpu__max": "300000 100000\n"}}, 3.0),
        ("0::/\n", {".": {"cpu__max": "150000 100000\n"}}, 1.5),
        ("0::/elsewhere\n", {".": {"cpu__max": "200000 100000\n"}}, 2.0),
        (
            "4:memory:/x\n3:cpu,cpuacct:/x\n",
            {"cpu/x": {"cpu__cfs_quota_us": "25000", "cpu__cfs_period_us": "100000"}},
            0.25,
        ),
        ("3:cpu,cpuacct:/\n", {"cpu": {"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"}}, math.inf),
        ("0::/pod\n", {"pod": {"cpu__max": "what is this"}}, math.inf),
        ("5:cpuset:/\n", {".": {"cpu__max": "50000 100000"}}, math.inf),
    ],
)
def test_a_containers_quota_is_read_from_its_control_groups(
    tmp_path: Path, own: str, files: dict[str, dict[str, str]], cores: float
) -> None:
    (tmp_path / "own").write_text(own)
    for folder, texts in files.items():
        group(tmp_path / "cgroup" / folder, **texts)
    assert machine.quota(tmp_path / "own", tmp_path / "cgroup") == cores
    assert machine.quota(tmp_path / "no such", tmp_path / "cgroup") == math.inf


@pytest.mark.parametrize(("quota", "cores"), [(0.5, 1), (1.9, 1), (2.0, 2), (math.inf, 3), (64.0, 3)])
def test_cores_are_the_fewest_that_affinity_and_quota_leave(
    monkeypatch: pytest.MonkeyPatch, quota: float, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5}, raising=False)
    monkeypatch.setattr(machine, "quota", lambda: quota)
    assert machine.cores() == cores
