"""Data sets and weights by name: what there is, which version, whether it is usable, how to get it.

Light to import (no numpy, Pillow or torch): planning a suite needs only names and versions. Pixels
come from the modules here, one per source: `photos`, `styles`, `weights`, `coco`, `folder`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

FOLDER_PREFIX = "folder:"


class DataError(RuntimeError):
    """Data is missing, damaged or unreadable; the message names the file and what mends it."""


@dataclass(frozen=True)
class Source:
    """A data set or a set of weights as the engine sees it.

    name: the word in a suite.
    about: one line for `bench list` and reports.
    licence: its licence, or where each file's licence is listed.
    version: called for the word that goes into a trial's id. Cheap, decodes nothing, and does not
        change when a downloadable set arrives.
    missing: called for None when usable, else a message that names the command that mends it.
    get: downloads and prepares it (`bench data get NAME`), called as `get(progress=...)` with a function of
        (what, done, total); goes on where it broke off. None where there is nothing to download.
    embedded: ships with this project or a package it depends on; needs no network.
    url: where it comes from; empty for the user's own folders and for collections.
    size_bytes: size of the download, 0 if there is none.
    """

    name: str
    about: str
    licence: str
    version: Callable[[], str]
    missing: Callable[[], str | None]
    get: Callable[..., None] | None
    embedded: bool
    url: str = ""
    size_bytes: int = 0


def root() -> Path:
    """Folder of downloaded sets and prepared caches: `$RETABLE_DATA`, else `data` under the working directory."""
    return Path(os.environ.get("RETABLE_DATA") or "data").expanduser().resolve()


def sources() -> Mapping[str, Source]:
    """Every named source. `folder:PATH` sources are not listed; `find` makes them."""
    from bench.data import (
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
        from bench.task import did_you_mean

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
    from bench.data import folder

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
