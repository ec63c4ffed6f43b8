"""One file over HTTP to disk: resumed where it broke off, verified, renamed into place last.

Runs only under `bench data get`; nothing else here opens a connection.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retable.bench.data.source import DataError

if TYPE_CHECKING:
    import http.client

Watcher = Callable[[str, int, int], None]
"""Called as progress(what, done, total); total is 0 where it is not known."""

CHUNK = 1 << 20
TIMEOUT_S = 60.0
ATTEMPTS = 8
"""Attempts in a row that bring nothing new before giving up; one that brings bytes starts the count again."""


@dataclass(frozen=True)
class Remote:
    """A file to fetch. size_bytes 0 and empty hashes: not published, not checked. sha256 may be a prefix."""

    url: str
    size_bytes: int = 0
    md5: str = ""
    sha256: str = ""


def quiet(what: str, done: int, total: int) -> None:
    """Progress that is not shown."""


def download(
    remote: Remote, target: Path, *, progress: Watcher = quiet, attempts: int = ATTEMPTS, pause_s: float = 2.0
) -> None:
    """Fetch `remote` into `target`; nothing to do if it is there with the right size.

    A broken attempt leaves `target.part`, from which this call and later ones go on. Raises DataError
    when the server can't be reached, refuses, or sends something whose size or hash is not the
    published one (the part is then deleted: going on from it would never succeed).
    """
    import urllib.error

    if target.is_file() and remote.size_bytes in (0, target.stat().st_size):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failures = 0
    while True:
        before = _size(part)
        try:
            total = _fetch(remote, part, progress)
            break
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise DataError(f"{remote.url}: the server answered {error.code} {error.reason}") from error
            if not isinstance(error, _connection_errors()):
                raise DataError(f"cannot write {part}: {error}") from error
            failures = 1 if _size(part) > before else failures + 1
            if failures >= attempts:
                raise DataError(
                    f"{remote.url}: {error or type(error).__name__}; {_size(part)} bytes are kept in {part}, "
                    "the same command goes on from there"
                ) from error
            time.sleep(pause_s * failures)
    _verify(remote, part, total)
    _sync(part)
    part.replace(target)


def _fetch(remote: Remote, part: Path, progress: Watcher) -> int:
    """One attempt: append what is missing. Returns the whole file's size as the server states it, or 0."""
    import urllib.error
    import urllib.request

    have = _size(part)
    if remote.size_bytes and have >= remote.size_bytes:
        return remote.size_bytes
    request = urllib.request.Request(remote.url, headers={"User-Agent": "retable", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing left to send: the part was complete
            return have
        raise
    with response:
        if response.status != 206:  # the server sends all of it, whatever was asked
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else remote.size_bytes
        with part.open("ab" if have else "wb") as file:
            while block := _read(response):
                file.write(block)
                have += len(block)
                progress(part.stem, have, total)
    if total and have < total:
        raise ConnectionError(f"the connection ended after {have} of {total} bytes")
    return total


def _read(response: http.client.HTTPResponse) -> bytes:
    """The next bytes; what arrived before a connection broke is not thrown away."""
    import http.client

    try:
        return response.read1(CHUNK)
    except http.client.HTTPException as error:  # a broken chunked transfer
        raise ConnectionError(f"the connection broke: {error}") from error


def _connection_errors() -> tuple[type[OSError], ...]:
    """What is worth another attempt; other OSErrors are the disk's."""
    import ssl
    import urllib.error

    return (urllib.error.URLError, ConnectionError, TimeoutError, ssl.SSLError)


def _verify(remote: Remote, part: Path, total: int) -> None:
    expected = remote.size_bytes or total
    problem = ""
    if expected and _size(part) != expected:
        problem = f"has {_size(part)} bytes, not {expected}"
    for algorithm, digest in (("md5", remote.md5), ("sha256", remote.sha256)):
        if digest and not problem:
            with part.open("rb") as file:
                found = hashlib.file_digest(file, algorithm).hexdigest()
            if not found.startswith(digest):
                problem = f"has {algorithm} {found}, not {digest}"
    if problem:
        part.unlink()
        raise DataError(f"{remote.url}: what arrived {problem}; it was deleted, try again")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
