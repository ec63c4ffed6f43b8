"""Trials, their ids, and the words that select among them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retable.bench.suite import loader, plan
from retable.bench.suite.values import canonical, same, text


@pytest.fixture
def toy(project: Path) -> loader.SuiteFile:
    return loader.load("toy")


def test_a_grid_is_every_combination_with_every_seed(toy: loader.SuiteFile) -> None:
    grid = [t for t in plan.trials(toy.suite, "quick") if t.experiment == "grid"]
    assert len(grid) == 2 * 4 * 2
    assert {(t.value("method"), t.value("lr"), t.seed) for t in grid} == {
        (m, lr, s) for m in ("plain", "momentum") for lr in (0.5, 0.1, 0.01, 0.001) for s in (0, 1)
    }
    assert grid[0].name == "plain lr=0.5 seed=0"


def test_ids_are_the_same_in_every_process_and_differ_by_all_that_matters(toy: loader.SuiteFile) -> None:
    trials = plan.trials(toy.suite, "quick")
    script = (
        "from retable.bench.suite import loader, plan\n"
        "print(*(t.id for t in plan.trials(loader.load('toy').suite, 'quick')))"
    )
    again = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert again == [t.id for t in trials] and len(set(again)) == len(again)
    other_scale = {t.id for t in plan.trials(toy.suite, "long")}
    other_setting = {t.id for t in plan.trials(toy.suite, "quick", overrides={"steps": 21})}
    assert not {t.id for t in trials} & (other_scale | other_setting)


def test_an_id_does_not_depend_on_what_else_the_suite_says(project: Path, toy: loader.SuiteFile) -> None:
    before = {t.name: t.id for t in plan.trials(toy.suite, "quick")}
    path = project / "suites" / "toy.yaml"
    words = path.read_text().replace("two methods, four", "2 methods, 4").replace("section 1}", "section 1.1}")
    path.write_text(words.replace("[plain, momentum]", "[plain, momentum, other]"))
    after = {t.name: t.id for t in plan.trials(loader.load("toy").suite, "quick")}
    assert before.items() <= after.items() and len(after) == len(before) + 8


def test_a_start_comes_before_what_starts_from_it(toy: loader.SuiteFile) -> None:
    trials = plan.trials(toy.suite, "quick")
    position = {t.id: i for i, t in enumerate(trials)}
    for trial in trials:
        assert trial.start is None or position[trial.start] < position[trial.id]
    assert [t.experiment for t in plan.select(trials, only=["tune"], suite=toy.suite)] == ["grid", "tune"]


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("method=plain", 8),
        ("method=p*", 8),
        ("method!=plain,experiment=grid", 8),
        ("lr<=0.01,experiment=grid", 8),
        ("lr=0.1|0.01,experiment=grid", 8),
        ("seed=1", 8),
        ("lr>0.1,seed=0", 2),
        ("lr=1e-3", 4),
    ],
)
def test_where_selects(toy: loader.SuiteFile, where: str, count: int) -> None:
    chosen = plan.select(plan.trials(toy.suite, "quick"), where, (), toy.suite)
    assert len([t for t in chosen if t.experiment == "grid"]) == count


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("lrr=1", "unknown setting 'lrr'; did you mean 'lr'"),
        ("lr", "is not a condition"),
        ("method<3", "needs numbers"),
        ("lr=77", "no trial fits --where 'lr=77'"),
    ],
)
def test_where_that_selects_nothing_says_why(toy: loader.SuiteFile, where: str, message: str) -> None:
    with pytest.raises(plan.PlanError, match=message):
        plan.select(plan.trials(toy.suite, "quick"), where, (), toy.suite)


@given(st.text(max_size=30))
def test_any_where_selects_or_explains(where: str) -> None:
    trial = plan.Trial("0", "s", "quick", "grid", "descent", {"lr": 0.1, "method": "plain"}, {"lr": 0.1}, 0)
    try:
        assert plan.select([trial], where)
    except plan.PlanError as error:
        assert str(error)


def test_overrides_are_read_as_yaml(toy: loader.SuiteFile) -> None:
    assert plan.parse_overrides(["lr=1e-3", "method=plain", "foreach=null"]) == {
        "lr": 0.001,
        "method": "plain",
        "foreach": None,
    }
    for bad in ("lr", "=3", "lr=[1", "lr={a: 1, a: 2}"):
        with pytest.raises(plan.PlanError):
            plan.parse_overrides([bad])
    with pytest.raises(plan.PlanError, match="unknown setting 'stepps'; did you mean 'steps'"):
        plan.trials(toy.suite, "quick", overrides={"stepps": 1})


def test_a_trial_comes_back_from_json(toy: loader.SuiteFile) -> None:
    for trial in plan.trials(toy.suite, "quick"):
        assert plan.Trial.from_json(trial.to_json()) == trial


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_canonical_text_does_not_depend_on_order_or_number_type(value: object) -> None:
    def shuffled(v: object) -> object:
        if isinstance(v, dict):
            return {k: shuffled(v[k]) for k in reversed(list(v))}
        return [shuffled(x) for x in v] if isinstance(v, list) else v

    assert canonical(value) == canonical(shuffled(value))
    assert canonical({"a": 1.0}) == canonical({"a": 1}) and same(1.0, 1) and not same(True, 1)
    assert isinstance(text(value), str)
