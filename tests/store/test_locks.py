"""One at a time, and a holder that is killed leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retable.bench.store import locks
from retable.bench.store.places import StoreError, Stores

HOLD = """
import sys, time
from pathlib import Path
from retable.bench.store import locks
from retable.bench.store.places import Stores
folder, name, log = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
with locks.held(Stores("sqlite:///x", "sqlite:///y", None, folder), name):
    with log.open("a") as file:
        print("in", file=file, flush=True)
        time.sleep(float(sys.argv[4]))
        print("out", file=file, flush=True)
"""


def hold(folder: Path, name: str, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", HOLD, str(folder), name, str(folder / "log"), str(seconds)])


def wait_for(folder: Path, lines: int) -> list[str]:
    until = time.monotonic() + 60
    while len(found := (folder / "log").read_text().split() if (folder / "log").exists() else []) < lines:
        assert time.monotonic() < until, found
        time.sleep(0.02)
    return found


def test_two_processes_exclude_one_another(tmp_path: Path) -> None:
    both = [hold(tmp_path, "a/b", 0.4) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert wait_for(tmp_path, 4) == ["in", "out", "in", "out"]
    assert (tmp_path / "a-b.lock").exists()


def test_locks_of_other_names_are_free(tmp_path: Path) -> None:
    holder = hold(tmp_path, "a", 60)
    wait_for(tmp_path, 1)
    with locks.held(Stores("sqlite:///x", "sqlite:///y", None, tmp_path), "b"):
        assert wait_for(tmp_path, 1) == ["in"]
    holder.kill()
    holder.wait()


def test_a_killed_holder_leaves_nothing(tmp_path: Path) -> None:
    holder = hold(tmp_path, "a", 60)
    wait_for(tmp_path, 1)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert hold(tmp_path, "a", 0).wait(60) == 0
    assert wait_for(tmp_path, 3) == ["in", "in", "out"]


@pytest.mark.parametrize(("tracking", "said"), [(False, "the queue"), (True, "the tracking store")])
def test_a_server_that_is_away_is_said(tmp_path: Path, tracking: bool, said: str) -> None:
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    server, file = "postgresql+psycopg://u:hunter2@127.0.0.1:9/db", "sqlite:///x"
    stores = Stores(*((server, file) if tracking else (file, server)), None, tmp_path)
    with (
        pytest.raises(
            StoreError, match=rf"^{said} postgresql\+psycopg://\*\*\*@127.0.0.1:9/db cannot be used"
        ) as raised,
        locks.held(stores, "a"),
    ):
        pass
    assert "hunter2" not in str(raised.value)
