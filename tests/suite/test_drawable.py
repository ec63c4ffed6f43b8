"""A view that could not be drawn is refused with its place before anything is run; every one that ships can be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import ROOT, Ran

from retable.bench.suite import drawable, loader, plan

SELECT = "    select: {lowest: loss/final, over: [lr]}\n"
AT = "    where: {lr: 0.1}\n    metric: loss/total\n"
ONE_RATE = "      lr: {setting: lr, label: rate}\n"


@pytest.fixture
def toy(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The toy suite's file, to be changed."""
    monkeypatch.syspath_prepend(project)
    yield project / "suites" / "toy.yaml"
    for name in [name for name in sys.modules if name.partition(".")[0] == "toypaper"]:
        del sys.modules[name]


def change(suite: Path, old: str, new: str) -> None:
    text = suite.read_text()
    assert old in text
    suite.write_text(text.replace(old, new))


def refused(suite: Path, scale: str = "quick") -> list[str]:
    found = loader.load(suite).suite
    try:
        drawable.require(found, plan.trials(found, scale))
    except plan.PlanError as error:
        head, *lines = str(error).splitlines()
        assert head == f"suite 'toy' has views that cannot be drawn at scale '{scale}':"
        return lines
    return []


@pytest.mark.parametrize("suite", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_view_that_ships_can_be_drawn_at_every_scale(suite: Path) -> None:
    found = loader.load(suite).suite
    for scale in found.scales:
        drawable.require(found, plan.trials(found, scale))


def test_a_table_that_would_average_over_a_setting(toy: Path) -> None:
    assert refused(toy) == []
    change(toy, SELECT, "")
    change(toy, ONE_RATE, "")
    change(toy, "plain: {lr: 0.5, loss: 0.1}", "plain: {loss: 0.1}")
    change(toy, "momentum: {lr: 0.5, loss: 0.05}", "momentum: {loss: 0.05}")
    left = "4 cells remain, which differ in lr; name these in where, rows or select.over"
    assert refused(toy) == [f"tables.table1: row {m}, column loss: {left}" for m in ("plain", "momentum")]
    assert refused(toy, "big") == []  # it is not shown there


def test_a_setting_that_has_several_values_in_a_row(toy: Path) -> None:
    change(toy, SELECT, "")
    found = refused(toy)
    assert "tables.table1: row plain, column lr: lr has several values here" in found and len(found) == 4


def test_a_figure_that_would_average_over_a_setting(toy: Path) -> None:
    change(toy, AT, "    metric: loss/total\n")
    left = "4 cells for method plain, which differ in lr; name these in where, select.over or an axis"
    assert refused(toy) == [f"figures.figure1: {left}"]
    change(toy, "    kind: curves\n", "    kind: curves\n    panels: lr\n")
    assert refused(toy) == []


def test_seeds_are_what_is_averaged(toy: Path) -> None:
    change(toy, "    seeds: 2\n", "    seeds: 7\n")
    assert refused(toy) == []


def test_plan_and_run_say_so_before_anything_is_trained(toy: Path, bench: Callable[..., Ran]) -> None:
    change(toy, AT, "    metric: loss/total\n")
    for words in (["plan", "toy"], ["plan", "toy", "--only", "tune"], ["run", "toy", "--workers", "1"]):
        ran = bench(*words)
        assert ran.code == 2 and "figures.figure1: 4 cells for method plain, which differ in lr" in ran.err, ran.err
    assert list((toy.parents[1] / "mlruns").rglob("*.db")) == []  # not even a store was made
