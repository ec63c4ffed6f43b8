"""Data sets and weights by name: what there is, which version, whether it is usable, how to get it.

Light to import (no numpy, Pillow or torch): planning a suite needs only names and versions. Pixels
come from the modules here, each a `SOURCE` or several `SOURCES`: `photos`, `styles`, `weights`, `coco`.
A paper's package brings its own as `SOURCES` in its `__init__.py`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType

from retable.bench.data.source import FOLDER_PREFIX as FOLDER_PREFIX
from retable.bench.data.source import DataError as DataError
from retable.bench.data.source import Source as Source
from retable.bench.data.source import root as root


def sources(packages: Sequence[str] = ()) -> Mapping[str, Source]:
    """Every named source: the built-in ones, and those that `packages` (a suite's) or their families list as
    `SOURCES` in their `__init__.py`. `folder:PATH` sources are not listed; `find` makes them.

    Raises `DataError` where two have one name.
    """
    found: dict[str, tuple[str, Source]] = {}
    for module, source in (*_built_in(), *_of_packages(packages)):
        if not isinstance(source, Source):
            raise DataError(f"{module}: SOURCES lists {source!r}, which is no retable.bench.data.Source")
        first, known = found.setdefault(source.name, (module, source))
        if known is not source:
            raise DataError(f"two data sources are called '{source.name}', in {first} and in {module}: rename one")
    return MappingProxyType({name: source for name, (_, source) in found.items()})


def find(name: str, packages: Sequence[str] = ()) -> Source:
    """The source called `name`, or the user's folder for `folder:PATH`.

    Raises LookupError with the nearest known names.
    """
    if name.startswith(FOLDER_PREFIX):
        return _folder(name)
    known = sources(packages)
    if name not in known:
        from retable.bench.task import did_you_mean

        words = [*known, f"{FOLDER_PREFIX}PATH"]
        raise LookupError(f"unknown data '{name}'{did_you_mean(name, words)}")
    return known[name]


def version(name: str, packages: Sequence[str] = ()) -> str:
    """What goes into a trial's id for `name`: pinned content hashes for embedded data, the official
    release's checksum for downloadable sets, names and contents for folders.
    """
    return find(name, packages).version()


def missing(name: str, packages: Sequence[str] = ()) -> str | None:
    """None when `name` is usable, else a message that names the command that mends it."""
    return find(name, packages).missing()


def _built_in() -> Iterator[tuple[str, Source]]:
    for module in _modules():
        for source in getattr(module, "SOURCES", None) or (module.SOURCE,):
            yield module.__name__, source


@functools.cache
def _modules() -> tuple[ModuleType, ...]:
    """The modules here that define a source. The others are not imported: some are numpy from the first line on."""
    files = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    named = [file.stem for file in files if re.search(r"^SOURCES? = ", file.read_text(encoding="utf-8"), re.MULTILINE)]
    return tuple(import_module(f"{__name__}.{name}") for name in named)


def _of_packages(packages: Sequence[str]) -> Iterator[tuple[str, Source]]:
    if packages:
        from retable.bench.task import listed  # pydantic: not for those who ask for built-in data alone

        yield from listed(packages, "SOURCES")


def _folder(name: str) -> Source:
    from retable.bench.data import folder

    path = name.removeprefix(FOLDER_PREFIX)
    if not path:
        raise LookupError(f"data '{name}' names no folder: write {FOLDER_PREFIX}PATH")
    return Source(
        name=name,
        about=f"images under {path}",
        licence="yours",
        version=functools.partial(folder.version, path),
        missing=functools.partial(folder.missing, path),
        get=None,
        embedded=False,
    )
