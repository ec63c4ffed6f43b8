"""Fixtures shared by all tests: a toy project to run `bench` in, as a person would."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import Ran, command

HERE = Path(__file__).parent

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """PyTorch, where a test has it, on one thread: a machine's cores change neither results nor timings."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _forget_stores() -> None:
    for name in ("MLFLOW_TRACKING_URI", "RETABLE_STORAGE"):
        os.environ.pop(name, None)


_forget_stores()


@pytest.fixture(autouse=True)
def no_store_by_name() -> Iterator[None]:
    """No test finds the store that another has named: MLflow's `set_tracking_uri` leaves it in the environment."""
    _forget_stores()
    yield
    _forget_stores()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh MLflow database, made once: each costs two seconds."""
    from retable.bench.store import making
    from retable.bench.store.places import Stores

    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    making.prepare(Stores(uri, "", folder / "artifacts", folder), {})
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the toy project with an empty store; the working directory."""
    folder = tmp_path / "project"
    shutil.copytree(HERE / "toy", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "mlruns").mkdir()
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def bench() -> Iterator[Callable[..., Ran]]:
    """Run `bench ARGS` to its end."""

    def run(*args: str, **variables: str) -> Ran:
        process = command(*args, **variables)
        out, err = process.communicate(timeout=240)
        return Ran(process.returncode, out, err)

    yield run
