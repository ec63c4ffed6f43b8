"""Suites that rebuild the tables and figures of papers: `load_suite`, `run`, `results` and `report`, as the commands.

All that retable ships stands under this one name: `retable.bench`, the engine; `retable.models`, the papers;
`retable.suites`. The repository keeps these three as folders at its top; here they are links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retable.bench.api import load_suite, report, results, run

__all__ = ["load_suite", "report", "results", "run"]


def __getattr__(name: str) -> Any:
    """What `__all__` lists, imported when first asked for: `bench --help` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module 'retable' has no attribute '{name}'")
    from retable.bench import api

    return getattr(api, name)
