"""Every artifact has a digest, which is compared where it is read, on this machine and through a server."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from servers import MlflowServer

from retable.bench.store import artifacts, digests, making, reading
from retable.bench.store.digests import Damaged
from retable.bench.store.places import Stores, locate
from retable.bench.store.recorder import Recorder
from retable.bench.store.records import Run
from retable.bench.suite.plan import Trial

FILES = {"images/a.txt": b"first", "model.pt": b"second"}


def recorded(stores: Stores, trial: str, *, noted: bool = True) -> Run:
    number = making.prepare(stores, {"digests/e": "about"})["digests/e"]
    made = Recorder(stores, number, Trial(trial, "s", "quick", "e", "t", {}, {}, 0), {"retable.trial": trial})
    if noted:
        made.artifacts(FILES)
    else:
        made._store(FILES, wait=True)  # as before there were digests
    made.finish("FINISHED")
    (run,) = reading.runs(stores.tracking, ["digests/e"], trial=trial)
    return run


@pytest.fixture
def stores(tmp_path: Path, empty_store: Path) -> Stores:
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    return locate(tmp_path)


def read(stores: Stores, run: Run, path: str) -> bytes:
    return artifacts.artifact(stores.tracking, run, path, stores.folder / "fetched").read_bytes()


def test_what_was_written_is_read(stores: Stores) -> None:
    run = recorded(stores, "one")
    assert {path: read(stores, run, path) for path in FILES} == FILES
    listed = json.loads(read(stores, run, digests.LIST))
    assert listed == {path: digests.of(data) for path, data in FILES.items()}
    assert artifacts.written(stores.tracking, run, stores.folder) == listed


@pytest.mark.parametrize("damage", [b"", b"firs", b"First", b"first "])
def test_what_is_not_as_it_was_written_is_refused(stores: Stores, damage: bytes) -> None:
    run = recorded(stores, "one")
    (Path(run.artifact_uri) / "images" / "a.txt").write_bytes(damage)
    with pytest.raises(Damaged, match=f"^images/a.txt of run {run.id} is not as it was written$"):
        read(stores, run, "images/a.txt")
    assert read(stores, run, "model.pt") == b"second"


def test_what_was_removed_is_told_from_what_never_was(stores: Stores) -> None:
    run = recorded(stores, "one")
    shutil.rmtree(Path(run.artifact_uri) / "images")
    with pytest.raises(Damaged, match=f"^images/a.txt of run {run.id} is gone$"):
        read(stores, run, "images/a.txt")
    with pytest.raises(FileNotFoundError, match=r"has no artifact 'images/b\.txt'"):
        read(stores, run, "images/b.txt")


def test_runs_from_before_there_were_digests_are_read_as_they_are(stores: Stores) -> None:
    run = recorded(stores, "old", noted=False)
    assert digests.TAG not in run.tags and read(stores, run, "model.pt") == b"second"
    assert artifacts.written(stores.tracking, run, stores.folder) == {}
    (Path(run.artifact_uri) / "model.pt").write_bytes(b"third")
    assert read(stores, run, "model.pt") == b"third"


def test_what_is_stored_is_on_the_disk_before_the_run_is_finished(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_ino), real(handle))[1])
    run = recorded(stores, "one")
    inodes = {(Path(run.artifact_uri) / path).stat().st_ino for path in (*FILES, digests.LIST)}
    assert inodes <= set(synced)


def test_a_broken_copy_of_a_servers_artifact_is_fetched_again(tmp_path: Path, server: MlflowServer) -> None:
    stores = Stores(server.uri, "", None, tmp_path)
    run = recorded(stores, "remote")
    fetched = artifacts.artifact(stores.tracking, run, "model.pt", tmp_path / "fetched")
    assert fetched.read_bytes() == b"second"
    fetched.write_bytes(b"")
    assert artifacts.artifact(stores.tracking, run, "model.pt", tmp_path / "fetched").read_bytes() == b"second"


def test_what_a_server_lost_or_changed_is_refused(tmp_path: Path, server: MlflowServer) -> None:
    stores = Stores(server.uri, "", None, tmp_path)
    run = recorded(stores, "lost")
    (kept,) = server.folder.rglob(f"{run.id}/artifacts/model.pt")
    kept.write_bytes(b"third")
    with pytest.raises(Damaged, match="is not as it was written"):
        read(stores, run, "model.pt")
    shutil.rmtree(tmp_path / "fetched")
    kept.unlink()
    with pytest.raises(Damaged, match="is gone"):
        read(stores, run, "model.pt")
