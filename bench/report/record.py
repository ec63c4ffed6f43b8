"""What a report found, as data: the line that the ledger keeps of it. Written beside the page as `<scale>.json`.

The ledger reads these without a report being made, so nothing here may draw.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from retable.bench.store.status import DONE
from retable.bench.suite.schema import Table, View

if TYPE_CHECKING:
    from retable.bench.judging.views import Book, Result
    from retable.bench.report.page import Page

VERSION = 1


def render(page: Page) -> str:
    """The record as JSON text; equal results give equal bytes."""
    return json.dumps(record(page), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def record(page: Page) -> dict[str, Any]:
    """What `ledger` needs of a report.

    code: experiment -> digests of the code that its runs had. trials: experiment -> digest of the trials that were
    declared. By these two the ledger tells later whether the suite or the code has moved on.
    """
    from retable.bench.judging import views  # pandas: who only reads records has no need of it

    book = page.book
    run = [t for t in book.trials if t.run_id]
    begun = [t.started for t in run if t.started is not None]
    ended = [t.ended for t in run if t.ended is not None]
    facts = book.results.facts
    used = list(dict.fromkeys(t.experiment for t in book.trials))
    return {
        "version": VERSION,
        "suite": page.suite,
        "scale": page.scale,
        "paper": f"{book.suite.paper.title} ({book.suite.paper.year})",
        "begun": min(begun).isoformat(timespec="seconds") if begun else "",
        "ended": max(ended).isoformat(timespec="seconds") if ended else "",
        "seconds": round(sum(t.seconds for t in run if t.seconds == t.seconds), 1),
        "hardware": page.machine,
        "commits": sorted({facts[t.run_id].get("commit", "") for t in run if t.run_id in facts}),
        "states": views.states(book.trials),
        "code": {
            name: sorted(
                {facts[t.run_id].get("code", "") for t in run if t.experiment == name and t.run_id in facts},
            )
            for name in used
        },
        "trials": {name: digest(t.id for t in book.trials if t.experiment == name) for name in used},
        "views": [*_tables(page), *_figures(page), *_claims(page)],
    }


def digest(ids: Iterable[str]) -> str:
    """Of a set of trial ids, in any order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]


def _view(book: Book, kind: str, name: str, view: View, experiments: Sequence[str]) -> dict[str, Any]:
    """Cells finished of cells declared. A diverged, collapsed or pruned trial is finished: it has its result."""
    from retable.bench.judging import views

    reason = book.not_here(view)
    trials = [] if reason else book.pick(f"{kind}s.{name}", experiments, view.where)
    cells = views.cells(trials)
    return {
        "kind": kind,
        "name": name,
        "source": view.source,
        "experiments": list(experiments),
        "cells": len(cells),
        "done": sum(all(_done(t) for t in cell.trials) for cell in cells),
        "not_here": reason,
    }


def _done(trial: Result) -> bool:
    return trial.state in DONE


def _experiments(view: View) -> list[str]:
    """Every experiment that a view draws on, those of single rows and columns included."""
    parts: list[Any] = []
    if isinstance(view, Table):
        parts = [*([] if isinstance(view.rows, str) else view.rows.values()), *view.columns.values()]
    return list(dict.fromkeys([*view.from_, *(name for part in parts for name in part.from_ or ())]))


def _tables(page: Page) -> Iterable[dict[str, Any]]:
    for built in page.tables:
        yield {
            **_view(page.book, "table", built.name, built.table, _experiments(built.table)),
            "title": built.table.title,
        }


def _figures(page: Page) -> Iterable[dict[str, Any]]:
    drawn = {d.name: d for d in page.figures}
    for name, figure in page.book.suite.figures.items():
        found = drawn.get(name)
        lost = {"problem": found.problem} if found and found.picture is None and found.problem else {}
        yield {**_view(page.book, "figure", name, figure, figure.from_), "title": figure.title, **lost}


def _claims(page: Page) -> Iterable[dict[str, Any]]:
    for verdict in page.verdicts:
        yield {
            **_view(page.book, "claim", verdict.name, verdict.claim, verdict.claim.from_),
            "title": verdict.claim.quote,
            "verdict": verdict.word,
            "label": verdict.label,
            "basis": verdict.basis,
        }
