"""What a trial needs of the worker that runs it: the code it was planned with, and the packages that decide results."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from retable.bench.suite.values import canonical

PACKAGES = ("retable", "torch", "optuna", "mlflow", "numpy")
OURS = ("code", "search")
"""Never run by a worker where they differ, whatever it is told."""

EXACT = (*OURS, "retable", "torch")
"""Of these any difference counts; of the others the first two numbers."""


@cache
def here() -> dict[str, str]:
    """This process's Python and packages; torch without the tag of its build (`+cpu`)."""
    packages = {name: version(name).partition("+")[0] for name in PACKAGES}
    return {"python": platform.python_version(), **packages}


def of(code: str, search: Any = None) -> dict[str, str]:
    """What a trial planned here needs. code: the digest of its task's code. search: its experiment's, as JSON has it;
    all workers must draw from one space with one sampler."""
    drawn = {"search": hashlib.sha256(canonical(search).encode()).hexdigest()[:16]} if search else {}
    return {"code": code, **drawn, **here()}


def differences(needs: Mapping[str, str], has: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """name -> (what the trial needs, what is here) where they differ enough to change a result or a store."""
    return {
        name: (wanted, has.get(name, "none"))
        for name, wanted in needs.items()
        if _significant(name, wanted) != _significant(name, has.get(name, "none"))
    }


def told(found: Mapping[str, tuple[str, str]]) -> str:
    """`torch 2.13.0 here, 2.12.1 where it was planned`."""
    words = {"code": "the task's code", "search": "the search's definition"}
    return ", ".join(
        f"{words.get(name, name)} {has} here, {wanted} where it was planned" for name, (wanted, has) in found.items()
    )


def _significant(name: str, value: str) -> str:
    return value if name in EXACT else ".".join(value.split(".")[:2])
