"""Which trials a suite has at a scale, in which order, what each starts from and is called."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from retable.bench.suite import loader, plan, yaml12
from retable.bench.suite.schema import Suite


@pytest.fixture
def toy(project: Path) -> Suite:
    return loader.load("toy").suite


def test_a_grid_is_every_combination_with_every_seed(toy: Suite) -> None:
    grid = [t for t in plan.trials(toy, "quick") if t.experiment == "grid"]
    assert [(t.value("method"), t.value("lr"), t.seed) for t in grid] == [
        (m, lr, s) for m in ("plain", "momentum") for lr in (0.5, 0.1, 0.01, 0.001) for s in (0, 1)
    ]


def test_a_trial_says_all_that_determines_it(toy: Suite) -> None:
    *_, tune = plan.trials(toy, "quick")
    assert (tune.suite, tune.scale, tune.experiment, tune.task) == ("toy", "quick", "tune", "descent")
    settings = {"lr": 0.05, "method": "plain", "steps": 20, "pause": 0.0, "fail_at": -1, "kill_at": -1}
    settings["collapsed"] = ""
    assert (tune.settings, tune.varied, tune.seed, tune.data, tune.slot) == (settings, {}, 0, {}, None)


def test_what_a_scale_does_not_run_is_left_out(toy: Suite) -> None:
    assert {t.experiment for t in plan.trials(toy, "quick")} == {"grid", "tune"}
    assert {t.experiment for t in plan.trials(toy, "big")} == {"idle"}


def test_the_command_line_overrides_settings_and_seeds(toy: Suite) -> None:
    found = plan.trials(toy, "quick", overrides={"steps": 21, "lr": [0.1, 3]}, seeds=1)
    assert [(t.experiment, t.value("method"), t.value("lr"), t.value("steps"), t.seed) for t in found] == [
        ("grid", "plain", 0.1, 21, 0),
        ("grid", "plain", 3, 21, 0),
        ("grid", "momentum", 0.1, 21, 0),
        ("grid", "momentum", 3, 21, 0),
        ("tune", "plain", 0.1, 21, 0),
        ("tune", "plain", 3, 21, 0),
    ]


@pytest.mark.parametrize(
    ("scale", "overrides", "message"),
    [
        ("quik", {}, "suite 'toy' has no scale 'quik'; did you mean 'quick'? known: quick, long, big"),
        (
            "quick",
            {"stepps": 1},
            "--set: unknown setting 'stepps'; did you mean 'steps'? "
            "known: a, b, collapsed, fail_at, kill_at, lr, method, pause, s1, s10, s11, s12, ...",
        ),
        (
            "quick",
            {"steps": "many"},
            "grid: setting steps: Input should be a valid integer, unable to parse string as an integer (got 'many')",
        ),
    ],
)
def test_what_cannot_be_planned_is_explained(
    toy: Suite, scale: str, overrides: dict[str, object], message: str
) -> None:
    with pytest.raises(plan.PlanError) as error:
        plan.trials(toy, scale, overrides=overrides)
    assert str(error.value) == message


@pytest.mark.parametrize("settings", ["settings: {line: {value: [3, 1, 1.0], source: s 1}}", "seeds: [1, 1]"])
def test_a_trial_that_stands_twice_is_refused(read: Callable[[str], Suite], settings: str) -> None:
    suite = read(f"experiments: {{one: {{task: fly, about: a}}, e: {{task: fly, about: a, {settings}}}}}\n")
    with pytest.raises(plan.PlanError, match=r"^experiment 'e' lists the same trial twice: (line=1 seed=0|e seed=1)$"):
        plan.trials(suite, "quick")


ORDER = """\
experiments:
  d: {task: fly, about: a, from: {experiment: c}}
  a: {task: fly, about: a}
  c: {task: fly, about: a, from: {experiment: b}}
  b: {task: fly, about: a}
  e: {task: fly, about: a, from: {experiment: b}}
"""


def test_sources_come_before_what_starts_from_them_else_the_suites_order_holds(read: Callable[[str], Suite]) -> None:
    found = plan.trials(read(ORDER), "quick")
    assert [t.experiment for t in found] == ["b", "c", "d", "a", "e"]
    by_name = {t.experiment: t for t in found}
    assert {name: t.start for name, t in by_name.items()} == {
        "a": None,
        "b": None,
        "c": by_name["b"].id,
        "d": by_name["c"].id,
        "e": by_name["b"].id,
    }


def starting(source: str, start: str, *, own: str = "") -> str:
    """Experiment `e` starts from `first`."""
    return (
        f"experiments: {{first: {{task: fly, about: a, {source}}},\n"
        f"  e: {{task: fly, about: a, {own} from: {{experiment: first, {start}}}}}}}\n"
    )


LINES = "settings: {line: {value: [1, 2, 3], source: s 1}, tail: {value: [short, long], source: s 1}}"


@pytest.mark.parametrize(
    ("source", "start", "own", "expected"),
    [
        (LINES, "match: [line, tail]", "settings: {line: {value: 2, source: s 1}},", [("short", 2, 0)]),
        (
            LINES,
            "match: [line], where: {tail: long}",
            "settings: {line: {value: [3, 1], source: s 1}},",
            [("long", 3, 0), ("long", 1, 0)],
        ),
        (LINES, "where: {tail: [long, none], line: 2}", "", [("long", 2, 0)]),
        ("seeds: 3", "match: []", "seeds: [2, 0],", [("short", 1, 2), ("short", 1, 0)]),
        ("seeds: [0, 5]", "where: {seed: 5}", "seeds: [5, 7],", [("short", 1, 5), ("short", 1, 5)]),
    ],
    ids=["match", "match and where", "where", "the same seed", "the only trial there is, whatever its seed"],
)
def test_a_trial_starts_from_the_one_that_fits(
    read: Callable[[str], Suite], source: str, start: str, own: str, expected: list[object]
) -> None:
    found = plan.trials(read(starting(source, start, own=own)), "quick")
    by_id = {t.id: t for t in found}
    starts = [by_id[t.start] for t in found if t.start is not None]
    assert [(t.value("tail"), t.value("line"), t.seed) for t in starts] == expected


def test_a_cell_starts_from_the_cell_of_its_name(read: Callable[[str], Suite]) -> None:
    cells = "cells: {one: {}, two: {size: {value: 5, source: s 1}}}"
    found = plan.trials(read(starting(cells, "where: {cell: two}", own=f"{cells},")), "quick")
    one, two, *started = found
    assert one.varied["cell"] == "one" and [t.start for t in started] == [two.id, two.id]


@pytest.mark.parametrize(
    ("source", "start", "message"),
    [
        (LINES, "match: [line]", "where 2 trials fit {'line': 1.0} with seed 0"),
        (LINES, "where: {line: 2}", "where 2 trials fit it with seed 0"),
        (LINES, "where: {line: 4}", "where 0 trials fit it with seed 0"),
        ("seeds: [1, 2]", "match: [tail]", "where 2 trials fit {'tail': 'short'} with seed 0"),
        ("not_at: {quick: dear}", "match: []", "where 0 trials fit it with seed 0"),
    ],
)
def test_a_start_that_is_none_or_several_is_refused(
    read: Callable[[str], Suite], source: str, start: str, message: str
) -> None:
    with pytest.raises(plan.PlanError) as error:
        plan.trials(read(starting(source, start)), "quick")
    mend = "name more settings in its from.match or from.where"
    assert str(error.value) == f"experiment 'e' starts from 'first', {message}; {mend}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("height: 0", "l: setting height: Input should be greater than 0 (got 0)"),
        (
            "weights: [[1, a]]",
            "e: setting weights.1: Input should be a valid number, unable to parse string as a number (got 'a')",
        ),
        ("pictures: nothing", "e: its task reads unknown data 'nothing'; known: "),
    ],
)
def test_an_override_that_a_task_refuses_is_explained(
    read: Callable[[str], Suite], override: str, message: str
) -> None:
    height = "settings: {height: {value: 1, source: s 1}}"
    suite = read(f"experiments: {{e: {{task: fly, about: a}}, l: {{task: land, about: a, {height}}}}}\n")
    with pytest.raises(plan.PlanError) as error:
        plan.trials(suite, "quick", overrides=yaml12.loads(override).data)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("space", ["[2]", "[2, 3]", "{low: 0.5, high: 9}"])
def test_a_search_is_planned_with_the_first_of_its_space(read: Callable[[str], Suite], space: str) -> None:
    """`height` has no default: what the search will choose stands for it until then."""
    search = f"search: {{space: {{height: {space}}}, trials: 1, metric: drop/final, source: s 1}}"
    (trial,) = plan.trials(read(f"experiments: {{l: {{task: land, about: a, {search}}}}}\n"), "quick")
    assert trial.settings == {"line": 1.0} and trial.name == "l search #0 seed=0"


def test_a_searched_whole_number_is_planned_as_one(read: Callable[[str], Suite]) -> None:
    search = "search: {space: {size: {low: 3.5, high: 9, integer: true}}, trials: 1, metric: loss/final, source: s 1}"
    assert len(plan.trials(read(f"experiments: {{e: {{task: fly, about: a, {search}}}}}\n"), "quick")) == 1


def trial(varied: dict[str, object], slot: int | None = None, **settings: object) -> plan.Trial:
    return plan.Trial("0123", "kites", "quick", "e", "fly", {**settings}, varied, 4, slot=slot)


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (trial({}), "e seed=4"),
        (
            trial({"tail": "long", "line": 0.5, "strong": True, "weights": [1, 2]}),
            "long line=0.5 strong=true weights=1+2 seed=4",
        ),
        (trial({"cell": "long", "tail": "long"}), "long seed=4"),
        (trial({"tail": "long"}, slot=0), "long search #0 seed=4"),
        (trial({}, slot=12), "e search #12 seed=4"),
    ],
)
def test_a_trial_is_called_after_what_varies(found: plan.Trial, name: str) -> None:
    assert found.name == name


def test_a_trial_knows_its_settings_its_cell_and_itself_by_name() -> None:
    found = trial({"cell": "one", "size": 5}, size=5, line=2.0)
    assert [found.value(key) for key in ("cell", "size", "line", "seed", "experiment", "id")] == [
        "one",
        5,
        2.0,
        4,
        "e",
        "0123",
    ]
    with pytest.raises(KeyError, match="tail"):
        found.value("tail")


def test_a_trial_comes_back_from_json(toy: Suite) -> None:
    for found in plan.trials(toy, "quick"):
        assert plan.Trial.from_json(found.to_json()) == found
    assert re.match(r'\{"id":"\w{12}","suite":"toy",', found.to_json())
