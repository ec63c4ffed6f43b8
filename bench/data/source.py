"""What a data set or a set of weights is to the engine, and where downloaded ones lie. Light to import."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from retable.bench.errors import RetableError

FOLDER_PREFIX = "folder:"


class DataError(RetableError, RuntimeError):
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


project_data = Path("data")
"""Of the project that this process works for (`suite/project.py` sets it); before that, under the working directory."""


def root() -> Path:
    """Folder of downloaded sets and prepared caches: `$RETABLE_DATA`, else `data` of the project."""
    return Path(os.environ.get("RETABLE_DATA") or project_data).expanduser().resolve()
