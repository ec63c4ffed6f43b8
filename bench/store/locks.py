"""One at a time: among this machine's processes by a file, among machines by the PostgreSQL server they share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock

from retable.bench.store import patience
from retable.bench.store.places import StoreError, Stores, redact

if TYPE_CHECKING:
    from sqlalchemy import Connection


@contextmanager
def held(stores: Stores, name: str) -> Iterator[None]:
    """Hold the lock `name`. A file store is on one machine, so its file lock is enough; the advisory lock of a
    PostgreSQL server ends with the connection, so that a holder that dies leaves none behind. Raises `StoreError`
    for a server that does not answer."""
    stores.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(stores.folder / f"{name.replace('/', '-')}.lock"):
        servers = [url for url in (stores.storage, stores.tracking) if url.startswith("postgresql")]
        if not servers:
            yield
            return
        from sqlalchemy import NullPool, create_engine, text
        from sqlalchemy.exc import OperationalError

        key = int.from_bytes(hashlib.sha256(f"retable {name}".encode()).digest()[:8], "big", signed=True)
        engine = create_engine(servers[0], poolclass=NullPool, isolation_level="AUTOCOMMIT")

        def take() -> Connection:
            connection = engine.connect()
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            return connection

        def away(error: Exception) -> bool:
            return isinstance(error, OperationalError)

        try:
            connection = patience.wait_for(take, away, "the queue's database")
        except OperationalError as error:
            what = "the queue" if servers[0] == stores.storage else "the tracking store"
            said = redact(str(error.orig)).strip().splitlines()
            raise StoreError(
                f"{what} {redact(servers[0])} cannot be used: {said[0] if said else repr(error)}"
            ) from None
        with connection:
            yield
