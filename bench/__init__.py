"""Suites that rebuild the tables and figures of papers. The engine: it knows no paper.

From Python: `load_suite`, `run`, `results` and `report`, as the commands of these names; see `bench.api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import load_suite, report, results, run

__all__ = ["load_suite", "report", "results", "run"]


def __getattr__(name: str) -> Any:
    """The four functions, imported when first asked for: `bench --help` needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    from bench import api

    return getattr(api, name)
