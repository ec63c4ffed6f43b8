"""`bench doctor`: what it looks at, what it finds wrong, and that each finding comes with its mend."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from running import Ran

from retable.bench import data
from retable.bench.commands import doctor
from retable.bench.commands.doctor import Check


def found(group: str) -> dict[str, Check]:
    """What doctor says here and now of one group."""
    return {c.what: c for c in doctor.examine() if c.group == group}


def test_this_machine_is_fit(project: Path, bench: Callable[..., Ran]) -> None:
    ran = bench("doctor")
    assert ran.code == 0, ran.out
    groups = [line for line in ran.out.splitlines() if line and not line.startswith(" ")]
    assert groups == [
        "environment", "threads", "torch", "devices", "stores", "suites", "data and weights", "determinism",
        "fit for a run",
    ]  # fmt: skip
    assert "  ok   toy: 3 experiments at quick, long, big" in ran.out
    assert "BAD" not in ran.out


def test_what_is_not_here_says_how_to_get_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETABLE_DATA", str(project / "nothing"))
    said = found("data and weights")
    assert said["folder"].found == str(project / "nothing")
    for source in data.sources().values():
        assert said[source.name].fine
        if not source.embedded:
            assert "bench data get" in said[source.name].mend, source.name
    assert said["photos"].found.startswith("here")


def test_a_damaged_store(project: Path) -> None:
    assert found("stores")["results"].fine
    (project / "mlruns" / "mlflow.db").write_bytes(b"this is no database" * 100)
    assert not (damaged := found("stores")["results"]).fine
    assert "file is not a database" in damaged.found and "aside" in damaged.mend
    sqlite3.connect(project / "mlruns" / "optuna.db").close()
    assert found("stores")["queue"].fine


def test_what_is_bad_ends_with_exit_code_2_and_has_its_mend_below(project: Path, bench: Callable[..., Ran]) -> None:
    (project / "mlruns" / "mlflow.db").write_bytes(b"this is no database" * 100)
    suite = project / "suites" / "toy.yaml"
    suite.write_text(suite.read_text().replace("task: idle", "task: idel"))
    ran = bench("doctor")
    assert ran.code == 2
    lines = ran.out.splitlines()
    bad = [at for at, line in enumerate(lines) if line.startswith("  BAD  ")]
    assert [lines[at].split()[1] for at in bad] == ["results:", "toy:"]
    assert all(lines[at + 1].startswith("       -> ") for at in bad)
    assert lines[-1] == "2 to mend"


def test_a_server_that_does_not_answer_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    fact = doctor.Check("stores", *doctor._server("results", "http://me:secret@127.0.0.1:9/"))
    assert not fact.fine and fact.mend
    assert fact.found.startswith("http://127.0.0.1:9/ does not answer: ")


def test_a_broken_suite(project: Path) -> None:
    path = project / "suites" / "toy.yaml"
    path.write_text(path.read_text().replace("task: idle", "task: idel"))
    assert not (broken := found("suites")["toy"]).fine
    assert "toy.yaml:36:11: experiments.idle.task: unknown task 'idel'" in broken.found


def test_outside_a_project(tmp_path: Path, bench: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = bench("doctor", "--json")
    assert ran.code == 2
    assert [c["what"] for c in ran.json if not c["fine"]] == ["suites"]


@pytest.mark.parametrize(
    ("content", "cores"), [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None), ("400000 100000\n", 4)]
)
def test_the_share_of_a_container(tmp_path: Path, content: str, cores: float | None) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert doctor._cgroup_cores(tmp_path / "cpu.max") == cores
    assert doctor._cgroup_cores(tmp_path / "none") is None


def test_a_torchvision_of_another_torch() -> None:
    assert doctor._torchvision("2.6.1")[1] is False
    assert doctor._torchvision("2.6.1")[3] == "pip install 'torchvision==0.21.*'"
