"""What the runs of other processes still need once these are gone: their last points, and a final status."""

from __future__ import annotations

from functools import partial

from retable.bench.store import outbox, owners
from retable.bench.store.client import BATCH, MlflowException, connect, entities, patiently
from retable.bench.store.places import Stores, redact
from retable.bench.store.records import Run


def deliver(stores: Stores) -> int:
    """Send the metrics that dead processes of this machine left on disk; how many there were."""
    sent = 0
    for left in outbox.left(stores, owners.is_dead):
        points = [entities.Metric(key, value, stamp, step) for key, value, stamp, step in left.points()]
        try:
            for start in range(0, len(points), BATCH):
                batch = points[start : start + BATCH]
                patiently(stores.tracking, partial(connect(stores.tracking).log_batch, left.run_id, metrics=batch))
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
                raise  # the store is away or refuses us; of a run that is gone or deleted none of these is said
            left.set_aside(redact(error.message).splitlines()[0])
            continue
        sent += len(points)
        left.close()
    return sent


def terminate(uri: str, run_id: str, status: str, **tags: str) -> None:
    """Set the final status of a run that its own process no longer can."""
    api = connect(uri)
    if tags:
        made = [entities.RunTag(f"retable.{k}", redact(v)) for k, v in tags.items()]
        patiently(uri, lambda: api.log_batch(run_id, tags=made))
    patiently(uri, lambda: api.set_terminated(run_id, status))


def disown(uri: str, run: Run, reason: str) -> None:
    """Let a finished run count no more, so that its trial is run again: it ends as KILLED, when it ended."""
    api, end = connect(uri), None if run.ended is None else round(1000 * run.ended)
    patiently(uri, lambda: api.log_batch(run.id, tags=[entities.RunTag("retable.reason", reason)]))
    patiently(uri, lambda: api.set_terminated(run.id, "KILLED", end_time=end))
