"""The newest MLflow and Optuna that pyproject.toml allows still run a suite, from `bench run` to `bench check`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from running import ROOT, Ran

CAPPED = ("mlflow", "optuna")


def bounds() -> dict[str, str]:
    """Package -> what pyproject.toml allows of it, e.g. `>=3.7,<4`."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    split = [re.fullmatch(r"([A-Za-z0-9-]+)(.*)", line) for line in declared]
    return {found[1]: found[2] for found in split if found and found[1] in CAPPED}


def test_both_have_an_upper_bound() -> None:
    assert set(bounds()) == set(CAPPED)
    assert all(re.fullmatch(r">=[\d.]+,<\d+", bound) for bound in bounds().values())


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the newest release of both, everything else being this environment's."""
    folder = tmp_path_factory.mktemp("newest")
    allowed = bounds()
    wanted = [f"{name}{allowed['mlflow']}" for name in ("mlflow", "mlflow-skinny", "mlflow-tracing")]
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        str(folder),
    ]
    command += ["--no-deps", "--no-compile", "--upgrade", *wanted, f"optuna{allowed['optuna']}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"this test needs a package index that pip can reach:\n{done.stderr[-2000:]}"
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_newest_releases_run_a_suite(project: Path, bench: Callable[..., Ran], newest: Path) -> None:
    paths = os.pathsep.join([str(newest), *filter(None, [os.environ.get("PYTHONPATH")])])

    def done(*words: str) -> Ran:
        ran = bench(*words, PYTHONPATH=paths)
        assert ran.code == 0, ran.err
        return ran

    where = ("--where", "experiment=grid,seed=0,lr=0.1")
    used = subprocess.run(
        [sys.executable, "-c", "import mlflow, optuna; print(mlflow.__file__, optuna.__file__, sep='\\n')"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert all(Path(file).is_relative_to(newest) for file in used), used
    assert "2 trials in" in done("run", "toy", *where, "--workers", "1").err
    done("report", "toy")
    baseline = str(project / "baseline.json")
    done("check", "toy", *where, "--baseline", baseline, "--update")
    assert "0 moved" in (ran := done("check", "toy", *where, "--baseline", baseline)).out + ran.err
