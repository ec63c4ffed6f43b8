"""Whether the process that ran a trial is still there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from retable.bench.store import owners

TELL = "from retable.bench.store import owners; print(owners.owner(), flush=True); input()"


def other() -> tuple[subprocess.Popen[str], str]:
    """Another process, waiting, and its name."""
    process = subprocess.Popen([sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_process_that_runs_is_not_dead() -> None:
    assert not owners.is_dead(owners.owner())
    process, name = other()
    assert name != owners.owner() and name.split(":")[1] == str(process.pid)
    assert not owners.is_dead(name)
    assert int(name.split(":")[2]) > int(owners.owner().split(":")[2]) > 0  # it started later
    process.communicate("\n")


def test_a_process_that_ended_is_dead_before_its_parent_has_looked() -> None:
    process, name = other()
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert owners.is_dead(name)
    process.communicate()
    assert owners.is_dead(name)


def test_a_number_that_was_given_to_another_process_is_dead() -> None:
    host, pid, start, *where = owners.owner().split(":")
    assert owners.is_dead(":".join([host, pid, str(int(start) - 1), *where]))
    assert owners.is_dead(":".join([host, pid, str(int(start) + 1), *where]))


def test_of_another_machine_nothing_is_known() -> None:
    _, pid, start, *where = owners.owner().split(":")
    assert not owners.is_dead(":".join(["another", pid, str(int(start) - 1), *where]))
    assert not owners.is_dead(f"another:{pid}:1")


def test_of_another_container_of_the_same_host_name_nothing_is_known() -> None:
    """Both have a process 7, say, and see only their own."""
    process, name = other()
    process.communicate("\n")
    *rest, namespace = name.split(":")
    assert owners.is_dead(name)
    assert not owners.is_dead(":".join([*rest, str(int(namespace) + 1)]))


def test_who_ran_before_the_machine_was_started_is_dead() -> None:
    host, pid, start, _, namespace = owners.owner().split(":")
    assert owners.is_dead(f"{host}:{pid}:{start}:an-earlier-boot:{namespace}")
    assert owners.is_dead(f"{host}:{pid}:{start}:an-earlier-boot:17")


def test_names_of_older_versions_are_understood() -> None:
    host, pid, start, *_ = owners.owner().split(":")
    assert not owners.is_dead(f"{host}:{pid}:{start}") and owners.is_dead(f"{host}:{pid}:{int(start) + 1}")


@pytest.mark.parametrize("name", ["", ":", "::", "x", f"{socket.gethostname()}:x:1", f"{socket.gethostname()}:1"])
def test_what_is_no_owner_is_not_dead(name: str) -> None:
    assert not owners.is_dead(name)
