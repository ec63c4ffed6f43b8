"""`bench doctor`: what this machine has and lacks for a run, and what mends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import data, stores, suite


@dataclass(frozen=True)
class Check:
    """One fact; where it is not fine, `mend` says what to do."""

    what: str
    fine: bool
    found: str
    mend: str = ""


def examine() -> list[Check]:
    """Everything worth knowing before a run, or when one goes wrong."""
    return [*_python(), *_torch(), *_stores(), *_data(), *_determinism()]


def text(found: list[Check]) -> str:
    lines = [
        f"{'ok ' if c.fine else 'BAD'}  {c.what}: {c.found}" + (f"\n     -> {c.mend}" if c.mend else "") for c in found
    ]
    return "\n".join(lines)


def _python() -> Iterator[Check]:
    fine = sys.version_info >= (3, 11)
    yield Check("python", fine, sys.version.split()[0], "" if fine else "install Python 3.11 or newer")
    for name in ("mlflow", "optuna", "pandas", "matplotlib", "pydantic", "retable"):
        try:
            yield Check(name, True, version(name))
        except PackageNotFoundError:
            yield Check(name, False, "not installed", "pip install -e .")


def _torch() -> Iterator[Check]:
    import torch

    yield Check("torch", True, f"{torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()} cores")
    from bench.data import vision

    try:
        yield Check("torchvision", True, str(vision.torchvision().__version__))
    except ImportError as error:
        yield Check("torchvision", False, str(error), "pip install 'torchvision>=0.21,<0.29'")
    count = torch.cuda.device_count()
    names = [torch.cuda.get_device_name(i) for i in range(count)]
    yield Check("accelerators", True, ", ".join(names) or "none; trials run on the CPU")
    capability = getattr(torch.backends.cpu, "get_cpu_capability", lambda: "unknown")()
    native = any(flag in _cpu_flags() for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    yield Check("bf16", True, f"{'native' if native else 'not native: precision auto uses fp32'} ({capability})")


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith(("flags", "Features"))), "").split())


def _stores() -> Iterator[Check]:
    found = suite.available()
    yield Check("suites", bool(found), ", ".join(p.stem for p in found) or "none", "" if found else "cd into a project")
    if not found:
        return
    place = stores.locate(suite.project_of(found[0]))
    for name, uri in (("results", place.tracking), ("queue", place.storage)):
        if uri.startswith("sqlite:///"):
            file = Path(uri.removeprefix("sqlite:///"))
            yield _sqlite(name, file)
        else:
            yield Check(name, True, _without_password(uri))


def _sqlite(name: str, file: Path) -> Check:
    import sqlite3

    if not file.exists():
        return Check(name, True, f"{file} (the first run makes it)")
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    mend = "" if verdict == "ok" else f"move {file} aside; a run makes a new one"
    return Check(name, verdict == "ok", f"{file} ({file.stat().st_size / 2**20:.1f} MiB, {verdict})", mend)


def _without_password(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _data() -> Iterator[Check]:
    for source in data.sources().values():
        missing = source.missing()
        # Only what is embedded must be here; the rest says how to get it.
        yield Check(f"data {source.name}", not (missing and source.embedded), missing or "here")


def _determinism() -> Iterator[Check]:
    for name in (
        "CUBLAS_WORKSPACE_CONFIG",
        "OMP_NUM_THREADS",
        "MLFLOW_TRACKING_URI",
        "RETABLE_STORAGE",
        "RETABLE_DATA",
    ):
        yield Check(name, True, _without_password(os.environ.get(name, "not set")))
