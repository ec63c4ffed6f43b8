"""A store in a folder that cannot be written is read; where it cannot be, the error says why and what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from running import ROOT

READ = """
import sys
from pathlib import Path
from retable.bench.store import places, reading
stores = places.locate(Path(sys.argv[1]))
for _ in range(2):
    print(sorted(run.status for run in reading.runs(stores.tracking, ["s/e"])))
"""
INSERT = (
    "INSERT INTO runs (run_uuid, name, status, lifecycle_stage, experiment_id, start_time) "
    "VALUES (?, 'n', 'FINISHED', 'active', (SELECT experiment_id FROM experiments WHERE name = 's/e'), 0)"
)


@pytest.fixture
def project(tmp_path: Path, empty_store: Path) -> Iterator[Path]:
    """A store in WAL mode with one run."""
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")) as store, store:
        store.execute("INSERT INTO experiments (name, lifecycle_stage) VALUES ('s/e', 'active')")
        store.execute(INSERT, ["one"])
        assert store.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    yield tmp_path
    (tmp_path / "mlruns").chmod(0o755)


def read(project: Path) -> subprocess.CompletedProcess[str]:
    """Read the store in a process that cannot write its folder: by its mode, or for root by a mount of its own."""
    folder = project / "mlruns"
    folder.chmod(0o555)
    words = [sys.executable, "-c", READ, str(project)]
    if os.access(folder, os.W_OK):
        mount = f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}'"
        words = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)


def test_a_store_in_a_read_only_folder_is_read_with_a_word(project: Path) -> None:
    ran = read(project)
    assert (ran.returncode, ran.stdout) == (0, "['FINISHED']\n" * 2), ran.stderr
    file = project / "mlruns" / "mlflow.db"
    said = f"{file} is in a folder that cannot be written: it is read as it stands, and nobody may write it now\n"
    assert ran.stderr == said
    assert [p.name for p in (project / "mlruns").iterdir()] == ["mlflow.db"]


def test_what_waits_in_its_log_is_not_left_out(project: Path) -> None:
    with closing(sqlite3.connect(project / "mlruns" / "mlflow.db")) as writer:
        with writer:
            writer.execute(INSERT, ["two"])
        ran = read(project)  # while it is written: the files that readers share are there
    assert (ran.returncode, ran.stdout) == (0, "['FINISHED', 'FINISHED']\n" * 2), ran.stderr
    assert ran.stderr == ""


def test_a_log_that_cannot_be_read_is_an_error_that_says_what_to_do(project: Path, tmp_path: Path) -> None:
    folder = project / "mlruns"
    with closing(sqlite3.connect(folder / "mlflow.db")) as writer:
        with writer:
            writer.execute(INSERT, ["two"])
        for name in ("mlflow.db", "mlflow.db-wal"):
            shutil.copy(folder / name, tmp_path / name)
    for name in ("mlflow.db", "mlflow.db-wal"):  # as a machine leaves them that lost its power
        shutil.move(tmp_path / name, folder / name)
    ran = read(project)
    assert ran.returncode == 1 and ran.stdout == ""
    last = ran.stderr.strip().splitlines()[-1]
    assert "StoreError: the tracking store sqlite:///" in last and "cannot be read: " in last
    assert last.endswith(
        "; its newest entries are in mlflow.db-wal, which needs a folder that can be written: copy mlflow.db* and the "
        "artifacts to one"
    )
