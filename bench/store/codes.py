"""The code that runs are stamped with, kept once for each hash: beside the store's artifacts, or on a tracking server
among those of the first run of a worker."""

from __future__ import annotations

import re

from retable.bench import files
from retable.bench.store import reading
from retable.bench.store.places import StoreError, Stores
from retable.bench.store.records import Run
from retable.bench.suite import archive

NAME = "code.zip"


def keep(stores: Stores, digest: str, data: bytes) -> bool:
    """Keep an archive beside the artifacts, once. False where those are a tracking server's."""
    if stores.artifacts is None:
        return False
    path = stores.artifacts / "code" / f"{digest}.zip"
    if not path.is_file():
        files.write(path, data)
    return True


def of(stores: Stores, run: Run) -> dict[str, bytes]:
    """Relative path -> source of the code that a run is stamped with. Raises `StoreError` where it was not kept or is
    not what the stamp says."""
    digest = run.tags.get("retable.code", "")
    data = _found(stores, run, digest) if re.fullmatch("[0-9a-f]{16}", digest) else None
    if data is None:
        raise StoreError(f"the code of run {run.id} was not kept: it is older than the keeping of code")
    try:
        found = archive.unpack(data)
        whole = archive.digest(found) == digest
    except (ValueError, SyntaxError):
        whole = False
    if not whole:
        raise StoreError(
            f"what was kept as the code of run {run.id} is not the code that it is stamped with ({digest})"
        )
    return found


def _found(stores: Stores, run: Run, digest: str) -> bytes | None:
    path = None if stores.artifacts is None else stores.artifacts / "code" / f"{digest}.zip"
    if path is not None and path.is_file():
        return path.read_bytes()
    if reading.is_sql(stores.tracking):
        return None
    from retable.bench.store import artifacts  # a server's: MLflow's client

    for other in reading.runs(stores.tracking, [run.experiment]):
        if other.tags.get("retable.code") == digest and other.tags.get("retable.keeps_code"):
            return artifacts.artifact(stores.tracking, other, NAME, stores.folder / "fetched").read_bytes()
    return None
