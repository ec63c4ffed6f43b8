"""What an experiment's cells are: which layer wins, what is a grid, what varies, where each value was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from retable.bench.suite import resolve
from retable.bench.suite.schema import Suite
from retable.bench.task import find_task

LAYERS: list[tuple[str, resolve.Path_]] = [
    ("the suite's settings", ("settings", "line", "value")),
    ("the experiment's", ("experiments", "e", "settings", "line", "value")),
    ("the scale's", ("scales", "quick", "settings", "line", "value")),
    ("the experiment's at the scale", ("experiments", "e", "at", "quick", "line", "value")),
    ("a cell's", ("experiments", "e", "cells", "one", "line", "value")),
]
"""From the first, which every other overrules, to the last but one: `--set` overrules them all."""


def cells(
    suite: Suite, scale: str = "quick", name: str = "e", overrides: dict[str, Any] | None = None
) -> list[resolve.Combination]:
    spec = find_task(suite.experiments[name].task, suite.packages)
    return list(resolve.combinations(suite, scale, name, spec, overrides))


def layered(count: int) -> str:
    """A suite whose first `count` layers set `line`, each to its own number."""
    written = [f"line: {{value: {i + 1}, source: s 1}}" if i < count else "" for i in range(len(LAYERS))]
    cell = f", cells: {{one: {{{written[4]}}}}}" if written[4] else ""
    return (
        f"scales: {{quick: {{about: a, settings: {{{written[2]}}}}}, long: {{about: a}}}}\n"
        f"settings: {{{written[0]}}}\n"
        "experiments:\n"
        f"  e: {{task: fly, about: a, settings: {{{written[1]}}}, at: {{quick: {{{written[3]}}}}}{cell}}}\n"
    )


@pytest.mark.parametrize("count", range(1, len(LAYERS) + 1), ids=[name for name, _ in LAYERS])
def test_a_later_layer_wins(read: Callable[[str], Suite], count: int) -> None:
    (cell,) = cells(read(layered(count)))
    assert cell.settings == {"line": count}
    assert cell.origin == {"line": LAYERS[count - 1][1]}


def test_an_override_wins_over_every_layer(read: Callable[[str], Suite]) -> None:
    (cell,) = cells(read(layered(5)), overrides={"line": 9})
    assert cell.settings == {"line": 9} and cell.origin == {"line": ("--set",)}


def test_another_scale_has_its_own_layers_alone(read: Callable[[str], Suite]) -> None:
    (cell,) = cells(read(layered(4)), "long")
    assert cell.settings == {"line": 2}


def test_without_layers_there_is_one_cell_with_nothing_set(read: Callable[[str], Suite]) -> None:
    assert cells(read(layered(0))) == [resolve.Combination({}, {}, {}, {})]


GRID = """\
experiments:
  e:
    task: fly
    about: a
    settings:
      tail: {value: [short, long], source: s 1}
      size: {value: 5, source: s 1}
      line: {value: [1, 2, 3], source: s 1}
      strong: {value: [true], source: s 1}
"""


def test_lists_are_a_grid_in_the_order_they_are_written_the_last_runs_fastest(read: Callable[[str], Suite]) -> None:
    found = cells(read(GRID))
    expected = [(tail, line) for tail in ("short", "long") for line in (1, 2, 3)]
    assert [c.settings for c in found] == [{"tail": t, "size": 5, "line": n, "strong": True} for t, n in expected]
    assert list(found[0].settings) == ["tail", "size", "line", "strong"]


def test_what_varies_are_the_lists_of_more_than_one_value(read: Callable[[str], Suite]) -> None:
    found = cells(read(GRID))
    assert found[4].varied == {"tail": "long", "line": 2}


def test_a_value_of_a_grid_knows_its_place_in_the_list(read: Callable[[str], Suite]) -> None:
    here = ("experiments", "e", "settings")
    assert cells(read(GRID))[5].origin == {
        "tail": (*here, "tail", "value", 1),
        "size": (*here, "size", "value"),
        "line": (*here, "line", "value", 2),
        "strong": (*here, "strong", "value", 0),
    }


def test_a_list_in_a_list_is_one_value(read: Callable[[str], Suite]) -> None:
    body = "experiments: {e: {task: fly, about: a, settings: {weights: {value: [[1, 2]], source: s 1}}}}\n"
    (cell,) = cells(read(body))
    assert cell.settings == {"weights": [1, 2]} and cell.varied == {}


def test_an_override_takes_a_grid_away_or_makes_one(read: Callable[[str], Suite]) -> None:
    suite = read(GRID)
    found = cells(suite, overrides={"line": 7, "size": [1, 3]})
    assert [(c.settings["tail"], c.settings["size"], c.settings["line"]) for c in found] == [
        ("short", 1, 7),
        ("short", 3, 7),
        ("long", 1, 7),
        ("long", 3, 7),
    ]
    assert found[3].varied == {"tail": "long", "size": 3}
    assert found[3].origin["size"] == ("--set", 1)


SHARED = """\
settings: {line: {value: 4, source: s 1}, height: {value: [5, 6], source: s 1}}
experiments:
  e: {task: fly, about: a}
  land: {task: land, about: a}
"""


def test_settings_of_other_tasks_are_left_out(read: Callable[[str], Suite]) -> None:
    suite = read(SHARED)
    assert [c.settings for c in cells(suite)] == [{"line": 4}]
    assert [c.settings for c in cells(suite, name="land")] == [{"line": 4, "height": 5}, {"line": 4, "height": 6}]


def test_overrides_of_other_tasks_are_left_out(read: Callable[[str], Suite]) -> None:
    assert [c.settings for c in cells(read(SHARED), overrides={"height": 8, "size": 9})] == [{"line": 4, "size": 9}]


CELLS = """\
experiments:
  e:
    task: fly
    about: a
    settings: {size: {value: 5, source: s 1}, tail: {value: [short, long], source: s 1}}
    cells:
      plain: {}
      heavy: {size: {value: 7, source: s 1}, line: {value: [8, 9], source: s 1}}
      free: {tail: {value: long, source: s 1}}
"""


def test_cells_stand_beside_each_other_and_each_is_a_grid_of_its_own(read: Callable[[str], Suite]) -> None:
    found = [(c.varied["cell"], c.settings) for c in cells(read(CELLS))]
    assert found == [
        ("plain", {"size": 5, "tail": "short"}),
        ("plain", {"size": 5, "tail": "long"}),
        ("heavy", {"size": 7, "tail": "short", "line": 8}),
        ("heavy", {"size": 7, "tail": "short", "line": 9}),
        ("heavy", {"size": 7, "tail": "long", "line": 8}),
        ("heavy", {"size": 7, "tail": "long", "line": 9}),
        ("free", {"size": 5, "tail": "long"}),
    ]


def test_what_any_cell_sets_varies_in_all(read: Callable[[str], Suite]) -> None:
    found = cells(read(CELLS))
    assert list(found[0].varied.items()) == [("cell", "plain"), ("size", 5), ("tail", "short")]
    assert found[5].varied == {"cell": "heavy", "size": 7, "tail": "long", "line": 9}
    assert found[5].origin["line"] == ("experiments", "e", "cells", "heavy", "line", "value", 1)
    assert found[5].origin["tail"] == ("experiments", "e", "settings", "tail", "value", 1)
    assert found[6].varied == {"cell": "free", "size": 5, "tail": "long"}


def test_searched_settings_are_left_out(read: Callable[[str], Suite]) -> None:
    search = "search: {space: {line: [1, 2]}, trials: 3, metric: loss/final, source: s 1}"
    written = "settings: {line: {value: [4, 5], source: s 1}, size: {value: [3, 5], source: s 1}}"
    suite = read(f"experiments: {{e: {{task: fly, about: a, {search}, {written}}}}}\n")
    assert [c.settings for c in cells(suite, overrides={"line": 9})] == [{"size": 3}, {"size": 5}]
    assert [c.varied for c in cells(suite)] == [{"size": 3}, {"size": 5}]


@pytest.mark.parametrize(
    ("declared", "scale", "count", "expected"),
    [
        ("", "quick", None, [0]),
        ("seeds: 3", "quick", None, [0, 1, 2]),
        ("seeds: [4, 2]", "quick", None, [4, 2]),
        ("seeds: 3, seeds_at: {long: 2}", "quick", None, [0, 1, 2]),
        ("seeds: 3, seeds_at: {long: 2}", "long", None, [0, 1]),
        ("seeds: 3, seeds_at: {long: [7]}", "long", None, [7]),
        ("seeds: [4, 2], seeds_at: {long: [7]}", "long", 2, [0, 1]),
        ("seeds: 3", "quick", 0, []),
    ],
)
def test_seeds_are_counted_or_listed_and_the_command_line_counts_last(
    read: Callable[[str], Suite], declared: str, scale: str, count: int | None, expected: list[int]
) -> None:
    scales = "scales: {quick: {about: a}, long: {about: a}}\n"
    suite = read(f"{scales}experiments: {{e: {{task: fly, about: a{', ' if declared else ''}{declared}}}}}\n")
    assert resolve.seeds(suite.experiments["e"], scale, count) == expected
