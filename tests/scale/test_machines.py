"""Machines that share a PostgreSQL queue and an MLflow server, and nothing else."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Machine, Seen, wait_for
from running import Ran
from servers import PASSWORD, MlflowServer, Postgres

WHAT = ("--scale", "long", "--where", "experiment=grid,method=plain,lr=0.1|0.01,seed=0", "--set", "pause=0.03")
PACE = ("--checkpoint-every", "0.3")


def test_a_trial_killed_on_one_machine_goes_on_from_its_checkpoint_on_another(
    machines: Callable[..., Machine],
    shared_mlflow: MlflowServer,
    empty_store: Path,
    tmp_path: Path,
) -> None:
    office, doomed, steady = (machines(name, password=True) for name in ("office", "doomed", "steady"))
    seen = Seen(shared_mlflow.database, office.suite)
    head = office.start("run", office.suite, *WHAT, "--workers", "0", "--no-report")
    first = doomed.start("worker", office.suite, "--workers", "1", *PACE)
    wait_for(lambda: seen.tags("retable.checkpoint") or first.poll() is not None)
    doomed.power_cut(first)
    (lost, _), *_ = seen.tags("retable.checkpoint")
    second = steady.start("worker", office.suite, "--workers", "1", "--idle", "10", *PACE)

    assert head.wait(180) == 0, office.said(head)
    assert second.wait(60) == 0, steady.said(second)
    assert "finished elsewhere" in office.said(head)
    done = seen.finished()
    assert len(done) == 2 and all(len(runs) == 1 for runs in done.values())
    assert "RUNNING" not in seen.statuses()
    ((heir, told),) = seen.tags("retable.resumed")
    assert told.startswith(f"run {lost} at step ") and int(told.split()[-1]) > 0
    assert any(runs == [heir] for runs in done.values())

    # As if nothing had happened: every loss equal, to the bit, to one machine's with files of its own.
    alone = Machine(tmp_path / "alone", f"sqlite:///{tmp_path}/mlflow.db", f"sqlite:///{tmp_path}/o.db", office.suite)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    calm = alone.run("run", office.suite, *WHAT, "--workers", "2", "--no-report")
    assert calm.code == 0, calm.out
    undisturbed = Seen(tmp_path / "mlflow.db", office.suite)
    expected = sorted(undisturbed.curve(runs[0]) for runs in undisturbed.finished().values())
    assert sorted(seen.curve(runs[0]) for runs in done.values()) == expected

    # A report needs the two servers alone.
    reader = machines("reader", password=True)
    page = reader.run("report", office.suite, *WHAT[:2], *WHAT[4:], "-o", str(reader.folder / "reports"))
    assert page.code == 0, page.out
    assert "resumed" not in (reader.folder / "reports" / reader.suite / "long.md").read_text()  # one trial's affair
    _edit(reader)
    why = reader.run("why", reader.suite, next(iter(done)), *WHAT[:2], *WHAT[4:])
    assert why.code == 0 and "FACTOR" in why.out, why.out
    assert _with_password([tmp_path, shared_mlflow.folder], storage=office.storage) == []


def test_an_empty_postgresql_database_is_a_store_with_nothing_in_it(
    project: Path, postgres: Postgres, bench: Callable[..., Ran]
) -> None:
    ran = bench("status", "toy", "--tracking-uri", postgres.fresh("nothing"))
    assert ran.code == 0, ran.err


@pytest.mark.slow
def test_a_postgresql_database_holds_results_without_a_server(
    project: Path, postgres: Postgres, bench: Callable[..., Ran]
) -> None:
    stores = ("--tracking-uri", postgres.fresh("results"))
    ran = bench("run", "toy", "--where", "experiment=grid,seed=0,lr=0.1", *stores, "--storage", postgres.fresh("own"))
    assert ran.code == 0 and "2 trials in" in ran.err, ran.err
    again = bench("run", "toy", "--where", "experiment=grid,seed=0,lr=0.1", *stores, "--no-report")
    assert again.code == 0 and "0 trials to run, 2 done already" in again.err


def _edit(machine: Machine) -> None:
    """Change the code of its task."""
    helper = machine.project / "toypaper" / "helper.py"
    helper.write_text(helper.read_text().replace("FACTOR = 0.5", "FACTOR = 0.25"))


def _with_password(folders: list[Path], storage: str) -> list[str]:
    """Files and databases that hold the servers' password: logs, tags, reports, artifacts, the queue itself."""
    import psycopg

    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    found = [str(path) for path in files if PASSWORD.encode() in path.read_bytes()]
    with psycopg.connect(storage) as connection:
        for table in ("trial_user_attributes", "trial_system_attributes", "study_user_attributes"):
            query = f"SELECT count(*) FROM {table} WHERE value_json LIKE '%{PASSWORD}%'"
            found += [table] if connection.execute(query).fetchone() != (0,) else []
    return found


@pytest.mark.slow
def test_a_worker_with_other_code_is_refused_and_takes_nothing(
    machines: Callable[..., Machine], shared_mlflow: MlflowServer
) -> None:
    office, other = machines("office"), machines("other")
    _edit(other)
    head = office.start("run", office.suite, *WHAT, "--workers", "0", "--no-report")
    ran = other.run("worker", office.suite, "--workers", "1", "--idle", "60")
    assert ran.code == 2
    assert "not for this worker: grid: the task's code" in ran.out
    assert Seen(shared_mlflow.database, office.suite).statuses() == []
    head.terminate()
    assert head.wait(60) == 130  # and it takes back what it had enqueued
    late = office.run("worker", office.suite, "--workers", "1", "--idle", "1")
    assert late.code == 0 and "0 trials finished" in late.out


@pytest.mark.slow
def test_two_commands_without_a_common_folder_share_the_work(
    machines: Callable[..., Machine], shared_mlflow: MlflowServer
) -> None:
    both = [machines("left"), machines("right")]
    ran = [m.start("run", m.suite, "--where", "experiment=grid", "--workers", "1", "--no-report") for m in both]
    assert [p.wait(240) for p in ran] == [0, 0], [m.said(p) for m, p in zip(both, ran, strict=True)]
    seen = Seen(shared_mlflow.database, both[0].suite)
    done = seen.finished()
    assert len(done) == 16 and all(len(runs) == 1 for runs in done.values())
    assert set(seen.statuses()) == {"FINISHED"}


@pytest.mark.parametrize(
    ("stores", "said"),
    [
        (("--tracking-uri", "http://127.0.0.1:1"), "tracking store http://127.0.0.1:1 cannot be used"),
        (("--tracking-uri", "ftp://x"), "write sqlite:///FILE or postgresql://USER@HOST/DATABASE or http"),
        (("--storage", "postgresql://a:hidden@127.0.0.1:1/x"), "the queue postgresql+psycopg://***@127.0.0.1:1/x"),
        (("--storage", "redis://x"), "write sqlite:///FILE or postgresql://"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_store_that_cannot_be_used_is_an_error_of_one_line(
    project: Path, bench: Callable[..., Ran], stores: tuple[str, str], said: str
) -> None:
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    ran = bench("run", "toy", "--no-report", "--where", "experiment=grid,seed=0", *stores)
    assert ran.code == 2 and said in ran.err
    assert "Traceback" not in ran.err and "hidden" not in ran.err


def test_an_sqlite_file_that_is_none_is_an_error_of_one_line(project: Path, bench: Callable[..., Ran]) -> None:
    (project / "mlruns" / "optuna.db").write_text("not a database, whatever its name says" * 100)
    ran = bench("run", "toy", "--no-report", "--where", "experiment=grid,seed=0,lr=0.1")
    assert ran.code == 2 and "cannot be used: file is not a database" in ran.err
    with contextlib.closing(sqlite3.connect(project / "mlruns" / "mlflow.db")) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)
