"""Who may import whom, and what stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import ROOT

HEAVY = ("torch", "mlflow", "matplotlib", "torchvision", "optuna")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "models").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_models_know_of_the_engine_only_tasks_and_data(path: Path) -> None:
    ours = {name for name in imports(path) if name.split(".")[0] == "bench"}
    allowed = {name for name in ours if name == "bench" or re.match(r"bench\.(task|data)(\.|$)", name)}
    assert ours <= allowed
    assert not {n.split(".")[0] for n in imports(path)} & {"mlflow", "optuna"}


def test_only_tracking_imports_mlflow() -> None:
    owners = {p.name for p in (ROOT / "bench").rglob("*.py") if any(n.split(".")[0] == "mlflow" for n in imports(p))}
    assert owners == {"tracking.py"}


def test_the_engine_names_no_paper() -> None:
    families = [p.name for p in (ROOT / "models").iterdir() if (p / "__init__.py").is_file()]
    words = re.compile(rf"\b({'|'.join([*families, 'byol', 'simsiam', 'fanet', 'stytr2'])})\b", re.IGNORECASE)
    engine = [p for p in (ROOT / "bench").rglob("*.py") if "data" not in p.relative_to(ROOT / "bench").parts[:1]]
    assert not {p.name: words.findall(p.read_text(encoding="utf-8")) for p in engine if words.search(p.read_text())}


@pytest.mark.parametrize(
    "command", [["--help"], ["list"], ["list", "toy"], ["plan", "toy"], ["status", "toy"]], ids=str
)
def test_light_commands_import_nothing_heavy(project: Path, command: list[str]) -> None:
    script = (
        "import sys; sys.argv = ['bench', *sys.argv[1:]]\n"
        "from bench.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=True)
    assert ran.stdout.rstrip().endswith("HEAVY []"), ran.stdout[-300:]
