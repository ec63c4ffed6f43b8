"""What happens to clusters: servers that go away, disks that fill, checkpoints that are torn, clocks that jump."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Machine, Seen, wait_for
from running import Ran, command, curve, finished, statuses
from servers import MlflowServer, Postgres

LONG = ("run", "toy", "--no-report", "--workers", "2", "--scale", "long", "--checkpoint-every", "0.3")
ONE = (*LONG, "--where", "experiment=grid,method=plain,lr=0.1,seed=0")


@pytest.fixture
def own_mlflow(tmp_path: Path, empty_store: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path / "mlflow", empty_store)
    yield server
    server.stop()


def test_metrics_wait_on_disk_while_the_server_is_away_and_arrive_in_order_once(
    project: Path, own_mlflow: MlflowServer
) -> None:
    process = command(*ONE, "--set", "pause=0.05", MLFLOW_TRACKING_URI=own_mlflow.uri)
    seen = Seen(own_mlflow.database, "toy")
    wait_for(lambda: seen.rows("SELECT 1 FROM metrics LIMIT 1"))
    own_mlflow.stop()
    there = len(seen.rows("SELECT 1 FROM metrics WHERE key = 'loss/total'"))
    outbox = project / "mlruns" / "outbox"
    wait_for(lambda: sum(len(f.read_text().splitlines()) for f in outbox.glob("*.jsonl")) > 10)
    assert there < 100 and len(seen.rows("SELECT 1 FROM metrics WHERE key = 'loss/total'")) == there
    time.sleep(4)  # beyond the end of the trial's own work
    own_mlflow.start()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    (runs,) = seen.finished().values()
    assert len(runs) == 1 and seen.statuses() == ["FINISHED"]
    steps = [step for step, _ in seen.curve(runs[0])]
    assert steps == sorted(set(steps)) and steps[-1] == 120 and len(steps) >= 60
    assert list(outbox.glob("*.jsonl")) == []


@pytest.mark.slow
def test_what_a_killed_process_had_measured_arrives_with_the_next_command(
    project: Path, own_mlflow: MlflowServer
) -> None:
    """The server is away, the machine loses power, and later both are back."""
    slow = (*ONE, "--set", "pause=0.2")
    process = command(*slow, MLFLOW_TRACKING_URI=own_mlflow.uri)
    seen = Seen(own_mlflow.database, "toy")
    wait_for(lambda: seen.rows("SELECT 1 FROM metrics LIMIT 1"))
    own_mlflow.stop()
    outbox = project / "mlruns" / "outbox"
    wait_for(lambda: any(len(f.read_text().splitlines()) > 5 for f in outbox.glob("*.jsonl")))
    process.kill()
    process.communicate()
    wait_for(lambda: not _workers_in(project))
    (left,) = outbox.glob("*.jsonl")
    waiting = len(left.read_text().splitlines()) - 1
    before = len(seen.curve(left.stem))
    own_mlflow.start()
    ran = command("run", *slow[1:], "--workers", "1", MLFLOW_TRACKING_URI=own_mlflow.uri)
    wait_for(lambda: not left.exists() or ran.poll() is not None)
    assert len(seen.curve(left.stem)) == before + waiting
    ran.send_signal(signal.SIGINT)
    assert ran.wait(60) in (0, 130)
    ran.communicate()


def _workers_in(project: Path) -> list[int]:
    import psutil

    there = [p for p in psutil.process_iter(["cmdline", "cwd"]) if p.info["cwd"] == str(project)]
    return [p.pid for p in there if "retable.bench.run.worker" in " ".join(p.info["cmdline"] or ())]


def test_a_database_that_restarts_in_mid_run_loses_nothing(
    machines: Callable[..., Machine], postgres: Postgres, shared_mlflow: MlflowServer
) -> None:
    machine = machines("only")
    what = ("--scale", "long", "--where", "experiment=grid,lr=0.1,seed=0|1", "--set", "pause=0.03")
    process = machine.start("run", machine.suite, *what, "--workers", "2", "--no-report")
    seen = Seen(shared_mlflow.database, machine.suite)
    wait_for(lambda: "RUNNING" in seen.statuses())
    postgres.restart(seconds_away=3)
    assert process.wait(180) == 0, machine.said(process)
    done = seen.finished()
    assert len(done) == 4 and all(len(runs) == 1 for runs in done.values())
    assert set(seen.statuses()) == {"FINISHED"}


@pytest.mark.slow
def test_a_torn_checkpoint_is_passed_over_for_the_one_before(project: Path, bench: Callable[..., Ran]) -> None:
    slow = (*ONE, "--set", "pause=0.05")
    process = command(*slow)
    store = project / "mlruns" / "mlflow.db"
    wait_for(lambda: len(_checkpoints(store)) == 2)
    process.kill()
    process.communicate()
    wait_for(lambda: not _workers_in(project))
    (newest, _), (_, step) = _checkpoints(store)
    (folder,) = (project / "mlruns" / "artifacts").rglob("checkpoint")
    torn = folder.parent / newest
    torn.write_bytes(torn.read_bytes()[:-100])
    ran = bench(*slow)
    assert ran.code == 0, ran.err
    with contextlib.closing(sqlite3.connect(store)) as connection:
        ((resumed,),) = connection.execute("SELECT value FROM tags WHERE key = 'retable.resumed'").fetchall()
    assert resumed.endswith(f"at step {step}")
    (run,) = next(iter(finished(project).values()))
    steps = [s for s, _ in curve(project, run)]
    assert steps == sorted(set(steps)) and steps[-1] == 120
    assert not list((project / "mlruns" / "artifacts").rglob(f"{run}/**/checkpoint/*.pt"))  # of no more use


def _checkpoints(store: Path) -> list[tuple[str, str]]:
    """(file, step) as the run's tag has them, newest first."""
    with contextlib.closing(sqlite3.connect(store, timeout=30)) as connection:
        found = connection.execute("SELECT value FROM tags WHERE key = 'retable.checkpoint'").fetchone()
    lines = found[0].splitlines() if found else []
    return [(line.split()[0], line.split()[-1]) for line in lines]


@pytest.mark.parametrize("full", [pytest.param("mlruns/artifacts", marks=pytest.mark.slow), "mlruns"])
def test_a_full_disk_is_said_plainly_and_the_same_command_goes_on_later(
    project: Path, bench: Callable[..., Ran], full: str
) -> None:
    place = project / full
    before = (project / "mlruns" / "mlflow.db").read_bytes()
    place.mkdir(exist_ok=True)
    size = "16k" if full.endswith("artifacts") else f"{len(before) // 1024 + 260}k"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=False)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    try:
        if full == "mlruns":
            (place / "mlflow.db").write_bytes(before)
        ran = bench(*LONG[:5], "--where", "experiment=grid,lr=0.1")
        assert ran.code in (2, 3) and "Traceback" not in ran.err, ran.err
        assert "No space left on device" in ran.err or "disk is full" in ran.err or "disk I/O error" in ran.err
        subprocess.run(["mount", "-o", "remount,size=100m", place], check=True)
        again = bench(*LONG[:5], "--where", "experiment=grid,lr=0.1")
        assert again.code == 0, again.err
        done = finished(project)
        assert len(done) == 4 and all(len(runs) == 1 for runs in done.values())
        assert "RUNNING" not in statuses(project)
    finally:
        subprocess.run(["umount", "-l", place], check=False)


@pytest.mark.slow
def test_a_clock_that_jumps_an_hour_ahead_repeats_no_result(project: Path, bench: Callable[..., Ran]) -> None:
    """To the database every heartbeat is then an hour old."""
    process = command(*LONG, "--where", "experiment=grid,lr=0.1", RETABLE_HEARTBEAT="1")
    wait_for(lambda: "RUNNING" in statuses(project))
    for _ in range(4):
        with contextlib.closing(sqlite3.connect(project / "mlruns" / "optuna.db", timeout=60)) as connection:
            connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 hour')")
            connection.commit()
        time.sleep(0.7)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    done = finished(project)
    assert len(done) == 4 and all(len(runs) == 1 for runs in done.values())
    assert "RUNNING" not in statuses(project)


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_as_ctrl_c_does(project: Path) -> None:
    process = command(*ONE, "--set", "pause=0.1")
    wait_for(lambda: "RUNNING" in statuses(project))
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on from here" in err
    assert statuses(project) == ["KILLED"] and _checkpoints(project / "mlruns" / "mlflow.db")
