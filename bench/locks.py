"""One at a time: among this machine's processes by a file, among machines by the PostgreSQL server they share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock

from bench.stores import Stores


@contextmanager
def held(stores: Stores, name: str) -> Iterator[None]:
    """Hold the lock `name`. A file store is on one machine, so its file lock is enough; the advisory lock of a
    PostgreSQL server ends with the connection, so that a holder that dies leaves none behind."""
    stores.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(stores.folder / f"{name.replace('/', '-')}.lock"):
        servers = [url for url in (stores.storage, stores.tracking) if url.startswith("postgresql")]
        if not servers:
            yield
            return
        from sqlalchemy import NullPool, create_engine, text

        key = int.from_bytes(hashlib.sha256(f"retable {name}".encode()).digest()[:8], "big", signed=True)
        engine = create_engine(servers[0], poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            yield
