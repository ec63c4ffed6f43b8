"""`check_source`: whether a data source is what planning and `bench data` take it for."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from retable.bench import data
from retable.bench.data import Source
from retable.bench.testing import fresh
from retable.bench.testing.errors import ConformanceError

CHEAP_SECONDS = 1.0
"""Of processor time, for a version: a plan asks for it every time."""

_ASK = """
from retable.bench import data
source = data.find(*given)
return [source.version(), source.missing()]
"""


def check_source(source: Source | str, *, packages: Sequence[str] = ()) -> None:
    """Hold a data source to what the engine relies on; nothing is downloaded.

    source: one of `packages`' `SOURCES`, or its name. Raises `ConformanceError`.
    """
    name = source if isinstance(source, str) else source.name
    what = f"data '{name}'"
    known = data.sources(packages)
    if name not in known:
        raise ConformanceError(f"{what}: is not in the SOURCES of {', '.join(packages) or 'any package'}")
    found = known[name]
    if not re.fullmatch(r"[A-Za-z][\w.-]{0,99}", name):
        raise ConformanceError(f"{what}: its name is a word in suites and a file name: letters, digits, _, - and .")
    if not found.about.strip() or not found.licence.strip():
        raise ConformanceError(f"{what}: has no {'licence' if found.about.strip() else 'about'}; say it in one line")
    if found.embedded == (found.get is not None):
        how = "ships with its package, so get is None" if found.embedded else "does not ship, so get must download it"
        raise ConformanceError(f"{what}: embedded is {found.embedded}: it {how}")
    _version(what, found)
    _missing(what, found, found.missing())
    _from_outside(what, found, packages)


def _version(what: str, source: Source) -> None:
    began = time.process_time()
    version = source.version()
    spent = time.process_time() - began
    if not isinstance(version, str) or not version.strip():
        raise ConformanceError(f"{what}: version() gives {version!r}; it must be a word that names the content")
    if spent > CHEAP_SECONDS:
        raise ConformanceError(f"{what}: version() takes {spent:.1f} s; pin it, or hash names and sizes, not content")
    if source.version() != version:
        raise ConformanceError(f"{what}: version() gives another word each time; every trial would run again")


def _missing(what: str, source: Source, said: str | None) -> None:
    if said is None:
        return
    if source.embedded:
        raise ConformanceError(f"{what}: is embedded, and yet missing() says: {said}")
    command = f"bench data get {source.name}"
    if not isinstance(said, str) or command not in said:
        raise ConformanceError(f"{what}: missing() says {said!r}; it must name what mends it: {command}")


def _from_outside(what: str, source: Source, packages: Sequence[str]) -> None:
    """As `bench plan` meets it, in a process of its own."""
    seen = fresh.look(what, _ASK, [source.name, list(packages)])
    if seen.asked:
        raise ConformanceError(f"{what}: asks the network for its version ({seen.asked}); only get may")
    if seen.pulled:
        raise ConformanceError(f"{what}: planning imports {seen.pulled}; import that inside the function that needs it")
    version, said = seen.result
    if version != source.version():
        raise ConformanceError(f"{what}: version() is another in another process; use neither hash() nor the time")
    _missing(what, source, said)
