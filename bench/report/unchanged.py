"""Whether a report is what it would be if it were written now, so that a run with nothing to do writes none.

All that a report is made from is hashed without reading a number: the suite's file, the trials it plans, the runs and
looks of its experiments, the tasks' code, and this code. The hash is kept with the stores, beside one of the files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from retable.bench import files
from retable.bench.store import looks, reading, status
from retable.bench.store.places import Stores, experiment_name
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.plan import Trial
from retable.bench.suite.values import canonical

ROOMS = ("judging", "report", "results")


def is_current(made_from: str, file: SuiteFile, scale: str, stores: Stores, reports: Path) -> bool:
    """Whether the report there was made from the same (`inputs`), and is as it was written."""
    made_from = _with_looks(made_from, file, scale, stores)
    try:
        kept = json.loads(_kept(file, scale, stores).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(kept == [made_from, _written(file, scale, reports)])


def note(made_from: str, file: SuiteFile, scale: str, stores: Stores, reports: Path) -> None:
    """Remember what the report that has just been written was made from."""
    made_from = _with_looks(made_from, file, scale, stores)
    files.write(_kept(file, scale, stores), json.dumps([made_from, _written(file, scale, reports)]))


def _with_looks(made_from: str, file: SuiteFile, scale: str, stores: Stores) -> str:
    """`inputs` and the looks at the claims, to which a report adds its own: ask once that is remembered."""
    return f"{made_from} {canonical(looks.read(file.suite, scale, stores.tracking))}"


def _kept(file: SuiteFile, scale: str, stores: Stores) -> Path:
    return stores.folder / "reported" / f"{file.suite.suite}.{scale}.json"


def inputs(file: SuiteFile, scale: str, planned: Sequence[Trial], stores: Stores) -> str:
    """Of all that a report is made from but the looks. Ask before the results are read: what ends meanwhile is then a
    change."""
    names = sorted(experiment_name(file.suite.suite, name) for name in file.suite.experiments)
    runs = [[run.id, run.status, run.ended] for run in reading.runs(stores.tracking, names)]
    made_from = [
        hashlib.sha256(file.path.read_bytes()).hexdigest(),
        [trial.id for trial in planned],
        runs,
        status.code_digests(file.suite),
        _code(),
    ]
    return hashlib.sha256(canonical(made_from).encode()).hexdigest()


@cache
def _code() -> str:
    """Of the rooms that make a report."""
    found = hashlib.sha256()
    engine = Path(__file__).parents[1]
    for room in ROOMS:
        for path in sorted((engine / room).rglob("*.*")):
            if path.is_file() and path.suffix != ".pyc":
                found.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
    return found.hexdigest()


def _written(file: SuiteFile, scale: str, reports: Path) -> str:
    """Of the page, its record and its pictures."""
    folder = reports / file.suite.suite
    found = hashlib.sha256()
    for path in [folder / f"{scale}.md", folder / f"{scale}.json", *sorted((folder / scale).glob("*"))]:
        found.update(f"{path.name} {path.stat().st_size if path.is_file() else -1} ".encode())
        found.update(path.read_bytes() if path.is_file() else b"")
    return found.hexdigest()
