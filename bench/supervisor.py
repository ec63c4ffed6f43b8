"""`bench run`: plans what is to do, keeps the queue filled, keeps workers alive, and settles what crashes left.

Everything it knows stands in the two stores, so killing it loses nothing: the next one reads MLflow for what is
done, closes the runs of dead processes, gives their trials back to the queue, and goes on.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Protocol

import optuna
from optuna.trial import FrozenTrial

from bench import fingerprint, patience, status, store, study, tracking, versions
from bench.options import Options, RunError
from bench.orders import Orders
from bench.plan import Trial
from bench.schema import Experiment
from bench.stores import Stores, experiment_name
from bench.suite import SuiteFile
from bench.task import find_task


class Progress(Protocol):
    """What a run tells while it goes on (`progress.py` has one for terminals and one for logs)."""

    def begin(self, todo: int, cached: int, workers: int) -> None: ...
    def event(self, trial: Trial, event: Mapping[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...
    def end(self) -> None: ...


# glibc otherwise gives freed tensors back to the kernel and faults them in again at every step: 8 to 20 % of one.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}


@dataclass
class Child:
    """A worker process, the trial it has claimed, and its log."""

    process: subprocess.Popen[str]
    log: Path
    ready: bool = False
    claimed: tuple[str, str, int] | None = None  # trial, study, number


@dataclass
class Board:
    """What the supervisor tracks while it runs."""

    trials: dict[str, Trial]
    todo: list[str]
    settled: set[str] = field(default_factory=set)
    bad: dict[str, str] = field(default_factory=dict)
    queued: set[str] = field(default_factory=set)
    ending: set[str] = field(default_factory=set)
    stopping: bool = False
    interrupted: bool = False
    early_deaths: int = 0
    window: int = study.WINDOW
    needs: dict[str, dict[str, str]] = field(default_factory=dict)


def run(
    file: SuiteFile, planned: Sequence[Trial], chosen: Sequence[Trial], stores: Stores, options: Options, show: Progress
) -> bool:
    """Run the chosen trials that are not done yet. True if it ran to the end, False if it was interrupted.

    planned: every trial of the suite at this scale (their values make up each study's space).
    """
    codes = codes_of(file)
    digests = {name: fingerprint.digest(code) for name, code in codes.items()}
    names = sorted({t.experiment for t in planned}, key=list(file.suite.experiments).index)
    experiments = {n: file.suite.experiments[n] for n in names}
    about = {experiment_name(file.suite.suite, n): about_of(file, n) for n in names}
    ids = tracking.prepare(stores, about)
    study.prepare(stores)
    patience.allow()  # both stores have answered: from here on they are waited for
    made = study.storage(stores.storage)
    queues: dict[str, study.Queue] = {}
    studies: dict[str, str] = {}
    for name, experiment in experiments.items():
        space = study.space(t for t in planned if t.experiment == name)
        studies[name] = study.study_name(file.suite.suite, chosen[0].scale, experiment, name, space)
        queues[name] = study.Queue(study.create(made, studies[name], experiment), space)

    tracking.deliver(stores)
    sweep(stores, list(about), queues)
    statuses = status.of(chosen, stores, digests, stale_counts=not options.stale)
    todo = [t.id for t in chosen if not statuses[t.id].done]
    board = Board({t.id: t for t in chosen}, todo, window=max(study.WINDOW, 4 * options.workers))
    board.settled = {t.id for t in chosen if statuses[t.id].done}
    show.begin(len(todo), len(chosen) - len(todo), min(options.workers, len(todo)))
    if not todo:
        show.end()
        return True

    searches = {n: e.search.model_dump(mode="json") if e.search else None for n, e in experiments.items()}
    board.needs = {n: versions.of(digests[n], searches[n]) for n in names}
    orders = replace(
        standing_orders(file, stores, options, codes, experiments),
        studies=studies,
        mlflow={n: ids[experiment_name(file.suite.suite, n)] for n in names},
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what Slurm sends before the end
    try:
        _loop(board, queues, stores, digests, orders, options, show)
        tracking.deliver(stores)
        sweep(stores, list(about), queues)
    finally:
        _withdraw(board, queues)
        show.end()
    return not board.interrupted


def standing_orders(
    file: SuiteFile,
    stores: Stores,
    options: Options,
    codes: Mapping[str, fingerprint.Code],
    experiments: Mapping[str, Experiment],
) -> Orders:
    """What every worker of this machine is told; the studies and MLflow experiments are its command's to fill in."""
    return Orders(
        suite=file.suite.suite,
        packages=file.suite.packages,
        project=str(file.project),
        tracking=stores.tracking,
        storage=stores.storage,
        artifacts=None if stores.artifacts is None else str(stores.artifacts),
        folder=str(stores.folder),
        experiments={n: e.model_dump(mode="json", by_alias=True) for n, e in experiments.items()},
        studies={},
        mlflow={},
        codes={n: fingerprint.digest(codes[n]) for n in experiments},
        code_files={n: json.dumps(codes[n]) for n in experiments},
        facts=facts(file.project),
        device=options.device,
        threads=options.threads,
        checkpoint_seconds=options.checkpoint_seconds,
    )


def codes_of(file: SuiteFile) -> dict[str, fingerprint.Code]:
    packages = file.suite.packages
    return {n: fingerprint.of(find_task(e.task, packages).make, packages) for n, e in file.suite.experiments.items()}


def about_of(file: SuiteFile, name: str) -> str:
    paper = file.suite.paper
    return f"{file.suite.experiments[name].about}\n\n{', '.join(paper.authors)}: *{paper.title}* ({paper.year})"


def facts(project: Path) -> dict[str, str]:
    """Facts of machine and code that every run carries as tags."""
    import platform
    from importlib.metadata import version

    found = {
        "mlflow.source.name": "bench run",
        "mlflow.source.type": "LOCAL",
        "retable.host": platform.node(),
        "retable.cpu": _cpu(),
        "retable.cores": str(os.cpu_count()),
        "retable.python": platform.python_version(),
        **{f"retable.{name}": version(name) for name in ("mlflow", "optuna", "numpy", "retable")},
    }
    git = ["git", "-C", str(project)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if commit.returncode == 0:
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
        found["mlflow.source.git.commit"] = commit.stdout.strip()
        found["retable.dirty"] = "true" if dirty.stdout.strip() else "false"
    return found


def _cpu() -> str:
    import platform

    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def sweep(stores: Stores, experiments: Sequence[str], queues: Mapping[str, study.Queue]) -> int:
    """Close the runs that nobody writes any more, and give the trials of this machine's dead back to the queue."""
    by_study = {q.study.study_name: q for q in queues.values()}
    swept = 0
    for run in store.runs(stores.tracking, experiments, running=True):
        name, _, number = run.tags.get("retable.optuna", "").rpartition(":")
        dead = status.is_dead(run.tags.get("retable.owner", ""))
        if dead or (name in by_study and by_study[name].given_up(int(number))):
            tracking.terminate(stores.tracking, run.id, "KILLED", reason="its process died")
            if dead and name in by_study:
                study.give_back(by_study[name].study, [int(number)])
            swept += 1
    return swept


def _loop(
    board: Board,
    queues: Mapping[str, study.Queue],
    stores: Stores,
    digests: Mapping[str, str],
    orders: Orders,
    options: Options,
    show: Progress,
) -> None:
    events: queue.Queue[tuple[Child, dict[str, Any] | None]] = queue.Queue()
    _fill(board, queues, stores, digests, show)
    children = [spawn(orders, events, i) for i in range(min(options.workers, len(board.todo)))]
    filled = beaten = time.monotonic()
    try:
        while children or (options.workers == 0 and not board.stopping):
            try:
                child, event = events.get(timeout=0.2)
            except queue.Empty:
                event = {}
            else:
                if event is None:
                    children.remove(child)
                    _buried(child, board, queues, stores, show)
                    if _unsettled(board) and not board.stopping:
                        children.append(spawn(orders, events, len(children)))
                else:
                    _heard(child, event, board, show)
            if time.monotonic() - filled > 0.5 or (event and event.get("event") in ("done", "failed")):
                _fill(board, queues, stores, digests, show)
                filled = time.monotonic()
            if time.monotonic() - beaten > study.HEARTBEAT_SECONDS:
                for found in queues.values():  # while its own workers are busy, or there are none
                    optuna.storages.fail_stale_trials(found.study)
                beaten = time.monotonic()
            if not _unsettled(board) or (options.fail_fast and board.bad):
                _stop(children, board)
    except KeyboardInterrupt:
        _interrupted(children, events, board, queues, stores, show)
    finally:
        for child in children:
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait()


def _unsettled(board: Board) -> list[str]:
    return [t for t in board.todo if t not in board.settled]


def _stop(children: Sequence[Child], board: Board) -> None:
    if not board.stopping:
        board.stopping = True
        stop(children)


def stop(children: Sequence[Child]) -> None:
    """Ask workers to leave a checkpoint and end."""
    for child in children:
        try:
            assert child.process.stdin is not None
            child.process.stdin.write("stop\n")
            child.process.stdin.flush()
        except (BrokenPipeError, OSError):
            pass  # it is on its way out already


def _interrupted(
    children: list[Child],
    events: queue.Queue[tuple[Child, dict[str, Any] | None]],
    board: Board,
    queues: Mapping[str, study.Queue],
    stores: Stores,
    show: Progress,
) -> None:
    """First Ctrl-C: let running trials leave a checkpoint. Second: end them where they are."""
    board.interrupted = True
    show.note("stopping: running trials write a checkpoint (Ctrl-C again to end at once)")
    _stop(children, board)
    try:
        while children:
            child, event = events.get()
            if event is None:
                children.remove(child)
                _buried(child, board, queues, stores, show)
            else:
                _heard(child, event, board, show)
    except KeyboardInterrupt:
        for child in children:
            child.process.kill()
            child.process.wait()
            _buried(child, board, queues, stores, show)
        children.clear()


def _heard(child: Child, event: dict[str, Any], board: Board, show: Progress) -> None:
    kind = event["event"]
    if kind == "ready":
        child.ready = True
        board.early_deaths = 0
    elif kind == "claimed":
        child.claimed = (event["trial"], event["study"], event["number"])
    elif kind in ("done", "failed", "stopped"):
        child.claimed = None
        if kind != "stopped":
            board.settled.add(event["trial"])
        if kind == "failed":
            board.bad[event["trial"]] = event["reason"]
    elif kind == "refused":
        child.claimed = None
    elif kind == "unfit":
        show.note(f"{event['experiment']}: trials of another command wait that are not for us: {event['reason']}")
    trial = board.trials.get(event.get("trial", ""))
    if trial is not None:
        show.event(trial, event)


def _buried(child: Child, board: Board, queues: Mapping[str, study.Queue], stores: Stores, show: Progress) -> None:
    """A worker has ended: settle the trial it had claimed, if any."""
    code = child.process.wait()
    if child.claimed is not None:
        trial, name, number = child.claimed
        how = how_it_ended(code)
        show.note(f"a worker died ({how}) in {board.trials[trial].name if trial in board.trials else trial}")
        found = next(q for q in queues.values() if q.study.study_name == name)
        study.give_back(found.study, [number])
        found.refresh()
        gave_up = found.state(trial) == "failed"
        names = [r for r in _runs_of(trial, board, stores) if r.status == "RUNNING"]
        for run in names:
            if status.is_dead(run.tags.get("retable.owner", "")):
                end = "FAILED" if gave_up else "KILLED"
                tracking.terminate(stores.tracking, run.id, end, outcome="failed", reason=f"its worker died: {how}")
        if gave_up:
            board.settled.add(trial)
            board.bad[trial] = f"its worker died {study.MAX_KILLS + 1} times, the last by {how}"
    elif not child.ready:
        board.early_deaths += 1
        if board.early_deaths >= 3:
            raise RunError(dead_at_birth(child))


def how_it_ended(code: int) -> str:
    """A process's return code in words: `SIGKILL`, `exit code 1`."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def dead_at_birth(child: Child) -> str:
    """What to say when workers cannot start."""
    tail = child.log.read_text(errors="replace")[-2000:]
    return f"workers die before they are ready; the log {child.log} ends:\n{tail}"


def _runs_of(trial: str, board: Board, stores: Stores) -> list[store.Run]:
    planned = board.trials.get(trial)
    if planned is None:
        return []
    return store.runs(stores.tracking, [experiment_name(planned.suite, planned.experiment)], trial=trial)


def _fill(
    board: Board, queues: Mapping[str, study.Queue], stores: Stores, digests: Mapping[str, str], show: Progress
) -> None:
    """See what has been settled (by anybody's workers) and top the queues up."""
    for name, found in queues.items():
        mine = [t for t in board.todo if board.trials[t].experiment == name and t not in board.settled]
        if not mine:
            continue
        found.refresh()
        for trial in mine:
            if trial in board.queued:
                state = found.state(trial)
                if state == "done" or (state == "failed" and trial not in board.bad):
                    if trial not in board.ending:  # one of ours may be telling of it just now
                        board.ending.add(trial)
                        continue
                    _elsewhere(trial, found.latest[trial], state, board, show)
        window = max(board.window, 4 * found.running)  # other machines' workers are hungry too
        if board.stopping or found.waiting >= window // 2:
            continue
        wanted = [t for t in mine if t not in board.settled and (t not in board.queued or found.forgotten(t))]
        ready = [t for t in wanted if _startable(board.trials[t], board, show)]
        if ready:
            _enqueue(found, ready, board, stores, digests, window)


def _elsewhere(trial: str, frozen: FrozenTrial, state: str, board: Board, show: Progress) -> None:
    """A trial ended that no worker of ours told of."""
    board.settled.add(trial)
    said = {"trial": trial, "seconds": frozen.duration.total_seconds() if frozen.duration else 0.0}
    if state == "failed":
        board.bad[trial] = str(frozen.user_attrs.get("failed", "its workers died"))
        show.event(board.trials[trial], {**said, "event": "failed", "reason": board.bad[trial]})
    else:
        show.event(board.trials[trial], {**said, "event": "done", "outcome": "finished elsewhere"})


def _startable(trial: Trial, board: Board, show: Progress) -> bool:
    if trial.start is None or trial.start not in board.trials:
        return True
    if trial.start in board.bad:
        board.settled.add(trial.id)
        board.bad[trial.id] = f"its start {board.trials[trial.start].name} failed"
        show.event(trial, {"event": "failed", "trial": trial.id, "reason": board.bad[trial.id]})
        return False
    return trial.start in board.settled


def _enqueue(
    found: study.Queue, ready: Sequence[str], board: Board, stores: Stores, digests: Mapping[str, str], window: int
) -> None:
    with study.enqueue_lock(stores, found.study.study_name):
        found.refresh()
        for trial_id in ready:
            if found.waiting >= window:
                break
            trial = board.trials[trial_id]
            state = found.state(trial_id)
            board.queued.add(trial_id)
            if state in ("waiting", "running"):
                continue  # another command's
            if state == "done":
                again = status.of([trial], stores, digests, stale_counts=False)[trial_id]
                if again.done:  # another command finished it since we planned
                    board.settled.add(trial_id)
                    continue
            before = state != "none" or bool(_runs_of(trial_id, board, stores))
            found.enqueue(trial, again=before, needs=board.needs[trial.experiment])
            found.waiting += 1


def _withdraw(board: Board, queues: Mapping[str, study.Queue]) -> None:
    """Take back what still waits, so that a later command with another selection does not find it."""
    if not _unsettled(board):
        return
    for found in queues.values():
        found.withdraw(set(_unsettled(board)))


def spawn(orders: Orders, events: queue.Queue[tuple[Child, dict[str, Any] | None]], index: int) -> Child:
    logs = Path(orders.folder) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"worker-{os.getpid()}-{index}.log"
    threads = {f"{lib}_NUM_THREADS": str(orders.threads) for lib in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            env={**ALLOCATOR, **os.environ, **threads},
            start_new_session=True,  # the terminal's Ctrl-C is for the supervisor
        )
    child = Child(process, log)
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(asdict(orders)) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it died at once; the reader will say so
    threading.Thread(target=_listen, args=(child, process.stdout, events), daemon=True).start()
    return child


def _listen(child: Child, stream: IO[str], events: queue.Queue[tuple[Child, dict[str, Any] | None]]) -> None:
    for line in stream:
        try:
            events.put((child, json.loads(line)))
        except json.JSONDecodeError:
            continue  # a line cut short by a kill
    events.put((child, None))
