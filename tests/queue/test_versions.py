"""Which differences between two machines keep a worker from a trial."""

from __future__ import annotations

import platform
from importlib.metadata import version

import pytest

from retable.bench.queue import versions

NEEDS = {"code": "c", "search": "s", "python": "3.11.4", "retable": "0.1.0", "torch": "2.6.0", "optuna": "5.0.0"}
NEEDS |= {"mlflow": "3.7.1", "numpy": "2.1.3"}


@pytest.mark.parametrize(
    ("name", "near", "far"),
    [
        ("python", "3.11.9", "3.12.4"),
        ("optuna", "5.0.9", "5.1.0"),
        ("mlflow", "3.7.0", "4.7.1"),
        ("numpy", "2.1", "2.10.3"),
        ("torch", "2.6.0", "2.6.1"),
        ("retable", "0.1.0", "0.1.1"),
        ("code", "c", "c.1"),
        ("search", "s", "other"),
    ],
)
def test_what_counts_as_a_difference(name: str, near: str, far: str) -> None:
    assert versions.differences(NEEDS, NEEDS) == {}
    assert versions.differences(NEEDS, {**NEEDS, name: near}) == {}
    assert versions.differences(NEEDS, {**NEEDS, name: far}) == {name: (NEEDS[name], far)}
    without = {k: v for k, v in NEEDS.items() if k != name}
    assert versions.differences(NEEDS, without) == {name: (NEEDS[name], "none")}
    assert versions.differences(without, NEEDS) == {}  # what a trial does not ask for may be anything


def test_what_is_here() -> None:
    here = versions.here()
    assert set(here) == {"python", "retable", "torch", "optuna", "mlflow", "numpy"}
    assert here["python"] == platform.python_version() and here["numpy"] == version("numpy")
    assert here["torch"] == version("torch").split("+")[0]


def test_a_search_is_part_of_what_its_trials_need() -> None:
    assert versions.of("c") == versions.of("c", {}) == {"code": "c", **versions.here()}
    a, same, b = (versions.of("c", s)["search"] for s in ({"x": 1, "y": 2}, {"y": 2, "x": 1}, {"x": 1, "y": 3}))
    assert a == same != b and len(a) == 16


def test_differences_in_words() -> None:
    found = {"code": ("a", "b"), "search": ("s", "none"), "torch": ("2.12.1", "2.13.0")}
    assert versions.told(found) == (
        "the task's code b here, a where it was planned, the search's definition none here, s where it was planned, "
        "torch 2.13.0 here, 2.12.1 where it was planned"
    )
    assert versions.told({}) == ""


def test_what_no_worker_runs_whatever_it_is_told() -> None:
    assert set(versions.OURS) == {"code", "search"} and set(versions.OURS) < set(versions.EXACT)
