"""Data sets and weights by name: what there is, which version, whether it is usable, how to get it.

Light to import (no numpy, Pillow or torch): planning a suite needs only names and versions. Pixels
come from the modules here, one per source: `photos`, `styles`, `weights`, `coco`, `folder`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from retable.bench.data.source import FOLDER_PREFIX as FOLDER_PREFIX
from retable.bench.data.source import DataError as DataError
from retable.bench.data.source import Source as Source
from retable.bench.data.source import root as root


def sources() -> Mapping[str, Source]:
    """Every named source. `folder:PATH` sources are not listed; `find` makes them."""
    from retable.bench.data import (
        cifar,
        clutter,
        coco,
        imagefolder,
        kaggle,
        patches,
        photos,
        sintel,
        styles,
        video,
        weights,
        zerowaste,
    )

    pictures = (photos.SOURCE, styles.SOURCE, patches.SOURCE, cifar.SOURCE, *coco.SOURCES, *kaggle.SOURCES)
    scenes = (clutter.SOURCE, *zerowaste.SOURCES, imagefolder.SOURCE, video.SOURCE, sintel.SOURCE)
    named = (*pictures, *scenes, *weights.SOURCES)
    return MappingProxyType({source.name: source for source in named})


def find(name: str) -> Source:
    """The source called `name`, or the user's folder for `folder:PATH`.

    Raises LookupError with the nearest known names.
    """
    if name.startswith(FOLDER_PREFIX):
        return _folder(name)
    known = sources()
    if name not in known:
        from retable.bench.task import did_you_mean

        words = [*known, f"{FOLDER_PREFIX}PATH"]
        raise LookupError(f"unknown data '{name}'{did_you_mean(name, words)}")
    return known[name]


def version(name: str) -> str:
    """What goes into a trial's id for `name`: pinned content hashes for embedded data, the official
    release's checksum for downloadable sets, names, sizes and modification times for folders.
    """
    return find(name).version()


def missing(name: str) -> str | None:
    """None when `name` is usable, else a message that names the command that mends it."""
    return find(name).missing()


def _folder(name: str) -> Source:
    from retable.bench.data import folder

    path = name.removeprefix(FOLDER_PREFIX)
    if not path:
        raise LookupError(f"data '{name}' names no folder: write {FOLDER_PREFIX}PATH")
    return Source(
        name=name,
        about=f"images under {path}",
        licence="yours",
        version=partial(folder.version, path),
        missing=partial(folder.missing, path),
        get=None,
        embedded=False,
    )
