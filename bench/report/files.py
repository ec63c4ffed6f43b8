"""The pictures of a former report: they go when a new one has no place for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

PICTURES = (".png", ".jpg", ".svg")


def clear_pictures(folder: Path, keep: Iterable[str], kinds: Sequence[str] = PICTURES) -> None:
    """Remove the pictures of these kinds in `folder` that are not in `keep`, and the folder if nothing is left."""
    kept = set(keep)
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_file() and path.suffix in kinds and path.name not in kept:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
