"""Two tracking servers that know different people, used by turns in one process: each hears of its own alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from guarded import Door, guarded
from servers import MlflowServer

from retable.bench.store import artifacts, making, reading
from retable.bench.store.places import StoreError, Stores, address, locate
from retable.bench.store.recorder import Recorder
from retable.bench.suite.plan import Trial


@pytest.fixture
def doors(server: MlflowServer) -> Iterator[tuple[Door, Door]]:
    one, other = Door("alice", "p@ss/w:rd?&#%41"), Door("b ö b", "пароль+ü")
    with guarded(server.port, one), guarded(server.port, other):
        yield one, other


def test_each_servers_credentials_go_to_it_alone(
    doors: tuple[Door, Door], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    stores = [locate(tmp_path / door.name, door.uri, f"sqlite:///{tmp_path}/optuna.db") for door in doors]
    names = ["alices/e", "bobs/e"]
    ids = [making.prepare(place, {name: "about"})[name] for place, name in zip(stores, names, strict=True)]
    trial = Trial("abc", "s", "quick", "e", "t", {}, {"lr": 0.1}, 0)
    recorders = [
        Recorder(place, number, trial, {"retable.trial": name})
        for place, number, name in zip(stores, ids, names, strict=True)
    ]
    for step in range(3):  # by turns
        for i, recorder in enumerate(recorders):
            recorder.log(step, step, {"loss/total": i + step})
            recorder.flush()
    for recorder in recorders:
        recorder.checkpoint("checkpoint/state.pt", b"state", wait=True)
        recorder.artifacts({"images/a.txt": recorder.run_id.encode()})
        recorder.drop_checkpoints()
        recorder.finish("FINISHED")
    for i, (place, name, recorder) in enumerate(zip(stores, names, recorders, strict=True)):
        (run,) = reading.runs(place.tracking, [name])
        assert (run.id, run.status) == (recorder.run_id, "FINISHED")
        assert reading.curves(place.tracking, [run.id], "loss/total") == [(run.id, s, i + s) for s in range(3)]
        assert reading.params(place.tracking, [run.id])[run.id]["lr"] == "0.1"
        assert artifacts.artifact_bytes(place.tracking, run, "images/a.txt", tmp_path) == run.id.encode()
        with pytest.raises(FileNotFoundError):
            artifacts.artifact_bytes(place.tracking, run, "checkpoint/state.pt", tmp_path)
    for door in doors:
        assert set(door.seen) == {door.right}
        assert any("mlflow-artifacts" in path for path in door.asked)
    assert dict(os.environ) == before
    assert not any(door.password in text for door in doors for text in capfd.readouterr())


def test_a_wrong_password_is_said_and_not_shown(doors: tuple[Door, Door], tmp_path: Path) -> None:
    wrong = doors[0].uri.replace("alice", "alicia")
    stores = locate(tmp_path, wrong)
    with pytest.raises(StoreError, match="cannot be used") as raised:
        reading.runs(stores.tracking, ["e"])
    with pytest.raises(StoreError, match="cannot be used") as again:
        making.prepare(stores, {"e": "about"})
    for error in (raised, again):
        assert "***@127.0.0.1" in str(error.value) and "w:rd" not in str(error.value) and "w%3Ard" not in str(error)


def test_a_server_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    stores = locate(tmp_path, "http://alice:hunter2@127.0.0.1:9")
    with pytest.raises(StoreError, match="cannot be used") as raised:
        reading.runs(stores.tracking, ["e"])
    assert "hunter2" not in str(raised.value) and "alice" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@h:5000/a", "http://h:5000/a"),
        ("http://h:5000", "http://h:5000"),
        ("postgresql+psycopg://u:p%2Fw@h/db?password=x", "postgresql+psycopg://h/db"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_an_address_is_the_same_for_all_users(url: str, shown: str) -> None:
    assert address(url) == shown


def test_the_interface_is_told_its_store_where_no_process_list_shows_it(tmp_path: Path) -> None:
    from retable.bench.store import interface

    stores = Stores("postgresql+psycopg://u:hunter2@h/db", "", tmp_path, tmp_path)
    assert not any("hunter2" in word for word in interface.command(stores, 5000))
    assert interface.environment(stores)["MLFLOW_BACKEND_STORE_URI"] == stores.tracking
