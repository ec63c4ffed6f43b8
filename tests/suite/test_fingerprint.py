"""A task's hash covers every project module it reaches, and nothing that cannot change a result."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from retable.bench.suite import fingerprint, loader

MAKE, PACKAGES = "toypaper.tasks:make_descent", ("toypaper",)


@pytest.fixture
def code(project: Path) -> fingerprint.Code:
    loader.load("toy")  # puts the project on the path
    import toypaper

    toypaper.__path__ = [str(project / "toypaper")]
    return fingerprint.of(MAKE, PACKAGES)


def test_it_follows_imports_of_the_project_and_the_loop_only(code: fingerprint.Code) -> None:
    assert set(code) == {"toypaper", "toypaper.helper", "toypaper.tasks", "retable.bench.run.training"} - (
        set() if "toypaper" in code else {"toypaper"}
    )
    assert set(code["toypaper.helper"]) == {"FACTOR", "loss"}


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("FACTOR = 0.5", "FACTOR = 0.6", ["toypaper.helper: FACTOR changed"]),
        ("(x**2)", "(x**4)", ["toypaper.helper: loss changed"]),
        ("def loss(x)", "def loss(x: float) -> float", []),
        ("FACTOR = 0.5", "FACTOR  =  0.5  # as in the paper", []),
        ("FACTOR = 0.5", "FACTOR = 0.5\nOTHER = 1", ["toypaper.helper: OTHER added"]),
    ],
)
def test_changes_are_named(project: Path, code: fingerprint.Code, old: str, new: str, changes: list[str]) -> None:
    helper = project / "toypaper" / "helper.py"
    helper.write_text(helper.read_text().replace(old, new))
    after = fingerprint.of(MAKE, PACKAGES)
    assert fingerprint.changes(code, after) == changes
    assert (fingerprint.digest(after) == fingerprint.digest(code)) == (not changes)


def test_a_new_import_is_a_change(project: Path, code: fingerprint.Code) -> None:
    shutil.copy(project / "toypaper" / "helper.py", project / "toypaper" / "extra.py")
    helper = project / "toypaper" / "helper.py"
    helper.write_text(helper.read_text() + "\n\nfrom toypaper import extra\n")
    assert "toypaper.extra: imported now, was not before" in fingerprint.changes(code, fingerprint.of(MAKE, PACKAGES))
