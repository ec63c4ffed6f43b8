"""The words that select among trials: `--where`, `--only`, and `--set`, which changes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retable.bench.suite import loader, plan
from retable.bench.suite.schema import Suite


@pytest.fixture
def toy(project: Path) -> Suite:
    return loader.load("toy").suite


def made(id: str, experiment: str = "e", seed: int = 0, **settings: object) -> plan.Trial:
    return plan.Trial(id, "s", "quick", experiment, "fly", settings, {}, seed)


TRIALS = [
    made("a0", opt="adam", lr=0.1),
    made("a1", opt="adamax", lr=0.01),
    made("b2", opt="sgd", lr=1, seed=1),
    made("c3", "other", size=3, opt=True),
    made("c4", "other", size=None, opt="adam"),
]


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("opt=adam", [0, 4]),
        ("opt=adam*", [0, 1, 4]),
        ("opt=ada?ax|sgd", [1, 2]),
        ("opt!=adam", [1, 2, 3]),
        ("opt!=adam|sgd", [1, 3]),
        ("lr=0.1", [0]),
        ("lr=1e-1", [0]),
        ("lr=1.0", [2]),
        ("lr!=1.0", [0, 1]),
        ("lr<0.1", [1]),
        ("lr<=0.1", [0, 1]),
        ("lr>0.1", [2]),
        ("lr>=0.1", [0, 2]),
        ("lr>=0.1,opt=adam", [0]),
        (" opt = sgd , lr > 0 ", [2]),
        ("opt=sgd,", [2]),
        ("opt=true", [3]),
        ("size=none", [4]),
        ("size=null", [4]),
        ("seed=1", [2]),
        ("seed<1", [0, 1, 3, 4]),
        ("experiment=oth*", [3, 4]),
        ("id=a*|c3", [0, 1, 3]),
    ],
)
def test_where_leaves_the_trials_that_fit_every_condition(where: str, left: list[int]) -> None:
    assert [TRIALS.index(t) for t in plan.select(TRIALS, where)] == left


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "lrr=1",
            "--where: unknown setting 'lrr'; did you mean 'lr'? known: experiment, id, lr, opt, seed, size",
        ),
        ("lr", "--where: 'lr' is not a condition; write name=value, name!=value or name<=value"),
        ("lr=", "--where: 'lr=' is not a condition; write name=value, name!=value or name<=value"),
        ("opt<3", "--where: 'opt<3' compares adam with 3; < needs numbers"),
        ("opt<3,id=c3", "--where: 'opt<3' compares adam with 3; < needs numbers"),
        ("id=c3,opt<3", "--where: 'opt<3' compares true with 3; < needs numbers"),
        ("lr>=fast", "--where: 'lr>=fast' compares 0.1 with fast; >= needs numbers"),
        ("lr=77", "no trial fits --where 'lr=77'"),
        ("lr=1,opt=adam", "no trial fits --where 'lr=1,opt=adam'"),
    ],
)
def test_where_that_selects_nothing_says_why(where: str, message: str) -> None:
    with pytest.raises(plan.PlanError) as error:
        plan.select(TRIALS, where)
    assert str(error.value) == message


def test_a_cell_can_be_asked_for() -> None:
    one, two = (plan.Trial(c, "s", "quick", "e", "fly", {}, {"cell": c}, 0) for c in ("one", "two"))
    assert plan.select([one, two], "cell=two") == [two]


@given(st.text(max_size=30))
def test_any_where_selects_or_explains(where: str) -> None:
    trial = plan.Trial("0", "s", "quick", "grid", "descent", {"lr": 0.1, "method": "plain"}, {"lr": 0.1}, 0)
    try:
        assert plan.select([trial], where)
    except plan.PlanError as error:
        assert str(error)


CHAIN = """\
experiments:
  a: {task: fly, about: a, seeds: 2}
  b: {task: fly, about: a, seeds: 2, from: {experiment: a}}
  c: {task: fly, about: a, seeds: 2, from: {experiment: b}}
  d: {task: fly, about: a, settings: {line: {value: [1, 2], source: s 1}}}
tables:
  t: {title: t, from: d, rows: line, columns: {l: {metric: loss/final}}, where: {line: 2}}
  rows: {title: t, from: a, rows: {one: {}, two: {from: [d]}}, columns: {l: {metric: loss/final}}, where: {seed: 0}}
figures:
  f: {title: t, from: [b, d], kind: lines, x: line, metric: loss/final, where: {line: [1, 2], seed: [0, 1]}}
claims:
  c1: {quote: up it goes, from: c, check: {form: monotone, metric: loss/final, over: line, direction: falls}}
  c2: {quote: up it goes, from: a, needs: flies, check: {form: extreme, metric: loss/final, these: {}, end: lowest}}
preconditions:
  flies:
    {reads: the kite flies, from: d, where: {line: 1},
      check: {form: extreme, metric: loss/final, these: {}, end: lowest}}
"""


@pytest.fixture
def chain(read: Callable[[str], Suite]) -> Suite:
    return read(CHAIN)


@pytest.mark.parametrize(
    ("where", "only", "left"),
    [
        ("experiment=c,seed=1", [], ["a1", "b1", "c1"]),
        ("", ["c"], ["a0", "a1", "b0", "b1", "c0", "c1"]),
        ("", ["d"], ["d1", "d2"]),
        ("", ["t"], ["d2"]),
        ("", ["t", "a"], ["a0", "a1", "d2"]),
        ("", ["rows"], ["a0", "d1", "d2"]),
        ("", ["f"], ["a0", "a1", "b0", "b1", "d1", "d2"]),
        ("", ["c1"], ["a0", "a1", "b0", "b1", "c0", "c1"]),
        ("", ["c2"], ["a0", "a1", "d1"]),
        ("seed=0", ["c1"], ["a0", "b0", "c0"]),
    ],
)
def test_what_is_left_brings_what_it_starts_from(chain: Suite, where: str, only: list[str], left: list[str]) -> None:
    found = plan.select(plan.trials(chain, "quick"), where, only, chain)
    assert [f"{t.experiment}{t.varied.get('line', t.seed)}" for t in found] == left


@pytest.mark.parametrize(
    ("where", "only", "message"),
    [
        (
            "",
            ["tt"],
            "--only: 'tt' is no experiment, table, figure or claim; did you mean 't'? "
            "known: a, b, c, d, t, rows, f, c1, c2",
        ),
        ("experiment=a", ["d"], "no trial fits --where 'experiment=a' and --only d"),
        ("experiment=a", ["d", "t"], "no trial fits --where 'experiment=a' and --only d t"),
    ],
)
def test_only_that_selects_nothing_says_why(chain: Suite, where: str, only: list[str], message: str) -> None:
    with pytest.raises(plan.PlanError) as error:
        plan.select(plan.trials(chain, "quick"), where, only, chain)
    assert str(error.value) == message


def test_an_experiment_that_a_scale_leaves_out_is_no_trial(toy: Suite) -> None:
    with pytest.raises(plan.PlanError, match=r"^no trial fits --only idle$"):
        plan.select(plan.trials(toy, "quick"), only=["idle"], suite=toy)


def test_a_view_looks_at_the_trials_of_its_experiments_that_fit(chain: Suite) -> None:
    found = plan.trials(chain, "quick")
    assert [t.experiment for t in plan.in_view(found, chain.tables["t"])] == ["d"]
    assert [(t.experiment, t.seed) for t in plan.in_view(found, chain.figures["f"])] == [
        ("b", 0),
        ("b", 1),
        ("d", 0),
        ("d", 0),
    ]


def test_a_trial_without_the_setting_is_not_in_view(chain: Suite) -> None:
    view = chain.tables["t"].model_copy(update={"where": {"height": 1.0}})
    assert plan.in_view(plan.trials(chain, "quick"), view) == []


@pytest.mark.parametrize(
    ("pairs", "overrides"),
    [
        ([], {}),
        (["lr=1e-3", "method=plain", "foreach=null"], {"lr": 0.001, "method": "plain", "foreach": None}),
        ([" lr = 1"], {"lr": 1}),
        (["lr=[1, 2]"], {"lr": [1, 2]}),
        (["name=a=b"], {"name": "a=b"}),
        (["lr=1", "lr=2"], {"lr": 2}),
        (["lr="], {"lr": None}),
    ],
)
def test_overrides_are_read_as_yaml(pairs: list[str], overrides: dict[str, object]) -> None:
    assert plan.parse_overrides(pairs) == overrides


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("lr", "--set 'lr': write key=value"),
        ("=3", "--set '=3': write key=value"),
        (" =3", "--set ' =3': write key=value"),
        ("lr={a: 1, a: 2}", "--set 'lr={a: 1, a: 2}': key 'a' stands twice"),
        ("lr=[1", "--set 'lr=[1': not YAML: did not find expected ',' or ']'"),
    ],
)
def test_overrides_that_cannot_be_read_are_explained(pair: str, message: str) -> None:
    with pytest.raises(plan.PlanError) as error:
        plan.parse_overrides([pair])
    assert str(error.value) == message
