"""What a suite says needs no store and no torch: these tests take a moment."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import kites
import pytest
from running import ROOT

from retable.bench.data import source
from retable.bench.suite import loader
from retable.bench.suite.schema import Suite


@pytest.fixture(autouse=True)
def nothing_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a suite puts its project on the path and names the folder of its data: for one test each."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(source, "project_data", source.project_data)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the toy project without a store; the working directory."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "tests" / "toy", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "mlruns").mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Suite]:
    """Read a suite on kites, given what it says beside `kites.HEAD`; it stands in kites.yaml, where one is."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "kites.yaml"

    def from_text(body: str) -> Suite:
        path.write_text(kites.suite(body), encoding="utf-8")
        return loader.load(path).suite

    return from_text
