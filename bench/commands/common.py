"""What several commands share: exit codes, options, the selection of trials, plain errors, JSON. Light to import."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from retable.bench.errors import RetableError

if TYPE_CHECKING:
    from retable.bench.store.places import Stores
    from retable.bench.store.status import Status
    from retable.bench.suite.loader import SuiteFile
    from retable.bench.suite.plan import Trial

FINE, REGRESSED, USAGE, SOME_FAILED, NOTHING, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit codes: fine; a baseline or claim regressed; usage or configuration; some trials failed; nothing measured or no
baseline; interrupted, can be resumed."""

Found = TypeVar("Found")
Option = Callable[[Any], Any]
"""An option or argument of click, to decorate a command with."""

SUITE = click.argument("suite")
ANY_SUITE = click.argument("suite", default="")
SCALE = click.option("--scale", default="quick", show_default=True, help="which size of the suite")
WHERE = click.option("--where", default="", metavar="CONDITIONS", help="e.g. 'optimizer=adam*,lr<=0.01,seed=0'")
ONLY = click.option("--only", multiple=True, metavar="NAME", help="an experiment, table, figure or claim; repeatable")
SEEDS = click.option("--seeds", type=click.IntRange(1), help="this many seeds, whatever the suite says")
SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="force a setting; repeatable")
TRACKING = click.option(
    "--tracking-uri", "tracking", help="MLflow tracking store [default: mlruns/mlflow.db of the project]"
)
JSON = click.option("--json", "as_json", is_flag=True, help="print JSON")
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N")
RANKS = click.option(
    "--ranks",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="processes (with CUDA a GPU each) that share every trial's batches, where its task can",
)
CHECKPOINT_EVERY = click.option(
    "--checkpoint-every", default=60.0, show_default=True, metavar="SECONDS", help="of a long trial"
)


@dataclass(frozen=True)
class Selection:
    """Which trials a command looks at: of one suite at one scale, those that `--only` and `--where` leave.

    seeds, overrides: over what the suite says (`--seeds`, `--set`). tracking: MLflow's store, None for the default.
    """

    suite: str
    scale: str = "quick"
    where: str = ""
    only: Sequence[str] = ()
    seeds: int | None = None
    overrides: Sequence[str] = ()
    tracking: str | None = None

    @property
    def forced(self) -> dict[str, Any]:
        """The settings that `--set` forces. Raises `PlanError`."""
        from retable.bench.suite import plan

        return plan.parse_overrides(self.overrides)


def selecting(suite: Option = SUITE, *, narrowing: bool = False) -> Option:
    """Give a command a suite and the options that choose among its trials, as one `Selection`, its first argument;
    those that leave trials out, `--where` and `--only`, if `narrowing`."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def command(*args: Any, **given: Any) -> Any:
            own = {f.name: given.pop(f.name) for f in fields(Selection) if f.name in given}
            return function(Selection(**own), *args, **given)

        for option in reversed((suite, SCALE, *((WHERE, ONLY) if narrowing else ()), SEEDS, SET, TRACKING)):
            command = option(command)
        return command

    return decorate


def planned(selection: Selection) -> tuple[SuiteFile, list[Trial], Stores, dict[str, Status]]:
    """The suite, its selected trials, where their runs are, and how each of them stands by its id."""
    from retable.bench.store import places, status
    from retable.bench.suite import loader, plan

    file = loader.load(selection.suite)
    every = plan.trials(file.suite, selection.scale, overrides=selection.forced, seeds=selection.seeds)
    chosen = plan.select(every, selection.where, selection.only, file.suite)
    place = places.locate(file.project, selection.tracking)
    return file, chosen, place, status.of(chosen, place, status.code_digests(file.suite))


def find(chosen: Sequence[Trial], word: str) -> Trial:
    """The one trial whose id begins so. Raises `PlanError`."""
    from retable.bench.suite.plan import PlanError
    from retable.bench.task import did_you_mean

    fits = [t for t in chosen if t.id.startswith(word)]
    if len(fits) != 1:
        raise PlanError(
            f"{len(fits)} trials have an id that begins with '{word}'"
            f"{'' if fits else did_you_mean(word, [t.id for t in chosen], show=3)}; `bench plan --json` lists them"
        )
    return fits[0]


def of_every_suite(look: Callable[[Path], list[Found]]) -> tuple[list[Found], int]:
    """What `look` finds in the file of each suite of the project, and the exit code. A suite that cannot be used does
    not hide the others: its error is printed, and the exit code is 2."""
    from retable.bench.suite import loader

    found: list[Found] = []
    code = FINE
    for path in loader.available():
        try:
            found += look(path)
        except RetableError as error:
            print(error, file=sys.stderr)
            code = USAGE
    return found, code


@contextlib.contextmanager
def plain(*kinds: type[Exception]) -> Iterator[None]:
    """Errors of these kinds are a person's to mend: printed without a traceback."""
    try:
        yield
    except kinds as error:
        raise click.ClickException(str(error)) from None


def dump(value: Any) -> str:
    """What `--json` prints."""
    return json.dumps(value, indent=1, default=str)
