"""Any folder of the user's images as a data set: `folder:PATH` in a suite."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from retable.bench.data.decode import SUFFIXES
from retable.bench.data.download import Progress, quiet
from retable.bench.data.source import DataError, root

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
    """Twelve hex digits over the images' names, sizes and modification times. Raises DataError."""
    base = _base(path)
    digest = hashlib.sha256()
    for name in files(base):
        status = (base / name).stat()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:12]


def missing(path: str | Path) -> str | None:
    """None when the folder holds images, else what is wrong."""
    try:
        return None if files(path) else f"{_base(path)} holds no images ({', '.join(sorted(SUFFIXES))})"
    except DataError as error:
        return str(error)


def load(path: str | Path, size: int, *, progress: Progress = quiet) -> np.memmap:
    """The folder's images, short side resized to `size`, centre cropped: read-only uint8 [N, size, size, 3].

    In the order of `files(path)`; decoded once and kept under `root()/cache` for as long as the folder's
    version stays. Unlike a public set, the user's own must be sound: DataError names the first file that
    cannot be read.
    """
    from retable.bench.data import cache

    base, names = _base(path), files(path)
    place = hashlib.sha256(os.fsencode(base)).hexdigest()[:12]
    pixels = root() / "cache" / f"folder-{place}-{version(base)}-{size}.u8"
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
