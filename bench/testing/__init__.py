"""Conformance: whether a paper's tasks and data are what the engine takes them for. For those who bring them.

    from retable.bench.testing import check_task, check_source
    check_task("mytask", {"weight": 0.1, ...}, packages=["mypaper"])

or, for every task and data source of a project's suites, `pytest --pyargs retable.bench.testing` (`test_conformance`).
"""

from __future__ import annotations

from retable.bench.testing.errors import ConformanceError
from retable.bench.testing.sources import check_source
from retable.bench.testing.tasks import check_task

__all__ = ["ConformanceError", "check_source", "check_task"]
