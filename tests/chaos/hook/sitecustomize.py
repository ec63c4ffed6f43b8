"""Imported by every Python process that a campaign starts with this folder on its path: faults from within.

`CHAOS_WRITES` names a folder, where every process of ours counts what it writes to the stores: commits of a database
and files that get their final name. With `CHAOS_KILL=worker:1` the first worker is killed just before its first write,
the second before its second, and so on, `CHAOS_MOST` of them; after a write is the same as before the next.
With `CHAOS_JUMP` the clock of a process is set by hours, ahead and back, at each tenth look at it.
"""

import os
import signal
import sys
import time
from pathlib import Path

WRITES, JUMP = os.environ.get("CHAOS_WRITES"), os.environ.get("CHAOS_JUMP")
WORDS = " ".join(sys.orig_argv)
ROLE = "worker" if "retable.bench.run.worker" in WORDS else "command" if "-m retable run" in WORDS else ""


def number() -> int:
    """Which process of its role this is, from 0."""
    for index in range(100_000):
        try:
            os.close(os.open(f"{WRITES}/{ROLE}.{index}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return index
    raise AssertionError("there are not so many processes")


def count_writes() -> None:
    """Count, and end at the write that is due."""
    from sqlalchemy.engine.default import DefaultDialect

    mine, role, file = number(), *os.environ["CHAOS_KILL"].split(":")
    due = int(file) + mine if role == ROLE and mine < int(os.environ["CHAOS_MOST"]) else None
    done = 0

    def write(what: str) -> None:
        nonlocal done
        done += 1
        with Path(f"{WRITES}/{ROLE}.{mine}").open("a") as log:
            log.write(f"{what}\n")
        if done == due:
            os.kill(os.getpid(), signal.SIGKILL)

    commit = DefaultDialect.do_commit

    def do_commit(self, connection):  # type: ignore[no-untyped-def]
        write("commit")
        return commit(self, connection)

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]
    stores = os.environ["CHAOS_STORES"]

    def heard(event: str, told: tuple[object, ...]) -> None:
        if event == "os.rename" and str(told[1]).startswith(stores):
            write(f"file {Path(str(told[1])).name}")

    sys.addaudithook(heard)


def jump() -> None:
    """A clock that somebody sets, again and again."""
    real, looks = time.time, 0

    def jumping() -> float:
        nonlocal looks
        looks += 1
        return real() + (0, 7 * 3600, -5 * 3600)[looks // 10 % 3]

    time.time = jumping


if ROLE and WRITES:
    count_writes()
if ROLE and JUMP:
    jump()
