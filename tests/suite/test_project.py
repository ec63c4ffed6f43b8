"""The project that a process works for: its packages are found, and its data."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from retable.bench import data
from retable.bench.data import source
from retable.bench.suite.project import enter


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(source, "project_data", source.project_data)
    monkeypatch.delenv("RETABLE_DATA", raising=False)


def test_its_packages_are_found_behind_what_was_there(tmp_path: Path) -> None:
    before = list(sys.path)
    enter(tmp_path)
    enter(tmp_path)
    assert sys.path == [*before, str(tmp_path)]


def test_data_is_of_the_project_entered_last(tmp_path: Path) -> None:
    for name in ("one", "two", "one"):
        enter(tmp_path / name)
        assert data.root() == tmp_path / name / "data"


def test_the_environment_has_the_last_word_and_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    enter(tmp_path)
    assert "RETABLE_DATA" not in os.environ
    monkeypatch.setenv("RETABLE_DATA", str(tmp_path / "elsewhere"))
    enter(tmp_path / "two")
    assert data.root() == tmp_path / "elsewhere"
