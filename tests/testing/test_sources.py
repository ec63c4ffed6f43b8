"""Bad data sources, each caught by the conformance check with a message of its own; and a good one, which passes."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from retable.bench.testing import ConformanceError, check_source

PACKAGE = '''"""A package with one data source."""

from retable.bench.data import Source

{before}

SOURCES = [
    Source({name!r}, {about!r}, "CC0 1.0", lambda: {version}, lambda: {missing}, get={get}, embedded={embedded})
]
'''
GOOD = {
    "before": "",
    "name": "discs",
    "about": "grey discs",
    "version": "'1'",
    "missing": "None",
    "get": "None",
    "embedded": "True",
}
SLOW = """
import time


def slow():
    end = time.process_time() + 1.1
    while time.process_time() < end:
        pass
    return "1"
"""
CAUGHT: dict[str, tuple[dict[str, str], str]] = {
    "name": ({"name": "my discs"}, "its name is a word in suites and a file name: letters, digits, _, - and ."),
    "about": ({"about": ""}, "has no about; say it in one line"),
    "nothing to get": ({"embedded": "False"}, "embedded is False: it does not ship, so get must download it"),
    "no text": ({"version": "1"}, "version() gives 1; it must be a word that names the content"),
    "unstable": (
        {"before": "import itertools\nN = itertools.count()", "version": "str(next(N))"},
        "version() gives another word each time; every trial would run again",
    ),
    "of the process": (
        {"before": "import os", "version": "str(os.getpid())"},
        "version() is another in another process; use neither hash() nor the time",
    ),
    "dear": (
        {"before": SLOW, "version": "slow()"},
        "s; pin it, or hash names and sizes, not content",
    ),
    "heavy": ({"version": "__import__('numpy').__version__"}, "planning imports numpy by way of "),
    "network": (
        {"before": "import socket", "version": "str(socket.gethostbyname('localhost'))"},
        "no network here: socket.gethostbyname",
    ),
    "no mend": (
        {"embedded": "False", "get": "print", "missing": "'it is not here'"},
        "missing() says 'it is not here'; it must name what mends it: bench data get discs",
    ),
    "embedded and missing": ({"missing": "'gone'"}, "is embedded, and yet missing() says: gone"),
}
"""Mistake -> what makes it, and what is said of it."""


def package(folder: Path, number: str, monkeypatch: pytest.MonkeyPatch, **changes: str) -> str:
    """A package with such a source, where it can be imported; its name."""
    name = f"brings_{number}"
    (folder / f"{name}.py").write_text(PACKAGE.format(**{**GOOD, **changes}))
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    return name


def test_a_sound_source_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = package(tmp_path, "sound", monkeypatch)
    check_source("discs", packages=[name])
    check_source(importlib.import_module(name).SOURCES[0], packages=[name])


@pytest.mark.parametrize("mistake", CAUGHT)
def test_a_mistake_is_caught_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    changes, said = CAUGHT[mistake]
    name = package(tmp_path, mistake.replace(" ", "_"), monkeypatch, **changes)
    with pytest.raises(ConformanceError) as error:
        check_source(changes.get("name", "discs"), packages=[name])
    assert str(error.value).startswith(f"data '{changes.get('name', 'discs')}': ")
    assert said in str(error.value)


def test_a_source_that_nobody_lists_is_none() -> None:
    with pytest.raises(ConformanceError, match="data 'discs': is not in the SOURCES of any package"):
        check_source("discs")
