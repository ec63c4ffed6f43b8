"""A reader that leaves before a command has said all, as `bench plan --json toy | head -1` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import finished

BUFFERED = {"PYTHONUNBUFFERED": ""}
"""Little is said only when the interpreter ends, much at once."""


def unread(*args: str, quiet: bool = False, **variables: str) -> tuple[int, str]:
    """`bench ARGS` whose standard output nobody reads, and with `quiet` its standard error neither: the exit code, and
    what standard error says."""
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "retable", *args],
        stdout=writer,
        stderr=writer if quiet else subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        timeout=240,
    )
    os.close(writer)
    return ran.returncode, ran.stderr or ""


@pytest.mark.parametrize(
    "args",
    [
        ("--help",),
        ("--version",),
        ("list",),
        ("list", "toy"),
        ("plan", "toy", "--scale", "big", "--json"),
        ("status",),
        ("status", "toy"),
        ("data", "list"),
        ("report", "toy", "--format", "csv"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_a_command_that_nobody_reads_ends_quietly(ran: Path, args: tuple[str, ...]) -> None:
    assert unread(*args, **BUFFERED) == (0, "")


def test_of_one_trial_too(ran: Path) -> None:
    for verb in ("show", "why"):
        assert unread(verb, "toy", next(iter(finished(ran))), **BUFFERED) == (0, "")


def test_a_run_goes_on_to_its_end(project: Path) -> None:
    one = "experiment=grid,lr=0.1,seed=0,method=plain"
    assert unread("run", "toy", "--no-report", "--workers", "1", "--where", one, quiet=True) == (0, "")
    assert len(finished(project)) == 1


def test_what_is_written_at_once_breaks_no_more_than_what_waits(project: Path) -> None:
    for args in (["list"], ["plan", "toy", "--scale", "big", "--json"], ["--help"]):
        assert unread(*args, PYTHONUNBUFFERED="1") == (0, "")


@pytest.mark.parametrize("variables", [BUFFERED, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_the_exit_code_is_the_commands_own(project: Path, variables: dict[str, str]) -> None:
    assert unread("list", "nothing", quiet=True, **variables) == (2, "")
    assert unread("report", "toy", quiet=True, **variables) == (4, "")


def test_what_is_written_at_once_and_has_no_room_is_said_plainly(project: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "retable", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    assert (ran.returncode, ran.stderr) == (2, "[Errno 28] No space left on device\n")
