"""The hash of a task's code: what it would compute, not how it is written.

The project modules that a task imports, directly or not, are parsed; comments, docstrings, annotations and
places are dropped; what is left of every top-level definition is hashed. So a comment or a print's line number
changes nothing, and a constant in a helper three imports away does. Nothing is imported or run.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

LOOP = "retable.bench.run.training"
"""The loop around every task decides results too (seeding, order, precision)."""

ENGINE = "retable.bench"
"""Of it the loop and the data sets alone; the rest cannot change what a task computes."""

Code = dict[str, dict[str, str]]
"""module -> top-level definition -> hash."""


def of(make: str, packages: Sequence[str] = ("retable.models",)) -> Code:
    """The code of the task that `make` ("module:callable") names, by module and definition."""
    top = make.partition(":")[0].partition(".")[0]
    followed = [*packages, *([top] if top != ENGINE.partition(".")[0] else [])]
    todo, code = [make.partition(":")[0], LOOP], Code()
    while todo:
        module = todo.pop()
        if module in code or not _is_ours(module, followed):
            continue
        path = file_of(module)
        if path is None:
            continue  # a name inside a module, not a module
        stat = path.stat()
        code[module], imported = _read(path, module, stat.st_mtime_ns, stat.st_size)
        todo += imported
        # Importing a module runs the `__init__` of every package around it. Those of the followed packages may change
        # what it computes. Not so `retable`, which imports what is asked of it and nothing else, nor `retable.bench`,
        # which is a docstring, nor `retable.bench.data`, which finds sources by name: `_is_ours` knows none of them.
        todo.append(module.rpartition(".")[0])
    return dict(sorted(code.items()))


def digest(code: Code) -> str:
    """One short hash of all of it."""
    return _hash("\n".join(f"{m}:{d}:{h}" for m, found in sorted(code.items()) for d, h in sorted(found.items())))


def changes(old: Code, new: Code) -> list[str]:
    """What differs, in words: `retable.models.family.network: ResidualBlock changed`."""
    lines = []
    for module in sorted({*old, *new}):
        before, after = old.get(module), new.get(module)
        if before is None:
            lines.append(f"{module}: imported now, was not before")
        elif after is None:
            lines.append(f"{module}: no longer imported")
        else:
            for name in sorted({*before, *after}):
                if before.get(name) != after.get(name):
                    what = "changed" if name in before and name in after else "removed" if name in before else "added"
                    lines.append(f"{module}: {name} {what}")
    return lines


def _is_ours(module: str, followed: Sequence[str]) -> bool:
    if module == ENGINE or module.startswith(f"{ENGINE}."):
        return module == LOOP or module.startswith(f"{ENGINE}.data.")
    return any(module == package or module.startswith(f"{package}.") for package in followed)


def file_of(module: str) -> Path | None:
    """The source of a module, without importing it (its top package alone is)."""
    top, *rest = module.split(".")
    try:
        roots = [Path(p) for p in importlib.import_module(top).__path__]
    except (ImportError, AttributeError):
        return None
    for root in roots:
        base = root.joinpath(*rest)
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file():
                return path
    return None


@cache
def _read(path: Path, module: str, mtime_ns: int, size: int) -> tuple[dict[str, str], tuple[str, ...]]:
    """The definitions of a version of a file, and what it imports: tasks share most of their files."""
    tree = ast.parse(path.read_bytes(), str(path))
    return definitions(tree), tuple(_imports(tree, module, is_package=path.name == "__init__.py"))


def _imports(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            keep = len(parts) - node.level + (1 if is_package else 0)
            base = ".".join([*parts[:keep], *([node.module] if node.module else [])]) if node.level else node.module
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def definitions(tree: ast.Module) -> dict[str, str]:
    """A module's top-level definitions, each with its hash."""
    found: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            name = "imports"
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        else:
            name = "module code"
        found.setdefault(name, []).append(_written(_Bare().visit(node)))
    return {name: _hash("\n".join(parts)) for name, parts in found.items()}


class _Bare(ast.NodeTransformer):
    """Drops what does not change a result: docstrings, annotations of functions, bare annotations."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [n for n in body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
            if len(kept) < len(body):
                node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.JoinedStr):  # Python 3.12.0 and 3.12.1 end a nested format with an empty text
            node.values = [v for v in node.values if not (isinstance(v, ast.Constant) and v.value == "")]
        return node


def _written(node: object) -> str:
    """A syntax tree as text, the same on every Python: `ast.dump` gained fields and lost empty ones between versions.

    What is empty or None is left out, but for a constant's value; places are no fields.
    """
    if isinstance(node, list):
        return f"[{', '.join(map(_written, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = [(name, getattr(node, name, None)) for name in node._fields]
    kept = [(n, v) for n, v in parts if v not in (None, []) or (isinstance(node, ast.Constant) and n == "value")]
    return f"{type(node).__name__}({', '.join(f'{name}={_written(value)}' for name, value in kept)})"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
