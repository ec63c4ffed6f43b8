"""What a former report wrote and a new one lacks goes; what is not of this kind, or not ours, stays."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from report_sample import results, suite_with
from running import ROOT

from retable.bench import report
from retable.bench.report.written import MANIFEST, clear_pictures, note

OLD = ("old.svg", "old.png", "old.jpg", "old.pdf")
RECORD = {"views": [{"kind": "figure", "name": "old"}, {"kind": "table", "name": "mine"}]}
"""Of the report that wrote `OLD`."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A report's folder, with pictures of its user's own in it. There is no manifest yet."""
    made = tmp_path / "quick"
    (made / "below.png").mkdir(parents=True)
    for name in ("new.svg", *OLD, "values.csv", "mine.png", "old-mine.svg"):
        (made / name).write_bytes(b"x")
    (made / "below.png" / "other.png").write_bytes(b"x")
    return made


@pytest.fixture
def noted(folder: Path) -> Path:
    """The same, whose former report said which pictures it wrote."""
    note(folder, folder.parent / "quick.json", OLD)
    return folder


def left(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


OWN = {"mine.png", "old-mine.svg", "values.csv", "below.png/other.png"}
"""What no report wrote."""


def test_pictures_that_the_new_report_lacks_go(noted: Path) -> None:
    note(noted, noted.parent / "quick.json", ["new.svg"])
    clear_pictures(noted, ["new.svg", "never.png"])
    assert left(noted) == {"new.svg", "old.pdf", MANIFEST, *OWN}
    assert json.loads((noted / MANIFEST).read_text()) == ["new.svg", "old.pdf"]


def test_only_the_kinds_that_are_asked_for_go(noted: Path) -> None:
    clear_pictures(noted, [], (".pdf",))
    assert left(noted) == {"new.svg", "old.svg", "old.png", "old.jpg", MANIFEST, *OWN}


def test_before_there_were_manifests_a_picture_was_called_like_a_figure_of_the_record(folder: Path) -> None:
    record = folder.parent / "quick.json"
    record.write_text(json.dumps(RECORD))
    note(folder, record, ["new.svg"])
    record.write_text("{}")  # the new report's own
    clear_pictures(folder, ["new.svg"])
    clear_pictures(folder, [], (".pdf",))
    assert left(folder) == {"new.svg", MANIFEST, *OWN}


@pytest.mark.parametrize("record", [None, "", "[]", "{}", '{"views": 3}', '{"views": [{}]}', "soup"])
def test_in_a_folder_that_nothing_is_known_of_nothing_goes(folder: Path, record: str | None) -> None:
    before = left(folder)
    if record is not None:
        (folder.parent / "quick.json").write_text(record)
    note(folder, folder.parent / "quick.json", ["new.svg"])
    clear_pictures(folder, ["new.svg"])
    assert left(folder) == {*before, MANIFEST}


@pytest.mark.parametrize("text", ['["../outside.png", "/etc/x.png", "values.csv", "below.png", 3, null]', "{}", "soup"])
def test_whatever_a_manifest_says_nothing_but_pictures_of_its_folder_goes(folder: Path, text: str) -> None:
    before = left(folder)
    (folder.parent / "outside.png").write_bytes(b"x")
    (folder / MANIFEST).write_text(text)
    clear_pictures(folder, [])
    assert left(folder) - {MANIFEST} == before
    assert (folder.parent / "outside.png").is_file()


def test_a_folder_that_held_nothing_else_goes_too(tmp_path: Path) -> None:
    only = tmp_path / "quick"
    note(only, tmp_path / "quick.json", ["old.png", "never-written.png"])
    (only / "old.png").write_bytes(b"x")
    clear_pictures(only, [])
    assert not only.exists()
    clear_pictures(only, [])  # and a folder that is not there is no mistake
    note(only, tmp_path / "quick.json", [])
    assert list(tmp_path.iterdir()) == []


def test_a_report_leaves_its_users_pictures_alone(tmp_path: Path) -> None:
    folder = tmp_path / "paintings" / "quick"
    report.write(results(tmp_path / "a"), tmp_path, ["md", "latex"])
    ours = {path.name for path in folder.iterdir()}
    assert {"figure2.svg", "figure2.pdf"} <= ours
    for name in ("holiday.jpg", "figure2.png", "sketch.pdf"):
        (folder / name).write_bytes(b"mine")
    report.write(results(tmp_path / "a", suite_with(figures={})), tmp_path, ["md", "latex"])
    assert {path.name for path in folder.iterdir()} == {"holiday.jpg", "figure2.png", "sketch.pdf"}


def test_a_wheel_has_every_file_that_reports_are_made_of() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["retable.bench"]
    shipped = {path for pattern in patterns for path in (ROOT / "bench").glob(pattern)}
    own = [p for p in (ROOT / "bench" / "report").rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]
    assert len(own) >= 5 and set(own) <= shipped
