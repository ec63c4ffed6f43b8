"""Metrics on their way to MLflow, on disk: what a killed process had measured and not yet sent is not lost.

One file a run, `outbox/<run id>.jsonl` beside the stores: a line that says whose it is, then one point a line. Sent
points are cut off; a file whose process is dead is delivered by the next command that runs trials on this machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retable.bench.store import owners, patience
from retable.bench.store.places import Stores, address

_RUN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Outbox:
    """The unsent points of one run of this process."""

    def __init__(self, stores: Stores, run_id: str):
        folder = stores.folder / "outbox"
        folder.mkdir(parents=True, exist_ok=True)
        if not _RUN.fullmatch(run_id):
            raise ValueError(f"'{run_id}' is no run id")
        self._path = folder / f"{run_id}.jsonl"
        self._head = json.dumps({"owner": owners.owner(), "tracking": address(stores.tracking)}) + "\n"
        self._file = self._path.open("w", encoding="utf-8")
        self._empty = False
        self.clear()

    def add(self, points: Sequence[Any]) -> None:
        """Keep points (with `key`, `value`, `timestamp`, `step`) until they are sent."""
        self._file.writelines(json.dumps([p.key, p.value, p.timestamp, p.step]) + "\n" for p in points)
        self._file.flush()
        self._empty = self._empty and not points

    def clear(self) -> None:
        """Everything kept has been sent."""
        if self._empty:
            return
        self._file.seek(0)
        self._file.truncate()
        self._file.write(self._head)
        self._file.flush()
        self._empty = True

    def close(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Left:
    """A file that a dead process left."""

    path: Path
    run_id: str

    def points(self) -> list[tuple[str, float, int, int]]:
        """(metric, value, milliseconds since the epoch, step), in order. A last line that a kill cut short is not
        a point."""
        found = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
            try:
                key, value, stamp, step = json.loads(line)
                found.append((str(key), float(value), int(stamp), int(step)))
            except (ValueError, TypeError):
                break
        return found

    def head(self) -> tuple[str, str] | None:
        """The tracking store's URI and the owner, from the first line; None where that is damaged."""
        with self.path.open(encoding="utf-8", errors="replace") as file:
            line = file.readline()
        try:
            told = json.loads(line)
            return str(told["tracking"]), str(told["owner"])
        except (ValueError, TypeError, KeyError):
            return None

    def close(self) -> None:
        self.path.unlink(missing_ok=True)

    def set_aside(self, why: str) -> None:
        """Keep the file where nobody delivers it, and say so."""
        kept = self.path.replace(self.path.with_suffix(".aside"))
        patience.say(f"points of run {self.run_id} were not delivered ({why}); they are kept in {kept}")


def left(stores: Stores, dead: Callable[[str], bool]) -> Iterator[Left]:
    """The files of dead owners that are for this tracking store. A damaged one is set aside."""
    for found in _files(stores, "*.jsonl"):
        with found.path.open(encoding="utf-8", errors="replace") as file:
            if not file.readline().endswith("\n"):
                continue  # killed, or about to write: nothing has been measured yet
        head = found.head()
        if head is None:
            found.set_aside("its first line is damaged")
        elif address(head[0]) == address(stores.tracking) and dead(head[1]) and _RUN.fullmatch(found.run_id):
            yield found


def unsent(stores: Stores, dead: Callable[[str], bool]) -> list[Left]:
    """What `left` would give or set aside, and has points. Nothing is touched."""
    found = [(f, f.head()) for f in _files(stores, "*.jsonl") if f.path.read_bytes().count(b"\n") > 1]
    ours = address(stores.tracking)
    return [f for f, head in found if head is None or (address(head[0]) == ours and dead(head[1]))]


def aside(stores: Stores) -> list[Left]:
    """What was set aside of this tracking store's."""
    found = [(f, f.head()) for f in _files(stores, "*.aside")]
    return [f for f, head in found if head is not None and address(head[0]) == address(stores.tracking)]


def _files(stores: Stores, pattern: str) -> list[Left]:
    folder = stores.folder / "outbox"
    return [Left(path, path.stem) for path in sorted(folder.glob(pattern))] if folder.is_dir() else []
