"""Nothing is sent anywhere unasked: no process of a run looks up a name or opens a connection, or needs to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from running import ROOT, finished

SPY = """
import os, sys

def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        where = args[1] if event in ("socket.connect", "socket.sendto") else args[0]
        if isinstance(where, (str, bytes)) and event == "socket.connect":
            return  # a socket in the file system
        with open(os.environ["SPIED"], "a") as file:
            file.write(f"{event} {where} in {sys.argv}\\n")

sys.addaudithook(note)
"""


def test_a_run_and_its_report_open_no_connection(project: Path, tmp_path: Path) -> None:
    """Seen by Python itself, in the command and in its workers, in a network namespace without a route where the
    system lets us make one."""
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(SPY)
    spied, home = tmp_path / "spied", tmp_path / "home"
    home.mkdir()
    without_network = (
        ["unshare", "-n"] if _may("unshare", "-n") else ["unshare", "-rn"] if _may("unshare", "-rn") else []
    )
    usual = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DO_NOT_TRACK", "CI", "PYTEST"))}
    environment = {**usual, "PYTHONPATH": f"{tmp_path / 'spy'}:{ROOT}", "SPIED": str(spied), "HOME": str(home)}
    ran = subprocess.run(
        [*without_network, sys.executable, "-m", "retable", "run", "toy", "--workers", "1", "--where", "seed=0,lr=0.1"],
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    assert finished(project)
    assert not spied.exists(), spied.read_text()
    assert not list(home.rglob("*telemetry*"))


def test_the_spy_sees_connections(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SPY)
    spied = tmp_path / "spied"
    code = "import socket; s = socket.socket(); s.settimeout(1); s.connect_ex(('127.0.0.1', 9))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "SPIED": str(spied)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert "socket.connect ('127.0.0.1', 9)" in spied.read_text()


def _may(*command: str) -> bool:
    if not shutil.which(command[0]):
        return False
    return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
