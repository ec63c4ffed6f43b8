"""Suites that rebuild the tables and figures of papers: `load_suite`, `run`, `results` and `report`, as the commands.

`__all__` is what users may use. Beside it all that retable ships stands under this one name: `retable.bench`, the
engine; `retable.models`, the papers; `retable.suites`. The repository keeps these three as folders at its top; here
they are links.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retable.bench.api import RunResult, load_suite, report, results, run
    from retable.bench.data.source import DataError
    from retable.bench.errors import RetableError
    from retable.bench.judging.views import ReportError
    from retable.bench.results.frames import Results
    from retable.bench.run import events
    from retable.bench.run.options import RunError, RunOptions, Share
    from retable.bench.run.progress import Progress
    from retable.bench.store.places import StoreError
    from retable.bench.store.status import Status
    from retable.bench.suite.loader import SuiteError, SuiteFile
    from retable.bench.suite.plan import PlanError, Trial

__all__ = [
    "DataError",
    "PlanError",
    "Progress",
    "ReportError",
    "Results",
    "RetableError",
    "RunError",
    "RunOptions",
    "RunResult",
    "Share",
    "Status",
    "StoreError",
    "SuiteError",
    "SuiteFile",
    "Trial",
    "events",
    "load_suite",
    "report",
    "results",
    "run",
]

_HOMES = {
    "api": ("RunResult", "load_suite", "report", "results", "run"),
    "data.source": ("DataError",),
    "errors": ("RetableError",),
    "judging.views": ("ReportError",),
    "results.frames": ("Results",),
    "run": ("events",),
    "run.options": ("RunError", "RunOptions", "Share"),
    "run.progress": ("Progress",),
    "store.places": ("StoreError",),
    "store.status": ("Status",),
    "suite.loader": ("SuiteError", "SuiteFile"),
    "suite.plan": ("PlanError", "Trial"),
}


def __getattr__(name: str) -> Any:
    """What `__all__` lists, imported when first asked for: `bench --help` needs none of it."""
    for home, names in _HOMES.items():
        if name in names:
            module = import_module(f"retable.bench.{home}")
            return import_module(f"retable.bench.{home}.{name}") if name == "events" else getattr(module, name)
    raise AttributeError(f"module 'retable' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
