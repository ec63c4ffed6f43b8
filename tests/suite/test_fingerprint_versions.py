"""The hash of code does not depend on the Python that computes it: an untouched clone is not stale on another one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from retable.bench.suite import fingerprint

SAMPLE = r'''
"""A docstring."""
import math
from typing import Generic, TypeVar

T = TypeVar("T")
LIMITS: dict[str, float] = {"a": 1.0, "b": 1e-300, **{}}
NOTHING = None


@property
async def walk(x: int = 1, /, *rest: int, y: float | None = None, **more: str) -> str:
    """Another."""
    async with x as z, y:
        pass
    for i, (a, *b) in enumerate(rest):
        total = f"{a!r:>{i}}{'nested'} {math.pi:.3f} {b=}" f"more" "and more"
    match x:
        case {"k": [1, 2, *_], **kw} if kw:
            return lambda: (yield)
        case int(real=0) | None:
            raise ValueError from None
    return "é\n\x00" if not (x := 3) else (b"\xff", r"\d")


class Box(Generic[T], metaclass=type):
    slots: int
    def get(self): return [q async for q in self if q is not None]
    try:
        pass
    except* OSError as e:
        del e
    else:
        global g
'''
GOLDEN = "13f566adfaaf7676"
"""Of the sample, on CPython 3.11 to 3.14."""

SCRIPT = """
import ast, importlib.util, sys
spec = importlib.util.spec_from_file_location("fingerprint", sys.argv[1])
fingerprint = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fingerprint)
print(fingerprint.digest({"sample": fingerprint.definitions(ast.parse(open(sys.argv[2], encoding="utf-8").read()))}))
"""


def pythons() -> list[str]:
    """This Python, and every other that this machine runs."""
    found = [sys.executable, *filter(None, (shutil.which(f"python3.{minor}") for minor in range(11, 16)))]
    return [python for python in found if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0]


@pytest.mark.parametrize("python", pythons())
def test_every_python_computes_the_same_hash(tmp_path: Path, python: str) -> None:
    sample = tmp_path / "sample.py"
    sample.write_text(SAMPLE, encoding="utf-8")
    run = [python, "-c", SCRIPT, fingerprint.__file__, str(sample)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == GOLDEN
