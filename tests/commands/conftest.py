"""A toy project that has run in part, for the commands that tell what there is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import ROOT, command

RAN = "experiment=grid,lr=0.1"
"""Four trials of the seventeen: both methods, both seeds."""


@pytest.fixture(scope="session")
def ran_once(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """Run once for all tests; they look at copies."""
    folder = tmp_path_factory.mktemp("ran") / "project"
    shutil.copytree(ROOT / "tests" / "toy", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "mlruns").mkdir()
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        process = command("run", "toy", "--workers", "1", "--where", RAN)
        assert process.wait(240) == 0
    yield folder


@pytest.fixture
def ran(ran_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy project where `RAN` has run and has its report; the working directory."""
    folder = tmp_path / "project"
    shutil.copytree(ran_once, folder)
    monkeypatch.chdir(folder)
    return folder
