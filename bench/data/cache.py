"""A folder of image files decoded once into a memory-mapped array, so that decoding never limits training.

The pixels are one raw file, [N, S, S, 3] uint8; beside it a JSON index says N, which files the rows
are and which were unreadable. The index is written last: a cache with an index is complete. A killed
preparation goes on from its last finished chunk.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retable.bench.data.download import Watcher, quiet
from retable.bench.data.source import DataError
from retable.bench.files import write

if TYPE_CHECKING:
    import numpy as np

CHUNK = 256
"""Images between two notes of progress: what a kill may cost."""

METHOD = "square-1"
"""How a file becomes pixels (`decode.square`); change it with the method, and caches are made anew."""


@dataclass(frozen=True)
class Index:
    """What a cache holds. `key` tells whether it was made from these files by this method."""

    key: str
    size: int
    rows: list[str]
    corrupt: dict[str, str]


def prepare(
    folder: Path,
    files: Sequence[str],
    size: int,
    pixels: Path,
    *,
    progress: Watcher = quiet,
    workers: int | None = None,
) -> Index:
    """Make the cache `pixels` of `files` (names relative to `folder`), unless it is there; return its index.

    Several processes may call it at once: one works, the others wait. Unreadable files are left out,
    named with their reason in the index; if all are, or there are none, DataError. Raises DataError
    when the disk has no room for it.
    """
    from filelock import FileLock

    if not files:
        raise DataError(f"{folder} holds no images")
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    key = _key(files, size)
    pixels.parent.mkdir(parents=True, exist_ok=True)
    if (index := read_index(pixels)) and index.key == key:
        return index
    with FileLock(pixels.with_suffix(".lock")):
        if (index := read_index(pixels)) and index.key == key:  # made while this process waited
            return index
        return _build(folder, files, size, pixels, key, progress, workers or os.cpu_count() or 1)


def read_index(pixels: Path) -> Index | None:
    """The index of the cache `pixels`, or None if there is no complete cache."""
    try:
        index = Index(**json.loads(_index_file(pixels).read_text(encoding="utf-8")))
        complete = pixels.stat().st_size == len(index.rows) * index.size**2 * 3
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise DataError(f"{_index_file(pixels)} is damaged ({error}): delete it, it is made anew") from error
    return index if complete else None


def open_array(pixels: Path, index: Index) -> np.memmap:
    """The cache as a read-only uint8 array [N, S, S, 3]."""
    import numpy as np

    return np.memmap(pixels, np.uint8, mode="r", shape=(len(index.rows), index.size, index.size, 3))


def remove(pixels: Path) -> None:
    """Delete a cache, index first."""
    _index_file(pixels).unlink(missing_ok=True)
    pixels.unlink(missing_ok=True)


def _build(
    folder: Path, files: Sequence[str], size: int, pixels: Path, key: str, progress: Watcher, workers: int
) -> Index:
    from retable.bench.data.decode import read_rgb, square

    def decode(name: str) -> bytes | DataError:
        try:
            return square(read_rgb(folder / name), size).tobytes()
        except DataError as error:
            return error

    part, notes = pixels.with_name(pixels.name + ".part"), pixels.with_name(pixels.name + ".progress.json")
    index, start = _resume(notes, part, files, key, size)
    row_bytes = size * size * 3
    need = (len(files) - start) * row_bytes
    if need > (free := shutil.disk_usage(pixels.parent).free):
        raise DataError(
            f"{pixels.parent} has {free / 1e9:.1f} GB free, the prepared images need {need / 1e9:.1f} GB more: "
            "make room or point RETABLE_DATA at another disk"
        )
    with part.open("r+b" if part.exists() else "w+b") as out, ThreadPoolExecutor(workers) as pool:
        out.truncate(len(index.rows) * row_bytes)
        out.seek(0, os.SEEK_END)
        for first in range(start, len(files), CHUNK):
            names = files[first : first + CHUNK]
            for name, result in zip(names, pool.map(decode, names), strict=True):
                if isinstance(result, DataError):
                    index.corrupt[name] = str(result)
                else:
                    out.write(result)
                    index.rows.append(name)
            out.flush()
            os.fsync(out.fileno())
            done = first + len(names)
            write(notes, json.dumps({"key": key, "done": done, "corrupt": index.corrupt}))
            progress(f"prepare {pixels.name}", done, len(files))
    if not index.rows:
        notes.unlink()
        part.unlink()
        first_reason = next(iter(index.corrupt.values()))
        raise DataError(f"none of the {len(files)} images in {folder} can be read; first: {first_reason}")
    _index_file(pixels).unlink(missing_ok=True)  # an older cache's index must never stand beside newer pixels
    part.replace(pixels)
    write(_index_file(pixels), json.dumps(asdict(index)))
    notes.unlink()
    return index


def _resume(notes: Path, part: Path, files: Sequence[str], key: str, size: int) -> tuple[Index, int]:
    """The state a killed preparation left, if it was one of these files; else a fresh start."""
    fresh = Index(key=key, size=size, rows=[], corrupt={}), 0
    try:
        state = json.loads(notes.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return fresh
    if state["key"] != key or not part.exists():
        return fresh
    done, corrupt = int(state["done"]), dict(state["corrupt"])
    rows = [name for name in files[:done] if name not in corrupt]
    if part.stat().st_size < len(rows) * size * size * 3:
        return fresh
    return Index(key=key, size=size, rows=rows, corrupt=corrupt), done


def _key(files: Sequence[str], size: int) -> str:
    return hashlib.sha256("\n".join([METHOD, str(size), *files]).encode("utf-8", "surrogateescape")).hexdigest()


def _index_file(pixels: Path) -> Path:
    return pixels.with_name(pixels.name + ".json")
