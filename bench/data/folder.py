"""Any folder of the user's images as a data set: `folder:PATH` in a suite."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retable.bench.data.decode import SUFFIXES
from retable.bench.data.download import Watcher, quiet
from retable.bench.data.source import DataError, root
from retable.bench.files import write

if TYPE_CHECKING:
    import numpy as np


def files(path: str | Path) -> list[str]:
    """Names of the image files under `path`, at any depth, relative to it with "/", sorted.

    Hidden files and folders are left out; links to folders are followed once. Raises DataError if
    there is no such folder.
    """
    base = _base(path)
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(base, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link back up would never end
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(folder).relative_to(base)
        found += [
            (inside / name).as_posix()
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(found)


def version(path: str | Path) -> str:
    """Twelve hex digits over the images' names and contents: a copy on another machine has the same. Raises DataError.

    Contents are read once: their hashes are kept under `root()/cache` for as long as size and modification time stay.
    """
    base = _base(path)
    digest = hashlib.sha256()
    for name, content in _contents(base).items():
        digest.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:12]


def _contents(base: Path) -> dict[str, str]:
    """Image -> the hash of its bytes."""
    memo = root() / "cache" / f"folder-{_place(base)}.json"
    known = _known(memo)
    now = time.time_ns()
    found: dict[str, tuple[int, int, str]] = {}
    for name in files(base):
        status = (base / name).stat()
        was = known.get(name)
        if was is None or was[:2] != [status.st_size, status.st_mtime_ns]:
            with (base / name).open("rb") as file:
                was = [status.st_size, status.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()]
        found[name] = (was[0], was[1], was[2])
    # A file that was written just now may be written again within the same tick of the clock: it is not kept.
    kept = {name: entry for name, entry in found.items() if now - entry[1] > SETTLED}
    if kept != {name: tuple(entry) for name, entry in known.items()}:
        with suppress(OSError):  # without a memory the contents are read again, that is all
            write(memo, json.dumps(kept))
    return {name: entry[2] for name, entry in found.items()}


SETTLED = 2_000_000_000
"""Nanoseconds after which a file's modification time tells it from a later state."""


def _known(memo: Path) -> dict[str, list[Any]]:
    try:
        found = json.loads(memo.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    sound = isinstance(found, dict) and all(isinstance(entry, list) and len(entry) == 3 for entry in found.values())
    return found if sound else {}


def _place(base: Path) -> str:
    return hashlib.sha256(os.fsencode(base)).hexdigest()[:12]


def missing(path: str | Path) -> str | None:
    """None when the folder holds images, else what is wrong."""
    try:
        return None if files(path) else f"{_base(path)} holds no images ({', '.join(sorted(SUFFIXES))})"
    except DataError as error:
        return str(error)


def load(path: str | Path, size: int, *, progress: Watcher = quiet) -> np.memmap:
    """The folder's images, short side resized to `size`, centre cropped: read-only uint8 [N, size, size, 3].

    In the order of `files(path)`; decoded once and kept under `root()/cache` for as long as the folder's
    version stays. Unlike a public set, the user's own must be sound: DataError names the first file that
    cannot be read.
    """
    from retable.bench.data import cache

    base, names = _base(path), files(path)
    pixels = root() / "cache" / f"folder-{_place(base)}-{version(base)}-{size}.u8"
    index = cache.prepare(base, names, size, pixels, progress=progress)
    if index.corrupt:
        cache.remove(pixels)  # a repaired file changes the version, a removed one the names: this cache is of no use
        others = f" ({len(index.corrupt) - 1} more like it)" if len(index.corrupt) > 1 else ""
        raise DataError(f"{next(iter(index.corrupt.values()))}{others}: repair or remove it")
    return cache.open_array(pixels, index)


def _base(path: str | Path) -> Path:
    base = Path(path).expanduser().resolve()
    if not base.is_dir():
        raise DataError(f"there is no folder {base}")
    return base
