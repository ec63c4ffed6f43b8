"""The report as tidy CSV: every value of every table on a line of its own, and every trial."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from retable.bench.report.page import Page
from retable.bench.suite.values import text

VALUES = (
    "table",
    "row",
    "column",
    "quantity",
    "published",
    "measured",
    "sd",
    "n",
    "state",
    "stale",
    "note",
    "reference",
)


def values(page: Page) -> str:
    """One line per table cell. `quantity` is the metric or setting; numbers are unrounded; ours are as shown, in the
    column's unit; `published` is the paper's value as printed, empty where there is none; `reference` is what a row's
    trials do that is a yardstick and no method of the paper."""
    lines = []
    for built in page.tables:
        for key in built.rows:
            for name, column in built.table.columns.items():
                entry = built.entries[key][name]
                measured = entry.setting if entry.state == "setting" else entry.measured
                note = "; ".join(
                    filter(None, [entry.note, entry.not_published and f"not published: {entry.not_published}"])
                )
                lines.append(
                    [
                        built.name,
                        key,
                        name,
                        column.metric or column.setting or "",
                        entry.published,
                        measured,
                        entry.sd,
                        entry.n or None,
                        entry.state,
                        "true" if entry.stale else "false",
                        note,
                        built.references.get(key, ""),
                    ]
                )
    return _table(VALUES, lines)


CLAIMS = ("claim", "kind", "quote", "reads", "source", "word", "verdict", "replicates", "basis", "needs")


def claims(page: Page) -> str:
    """One line per claim: the sentence, what its check tests, the verdict. needs: its preconditions as they stand."""
    lines = []
    for v in page.verdicts:
        needs = "; ".join(c.words for c in v.conditions)
        claim = v.claim
        lines.append(
            [v.name, claim.kind, claim.quote, claim.reads, claim.source, v.word, v.label, v.seeds, v.basis, needs]
        )
    return _table(CLAIMS, lines)


def trials(page: Page) -> str:
    """One line per trial: who it is, how it ended, every setting, every final metric."""
    every = page.book.trials
    settings = sorted({name for t in every for name in t.settings})
    metrics = sorted({name for t in every for name in t.metrics})
    fixed = ("trial", "experiment", "task", "seed", "state", "stale", "reason", "run_id", "started", "ended", "seconds")
    lines: list[list[object]] = []
    for t in every:
        seconds = t.seconds if t.seconds == t.seconds else None
        start, end = (None if x is None else x.isoformat() for x in (t.started, t.ended))
        head = [t.id, t.experiment, t.task, t.seed, t.state, t.stale, t.reason, t.run_id, start, end, seconds]
        own = [text(t.settings[n]) if n in t.settings else None for n in settings]
        lines.append([*head, *own, *(t.metrics.get(n) for n in metrics)])
    return _table([*fixed, *settings, *metrics], lines)


def _table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_plain(value) for value in line] for line in lines)
    return buffer.getvalue()


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
