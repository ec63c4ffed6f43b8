"""`bench verify`: whether a suite's stores hold what they say, and the mend of each thing that is wrong.

Looks at what was written (digests), where (moved stores), what waits (the outbox), and whether the queue and MLflow say
the same of each trial. It changes nothing unless asked to.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from retable.bench.queue import storage, study
from retable.bench.run import finals
from retable.bench.store import artifacts, closing, digests, making, outbox, owners, reading, sql
from retable.bench.store.digests import Damaged
from retable.bench.store.places import Stores, experiment_name, sqlite_file
from retable.bench.store.records import Run
from retable.bench.suite import plan
from retable.bench.suite.loader import SuiteFile


@dataclass(frozen=True)
class Fault:
    """Something wrong. where: a run, trial, experiment or file. mend: the command that mends it. repair: mends what
    `--repair` can, None where a command must run something."""

    where: str
    wrong: str
    mend: str
    repair: Callable[[], object] | None = None


def look(file: SuiteFile, stores: Stores, scale: str = "") -> list[Fault]:
    """All that is wrong with a suite's results, of one scale if it is given."""
    if not reading.exists(stores.tracking):
        return []
    suite = file.suite.suite
    names = [experiment_name(suite, name) for name in file.suite.experiments]
    runs = [r for r in reading.runs(stores.tracking, names) if scale in ("", r.tags.get("retable.scale", ""))]
    repair = f"bench verify {suite}{f' --scale {scale}' if scale else ''} --repair"
    queued = dict(_queued(suite, stores, scale))
    moved = list(_moved(stores, names, repair))
    # Of a server's, artifacts are looked for where they are written down: what has moved is not broken.
    here = not moved or stores.tracking.startswith("sqlite:")
    return [
        *(_broken(runs, stores, repair) if here else ()),
        *moved,
        *_unsent(stores, repair),
        *_nobodys(runs, queued, stores, repair),
        *_untold(runs, queued, repair),
        *_lost(file, runs, queued),
    ]


def _broken(runs: Sequence[Run], stores: Stores, repair: str) -> Iterator[Fault]:
    """Finished runs with an artifact that is gone or not as it was written: to be run again."""
    with tempfile.TemporaryDirectory() as scratch:
        for run in (r for r in runs if r.status == "FINISHED"):
            bad = damage(run, stores, Path(scratch))
            if bad is not None:
                wrong = f"its {bad.path} {bad.what}"
                again = f"bench run {run.tags.get('retable.suite', '')} --scale {run.tags.get('retable.scale', '')}"
                disown = partial(closing.disown, stores.tracking, run, wrong)
                yield Fault(_named(run), wrong, f"{repair}, then {again}", disown)


def damage(run: Run, stores: Stores, scratch: Path) -> Damaged | None:
    """What is broken of what a run wrote. Of one without digests it is known of what is empty, and of its model."""
    uri = stores.tracking
    try:
        for path in artifacts.written(uri, run, scratch):
            artifacts.artifact(uri, run, path, scratch)
        folder = None if digests.TAG in run.tags else reading.local(uri, run.artifact_uri)
        if folder is not None:
            for file in sorted(folder.rglob("*")):
                if file.is_file() and not file.stat().st_size:
                    raise Damaged(run, str(file.relative_to(folder)), "is empty")
            if (folder / finals.NAME).is_file():
                finals.state(uri, run, scratch)
    except Damaged as error:
        return error
    return None


def _moved(stores: Stores, names: Sequence[str], repair: str) -> Iterator[Fault]:
    """Experiments whose artifacts are written down at a former place of the store."""
    if not reading.is_sql(stores.tracking) or stores.artifacts is None:
        return
    for name, (number, place) in sql.locations(stores.tracking).items():
        here, tail = making.location(stores.artifacts / name), f"/artifacts/{name}"
        if name in names and place.endswith(tail) and making.has_moved(stores, place, here):
            wrong = f"its artifacts are written down as of {place.removesuffix(tail)}"
            move = partial(sql.move_artifacts, stores.tracking, number, name, place, here)
            yield Fault(f"experiment {name}", wrong, repair, move)


def _unsent(stores: Stores, repair: str) -> Iterator[Fault]:
    """What dead processes of this machine had measured and not sent."""
    for left in outbox.unsent(stores, owners.is_dead):
        wrong = f"{len(left.points())} measured points were not sent"
        yield Fault(f"run {left.run_id}", wrong, repair, partial(closing.deliver, stores))
    for left in outbox.aside(stores):
        yield Fault(
            f"run {left.run_id}", f"its points could not be delivered; they are kept in {left.path}", "bench gc"
        )


Queued = Mapping[str, tuple[optuna.Study, FrozenTrial]]
"""Every trial of the suite's studies, in order: `study:number`, as runs have it in a tag -> its study and itself."""


def _queued(suite: str, stores: Stores, scale: str) -> Iterator[tuple[str, tuple[optuna.Study, FrozenTrial]]]:
    if stores.storage.startswith("sqlite:") and not sqlite_file(stores.storage).is_file():
        return
    made = storage.connect(stores.storage)
    for name in study.names_of(made, suite, scale):
        found = optuna.load_study(study_name=name, storage=made)
        for frozen in found.get_trials(deepcopy=False):
            yield f"{name}:{frozen.number}", (found, frozen)


def _nobodys(runs: Sequence[Run], queued: Queued, stores: Stores, repair: str) -> Iterator[Fault]:
    """Runs that are RUNNING and that nobody writes any more."""
    for run in (r for r in runs if r.status == "RUNNING"):
        found = queued.get(run.tags.get("retable.optuna", ""))
        given_up = found is not None and found[1].state.is_finished()
        if given_up or owners.is_dead(run.tags.get("retable.owner", "")):
            yield Fault(_named(run), "RUNNING, and nobody runs it", repair, partial(_close, stores, run, found))


def _close(stores: Stores, run: Run, found: tuple[optuna.Study, FrozenTrial] | None) -> None:
    closing.terminate(stores.tracking, run.id, "KILLED", reason="its process died")
    if found is not None:
        study.give_back(found[0], [found[1].number])


def _untold(runs: Sequence[Run], queued: Queued, repair: str) -> Iterator[Fault]:
    """Trials that finished in MLflow and whose worker died before it told the queue."""
    for run in (r for r in runs if r.status == "FINISHED" and owners.is_dead(r.tags.get("retable.owner", ""))):
        found = queued.get(run.tags.get("retable.optuna", ""))
        if found is not None and found[1].state == TrialState.RUNNING:
            fail = partial(found[0].tell, found[1].number, state=TrialState.FAIL)
            yield Fault(_named(run), "finished in MLflow, and running in the queue", repair, fail)


def _lost(file: SuiteFile, runs: Sequence[Run], queued: Queued) -> Iterator[Fault]:
    """Trials that are done in the queue and have no finished run in MLflow."""
    finished = {run.tags.get("retable.trial") for run in runs if run.status == "FINISHED"}
    latest = {(found.study_name, t.user_attrs["cell"]): t for found, t in queued.values() if "cell" in t.user_attrs}
    lost: dict[str, set[str]] = {}
    for (name, cell), frozen in latest.items():
        if frozen.state in (TrialState.COMPLETE, TrialState.PRUNED) and cell not in finished:
            lost.setdefault(name.rpartition("@")[2].partition("#")[0], set()).add(cell)
    for scale, cells in lost.items():
        for trial in plan.trials(file.suite, scale) if scale in file.suite.scales else ():
            if trial.id in cells:
                wrong = "done in the queue, and MLflow has no finished run of it"
                yield Fault(f"trial {trial.id} ({trial.name})", wrong, f"bench run {file.suite.suite} --scale {scale}")


def _named(run: Run) -> str:
    return f"run {run.id} ({run.name})"
