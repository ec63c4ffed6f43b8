"""`bench decide`: add seeds where a claim is undecided, until a budget is spent."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from retable.bench.commands import signals
from retable.bench.commands.common import DEVICE, FINE, INTERRUPTED, JSON, SCALE, SUITE, TRACKING, dump, plain

if TYPE_CHECKING:
    from retable.bench.deciding import Decided, Round

_UNITS = {"h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}


def seconds(words: str) -> float:
    """`2h`, `90m`, `1h30m`, `45s` -> seconds. Raises `click.BadParameter`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(h|min|m|s)", words)
    if not parts or "".join(n + u for n, u in parts) != words.replace(" ", ""):
        raise click.BadParameter(f"'{words}' is no time; write 2h, 90m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


@click.command("decide")
@SUITE
@click.option("--budget", required=True, metavar="TIME", help="of the clock: 2h, 90m, 1h30m")
@click.option("--max-seeds", "most", type=click.IntRange(3), default=18, show_default=True, help="of any cell")
@SCALE
@click.option("--workers", type=click.IntRange(1, 512), help="processes [default: one a core on a CPU, one on a GPU]")
@DEVICE
@TRACKING
@click.option("--storage", help="Optuna storage [default: mlruns/optuna.db of the project]")
@JSON
@signals.sigterm_as_ctrl_c()
def command(
    suite: str,
    budget: str,
    most: int,
    scale: str,
    workers: int | None,
    device: str,
    tracking: str | None,
    storage: str | None,
    as_json: bool,
) -> int:
    """Add seeds where a claim of a suite is undecided, those that decide soonest first, until the budget is spent.

    Run the suite first. Looks are taken at 3, 5, 8, 12 and 18 seeds, each at its own level, and are remembered in the
    store: docs/verdicts.md. Then write the report: `bench report SUITE`.
    """
    from retable.bench import deciding
    from retable.bench.run.options import RunError, RunOptions

    limit = seconds(budget)

    def told(done: Round) -> None:
        print(_round(done), file=sys.stderr)

    with plain(RunError):
        found = deciding.decide(
            suite,
            budget=limit,
            scale=scale,
            most=most,
            tracking=tracking,
            storage=storage,
            options=RunOptions(workers=workers, device=device),
            told=told,
        )
    print(dump(_as_json(found)) if as_json else _text(found))
    return INTERRUPTED if "interrupted" in found.why else FINE


def _round(done: Round) -> str:
    from retable.bench.numbers import counted, duration

    step = done.step
    trials = counted(len(step.trials), "trial")
    return f"{step.claim}: {step.seeds} seeds, {trials}, {duration(done.seconds)}: {done.word}"


def _text(found: Decided) -> str:
    from retable.bench.numbers import counted, duration
    from retable.bench.tables import text as table

    before = {v.name: v.word for v in found.before}
    touched = {done.step.claim for done in found.rounds}
    rows = [
        [v.name, before[v.name], v.label, str(v.seeds), v.basis]
        for v in found.after
        if v.name in touched or v.word != before[v.name]
    ]
    out = [table(["claim", "before", "now", "seeds", "judged by"], rows)] if rows else []
    new = counted(len(found.new), "claim")
    hours = found.seconds / 3600
    rate = f" ({len(found.new) / hours:.2g} an hour)" if found.new else ""
    out.append(f"{new} decided in {duration(found.seconds)}{rate}, {counted(len(found.rounds), 'step')}; {found.why}")
    return "\n".join(out)


def _as_json(found: Decided) -> dict[str, object]:
    before = {v.name: v.word for v in found.before}
    return {
        "seconds": found.seconds,
        "why": found.why,
        "decided": [v.name for v in found.new],
        "claims": [
            {"claim": v.name, "before": before[v.name], "now": v.label, "seeds": v.seeds, "basis": v.basis}
            for v in found.after
        ],
        "rounds": [
            {
                "claim": done.step.claim,
                "seeds": done.step.seeds,
                "trials": list(done.step.trials),
                "chance": done.step.chance,
                "seconds": done.seconds,
                "word": done.word,
            }
            for done in found.rounds
        ],
    }
