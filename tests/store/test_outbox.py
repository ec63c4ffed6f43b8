"""What a killed process had measured and not sent is delivered once; what cannot be is set aside and said."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from retable.bench.store import closing, making, outbox, owners, reading
from retable.bench.store.client import connect
from retable.bench.store.places import Stores, locate

MEASURE = """
import os, signal, sys
from pathlib import Path
from retable.bench.store import making, places, recorder
from retable.bench.suite.plan import Trial
recorder.FLUSH_SECONDS = 1e9
stores = places.locate(Path(sys.argv[1]))
number = making.prepare(stores, {"s/e": "about"})["s/e"]
made = recorder.Recorder(stores, number, Trial("abc", "s", "quick", "e", "t", {}, {}, 0), {"retable.trial": "abc"})
made.log(0, 0.5, {"loss/total": 1.5, "odd": float("nan")})
made.flush()
for step in (1, 2, 3):
    made.log(step, step, {"loss/total": step / 3})
made.log(3, 3, {"odd": float("inf")})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A project whose only run was killed, made once: it takes seconds."""
    folder = tmp_path_factory.mktemp("scene")
    (folder / "mlruns").mkdir()
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    done = subprocess.run([sys.executable, "-c", MEASURE, str(folder)], check=False, stderr=subprocess.PIPE)
    assert done.returncode < 0, done.stderr
    return folder


@pytest.fixture
def stores(tmp_path: Path, scene: Path) -> Stores:
    shutil.copytree(scene, tmp_path, dirs_exist_ok=True)
    return locate(tmp_path)


@pytest.fixture
def killed(stores: Stores, scene: Path, tmp_path: Path) -> Path:
    """The file that the killed process left."""
    (left,) = (stores.folder / "outbox").iterdir()
    left.write_text(left.read_text().replace(str(scene), str(tmp_path)))
    return left


def curve(stores: Stores) -> list[tuple[int, float]]:
    (run,) = reading.runs(stores.tracking, ["s/e"])
    return [(step, value) for _, step, value in reading.curves(stores.tracking, [run.id], "loss/total")]


def test_points_of_a_killed_process_are_delivered_once(stores: Stores, killed: Path) -> None:
    assert curve(stores) == [(0, 1.5)]
    assert closing.deliver(stores) == 4
    assert curve(stores) == [(0, 1.5), (1, 1 / 3), (2, 2 / 3), (3, 1.0)]
    run = killed.stem
    assert reading.curves(stores.tracking, [run], "odd")[1:] == [(run, 3, math.inf)]
    assert closing.deliver(stores) == 0 and list(killed.parent.iterdir()) == []
    assert len(connect(stores.tracking).get_metric_history(run, "loss/total")) == 4


def test_a_point_that_arrived_before_the_kill_stays_one(stores: Stores, killed: Path) -> None:
    content = killed.read_bytes()
    closing.deliver(stores)
    killed.write_bytes(content)
    assert closing.deliver(stores) == 4
    assert len(connect(stores.tracking).get_metric_history(killed.stem, "loss/total")) == 4


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_torn_last_line_is_no_point(stores: Stores, killed: Path, cut: int) -> None:
    killed.write_bytes(killed.read_bytes()[:-1][:-cut])
    assert closing.deliver(stores) == 3


@pytest.mark.parametrize("line", [b"\xff\xfe\n", b"[1]\n", b'["a", null, 1, 1]\n', b"7\n"])
def test_a_damaged_line_ends_what_can_be_read(stores: Stores, killed: Path, line: bytes) -> None:
    head, *points = killed.read_bytes().splitlines(keepends=True)
    killed.write_bytes(head + points[0] + line + points[1])
    assert closing.deliver(stores) == 1


HEADS = [b"garbage\n", b"\xff\xfe\x00\n", b"[]\n", b"{}\n", b"null\n", b'{"owner": 1}\n', b"\n"]


@pytest.mark.parametrize("head", HEADS)
def test_a_damaged_first_line_is_set_aside_and_said(
    stores: Stores, killed: Path, head: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    killed.write_bytes(head + killed.read_bytes().partition(b"\n")[2])
    assert closing.deliver(stores) == 0
    kept = killed.with_suffix(".aside")
    said = f"points of run {killed.stem} were not delivered (its first line is damaged); they are kept in {kept}\n"
    assert capsys.readouterr().err == said
    assert kept.read_bytes().startswith(head) and not killed.exists()
    assert closing.deliver(stores) == 0 and capsys.readouterr().err == ""


@pytest.mark.parametrize("content", [b"", b'{"owner": "h:1:'])
def test_a_file_that_is_about_to_be_written_is_left_alone(stores: Stores, killed: Path, content: bytes) -> None:
    killed.write_bytes(content)
    assert closing.deliver(stores) == 0 and killed.read_bytes() == content


def test_a_run_that_was_deleted_blocks_nothing(
    stores: Stores, killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(stores.tracking).delete_run(killed.stem)
    assert closing.deliver(stores) == 0
    assert f"points of run {killed.stem} were not delivered" in capsys.readouterr().err
    assert not killed.exists() and killed.with_suffix(".aside").exists()


def test_a_run_that_is_gone_blocks_nothing(stores: Stores, killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed.rename(killed.with_name("0" * 32 + ".jsonl"))
    assert closing.deliver(stores) == 0
    assert "points of run 00000000000000000000000000000000 were not delivered" in capsys.readouterr().err


def test_files_of_the_living_and_of_other_stores_are_left(stores: Stores, killed: Path) -> None:
    head, _, rest = killed.read_text().partition("\n")
    told = json.loads(head)
    for other in ({"owner": owners.owner()}, {"tracking": "http://h:5000"}, {"owner": "another:1:2"}):
        killed.write_text(json.dumps({**told, **other}) + "\n" + rest)
        assert closing.deliver(stores) == 0 and killed.exists()
    killed.write_text(head + "\n" + rest)
    killed = killed.rename(killed.with_name("no run's.jsonl"))
    assert closing.deliver(stores) == 0 and killed.exists()


def test_a_store_is_known_whoever_asks(tmp_path: Path) -> None:
    with_password, without = (Stores(f"http://{user}h:5000", "", None, tmp_path) for user in ("a:hunter2@", ""))
    outbox.Outbox(with_password, "run")
    assert "hunter2" not in (tmp_path / "outbox" / "run.jsonl").read_text()
    for stores in (with_password, without):
        assert [left.run_id for left in outbox.left(stores, lambda owner: owner == owners.owner())] == ["run"]
    assert list(outbox.left(Stores("http://h:5001", "", None, tmp_path), lambda _: True)) == []


def test_what_was_sent_is_cut_off(tmp_path: Path) -> None:
    from mlflow.entities import Metric

    box = outbox.Outbox(Stores("http://h", "", None, tmp_path), "run")
    (left,) = outbox.left(Stores("http://h", "", None, tmp_path), lambda _: True)
    assert left.points() == []
    box.add([])
    box.add([Metric("a", 1.0, 2, 3), Metric("b", 4.0, 5, 6)])
    box.add([])
    assert left.points() == [("a", 1.0, 2, 3), ("b", 4.0, 5, 6)]
    box.clear()
    assert left.points() == [] and left.path.read_text().count("\n") == 1
    box.add([Metric("c", 1.0, 2, 3)])
    assert left.points() == [("c", 1.0, 2, 3)]
    box.close()
    assert not left.path.exists() and list(left.path.parent.iterdir()) == []


def test_the_final_status_of_a_run_whose_process_is_gone(stores: Stores, killed: Path) -> None:
    secret = "postgresql://u:hunter2@h/db refused"
    closing.terminate(stores.tracking, killed.stem, "KILLED", reason=secret, outcome="failed")
    (run,) = reading.runs(stores.tracking, ["s/e"])
    assert run.status == "KILLED" and run.ended is not None
    assert run.tags["retable.reason"] == "postgresql://***@h/db refused" and run.tags["retable.outcome"] == "failed"
    number = making.prepare(stores, {"s/e": "about"})["s/e"]
    bare = connect(stores.tracking).create_run(number).info.run_id
    closing.terminate(stores.tracking, bare, "FAILED")
    assert {r.id: r.status for r in reading.runs(stores.tracking, ["s/e"])}[bare] == "FAILED"


def test_more_points_than_mlflow_takes_at_once(stores: Stores, killed: Path) -> None:
    with killed.open("a") as file:
        file.writelines(json.dumps(["many", step / 7, 1000 + step, step]) + "\n" for step in range(2500))
    assert closing.deliver(stores) == 2504
    assert reading.curves(stores.tracking, [killed.stem], "many") == [(killed.stem, s, s / 7) for s in range(2500)]
