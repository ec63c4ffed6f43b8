"""A project that is moved or copied keeps its artifacts; odd characters of its path are just characters."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from servers import Postgres

from retable.bench.queue import storage
from retable.bench.store import artifacts, making, reading
from retable.bench.store.client import connect
from retable.bench.store.places import Stores, locate, sqlite_file, sqlite_url
from retable.bench.store.recorder import Recorder
from retable.bench.suite.plan import Trial


def record(stores: Stores, trial: str, content: bytes) -> str:
    """Make a run with one artifact; its id."""
    number = making.prepare(stores, {"s/e": "about"})["s/e"]
    made = Recorder(stores, number, Trial(trial, "s", "quick", "e", "t", {}, {}, 0), {"retable.trial": trial})
    made.checkpoint("checkpoint/a.pt", b"state", wait=True)
    made.artifacts({"images/a.txt": content})
    made.drop_checkpoints()
    made.finish("FINISHED")
    return made.run_id


def read(stores: Stores, trial: str) -> bytes:
    (run,) = reading.runs(stores.tracking, ["s/e"], trial=trial)
    return artifacts.artifact_bytes(stores.tracking, run, "images/a.txt", stores.folder / "fetched")


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*.txt")}


@pytest.fixture
def old(tmp_path: Path, empty_store: Path) -> Stores:
    folder = tmp_path / "old"
    (folder / "mlruns").mkdir(parents=True)
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    record(locate(folder), "one", b"first")
    return locate(folder)


def test_a_moved_project_finds_and_writes_its_own_artifacts(tmp_path: Path, old: Stores) -> None:
    (tmp_path / "old").rename(tmp_path / "new")
    new = locate(tmp_path / "new")
    assert read(new, "one") == b"first"
    record(new, "two", b"second")
    assert read(new, "one") == b"first" and read(new, "two") == b"second"
    assert not (tmp_path / "old").exists() and len(files(tmp_path / "new")) == 2
    for run in connect(new.tracking).search_runs([making.prepare(new, {"s/e": "about"})["s/e"]]):
        assert run.info.artifact_uri.startswith(str(tmp_path / "new"))  # MLflow's interface finds them too


def test_a_copy_leaves_the_original_alone(tmp_path: Path, old: Stores) -> None:
    shutil.copytree(tmp_path / "old", tmp_path / "copy")
    before = files(tmp_path / "old")
    copy = locate(tmp_path / "copy")
    (run,) = reading.runs(copy.tracking, ["s/e"])
    assert run.artifact_uri.startswith(str(tmp_path / "copy"))
    record(copy, "two", b"second")
    assert read(copy, "two") == b"second" and files(tmp_path / "old") == before
    assert read(old, "one") == b"first" and len(reading.runs(old.tracking, ["s/e"])) == 1


def test_a_database_that_was_copied_alone_reads_from_the_original(tmp_path: Path, old: Stores) -> None:
    (tmp_path / "copy" / "mlruns").mkdir(parents=True)
    for file in old.folder.glob("mlflow.db*"):  # what is newest stands in its log
        shutil.copy(file, tmp_path / "copy" / "mlruns")
    copy = locate(tmp_path / "copy")
    assert read(copy, "one") == b"first"
    record(copy, "two", b"second")
    assert read(copy, "one") == b"first" and read(copy, "two") == b"second"
    assert len(files(tmp_path / "old")) == len(files(tmp_path / "copy")) == 1


def test_artifacts_that_somebody_put_elsewhere_stay_there(tmp_path: Path, old: Stores) -> None:
    connect(old.tracking).create_experiment("theirs", artifact_location=str(tmp_path / "big-disk"))
    number = making.prepare(old, {"theirs": "about"})["theirs"]
    assert connect(old.tracking).get_experiment(number).artifact_location == str(tmp_path / "big-disk")


@pytest.mark.parametrize("name", ["50% off", "a%20b", "what?", "ü #1"])
def test_odd_characters_in_a_path(tmp_path: Path, name: str) -> None:
    stores = locate(tmp_path / name)
    assert sqlite_file(stores.tracking) == tmp_path / name / "mlruns" / "mlflow.db"
    assert locate(tmp_path, stores.tracking, stores.storage) == stores
    storage.prepare(stores)
    script = "import sys; from pathlib import Path; from retable.bench.store import making, places\n"
    script += "making.prepare(places.locate(Path(sys.argv[1])), {'s/e': 'about'})"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / name)], check=True, env={**os.environ})
    record(stores, "one", b"first")
    assert read(stores, "one") == b"first"
    assert {p.relative_to(tmp_path).parts[0] for p in tmp_path.rglob("*") if p.is_file()} == {name}
    there = {p.name for p in (tmp_path / name / "mlruns").iterdir()}
    assert {"mlflow.db", "optuna.db", "artifacts"} <= there


def test_a_file_and_its_url() -> None:
    for path in ("/a/b.db", "/50%/x.db", "/a%20b/x?.db", "/100%25/x.db", "/%/%%41", "rel/x.db"):
        assert sqlite_file(sqlite_url(Path(path))) == Path(path)
    assert sqlite_url(Path("/a/b.db")) == "sqlite:////a/b.db"
    assert sqlite_file("sqlite:////a/b.db?timeout=5") == Path("/a/b.db")


def test_a_project_that_moved_finds_its_artifacts_though_a_server_has_the_old_paths(tmp_path: Path) -> None:
    server = Postgres()
    try:
        old = locate(tmp_path / "old", server.fresh("moving"))
        record(old, "one", b"first")
        elsewhere = locate(tmp_path / "another machine's", old.tracking)
        assert making.prepare(elsewhere, {"s/e": "about"}) and read(old, "one") == b"first"  # nothing is taken from it
        (tmp_path / "old").rename(tmp_path / "new")
        new = locate(tmp_path / "new", old.tracking)
        making.prepare(new, {"s/e": "about"})
        assert read(new, "one") == b"first"
        record(new, "two", b"second")
        assert read(new, "two") == b"second" and len(files(tmp_path / "new")) == 2
        assert not (tmp_path / "old").exists()
    finally:
        server.end()
