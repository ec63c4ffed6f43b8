"""A made-up suite of any number of idle trials, and a store in which all are finished, written by SQL at once."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from retable.bench.store import making, places, status
from retable.bench.suite import loader, plan

SUITE = """
suite: shelf
about: Many idle trials, in a table with a row for every ten cells.
paper: {{title: On idleness, authors: [A. Nonymous], year: 2020}}
packages: toypaper
scales: {{quick: {{about: seconds}}}}
experiments:
  grid:
    task: idle
    about: overhead
    settings:
      a: {{value: {columns}, source: "assumed: columns"}}
      b: {{value: {rows}, source: "assumed: rows"}}
    seeds: {seeds}
tables:
  all:
    title: A row for every value
    source: Table 1
    from: grid
    rows: b
    columns:
      first: {{metric: loss/total, where: {{a: 0}}}}
      second: {{metric: loss/total, where: {{a: 1}}}}
      third: {{metric: loss/total, where: {{a: 2}}}}
  best:
    title: The best of every row
    source: Table 2
    from: grid
    rows: b
    select: {{lowest: loss/total, over: [a]}}
    columns:
      a: {{setting: a}}
      loss: {{metric: loss/total}}
figures:
  line:
    title: The first column
    source: Figure 1
    from: grid
    kind: lines
    metric: loss/total
    x: b
    where: {{a: 0, b: [0, 1]}}
claims:
  lower:
    quote: The first column is lower.
    source: section 1
    from: grid
    where: {{b: 0}}
    check: {{form: below, metric: loss/total, these: {{a: 0}}, than: {{a: 1}}}}
"""


def write(project: Path, cells: int, seeds: int = 1) -> Path:
    """The suite with so many cells (a multiple of ten), in a project's suites."""
    (project / "suites").mkdir(parents=True, exist_ok=True)
    file = project / "suites" / "shelf.yaml"
    file.write_text(SUITE.format(columns=list(range(10)), rows=list(range(cells // 10)), seeds=seeds))
    return file


def fill(suite: Path) -> None:
    """Make the suite's store, every trial of it with a finished run."""
    file = loader.load(suite)
    stores = places.locate(file.project)
    name = places.experiment_name(file.suite.suite, "grid")
    (number,) = making.prepare(stores, {name: ""}).values()
    (code,) = status.code_digests(file.suite).values()
    now = int(1000 * time.time())
    runs, tags, metrics = [], [], []
    for i, trial in enumerate(plan.trials(file.suite, "quick")):
        run = f"{i:032x}"
        begun = now + 20 * i
        runs.append((run, trial.name, number, begun, begun + 15, f"{stores.folder}/artifacts/{name}/{run}/artifacts"))
        facts = {"trial": trial.id, "code": code, "outcome": "finished", "device": "cpu", "torch": "2", "host": "here"}
        tags += [(f"retable.{key}", value, run) for key, value in facts.items()]
        value = trial.settings["a"] + trial.settings["b"] + 0.01 * trial.seed
        metrics += [(run, key, value, begun + 15, 60) for key in ("loss/total", "time/train")]
    with sqlite3.connect(places.sqlite_file(stores.tracking)) as connection:
        connection.executemany(
            "INSERT INTO runs (run_uuid, name, experiment_id, start_time, end_time, artifact_uri, status,"
            " lifecycle_stage) VALUES (?, ?, ?, ?, ?, ?, 'FINISHED', 'active')",
            runs,
        )
        connection.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)
        for table in ("metrics", "latest_metrics"):
            connection.executemany(
                f"INSERT INTO {table} (run_uuid, key, value, timestamp, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)",
                metrics,
            )
    connection.close()
