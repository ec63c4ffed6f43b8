"""The pictures of a former report: they go when a new one has no place for them. Nothing else in their folder does.

Which are ours stands in a manifest beside them. A folder from before there were manifests has the pictures that its
record's figures are called after.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from retable.bench.files import write

MANIFEST = "written.json"
PICTURES = (".png", ".jpg", ".svg")
KINDS = (*PICTURES, ".pdf")


def note(folder: Path, record: Path, names: Iterable[str]) -> None:
    """Put down that the pictures of these names are ours, before they are written. record: of the former report."""
    listed = _manifest(folder)
    _keep(folder, {*(_former(folder, record) if listed is None else listed), *names})


def clear_pictures(folder: Path, keep: Iterable[str], kinds: Sequence[str] = PICTURES) -> None:
    """Remove the pictures of these kinds that are ours and not in `keep`, and the folder if nothing is left."""
    ours = _manifest(folder) or set()
    gone = {name for name in ours - set(keep) if Path(name).suffix in kinds}
    for name in gone:
        if (folder / name).is_file():
            (folder / name).unlink()
    if gone:
        _keep(folder, ours - gone)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _manifest(folder: Path) -> set[str] | None:
    """What the manifest lists; None where there is none to read. No name leads out of the folder, whoever wrote it."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    names = found if isinstance(found, list) else []
    return {n for n in names if isinstance(n, str) and Path(n).name == n and Path(n).suffix in KINDS}


def _former(folder: Path, record: Path) -> set[str]:
    """The pictures in `folder` that are called like a figure of the record."""
    try:
        views = json.loads(record.read_text(encoding="utf-8"))["views"]
        figures = {view["name"] for view in views if view["kind"] == "figure"}
    except (OSError, ValueError, LookupError, TypeError):
        return set()  # of a folder that nothing is known of, nothing is ours
    found = folder.iterdir() if folder.is_dir() else ()
    return {path.name for path in found if path.suffix in KINDS and path.stem in figures}


def _keep(folder: Path, names: set[str]) -> None:
    if names:
        write(folder / MANIFEST, json.dumps(sorted(names), indent=1, ensure_ascii=False) + "\n")
    else:
        (folder / MANIFEST).unlink(missing_ok=True)
