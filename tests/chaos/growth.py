"""Whether time and memory stay flat while trials pile up: idle trials, all of whose time is overhead.

For each kind of store: trials are run by two workers up to 10,000, with a look at the commands that read at 100, 1,000
and 10,000 done; then some more are added by 1, 4 and 8 workers. What was measured goes to growth.json, and the picture
is drawn from that file alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import sqlalchemy
from cluster import Machine
from servers import Postgres

CELLS = 200
"""Of the toy suite's idle experiment; the rest is seeds."""

STAGES = (100, 1000, 10_000)
BASE_WORKERS = 2


def options(parser: argparse.ArgumentParser) -> None:
    """Add what `growth` takes to a command line."""
    parser.add_argument("--store", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    parser.add_argument("--trials", type=int, default=STAGES[-1], help="that two workers run")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4, 8], help="that add to them afterwards")
    parser.add_argument("--add", type=int, default=1600, help="trials that each number of workers adds")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/pictures"), help="for growth.json, growth.svg")


def run(given: argparse.Namespace) -> None:
    """Measure what is asked for, write growth.json after each step, and draw."""
    file = given.out / "growth.json"
    for store in given.store:
        with _machine(store) as machine:
            for stage in [s for s in STAGES if s < given.trials] + [given.trials]:
                _note(file, store, _add(machine, stage, BASE_WORKERS))
                _note(file, store, _read(machine, stage))
            done = given.trials
            for workers in given.workers:
                done += given.add
                _note(file, store, _add(machine, done, workers))
    draw(json.loads(file.read_text()), given.out / "growth.svg")


@contextmanager
def _machine(store: str) -> Iterator[Machine]:
    """A machine whose two stores are SQLite files, or databases of one PostgreSQL server."""
    from tests.chaos.__main__ import empty_store

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="retable-growth-")))
        if store == "sqlite":
            shutil.copy(empty_store(folder), folder / "mlflow.db")
            machine = Machine(folder / "m", f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/optuna.db")
        else:
            server = Postgres()
            stack.callback(server.end)
            machine = Machine(folder / "m", server.fresh("mlflow"), server.fresh("optuna"))
        stack.callback(machine.end)
        yield machine


def _words(trials: int) -> tuple[str, ...]:
    """What selects so many idle trials: 100 are half of the cells of one seed."""
    cells = ("--where", "a<5") if trials < CELLS else ()
    return ("toy", "--scale", "big", *cells, "--seeds", str(max(1, trials // CELLS)))


def _add(machine: Machine, trials: int, workers: int) -> dict[str, Any]:
    """Run on until so many are done; what each of the new ones cost."""
    before = len(_ends(machine))
    peak = _Memory()
    began = time.monotonic()
    process = machine.start("run", *_words(trials), "--no-report", "--workers", str(workers))
    peak.watch(process.pid)
    assert process.wait() == 0, machine.said(process)[-2000:]
    ends = _ends(machine)[before:]
    assert len(ends) == trials - before, (len(ends), trials, before)
    pieces = min(10, max(1, len(ends) // 100))
    size = len(ends) // pieces
    pace = [
        [before + int((i + 0.5) * size), 1000 * (ends[(i + 1) * size - 1] - ends[i * size]) / (size - 1)]
        for i in range(pieces)
    ]
    return {
        "what": "add",
        "workers": workers,
        "before": before,
        "trials": trials,
        "seconds": round(time.monotonic() - began, 1),
        "ms per trial": [[done, round(ms, 2)] for done, ms in pace],
        "MiB of the command": round(peak.command),
        "MiB of a worker": round(peak.worker),
    }


def _read(machine: Machine, trials: int) -> dict[str, Any]:
    """Seconds of the commands that look at what is done."""
    words, out = _words(trials), str(machine.folder / "reports")
    report = ("report", *(w for w in words if w not in ("--where", "a<5")), "-o", out)
    seconds = {}
    for name, command in {
        "plan": ("plan", *words),
        "status": ("status", *(w for w in words if w not in ("--where", "a<5"))),
        "report": report,
        "run again": ("run", *words, "--no-report"),
    }.items():
        start = time.monotonic()
        ran = machine.run(*command, seconds=900)
        assert ran.code == 0, ran.out[-2000:]
        seconds[name] = round(time.monotonic() - start, 2)
    return {"what": "read", "trials": trials, "seconds": seconds}


def _ends(machine: Machine) -> list[float]:
    """When each finished run ended, seconds since the epoch, in order."""
    uri = machine.tracking.replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    if not sqlalchemy.inspect(engine).has_table("runs"):
        return []
    with engine.connect() as connection:
        rows = connection.execute(sqlalchemy.text("SELECT end_time FROM runs WHERE status = 'FINISHED'"))
        return sorted(row[0] / 1000 for row in rows)


@dataclass
class _Memory:
    """The most that a command and any of its workers had resident, in MiB; looked at every second."""

    command: float = 0.0
    worker: float = 0.0

    def watch(self, pid: int) -> None:
        threading.Thread(target=self._watch, args=(pid,), daemon=True).start()

    def _watch(self, pid: int) -> None:
        try:
            process = psutil.Process(pid)
            while process.is_running():
                self.command = max(self.command, process.memory_info().rss / 2**20)
                for child in process.children():
                    self.worker = max(self.worker, child.memory_info().rss / 2**20)
                time.sleep(1.0)
        except psutil.Error:
            return


def _note(file: Path, store: str, result: dict[str, Any]) -> None:
    """Add a measurement to the file, in place of an earlier one of the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    entry = {"store": store, **result}
    same = ("store", "what", "workers", "trials")
    kept = [old for old in found if [old.get(k) for k in same] != [entry.get(k) for k in same]]
    lines = ",\n".join(json.dumps(e) for e in [*kept, entry])
    file.write_text(f"[\n{lines}\n]\n")
    print(json.dumps(entry), flush=True)


STYLES = {"sqlite": ("SQLite", "-"), "postgresql": ("PostgreSQL", "--")}
COMMANDS = ("plan", "status", "report", "run again")


def draw(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Four panels: milliseconds a trial against trials done, and by number of workers; seconds of commands; memory."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "growth"
    import matplotlib.pyplot as plt
    import seaborn as sns

    figure, panels = plt.subplots(2, 2, figsize=(9, 7.2), layout="constrained")
    (pace, by_workers), (reading, memory) = panels
    colours = sns.color_palette("colorblind")

    def line(axes: Any, points: Sequence[tuple[float, float]], name: str, style: str, colour: Any) -> None:
        if points:
            axes.plot(*zip(*sorted(points), strict=True), style, color=colour, marker="o", markersize=3, label=name)

    for (store, (label, style)), colour in zip(STYLES.items(), colours, strict=False):
        added = [e for e in found if e["store"] == store and e["what"] == "add"]
        base = [e for e in added if e["workers"] == BASE_WORKERS]
        line(pace, [tuple(p) for e in base for p in e["ms per trial"]], label, style, colour)
        # What two workers took at the end, beside what others then took for more trials.
        beside = [{**e, "ms per trial": e["ms per trial"][-2:]} for e in base[-1:]]
        beside += [e for e in added if e["workers"] != BASE_WORKERS]
        each = [(e["workers"], median(ms for _, ms in e["ms per trial"])) for e in beside]
        line(by_workers, each, label, style, colour)
        reads = [e for e in found if e["store"] == store and e["what"] == "read"]
        for command, shade in zip(COMMANDS, colours, strict=False):
            points = [(e["trials"], e["seconds"][command]) for e in reads]
            line(reading, points, f"{command}, {label}", style, shade)
        for who, shade in (("the command", colours[0]), ("a worker", colours[1])):
            line(memory, [(e["trials"], e[f"MiB of {who}"]) for e in base], f"{who}, {label}", style, shade)
    pace.set(title=f"Time a trial, {BASE_WORKERS} workers", xlabel="trials done", ylabel="ms")
    by_workers.set(
        title="Time a trial by workers, ten thousand done", xlabel="workers", ylabel="ms", xticks=[1, 2, 4, 8]
    )
    reading.set(title="Commands that read", xlabel="trials done", ylabel="s", xscale="log")
    memory.set(title="Memory at most", xlabel="trials done", ylabel="MiB", xscale="log")
    for axes in panels.flat:
        axes.set_ylim(0, None)
        axes.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=2)
        sns.despine(ax=axes)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
