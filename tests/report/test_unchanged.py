"""A run with nothing to do leaves its report as it is, and anything that a report shows is reason to write it anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import shelf
from running import Ran

from retable.bench.store import looks, places
from retable.bench.suite import loader

Bench = Callable[..., Ran]
RUN = ("run", "shelf", "--workers", "1")


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def look(project: Path) -> None:
    """Somebody judges a claim of another number of seeds."""
    file = loader.load(project / "suites" / "shelf.yaml")
    looks.note(file.suite, "quick", places.locate(file.project), {"lower": 5})


def another_run(project: Path) -> None:
    """A second run of one trial ends, on another machine perhaps."""
    with sqlite3.connect(project / "mlruns" / "mlflow.db") as connection:
        (columns,) = [[c[1] for c in connection.execute("PRAGMA table_info(runs)")]]
        new = ", ".join("'f' || substr(run_uuid, 2)" if c == "run_uuid" else c for c in columns)
        connection.execute(f"INSERT INTO runs SELECT {new} FROM runs LIMIT 1")
    connection.close()


CHANGES: dict[str, Callable[[Path], None]] = {
    "the suite": lambda p: rewrite(p / "suites" / "shelf.yaml", "On idleness", "On doing nothing"),
    "a task's code": lambda p: rewrite(p / "toypaper" / "tasks.py", "0.01 * torch", "0.02 * torch"),
    "the page": lambda p: rewrite(p / "reports" / "shelf" / "quick.md", "On doing", "By hand"),
    "its record": lambda p: (p / "reports" / "shelf" / "quick.json").unlink(),
    "a picture": lambda p: next((p / "reports" / "shelf" / "quick").glob("*.[ps][nv]g")).unlink(),
    "a look": look,
    "a run": another_run,
}


def test_a_report_is_written_anew_for_each_of_these_and_for_nothing_else(project: Path, bench: Bench) -> None:
    shelf.fill(shelf.write(project, cells=20, seeds=3))
    page = project / "reports" / "shelf" / "quick.md"
    assert bench(*RUN).code == 0
    written = page.stat().st_mtime_ns
    for _ in range(2):
        again = bench(*RUN)
        assert again.code == 0 and f"report: {page}" in again.out and "0 trials to run, 60 done" in again.err
        assert page.stat().st_mtime_ns == written
    for what, change in CHANGES.items():
        change(project)
        assert bench(*RUN).code == 0
        assert page.stat().st_mtime_ns > written, what
        written = page.stat().st_mtime_ns
        assert bench(*RUN).code == 0
        assert page.stat().st_mtime_ns == written, what
    assert bench("report", "shelf").code == 0  # asked for, it is always written
    assert page.stat().st_mtime_ns > written
