"""Every way for a trial to fail ends in `failed` after a bounded time, with its reason; and every run ends."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import rough
from running import Ran, command


@pytest.fixture
def world(project: Path) -> Path:
    rough.write(project)
    return project


def run(bench: Callable[..., Ran], how: str, *more: str, **variables: str) -> Ran:
    args = ("run", "rough", "--no-report", "--workers", "1", "--set", f"how={how}", *more)
    return bench(*args, **variables)


def attempts(project: Path) -> list[str]:
    with sqlite3.connect(project / "mlruns" / "mlflow.db") as database:
        return [status for (status,) in database.execute("SELECT status FROM runs ORDER BY start_time")]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("exit", "SystemExit: out of patience (tasks.py:"),
        ("not utf-8", r"ValueError: bad \udcff.jpg and a zero \x00 (tasks.py:"),
        ("mute", "Mute: (its text raises RuntimeError) (tasks.py:"),
        ("undeclared", "measured 'quality/@', which it does not declare"),
        ("undeclared at the end", "measured 'quality/more', which it does not declare"),
        ("odd model", "Evaluation.model cannot be read again; it may hold tensors, numbers, texts"),
    ],
)
def test_a_failure_is_told_once_with_its_reason(world: Path, bench: Callable[..., Ran], how: str, reason: str) -> None:
    ran = run(bench, how)
    assert ran.code == 3 and reason in ran.err and "Traceback" not in ran.err
    assert attempts(world) == ["FAILED"]


def test_a_state_that_cannot_be_read_back_fails_at_the_first_checkpoint(world: Path, bench: Callable[..., Ran]) -> None:
    ran = run(bench, "odd state", "--set", "pause=0.1", "--set", "steps=40", "--checkpoint-every", "0.5")
    assert ran.code == 3 and "state_dict() cannot be read again; it may hold tensors, numbers, texts" in ran.err
    assert attempts(world) == ["FAILED"]


@pytest.mark.parametrize(
    ("how", "where"), [("nan weights", "w is not finite at step 4"), ("nan model", "w is not finite")]
)
def test_a_model_of_nan_is_diverged_and_not_finished(
    world: Path, bench: Callable[..., Ran], how: str, where: str
) -> None:
    ran = run(bench, how)
    assert ran.code == 0 and f"diverged: {where}" in ran.err
    assert attempts(world) == ["FINISHED"]


@pytest.mark.parametrize("line", ["import no_such_package", "undefined", "raise SystemExit('not today')"])
def test_a_task_whose_module_cannot_be_imported_fails_once_with_the_reason(
    world: Path, bench: Callable[..., Ran], line: str
) -> None:
    tasks = world / "roughpaper" / "tasks.py"
    tasks.write_text(f"{line}\n{tasks.read_text()}")
    ran = run(bench, "well")
    assert ran.code == 3 and "(tasks.py:1)" in ran.err
    assert attempts(world) == ["FAILED"]


def test_a_task_that_forks_does_not_keep_the_run_from_ending(world: Path, bench: Callable[..., Ran]) -> None:
    began = time.monotonic()
    ran = run(bench, "fork")
    assert ran.code == 0 and "[1/1]" in ran.err and time.monotonic() - began < 60
    left = [p for p in psutil.process_iter(["cmdline"]) if "run.worker" in " ".join(p.info["cmdline"] or ())]
    assert [p for p in left if p.cwd() == str(world)] == []


def test_a_step_that_hangs_is_ended_by_the_timeout_and_has_failed(world: Path, bench: Callable[..., Ran]) -> None:
    ran = run(bench, "hang", "--timeout", "6")
    assert ran.code == 3 and "FAILED: it took longer than the 6 s of --timeout" in ran.err
    assert attempts(world) == ["FAILED"]  # once: a second time would take as long


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_step_that_hangs_does_not_outlive_a_stop(world: Path, number: signal.Signals) -> None:
    process = command(
        "run",
        "rough",
        "--no-report",
        "--workers",
        "1",
        "--set",
        "how=hang",
        "--set",
        "pause=0.2",
        RETABLE_STOP_SECONDS="2",
    )
    deadline = time.monotonic() + 60
    while not (found := _workers(process.pid)) or not (world / "mlruns" / "outbox").is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(3)
    began = time.monotonic()
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and time.monotonic() - began < 15
    assert "did not stop within 2 s and is ended" in err and "the same command goes on from here" in err
    assert not any(p.is_running() for p in found)


def test_a_worker_that_is_stopped_as_a_process_does_not_keep_the_run_from_ending(world: Path) -> None:
    process = command("run", "rough", "--no-report", "--workers", "1", "--set", "pause=0.5", RETABLE_STOP_SECONDS="2")
    deadline = time.monotonic() + 60
    while not (found := _workers(process.pid)) or not (world / "mlruns" / "outbox").is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(2)
    found[0].suspend()
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err


def _workers(pid: int) -> list[psutil.Process]:
    try:
        below = psutil.Process(pid).children(recursive=True)
        return [p for p in below if "run.worker" in " ".join(p.cmdline())]
    except psutil.Error:
        return []


def test_code_that_is_edited_while_a_run_begins_never_runs(world: Path) -> None:
    tasks = world / "roughpaper" / "tasks.py"
    sound = tasks.read_text()
    stub = world / "slow.py"  # the command as it is, but the file is edited once the run is planned
    stub.write_text(
        "import sys, pathlib\n"
        "from retable.bench.run import crew\n"
        "spawn = crew._spawn\n"
        "def late(*args):\n"
        "    file = pathlib.Path('roughpaper/tasks.py')\n"
        "    file.write_text(file.read_text().replace('* 0.9', '* 0.8'))\n"
        "    return spawn(*args)\n"
        "crew._spawn = late\n"
        "from retable.bench.commands.main import main\n"
        "sys.argv = ['bench', 'run', 'rough', '--no-report', '--workers', '1']\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, str(stub)], cwd=world, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2 and "has changed since this run was planned" in ran.stderr
    assert "start the run again" in ran.stderr and attempts(world) == []
    tasks.write_text(sound)
    ran = subprocess.run(
        [sys.executable, "-m", "retable", "run", "rough", "--no-report"], cwd=world, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_a_finished_trial_leaves_no_checkpoints_of_its_earlier_attempts(world: Path, bench: Callable[..., Ran]) -> None:
    process = command(
        "run", "rough", "--no-report", "--workers", "1", "--set", "pause=0.3", "--checkpoint-every", "0.3"
    )
    deadline = time.monotonic() + 60
    while not (kept := list((world / "mlruns").rglob("checkpoint/*.pt"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for worker in _workers(process.pid):
        worker.kill()
    process.communicate(timeout=120)
    assert process.returncode == 0 and kept
    assert list((world / "mlruns").rglob("checkpoint/*.pt")) == []
    assert sorted(attempts(world)) == ["FINISHED", "KILLED"]
