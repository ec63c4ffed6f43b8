"""The checks over everything that a project's packages bring: `pytest --pyargs retable.bench.testing` in the project.

The packages are those that its suites name, or those in RETABLE_PACKAGES (`RETABLE_PACKAGES=mypaper,other`). A task is
tried with the settings of its first trial at the quick scale; where its data is not here it is skipped, and says why.
"""

from __future__ import annotations

import os

import pytest

from retable.bench import data
from retable.bench.suite import loader
from retable.bench.task import listed
from retable.bench.testing import ConformanceError, cases, check_source

PACKAGES = [name for name in os.environ.get("RETABLE_PACKAGES", "").split(",") if name] or loader.packages()[0]


@pytest.mark.parametrize("case", cases.of_project(PACKAGES), ids=str)
def test_task(case: cases.Case) -> None:
    for name in case.data:
        if missing := data.missing(name, case.packages):
            pytest.skip(missing)
    try:
        case.check()
    except ConformanceError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.mark.parametrize("source", [source for _, source in listed(PACKAGES, "SOURCES")], ids=lambda s: str(s.name))
def test_source(source: data.Source) -> None:
    try:
        check_source(source, packages=PACKAGES)
    except ConformanceError as error:
        pytest.fail(str(error), pytrace=False)
