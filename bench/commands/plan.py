"""`bench plan`: what a run would do, and about how long it would take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from retable.bench.commands.common import JSON, Selection, dump, planned, selecting

if TYPE_CHECKING:
    from retable.bench.store.status import Status
    from retable.bench.suite.loader import SuiteFile
    from retable.bench.suite.plan import Trial


@click.command("plan")
@selecting(narrowing=True)
@JSON
@click.option("--workers", type=click.IntRange(1), help="processes, for the time estimate [default: cores]")
@click.option("--verbose", is_flag=True, help="name the claims that it warns of")
def command(selection: Selection, workers: int | None, as_json: bool, verbose: bool) -> None:
    """What a run would do: trials to run, done, stale; data needed; estimated time. Runs nothing."""
    from retable.bench.run import machine

    found = facts(selection, workers or machine.cores())
    print(dump(found) if as_json else text(found, verbose=verbose))


def facts(selection: Selection, workers: int) -> dict[str, Any]:
    """Suite, scale, trials (id, experiment, params, seed, state), the data they read, an estimate of the time, and
    which claims are weak."""
    from retable.bench import data
    from retable.bench.suite import drawable, plan
    from retable.bench.suite.advice import advice

    file, chosen, _, statuses = planned(selection)
    every = chosen
    if selection.where or selection.only:
        every = plan.trials(file.suite, selection.scale, overrides=selection.forced, seeds=selection.seeds)
    drawable.require(file.suite, every)
    rows = [
        {
            "id": t.id,
            "experiment": t.experiment,
            "params": dict(t.varied),
            "seed": t.seed,
            "state": "stale" if statuses[t.id].stale else statuses[t.id].state,
        }
        for t in chosen
    ]
    todo = [t for t in chosen if not statuses[t.id].done]
    seconds, unknown = _estimate(file, selection.scale, chosen, todo, statuses)
    wanted = sorted({d for t in chosen for d in t.data})
    return {
        "suite": file.suite.suite,
        "scale": selection.scale,
        "trials": rows,
        "todo": len(todo),
        "data": {d: data.missing(d, file.suite.packages) or "here" for d in wanted},
        "seconds": seconds / workers if seconds else None,
        "unestimated": unknown,
        "workers": workers,
        "warnings": advice(file.suite),
    }


def _estimate(
    file: SuiteFile, scale: str, chosen: Sequence[Trial], todo: Sequence[Trial], statuses: Mapping[str, Status]
) -> tuple[float, int]:
    """(seconds of one worker, trials without an estimate): from the runs there are, else from the suite."""
    known: dict[str, float] = {}
    for name in {t.experiment for t in todo}:
        spent = [s for t in chosen if t.experiment == name and (s := statuses[t.id].seconds) is not None]
        declared = file.suite.experiments[name].seconds_at.get(scale)
        if spent or declared:
            known[name] = sum(spent) / len(spent) if spent else declared or 0.0
    return sum(known.get(t.experiment, 0.0) for t in todo), sum(t.experiment not in known for t in todo)


def text(found: Mapping[str, Any], *, verbose: bool = False) -> str:
    """`facts` for a person; `verbose` names the claims that it warns of."""
    from retable.bench.numbers import counted, duration
    from retable.bench.suite.advice import WEAK

    lines = [f"{found['suite']} at scale {found['scale']}"]
    by_experiment: dict[str, Counter[str]] = {}
    for row in found["trials"]:
        by_experiment.setdefault(row["experiment"], Counter())[row["state"]] += 1
    for name, states in by_experiment.items():
        lines.append(f"  {name}: {sum(states.values())} trials ({', '.join(f'{n} {s}' for s, n in states.items())})")
    lines += [f"  data {name}: {here}" for name, here in found["data"].items()]
    if not found["todo"]:
        lines.append("nothing to run")
    elif found["seconds"] is None:
        lines.append(f"{found['todo']} trials to run; no time known yet")
    else:
        rest = f", and {found['unestimated']} trials of unknown length" if found["unestimated"] else ""
        time = duration(found["seconds"])
        lines.append(f"{found['todo']} trials to run: about {time} with {found['workers']} workers{rest}")
    stale = sum(row["state"] == "stale" for row in found["trials"])
    if stale:
        lines.append(
            f"{stale} trials are stale (their code has changed): --stale runs them again, `bench why` explains"
        )
    for weak, claims in ((word, names) for word, names in found["warnings"].items() if names):
        names = f": {', '.join(claims)}" if verbose else " (--verbose names them)"
        lines.append(f"warning: {counted(len(claims), 'claim')} with {WEAK[weak]}{names}")
    return "\n".join(lines)
