"""A worker process: `python -m retable.bench.run.worker`. What it does with its orders stands in `claiming`.

It reads its orders as one JSON line on standard input and tells events on standard output. When the input closes
without a "stop", the supervisor is gone and the worker ends at once, as if killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType

from retable.bench.queue import storage
from retable.bench.run import claiming, events
from retable.bench.run.attempt import Worker
from retable.bench.run.imported import CodeChanged
from retable.bench.run.orders import Orders
from retable.bench.store import client, owners, patience
from retable.bench.store.places import StoreError, redact
from retable.bench.suite.project import enter


def main() -> None:
    """Entry point of `python -m retable.bench.run.worker`."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a task prints must not end up between the events
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to answer
    sys.excepthook = _last_words
    orders = Orders(**json.loads(sys.stdin.readline()))
    lock = threading.Lock()

    def tell(event: events.Event) -> None:
        with lock:
            out.write(events.write(event))

    enter(Path(orders.project))
    worker = Worker(orders, tell, {**orders.facts, **_facts(orders)})
    signal.signal(signal.SIGTERM, lambda *_: worker.stopping.set())
    threading.Thread(target=_obey, args=(worker,), daemon=True).start()
    patience.allow()
    patience.tell = lambda text: tell(events.Note(text))
    try:
        with client.explained(orders.tracking), storage.explained(orders.storage):
            claiming.work(worker)
    except (StoreError, OSError, CodeChanged) as error:  # a full disk, a store that is away: not the trial's fault
        _last_words(*sys.exc_info())
        tell(events.Broken(redact(str(error))))
        sys.exit(1)
    tell(events.Bye())


def _last_words(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _obey(worker: Worker) -> None:
    for line in sys.stdin:
        if line.strip() == "stop":
            worker.stopping.set()
            return
    os._exit(137)  # the supervisor died


def _facts(orders: Orders) -> dict[str, str]:
    import torch

    torch.set_num_threads(orders.threads)
    facts = {
        "retable.owner": owners.owner(),
        "retable.threads": str(orders.threads),
        "retable.device": orders.device,
        "retable.torch": torch.__version__,
    }
    if orders.device.startswith("cuda"):
        facts["retable.gpu"] = torch.cuda.get_device_name(orders.device)
    return facts


if __name__ == "__main__":
    main()
