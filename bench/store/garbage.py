"""Files beside a store that nothing needs any more, found and removed one by one: none that retable did not write.

What is ours is known by name: what a run's list of digests has, the two checkpoints of an attempt, temporary files of
`files.write` and of the making of a store, points that were set aside.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from retable.bench.store import digests, outbox, reading, sql
from retable.bench.store.places import StoreError, Stores, redact, sqlite_file

CHECKPOINTS = ("checkpoint/a.pt", "checkpoint/b.pt")
_RUN = re.compile(r"[0-9a-f]{32}")
_TEMPORARY = re.compile(r"\..+\.(pt|json|txt|png|npz|zip)\.[a-z0-9_]{8}")


@dataclass(frozen=True)
class Piece:
    """A file to remove. why: what it is. orphan: it belongs to no run of this store, and may to one of another."""

    path: Path
    size: int
    why: str
    orphan: bool = False


def find(stores: Stores) -> list[Piece]:
    """Everything that can go. Raises `StoreError` for a tracking server, whose files are its own affair."""
    if not reading.is_sql(stores.tracking):
        raise StoreError(
            f"{redact(stores.tracking)} is a tracking server and keeps its own files: `mlflow gc` on its machine"
        )
    if not reading.exists(stores.tracking):
        return []
    runs = sql.every(stores.tracking)
    pieces = [*_of_runs(stores, runs), *_orphans(stores, {run.id for run in runs}), *_beside(stores, runs)]
    return sorted(pieces, key=lambda piece: str(piece.path))


def remove(stores: Stores, piece: Piece) -> None:
    """Remove a file, and the folders of its run that are empty then."""
    piece.path.unlink(missing_ok=True)
    for folder in piece.path.parents:
        if stores.artifacts not in folder.parents or any(folder.iterdir()):
            return
        folder.rmdir()


def _piece(path: Path, why: str, *, orphan: bool = False) -> Iterator[Piece]:
    if path.is_file() and not path.is_symlink():
        yield Piece(path, path.stat().st_size, why, orphan)


def _of_runs(stores: Stores, runs: list[sql.Row]) -> Iterator[Piece]:
    finished = {run.trial for run in runs if run.status == "FINISHED" and run.active}
    for run in runs:
        folder = reading.local(stores.tracking, run.artifact_uri)
        if folder is None or run.status == "RUNNING" or not run.trial or not folder.is_dir():
            continue
        if run.trial in finished:
            for name in CHECKPOINTS:
                yield from _piece(folder / name, f"checkpoint of run {run.id}, whose trial is finished")
        for path in sorted(folder.rglob(".*")):
            if _TEMPORARY.fullmatch(path.name):
                yield from _piece(path, f"half-written file of run {run.id}")


def _orphans(stores: Stores, known: set[str]) -> Iterator[Piece]:
    """Of runs that no database in the stores' folder has a row of, deleted or not."""
    if stores.artifacts is None or not stores.artifacts.is_dir():
        return
    here = [f for f in sorted(stores.artifacts.glob("*/*/*")) if _RUN.fullmatch(f.name) and f.name not in known]
    others = _runs_beside(stores) if here else set()
    for folder in (f / "artifacts" for f in here if f.name not in others):
        try:
            listed = list(json.loads((folder / digests.LIST).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            listed = []
        for name in (*listed, digests.LIST, *CHECKPOINTS):
            if ".." not in Path(name).parts and not Path(name).is_absolute():
                yield from _piece(folder / name, "its run is in no store here", orphan=True)


def _runs_beside(stores: Stores) -> set[str]:
    """The runs of every SQLite store in the folder: they keep their artifacts in the same place."""
    found: set[str] = set()
    for file in sorted(stores.folder.glob("*.db")):
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            try:
                found |= {str(row[0]) for row in connection.execute("SELECT run_uuid FROM runs")}
            except sqlite3.DatabaseError:
                continue  # a queue, or no database
    return found


def _beside(stores: Stores, runs: list[sql.Row]) -> Iterator[Piece]:
    active = {run.id for run in runs if run.active}
    for left in outbox.aside(stores):
        if left.run_id not in active:
            yield from _piece(left.path, f"points of run {left.run_id}, which is deleted")
    if stores.tracking.startswith("sqlite:"):
        file = sqlite_file(stores.tracking)
        for path in sorted(file.parent.glob(f".{file.name}.*")):
            number = path.name.removeprefix(f".{file.name}.").partition("-")[0]
            if number.isdigit() and not psutil.pid_exists(int(number)):
                yield from _piece(path, "a store whose making was cut short")
