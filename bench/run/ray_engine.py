"""`bench run --engine ray`: Ray places the workers, on this machine or a cluster; the queue stays the one that decides.

Each Ray actor holds its share of a node (CPU cores, or a fraction of a GPU, which Ray makes visible to it) and runs one
`bench worker` in it. Ray retries nothing: a trial whose actor or node dies goes back to the queue as any worker's does,
and a new actor takes the place of the dead one. What Ray starts listens on loopback unless a cluster is given.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from retable.bench.run.options import RunError, RunOptions, Share
from retable.bench.store import patience
from retable.bench.store.places import Stores
from retable.bench.suite.loader import SuiteFile

PASSED_ON = ("MLFLOW_", "RETABLE_", "PG", "AWS_", "OMP_", "MPLBACKEND", "PYTHONPATH", "DO_NOT_TRACK")
"""Beginnings of the environment variables that a worker is given: what the stores and their credentials need."""


@contextmanager
def workers(
    file: SuiteFile, stores: Stores, options: RunOptions, scale: str
) -> Iterator[tuple[int, Callable[[], bool]]]:
    """Keep workers running on Ray while the caller feeds the queue. Raises `RunError`.

    How many there are, and whether by now all have left of their own accord, so that the caller waits in vain.
    """
    share, ranks = options.ray or Share(), options.ranks
    if share.gpus and share.gpus < ranks:
        raise RunError(f"--ranks {ranks} needs a GPU each: --gpus-per-trial {ranks}, not {share.gpus:g}")
    ray = _ray(share.address)
    ray.init(
        address=share.address or "local",
        include_dashboard=None if share.address else False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    try:
        fits = _fit(ray, share)
        count = share.count or fits
        if count < 1 or (fits < 1 and not share.address):  # a cluster may grow a node that fits
            raise RunError(f"no Ray node has {share.cpus:g} cores and {share.gpus:g} GPUs for a trial")
        _reachable(ray, stores)
        command = [sys.executable, "-m", "retable", "worker", str(file.path), "--scale", scale, "--workers", "1"]
        command += ["--idle", "1e9", "--checkpoint-every", f"{options.checkpoint_seconds:g}"]
        command += ["--device", "cuda" if share.gpus else "cpu", "--ranks", str(ranks)]
        passed = {k: v for k, v in os.environ.items() if k.startswith(PASSED_ON)}
        passed |= {"MLFLOW_TRACKING_URI": stores.tracking, "RETABLE_STORAGE": stores.storage}
        crew = _Actors(ray, share, command, passed, str(file.project))
        for _ in range(count):
            crew.hire()
        watch = threading.Thread(target=crew.watch, daemon=True)
        watch.start()
        try:
            yield count, lambda: bool(crew.gone)
        finally:
            crew.dismiss()
            watch.join(60)
        if crew.gone:
            raise RunError(crew.gone)
    finally:
        ray.shutdown()


def _ray(address: str) -> Any:
    """Ray, told what it must know before it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would otherwise report usage over the network
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    if not address:  # Ray's word for a cluster of this machine alone, whose servers listen on loopback
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError:
        raise RunError("--engine ray needs Ray: pip install 'retable[ray]'") from None
    return ray


def _fit(ray: Any, share: Share) -> int:
    """How many shares the cluster has room for."""
    there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    per_node = [
        min(int(n.get("CPU", 0) // share.cpus), int(n.get("GPU", 0) // share.gpus) if share.gpus else 10**6)
        for n in there
    ]
    return sum(per_node)


def _reachable(ray: Any, stores: Stores) -> None:
    """Refuse files as stores where workers may land on another machine."""
    hosts = {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
    if len(hosts) > 1 and "sqlite:" in (stores.tracking[:7], stores.storage[:7]):
        raise RunError(
            "this Ray cluster has several machines, and an SQLite file is on one: give --storage postgresql://... "
            "and --tracking-uri http://..."
        )


class _Actors:
    """The actors, each with the answer that it will give when its worker ends."""

    def __init__(self, ray: Any, share: Share, command: list[str], passed: dict[str, str], folder: str):
        self._ray, self._leaving = ray, False
        self.gone = ""
        """Why no worker is left, if that is so before anybody asked for it."""
        self._start = (command, passed, folder)
        self._lock = threading.Lock()
        self._there: dict[Any, Any] = {}
        self._kind = ray.remote(
            num_cpus=share.cpus, num_gpus=share.gpus, max_restarts=0, max_task_retries=0, max_concurrency=2
        )(_Place)

    def hire(self) -> None:
        actor = self._kind.remote()
        with self._lock:
            self._there[actor.serve.remote(*self._start)] = actor

    def watch(self) -> None:
        """Replace actors whose worker or node died, until dismissed. A worker that ends by itself is not replaced:
        its exit code says that it can't go on (other code, a store that it does not reach)."""
        while True:
            with self._lock:
                waiting = list(self._there)
            if not waiting:
                return
            ended, _ = self._ray.wait(waiting, timeout=0.5)
            for answer in ended:
                with self._lock:
                    self._there.pop(answer)
                try:
                    code, said = self._ray.get(answer)
                except self._ray.exceptions.RayError as error:
                    code, said = -1, type(error).__name__
                if self._leaving:
                    continue
                reason = said.strip().splitlines()[-1] if said.strip() else f"exit code {code}"
                patience.say(f"a Ray worker ended ({reason})")
                if code < 0:
                    self.hire()
                elif not self._there:
                    self.gone = f"every Ray worker has ended, the last because: {reason}"

    def dismiss(self) -> None:
        self._leaving = True
        with self._lock:
            actors = list(self._there.values())
        for actor in actors:
            actor.leave.remote()


class _Place:
    """The actor: one `bench worker` in one share of a node, which ends with it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._left = False

    def serve(self, command: list[str], passed: dict[str, str], folder: str) -> tuple[int, str]:
        """Run the worker to its end: its exit code and the end of what it said."""
        # The interpreter and project may lie elsewhere on another node: there `python` and the same path must work.
        python = command[0] if os.path.exists(command[0]) else sys.executable  # noqa: PTH110
        self._process = subprocess.Popen(
            [python, *command[1:]],
            cwd=folder,
            env={**os.environ, **passed},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        if self._left:
            self.leave()
        _, said = self._process.communicate()
        return self._process.returncode, said[-2000:]

    def leave(self) -> None:
        """Let the worker write a checkpoint and end."""
        self._left = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: an actor that is killed takes its worker along
