"""Importing retable changes nothing of the process it is imported into; its stores' needs are set at their use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SEEN = """
import json, logging, os, sys, warnings
def seen():
    levels = {n: logging.getLogger(n).level for n in list(logging.root.manager.loggerDict)}
    return {
        "environment": dict(os.environ),
        "filters": sorted({f"{f[0]} {f[1]} {f[2].__module__}.{f[2].__name__} {f[3]} {f[4]}" for f in warnings.filters}),
        "levels": {n: v for n, v in levels.items() if n.startswith(("mlflow", "optuna", "alembic", "urllib3"))},
    }
"""

THEIRS = "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\n"

OURS = """
import importlib, pkgutil
import retable
for name in retable.__all__:
    getattr(retable, name)
from retable import bench
for module in pkgutil.walk_packages(bench.__path__, "retable.bench."):
    importlib.import_module(module.name)
"""

FOREIGN = "print(json.dumps(sorted(n for n in %s if n in sys.modules)), file=sys.stderr)\n"
HEAVY = ("mlflow", "optuna", "torch", "torchvision", "matplotlib", "seaborn", "pandas", "scipy", "sklearn", "skimage")


def run(script: str, home: Path, *arguments: str) -> tuple[dict[str, Any], list[str]]:
    """What a process with an environment of its own has after a script, and which of the heavy packages it imported."""
    ours = ("MLFLOW", "DO_NOT_TRACK", "GIT_PYTHON", "PYTEST", "XDG_CONFIG", "CI", "GITHUB", "RETABLE")
    given = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    ran = subprocess.run(
        [sys.executable, "-c", SEEN + script + FOREIGN % (HEAVY,) + "print(json.dumps(seen()))", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=home,
        env={**given, "HOME": str(home), "MPLCONFIGDIR": str(home / "matplotlib")},
    )
    return json.loads(ran.stdout), json.loads(ran.stderr.splitlines()[-1])


def test_importing_everything_leaves_the_process_as_the_packages_below_leave_it(tmp_path: Path) -> None:
    ours, below = run(OURS, tmp_path)
    assert {"mlflow", "optuna"} <= set(below)  # they were imported, so there was something to see
    assert not (tmp_path / ".config" / "mlflow").exists()  # where MLflow notes an installation that it reports on
    theirs, _ = run("import os\nos.environ['MLFLOW_DISABLE_TELEMETRY'] = 'true'\n" + THEIRS, tmp_path, *below)
    del theirs["environment"]["MLFLOW_DISABLE_TELEMETRY"]
    assert ours["environment"] == theirs["environment"]
    assert set(ours["filters"]) <= set(theirs["filters"])
    both = ours["levels"].keys() & theirs["levels"].keys()
    assert {n: ours["levels"][n] for n in both} == {n: theirs["levels"][n] for n in both}
    assert not {n: level for n, level in ours["levels"].items() if n not in both and level}


def test_the_first_client_settles_what_mlflow_and_optuna_may_do(tmp_path: Path) -> None:
    used = """
from retable.bench.queue import storage
from retable.bench.store import client
client.connect("sqlite:///x.db")
storage.connect("sqlite:///y.db")
"""
    found, _ = run(used, tmp_path)
    assert found["environment"]["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert found["environment"]["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert (found["levels"]["mlflow"], found["levels"]["optuna"]) == (30, 40)
    assert any("ExperimentalWarning" in one for one in found["filters"])
    assert not (tmp_path / ".config" / "mlflow").exists()


def test_what_the_user_said_of_mlflow_stays(tmp_path: Path) -> None:
    said = "os.environ['MLFLOW_HTTP_REQUEST_MAX_RETRIES'] = '3'\n"
    found, _ = run(said + "from retable.bench.store import client\nclient.connect('sqlite:///x.db')\n", tmp_path)
    assert found["environment"]["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"
    assert found["environment"]["MLFLOW_DISABLE_TELEMETRY"] == "true"
