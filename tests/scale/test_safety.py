"""What a store says is not believed: names lead nowhere outside, and what we start listens to this machine alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from cluster import wait_for
from hypothesis import given, settings
from hypothesis import strategies as st
from running import command
from servers import free_port

from retable.bench.store import artifacts, outbox
from retable.bench.store.places import Stores
from retable.bench.store.records import Run

PARTS = st.one_of(
    st.sampled_from(["..", ".", "/", "\\", "//", "secret", "run", "images", "a.png", "\x00", "~"]), st.text()
)
NAMES = st.lists(PARTS, max_size=5).map("".join)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's artifacts, and beside them what nobody may read through it."""
    folder = tmp_path_factory.mktemp("tree")
    (folder / "run" / "images").mkdir(parents=True)
    (folder / "run" / "images" / "a.png").write_text("mine")
    (folder / "secret").write_text("another's")
    return folder


@settings(max_examples=300, deadline=None)
@given(NAMES, NAMES)
def test_a_stores_names_do_not_lead_out_of_a_runs_folder(tree: Path, name: str, path: str) -> None:
    run = Run(name, "e", "n", "FINISHED", 0.0, 1.0, str(tree / "run"))
    try:
        found = artifacts.artifact("sqlite:///x.db", run, path, tree / "fetched")
    except FileNotFoundError:
        return
    assert found.resolve().is_relative_to(tree / "run")


@pytest.mark.parametrize("name", ["../run", "a/b", "", "x" * 65, "/etc"])
def test_a_run_id_is_no_path(tmp_path: Path, name: str) -> None:
    run = Run(name, "e", "n", "FINISHED", 0.0, 1.0, "mlflow-artifacts:/1")
    with pytest.raises(FileNotFoundError, match="is no artifact path"):
        artifacts.artifact("http://127.0.0.1:1", run, "model.pt", tmp_path)  # before anything is asked of a server
    with pytest.raises(ValueError, match="is no run id"):
        outbox.Outbox(Stores("", "", None, tmp_path), name)
    assert [p.name for p in tmp_path.rglob("*")] in ([], ["outbox"])


@pytest.mark.slow
def test_the_interface_listens_on_loopback(project: Path) -> None:
    assert (
        command("run", "toy", "--no-report", "--workers", "1", "--where", "seed=0,lr=0.1,method=plain").wait(120) == 0
    )
    port = free_port()
    words = [sys.executable, "-m", "retable", "ui", "--port", str(port)]
    process = subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: any(c.laddr.port == port for c in _listening(process.pid)))
        assert {c.laddr.ip for c in _listening(process.pid)} == {"127.0.0.1"}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listening(pid: int) -> list[psutil._common.sconn]:
    tree = {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    return [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid in tree]
