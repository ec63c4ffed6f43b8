"""What a run wrote, by content: its artifact `digests.json` lists the SHA-256 of every other artifact, and a tag of the
run holds that of the list. Runs from before there were digests have neither, and are read as they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from retable.bench.errors import RetableError
from retable.bench.store.records import Run

LIST = "digests.json"
TAG = "retable.digests"

GONE, CHANGED = "is gone", "is not as it was written"


class Damaged(RetableError):
    """An artifact that a run wrote, and that is gone or not as it was written."""

    def __init__(self, run: Run, path: str, what: str):
        super().__init__(f"{path} of run {run.id} {what}")
        self.path, self.what = path, what


def of(data: bytes) -> str:
    """The digest of some content."""
    return hashlib.sha256(data).hexdigest()


def listing(files: Mapping[str, bytes]) -> bytes:
    """The content of `LIST` for these files."""
    return json.dumps({path: of(files[path]) for path in sorted(files)}, indent=1).encode()


def parse(run: Run, data: bytes) -> dict[str, str]:
    """Path -> digest, from the content of a run's `LIST`. Raises `Damaged` where it is not the one that was written."""
    if of(data) != run.tags[TAG]:
        raise Damaged(run, LIST, CHANGED)
    found: dict[str, str] = json.loads(data)
    return found
