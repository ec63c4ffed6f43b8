"""Who may import whom, and what stays light. `ORDER` is the one place where the order of the rooms is written."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import ROOT

ORDER = (
    "retable.bench.errors",
    "retable.bench.task",
    "retable.bench.numbers",
    "retable.bench.files",
    "retable.bench.tables",
    "retable.bench.data",
    "retable.bench.suite",
    "retable.bench.store",
    "retable.bench.queue",
    "retable.bench.run",
    "retable.bench.results",
    "retable.bench.judging",
    "retable.bench.report",
    "retable.bench.apply",
    "retable.bench.api",
    "retable.bench.deciding",
    "retable.bench.testing",
    "retable.bench",
    "retable.bench.commands",
    "retable",
)
"""In the order of the data's way: each may import what stands above it. `retable.bench` is its `__init__.py` alone."""

PAPERS = "retable.models"
MAY_KNOW = ("retable.bench.task", "retable.bench.data", PAPERS)
"""All that a paper knows of the engine."""

HEAVY = ("torch", "mlflow", "matplotlib", "torchvision", "optuna")


def sources(root: Path) -> dict[str, Path]:
    """Every module below `root`/bench and `root`/models by the name it is imported by, and those of `src/retable`."""
    found = {}
    for folder in ("bench", "models"):
        for path in sorted((root / folder).rglob("*.py")):
            parts = ["retable", *path.relative_to(root).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    for path in sorted((root / "src" / "retable").glob("*.py")):
        found["retable" if path.stem == "__init__" else f"retable.{path.stem}"] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """What a file imports, inside functions and for the type checker too: modules, and names within them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: import by the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph(root: Path) -> dict[str, set[str]]:
    """module -> the modules of ours that it imports."""
    known = sources(root)
    found: dict[str, set[str]] = {}
    for module, path in known.items():
        targets = set()
        for name in imports(path):
            while name and name not in known:
                name = name.rpartition(".")[0]
            targets.add(name)
        found[module] = targets - {"", module}
    return found


def room(module: str) -> str:
    """The entry of `ORDER` that a module of the engine belongs to."""
    fits = [r for r in ORDER if module == r or (module.startswith(f"{r}.") and r not in ("retable", "retable.bench"))]
    return max(fits, key=len) if fits else "retable"


def upward(edges: dict[str, set[str]]) -> list[str]:
    """Every import that goes against the order."""
    found = []
    for module, targets in edges.items():
        for target in targets:
            if module.startswith(PAPERS):
                if not any(target == t or target.startswith(f"{t}.") for t in MAY_KNOW):
                    found.append(f"{module} -> {target}")
            elif target.startswith(PAPERS) or ORDER.index(room(target)) > ORDER.index(room(module)):
                found.append(f"{module} -> {target}")
    return sorted(found)


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import one another (strongly connected components, Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in edges.get(module, ()):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in edges:
        if module not in index:
            visit(module)
    return found


def families(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same graph between whole rooms and families: two packages must not need each other either."""

    def owner(module: str) -> str:
        return ".".join(module.split(".")[:3]) if module.startswith(f"{PAPERS}.") else room(module)

    found: dict[str, set[str]] = {}
    for module, targets in edges.items():
        if module not in (PAPERS, "retable"):
            found.setdefault(owner(module), set()).update(owner(t) for t in targets)
    return {name: targets - {name} for name, targets in found.items()}


def test_rooms_import_only_from_rooms_above_them() -> None:
    assert upward(graph(ROOT)) == []


def test_nothing_imports_itself_in_a_circle() -> None:
    edges = graph(ROOT)
    assert circles(edges) == []
    assert circles(families(edges)) == []


@pytest.mark.parametrize(
    ("file", "line", "caught"),
    [
        ("bench/suite/values.py", "from retable.bench.store import places", upward),
        ("bench/store/reading.py", "def f():\n    from retable.bench.report import page", upward),
        ("models/fast_style/data.py", "from retable.bench.suite import plan", upward),
        ("bench/numbers.py", "from retable.models import optimizers", upward),
        ("bench/store/places.py", "def f():\n    from retable.bench.store import client", circles),
        ("models/perceptual.py", "from retable.models.fast_style import task", circles),
        (
            "models/stylizers/transforms.py",
            "from retable.models.unrolled import warping",
            lambda e: circles(families(e)),
        ),
    ],
)
def test_an_import_the_wrong_way_is_seen(tmp_path: Path, file: str, line: str, caught: object) -> None:
    for folder in ("bench", "models", "src"):
        for path in (ROOT / folder).rglob("*.py"):
            if not path.parent.is_symlink():
                target = tmp_path / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    with (tmp_path / file).open("a", encoding="utf-8") as planted:
        planted.write(f"\n\n{line}\n")
    assert callable(caught)
    assert caught(graph(tmp_path))


def test_only_the_store_knows_mlflow() -> None:
    inside = ROOT / "bench" / "store"
    runs = re.compile(r"import_module\(.mlflow|[\"']-m[\"'], [\"']mlflow")
    every = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "models").rglob("*.py")]
    outside = [p for p in every if inside not in p.parents]
    assert [p for p in outside if "mlflow" in {name.split(".")[0] for name in imports(p)}] == []
    assert [p for p in outside if runs.search(p.read_text(encoding="utf-8"))] == []


def test_papers_know_neither_store_nor_queue() -> None:
    for path in (ROOT / "models").rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & {"mlflow", "optuna"}, path


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
        "from retable.bench.commands.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=True)
    assert ran.stdout.rstrip().endswith("HEAVY []"), ran.stdout[-300:]
