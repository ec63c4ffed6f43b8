"""Workers that Ray places: on this machine, on two nodes, and after one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import wait_for
from running import ROOT, Ran, command, finished, statuses

pytest.importorskip("ray", reason="needs the extra `ray`")
WHAT = ("run", "toy", "--no-report", "--engine", "ray", "--workers", "2", "--cpus-per-trial", "0.5")


def test_ray_places_the_workers_and_the_queue_decides(project: Path) -> None:
    slow = ("--scale", "long", "--where", "experiment=grid,lr=0.1", "--checkpoint-every", "0.3")
    process = command(*WHAT, *slow, RETABLE_HEARTBEAT="1")
    wait_for(lambda: statuses(project).count("RUNNING") == 2 or process.poll() is not None)
    assert _listening(process.pid) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    (victim, *_) = _actors(process.pid)
    os.kill(victim, signal.SIGKILL)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "2 workers on Ray, 0.5 cores and 0 GPUs each" in err and "a Ray worker ended" in err
    done = finished(project)
    assert len(done) == 4 and all(len(runs) == 1 for runs in done.values())
    assert "RUNNING" not in statuses(project)


def _actors(pid: int) -> list[int]:
    """The actors' processes, seen from the workers that they run."""
    import psutil

    below = psutil.Process(pid).children(recursive=True)
    return sorted({c.ppid() for c in below if c.cmdline()[1:4] == ["-m", "retable", "worker"]})


def _listening(pid: int) -> set[str]:
    """The addresses that a command, Ray and all that it started listen on."""
    import psutil

    tree = {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    there = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid in tree]
    assert there
    return {c.laddr.ip for c in there}


@pytest.mark.slow
def test_two_nodes_on_one_machine(project: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        process = command(*WHAT[:-2], "--ray-address", cluster.address, "--where", "experiment=grid,lr=0.1")
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert len(finished(project)) == 4
    finally:
        cluster.shutdown()


FRACTIONS = """
import sys, ray
from retable.bench.run import ray_engine
from retable.bench.run.options import Share
ray.init(num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
share = Share(cpus=0.5, gpus=0.5)
say = "import os, sys, time; sys.stderr.write(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(1)"
crew = ray_engine._Actors(ray, share, [sys.executable, "-c", say], {}, ".")
for _ in range(3):
    crew.hire()
answers = list(crew._there)
done, waiting = ray.wait(answers, num_returns=3, timeout=20)
for answer in done:
    crew._there.pop(answer)  # as its watch does: the actor ends, and gives its share back
print(ray_engine._fit(ray, share), len(done), len(waiting), ray.get(answers))
"""


@pytest.mark.slow
def test_two_trials_share_a_gpu_and_a_third_waits(tmp_path: Path) -> None:
    """The GPU is declared, not there: what Ray counts, and what it lets a worker see, is the same."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", FRACTIONS], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "2 2 1 [(0, '0'), (0, '0'), (0, '0')]"


def test_more_than_there_is_is_an_error_of_one_line(project: Path, bench: Callable[..., Ran]) -> None:
    ran = bench(*WHAT[:5], "--gpus-per-trial", "64", "--where", "experiment=grid,lr=0.1")
    assert ran.code == 2 and "no Ray node has 1 cores and 64 GPUs for a trial" in ran.err
