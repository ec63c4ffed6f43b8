"""`bench list`: the suites of a project, or what one suite declares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from retable.bench import tables
from retable.bench.commands.common import ANY_SUITE, FINE, JSON, dump, of_every_suite


@click.command("list")
@ANY_SUITE
@JSON
def command(suite: str, as_json: bool) -> int:
    """The suites of this project, or one suite's experiments, tables, figures and claims."""
    if suite:
        found = one(suite)
        print(dump(found) if as_json else text(found))
        return FINE
    rows, code = of_every_suite(lambda path: [_row(path)])
    keys = ["suite", "paper", "scales", "tables", "figures", "claims"]
    print(dump(rows) if as_json else tables.text(keys, [[str(r[k]) for k in keys] for r in rows], rule=True))
    return code


def _row(path: Path) -> dict[str, Any]:
    """A suite in the list: name, paper, scales, and how many views it declares."""
    from retable.bench.suite import loader

    found = loader.load(path).suite
    return {
        "suite": found.suite,
        "file": str(path),
        "paper": f"{found.paper.title} ({found.paper.year})",
        "scales": ", ".join(found.scales),
        "tables": len(found.tables),
        "figures": len(found.figures),
        "claims": len(found.claims),
    }


def one(name: str) -> dict[str, Any]:
    """One suite: its experiments with their trials by scale, and its views with their titles."""
    from retable.bench.suite import loader, plan

    found = loader.load(name).suite
    counts = {s: Counter(t.experiment for t in plan.trials(found, s)) for s in found.scales}
    return {
        "suite": found.suite,
        "about": found.about,
        "paper": found.paper.model_dump(),
        "scales": {name: scale.about for name, scale in found.scales.items()},
        "experiments": {
            name: {"task": e.task, "about": e.about, "trials": {s: counts[s][name] for s in found.scales}}
            for name, e in found.experiments.items()
        },
        "tables": {name: t.title for name, t in found.tables.items()},
        "figures": {name: f.title for name, f in found.figures.items()},
        "claims": {name: c.quote for name, c in found.claims.items()},
    }


def text(found: Mapping[str, Any]) -> str:
    """`one` for a person."""
    paper = found["paper"]
    lines = [f"{found['suite']}: {paper['title']} ({', '.join(paper['authors'])}, {paper['year']})", found["about"], ""]
    lines += ["scales", *(f"  {name}: {about}" for name, about in found["scales"].items()), "", "experiments"]
    for name, e in found["experiments"].items():
        trials = ", ".join(f"{n} at {s}" for s, n in e["trials"].items())
        lines.append(f"  {name} ({e['task']}): {trials}. {e['about']}")
    for kind in ("tables", "figures", "claims"):
        if found[kind]:
            lines += ["", kind, *(f"  {name}: {title}" for name, title in found[kind].items())]
    return "\n".join(lines)
