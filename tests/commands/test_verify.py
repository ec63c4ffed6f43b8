"""`bench verify` finds what is wrong in real stores that were broken for the test, and mends what it says it mends."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Ran, finished, statuses

from retable.bench.commands import verify

Bench = Callable[..., Ran]
AGAIN = ("run", "toy", "--no-report", "--workers", "1", "--where", "experiment=grid,lr=0.1")


def artifacts(project: Path, run: str) -> Path:
    return project / "mlruns" / "artifacts" / "toy" / "grid" / run / "artifacts"


def some_run(project: Path) -> tuple[str, str]:
    """A trial and its run."""
    trial, (run,) = sorted(finished(project).items())[0]
    return trial, run


def change(project: Path, sql: str, *values: Any, store: str = "mlflow") -> None:
    with contextlib.closing(sqlite3.connect(project / "mlruns" / f"{store}.db")) as connection, connection:
        assert connection.execute(sql, values).rowcount > 0


def dead() -> str:
    """The name of an owner that is gone."""
    said = "from retable.bench.store import owners; print(owners.owner())"
    return subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def sound(ran: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project that has run in part, its paths those of where it is now."""
    monkeypatch.syspath_prepend(ran)
    assert [f["where"] for f in faults(repair=True)] == ["experiment toy/grid", "experiment toy/tune"]
    yield ran
    for name in [name for name in sys.modules if name.partition(".")[0] == "toypaper"]:
        del sys.modules[name]


def faults(scale: str = "", *, repair: bool = False) -> list[dict[str, Any]]:
    return verify.facts("toy", scale, repair, None, None)


def test_nothing_is_wrong_with_a_store_that_nobody_touched(sound: Path, bench: Bench) -> None:
    told = bench("verify", "toy")
    assert (told.code, told.out) == (0, "nothing is wrong\n"), told.err
    assert faults("quick") == faults(repair=True) == []
    shutil.rmtree(sound / "mlruns")
    assert faults() == [] and not (sound / "mlruns").exists()


def test_a_suite_or_all_of_them(ran: Path, bench: Bench) -> None:
    for words in ([], ["toy", "--all"]):
        told = bench("verify", *words)
        assert told.code == 2 and "name a suite, or give --all" in told.err
    (ran / "suites" / "broken.yaml").write_text("suite: [")
    (artifacts(ran, some_run(ran)[1]) / "model.pt").unlink()
    told = bench("verify", "--all")
    assert told.code == 2 and "broken.yaml" in told.err and "model.pt is gone" in told.out


@pytest.mark.parametrize("name", ["model.pt", "images/picture.png", "arrays/end.npz", "trial.json", "digests.json"])
@pytest.mark.parametrize("damage", ["zeroed", "removed"])
def test_a_broken_artifact_is_found(sound: Path, name: str, damage: str) -> None:
    _, run = some_run(sound)
    file = artifacts(sound, run) / name
    size = file.stat().st_size
    file.unlink() if damage == "removed" else file.write_bytes(bytes(size))
    what = "is gone" if damage == "removed" else "is not as it was written"
    (fault,) = faults()
    assert run in fault["where"] and fault["wrong"] == f"its {name} {what}" and not fault["repaired"]
    assert fault["mend"] == "bench verify toy --repair, then bench run toy --scale quick"


def test_the_mend_of_a_broken_artifact_works(sound: Path, bench: Bench) -> None:
    trial, run = some_run(sound)
    (artifacts(sound, run) / "model.pt").unlink()
    assert [f["repaired"] for f in faults(repair=True)] == [True]
    assert trial not in finished(sound)
    (fault,) = faults()
    assert fault["where"].startswith(f"trial {trial}") and fault["mend"] == "bench run toy --scale quick"
    assert fault["wrong"] == "done in the queue, and MLflow has no finished run of it"
    assert bench(*AGAIN).code == 0
    assert faults() == [] and finished(sound)[trial] != [run]


def test_of_a_run_without_digests_an_empty_file_and_a_broken_model_are_known(sound: Path) -> None:
    runs = [run for _, (run,) in sorted(finished(sound).items())]
    change(sound, "DELETE FROM tags WHERE key = 'retable.digests'")
    for run in runs:
        (artifacts(sound, run) / "digests.json").unlink()
    assert faults() == []
    (artifacts(sound, runs[0]) / "images" / "picture.png").write_bytes(b"")
    (artifacts(sound, runs[1]) / "model.pt").write_bytes(b"soup")
    found = {f["where"].split()[1]: f["wrong"] for f in faults()}
    assert found == {runs[0]: "its images/picture.png is empty", runs[1]: "its model.pt cannot be read"}


def test_another_scale_is_not_looked_at(sound: Path) -> None:
    (artifacts(sound, some_run(sound)[1]) / "model.pt").unlink()
    assert faults("long") == []
    (fault,) = faults("quick")
    assert fault["mend"].startswith("bench verify toy --scale quick --repair")


def test_a_store_whose_paths_are_of_a_former_place(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = sound.with_name("moved")
    sound.rename(now)
    monkeypatch.chdir(now)
    (fault, tune) = faults()
    assert fault["where"] == "experiment toy/grid" and tune["where"] == "experiment toy/tune"
    assert "its artifacts are written down as of " in fault["wrong"]
    assert len(faults(repair=True)) == 2 and faults() == []
    with contextlib.closing(sqlite3.connect(now / "mlruns" / "mlflow.db")) as connection:
        places = [place for (place,) in connection.execute("SELECT artifact_uri FROM runs")]
    assert all(place.startswith(f"{now}/") for place in places) and len(places) == 4


def test_a_run_that_nobody_runs_and_its_unsent_points(sound: Path) -> None:
    trial, run = some_run(sound)
    owner = dead()
    change(sound, "UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE run_uuid = ?", run)
    change(sound, "UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'retable.owner'", owner, run)
    box = sound / "mlruns" / "outbox" / f"{run}.jsonl"
    head = {"owner": owner, "tracking": f"sqlite:///{sound}/mlruns/mlflow.db"}
    box.write_text(f'{json.dumps(head)}\n["loss/total", 1.5, 1000, 77]\n')
    found = {f["wrong"]: f["where"] for f in faults()}
    assert found.pop("done in the queue, and MLflow has no finished run of it").startswith(f"trial {trial}")
    assert set(found) == {"1 measured points were not sent", "RUNNING, and nobody runs it"}
    assert all(run in where for where in found.values())
    assert box.exists() and "RUNNING" in statuses(sound)  # nothing is mended unasked
    assert sorted(f["repaired"] for f in faults(repair=True)) == [False, True, True]
    assert not box.exists() and "RUNNING" not in statuses(sound)
    with contextlib.closing(sqlite3.connect(sound / "mlruns" / "mlflow.db")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM metrics WHERE step = 77").fetchone() == (1,)


def test_a_trial_that_the_queue_never_heard_the_end_of(sound: Path, bench: Bench) -> None:
    _, run = some_run(sound)
    change(sound, "UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'retable.owner'", dead(), run)
    with contextlib.closing(sqlite3.connect(sound / "mlruns" / "mlflow.db")) as connection:
        query = "SELECT value FROM tags WHERE run_uuid = ? AND key = 'retable.optuna'"
        number = int(connection.execute(query, [run]).fetchone()[0].rpartition(":")[2])
    change(sound, "UPDATE trials SET state = 'RUNNING' WHERE number = ?", number, store="optuna")
    (fault,) = faults()
    assert run in fault["where"] and fault["wrong"] == "finished in MLflow, and running in the queue"
    faults(repair=True)
    assert faults() == [] and bench(*AGAIN).code == 0 and len(finished(sound)) == 4


def test_points_that_were_set_aside_are_told(sound: Path, bench: Bench) -> None:
    head = {"owner": dead(), "tracking": f"sqlite:///{sound}/mlruns/mlflow.db"}
    kept = sound / "mlruns" / "outbox" / f"{'0' * 32}.aside"
    kept.write_text(f'{json.dumps(head)}\n["loss/total", 1.5, 1000, 77]\n')
    (fault,) = faults()
    assert str(kept) in fault["wrong"] and fault["mend"] == "bench gc"
    assert bench("gc").code == 0 and faults() == []


def test_the_table_names_what_is_wrong_and_its_mend(sound: Path, bench: Bench) -> None:
    _, run = some_run(sound)
    (artifacts(sound, run) / "model.pt").unlink()
    told = bench("verify", "toy")
    header, rule, line = told.out.splitlines()
    assert told.code == 1 and header.split() == ["suite", "where", "wrong", "mend"] and set(rule) == {"-", " "}
    assert line.startswith(f"toy    run {run} (") and "its model.pt is gone" in line
    told = bench("verify", "toy", "--repair")
    assert told.code == 0 and told.out.splitlines()[2].endswith("  repaired")
