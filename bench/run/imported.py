"""The code that a worker has imported: what ran and what is stamped on its runs cannot differ.

A file may be edited between the start of a run and a worker's import of it, and put back before the end. So a worker
hashes the code itself, imports every module of it, and hashes again: where both hashes are what the run was planned
with, so is what was imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import suppress

from retable.bench.suite import archive, fingerprint


class CodeChanged(RuntimeError):
    """The files are not what the run was planned with."""


def verify(make: str, packages: Sequence[str], digest: str) -> bytes:
    """Import all of a task's code; its archive. Raises `CodeChanged` unless it has the hash `digest` before and after.

    make, packages: as of `fingerprint.of`.
    """
    before = fingerprint.of(make, packages)
    for module in before:
        with suppress(Exception, SystemExit):  # the attempt imports it again, and fails with the reason
            importlib.import_module(module)
    kept = archive.pack(before)
    for code in (before, fingerprint.of(make, packages)):
        if fingerprint.digest(code) != digest:
            raise CodeChanged(
                f"the code of {make.partition(':')[0]} has changed since this run was planned, and a result must be of "
                "one code: start the run again"
            )
    return kept
