"""`python -m tests.chaos`: what a night of a cluster does, in minutes, and whether the results are still right.

Each campaign runs the toy suite while it breaks something, again and again, then compares what the stores hold with an
undisturbed run: every trial finished once, none lost, no run left RUNNING, every loss and the report equal to the bit.

    python -m tests.chaos kills --count 100                 # random workers and the command itself, kill -9
    python -m tests.chaos kills --count 50 --cluster        # the same over PostgreSQL and an MLflow server
    python -m tests.chaos restarts --count 20               # PostgreSQL, immediately, in mid-run
    python -m tests.chaos outage --seconds 60 --count 2     # the MLflow server
    python -m tests.chaos writes --count 1000               # one kill before each write to the stores, all of them
    python -m tests.chaos jumps containers                  # clocks that are set; two PID namespaces of one host
    python -m tests.chaos torn disk clock together          # several, one after the other
    python -m tests.chaos growth -o docs/pictures           # time and memory against the number of trials
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from tests.chaos import growth
from tests.chaos.campaigns import CAMPAIGNS, Place, Verdict

NEED_SERVERS = ("restarts", "outage")
FILES_ONLY = ("torn", "disk", "writes", "containers")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="+", choices=[*CAMPAIGNS, "growth"])
    parser.add_argument("--count", type=int, default=10, help="faults of each campaign")
    parser.add_argument("--seconds", type=float, default=60.0, help="that the MLflow server is away")
    parser.add_argument("--cluster", action="store_true", help="PostgreSQL and an MLflow server in place of files")
    parser.add_argument("--seed", type=int, default=0, help="of when and whom")
    growth.options(parser)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server and no worker behind
    if "growth" in given.what:
        growth.run(given)
        return 0
    print(f"| what happens | stores | {Verdict.HEAD} | minutes |")
    print(f"| --- | --- |{' ---: |' * (Verdict.HEAD.count('|') + 2)}", flush=True)
    return max(_campaign(name, given) for name in given.what)


def _campaign(name: str, given: argparse.Namespace) -> int:
    cluster = name in NEED_SERVERS or (given.cluster and name not in FILES_ONLY)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="retable-chaos-")))
        place = Place(folder, empty_store(folder), cluster)
        stack.callback(place.end)
        words, campaign = CAMPAIGNS[name]
        began = time.monotonic()
        verdict = campaign(place, given.count, given.seconds, random.Random(given.seed))
        minutes = (time.monotonic() - began) / 60
    stores = "PostgreSQL, MLflow server" if cluster else "SQLite"
    print(f"| {words.format(seconds=given.seconds)} | {stores} | {verdict.row()} | {minutes:.1f} |", flush=True)
    return 0 if verdict.right else 1


def empty_store(folder: Path) -> Path:
    """A migrated MLflow database without runs: making one takes seconds."""
    from retable.bench.store import making
    from retable.bench.store.places import Stores

    uri = f"sqlite:///{folder / 'empty' / 'mlflow.db'}"
    making.prepare(Stores(uri, "sqlite:///", folder / "artifacts", folder / "empty"), {})
    return folder / "empty" / "mlflow.db"


if __name__ == "__main__":
    sys.exit(main())
