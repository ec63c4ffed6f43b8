"""Writing a report's files: each is complete or not there, and pictures of a former report go."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

PICTURES = (".png", ".jpg", ".svg")


def write(path: Path, data: str | bytes) -> Path:
    """Write under a temporary name, sync and rename: a reader sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode("utf-8") if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def clear_pictures(folder: Path, keep: Iterable[str], kinds: Sequence[str] = PICTURES) -> None:
    """Remove the pictures of these kinds in `folder` that are not in `keep`, and the folder if nothing is left."""
    kept = set(keep)
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.suffix in kinds and path.name not in kept:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
