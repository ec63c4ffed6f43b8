"""What a former report left behind goes; what is not a picture, or not of this kind, stays."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from running import ROOT

from retable.bench.report.files import clear_pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "quick"
    (made / "below.png").mkdir(parents=True)
    for name in ("new.svg", "old.svg", "old.png", "old.jpg", "old.pdf", "values.csv"):
        (made / name).write_bytes(b"x")
    (made / "below.png" / "other.png").write_bytes(b"x")
    return made


def left(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_pictures_that_the_new_report_lacks_go(folder: Path) -> None:
    clear_pictures(folder, ["new.svg", "never.png"])
    assert left(folder) == {"new.svg", "old.pdf", "values.csv", "below.png/other.png"}


def test_only_the_kinds_that_are_asked_for_go(folder: Path) -> None:
    clear_pictures(folder, [], (".pdf",))
    assert left(folder) == {"new.svg", "old.svg", "old.png", "old.jpg", "values.csv", "below.png/other.png"}


def test_a_folder_that_held_nothing_else_goes_too(tmp_path: Path) -> None:
    only = tmp_path / "quick"
    only.mkdir()
    (only / "old.png").write_bytes(b"x")
    clear_pictures(only, [])
    assert not only.exists()
    clear_pictures(only, [])  # and a folder that is not there is no mistake
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_has_every_file_that_reports_are_made_of() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["retable.bench"]
    shipped = {path for pattern in patterns for path in (ROOT / "bench").glob(pattern)}
    own = [p for p in (ROOT / "bench" / "report").rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]
    assert len(own) >= 5 and set(own) <= shipped
