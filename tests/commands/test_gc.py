"""`bench gc` removes what nothing needs, and nothing that retable did not write."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from running import Ran, finished

Bench = Callable[..., Ran]


def tree(project: Path) -> dict[str, bytes]:
    """Every file of the stores' folder that is no database."""
    folder = project / "mlruns"
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".db" not in p.name
    }


def change(project: Path, sql: str, *values: str) -> None:
    with contextlib.closing(sqlite3.connect(project / "mlruns" / "mlflow.db")) as connection, connection:
        assert connection.execute(sql, values).rowcount > 0


def artifacts(project: Path, run: str) -> Path:
    return project / "mlruns" / "artifacts" / "toy" / "grid" / run / "artifacts"


def runs(project: Path) -> list[str]:
    return [run for _, (run,) in sorted(finished(project).items())]


def removed(bench: Bench, project: Path, *words: str) -> set[str]:
    """What a `bench gc` takes away; it says so, and does not when it only looks."""
    before = tree(project)
    looked = bench("gc", "--dry-run", "--json", *words)
    assert looked.code == 0 and tree(project) == before and not any(t["removed"] for t in looked.json), looked.err
    told = bench("gc", "--json", *words).json
    gone = set(before) - set(tree(project))
    said = {str(Path(t["file"]).relative_to(project / "mlruns")): t["bytes"] for t in told if t["removed"]}
    assert said == {name: len(before[name]) for name in gone}
    assert all(tree(project)[name] == data for name, data in before.items() if name not in gone)
    return gone


def test_there_is_nothing_to_remove_from_a_tidy_store(ran: Path, bench: Bench) -> None:
    assert removed(bench, ran) == set()
    assert bench("gc").out == "0 files, 0 bytes removed\n"


def test_checkpoints_go_when_their_trial_is_finished(ran: Path, bench: Bench) -> None:
    one, two = runs(ran)[:2]
    for run in (one, two):
        (artifacts(ran, run) / "checkpoint").mkdir()
        (artifacts(ran, run) / "checkpoint" / "a.pt").write_bytes(b"12345")
        (artifacts(ran, run) / "checkpoint" / "mine.txt").write_bytes(b"of a person")
    change(ran, "UPDATE runs SET status = 'KILLED' WHERE run_uuid = ?", two)  # its trial will need it
    assert removed(bench, ran) == {f"artifacts/toy/grid/{one}/artifacts/checkpoint/a.pt"}


def test_what_it_says_to_a_person(ran: Path, bench: Bench) -> None:
    run = runs(ran)[0]
    (artifacts(ran, run) / "checkpoint").mkdir()
    (artifacts(ran, run) / "checkpoint" / "b.pt").write_bytes(bytes(12345))
    header, _, line, total = bench("gc", "--dry-run").out.splitlines()
    assert header.split() == ["file", "bytes", "why"] and total == "1 files, 12,345 bytes would go"
    assert line.endswith(f"12,345  checkpoint of run {run}, whose trial is finished")
    assert bench("gc").out.splitlines()[-1] == "1 files, 12,345 bytes removed"
    assert not (artifacts(ran, run) / "checkpoint").exists()  # nor is an empty folder left


def test_half_written_files_go_and_hidden_ones_of_a_person_stay(ran: Path, bench: Bench) -> None:
    folder = artifacts(ran, runs(ran)[0])
    for name in (".model.pt.ab12_x9z", ".notes", ".model.pt", "images/.picture.png.a1b2c3d4"):
        (folder / name).write_bytes(b"x")
    where = f"artifacts/toy/grid/{runs(ran)[0]}/artifacts"
    assert removed(bench, ran) == {f"{where}/.model.pt.ab12_x9z", f"{where}/images/.picture.png.a1b2c3d4"}


def test_artifacts_of_no_run_go_when_asked_and_only_what_their_list_has(ran: Path, bench: Bench) -> None:
    run = runs(ran)[0]
    (artifacts(ran, run) / "mine.txt").write_bytes(b"of a person")
    for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
        change(ran, f"DELETE FROM {table} WHERE run_uuid = ?", run)
    assert removed(bench, ran) == set()
    assert "another store may have their runs; --orphans removes them too" in bench("gc").out
    gone = removed(bench, ran, "--orphans")
    names = {"model.pt", "trial.json", "code.json", "digests.json", "images/picture.png", "arrays/end.npz"}
    assert gone == {f"artifacts/toy/grid/{run}/artifacts/{name}" for name in names}
    assert (artifacts(ran, run) / "mine.txt").exists()


def test_a_list_that_leads_outside_is_not_followed(ran: Path, bench: Bench) -> None:
    folder = ran / "mlruns" / "artifacts" / "toy" / "grid" / ("0" * 32) / "artifacts"
    folder.mkdir(parents=True)
    (ran / "mlruns" / "precious").write_bytes(b"x")
    outside = ["../../../../../precious", str(ran / "mlruns" / "precious"), "link"]
    (folder / "link").symlink_to(ran / "mlruns" / "precious")
    (folder / "digests.json").write_text(json.dumps(dict.fromkeys(outside, "")))
    bench("gc", "--orphans")
    assert (ran / "mlruns" / "precious").exists() and not (folder / "digests.json").exists()


def test_what_another_store_in_the_folder_has_is_no_orphan(ran: Path, bench: Bench, tmp_path: Path) -> None:
    """As `--tracking-uri sqlite:///mlruns/other.db` makes it."""
    for file in (ran / "mlruns").glob("mlflow.db*"):
        shutil.copy(file, file.with_name(file.name.replace("mlflow", "other")))
    change(ran, "DELETE FROM tags WHERE run_uuid = ?", runs(ran)[0])
    for run in runs(ran)[:1]:
        change(ran, "DELETE FROM runs WHERE run_uuid = ?", run)
    assert removed(bench, ran, "--orphans") == set()


def test_points_go_with_their_run(ran: Path, bench: Bench) -> None:
    one, two = runs(ran)[:2]
    for run in (one, two):
        head = {"owner": "h:1:1", "tracking": f"sqlite:///{ran}/mlruns/mlflow.db"}
        (ran / "mlruns" / "outbox" / f"{run}.aside").write_text(json.dumps(head) + "\n")
    change(ran, "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", one)
    assert removed(bench, ran) == {f"outbox/{one}.aside"}


def test_a_store_whose_making_was_cut_short(ran: Path, bench: Bench) -> None:
    scratch = ran / "mlruns" / ".mlflow.db.4194305"  # above every process number
    scratch.write_bytes(b"half")
    assert bench("gc").code == 0 and not scratch.exists()


def test_a_tracking_server_keeps_its_own_files(project: Path, bench: Bench) -> None:
    told = bench("gc", "--tracking-uri", "http://user:hunter2@127.0.0.1:1")
    assert told.code == 2 and "mlflow gc" in told.err and "hunter2" not in told.err


@pytest.mark.parametrize("words", [(), ("--orphans",)])
def test_without_a_store_there_is_nothing_to_do(project: Path, bench: Bench, words: tuple[str, ...]) -> None:
    shutil.rmtree(project / "mlruns")
    assert bench("gc", *words).out == "0 files, 0 bytes removed\n" and not (project / "mlruns").exists()
