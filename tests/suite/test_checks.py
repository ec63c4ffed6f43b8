"""What no type can say of a suite's experiments and published values: the place and the words of every complaint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import kites
import pytest
from pydantic import create_model
from rules import GRID, MEASURED, SETTINGS, E, Rule, complaints, mended, refused

from retable.bench.data import photos
from retable.bench.suite import loader
from retable.bench.suite.schema import Suite
from retable.bench.task import Metric, Settings, TaskSpec

TASKS = [
    Rule(
        "a task that no package has",
        "experiments: {e: {task: ▸flly, about: a}}\n",
        "experiments.e.task: unknown task 'flly'; did you mean 'fly'? known: drag, fly, glide, land",
        "flly -> fly",
    ),
    Rule(
        "every unknown task, and nothing else before they are known",
        "experiments: {e: {task: ▸sail, about: a, not_at: {never: n}}, f: {task: ▸row, about: a}}\n",
        "experiments.e.task: unknown task 'sail'; known: drag, fly, glide, land\n"
        "experiments.f.task: unknown task 'row'; known: drag, fly, glide, land",
        "sail, about: a, not_at: {never: n}}, f: {task: row -> fly, about: a}, f: {task: fly",
    ),
    Rule(
        "a metric without a group, and nothing else before it has one",
        "experiments: {e: {task: ▸drag, about: a, not_at: {never: n}}}\n",
        "experiments.e.task: task 'drag' measures 'drag'; a metric's name has a group, as 'loss/total'",
        "drag, about: a, not_at: {never: n} -> fly, about: a",
    ),
]

SCALES = [
    Rule(
        f"{part} of an experiment names a scale",
        f"experiments: {{e: {{task: fly, about: a, {part}: {{▸quik: {value}}}}}}}\n",
        f"experiments.e.{part}.quik: unknown scale 'quik'; did you mean 'quick'? known: quick",
        "quik -> quick",
    )
    for part, value in (("at", "{}"), ("seeds_at", "2"), ("seconds_at", "2.5"), ("not_at", "dear"))
] + [
    Rule(
        f"not_at of one of the {kind} names a scale",
        f"{E}{kind}: {{v: {{from: e, not_at: {{▸night: dear}}, {view}}}}}\n",
        f"{kind}.v.not_at.night: unknown scale 'night'; known: quick",
        "night -> quick",
    )
    for kind, view in (
        ("tables", "title: t, rows: line, columns: {l: {setting: line}}"),
        ("figures", "title: t, kind: lines, metric: loss/final, x: line"),
        ("claims", "quote: up it goes, check: {form: monotone, metric: loss/final, over: line, direction: falls}"),
    )
]

NAMES = [
    Rule(
        "shared settings are of some task",
        f"{E}settings: {{▸height: {{value: 1, source: s 1}}}}\n",
        f"settings.height: unknown setting 'height'; did you mean 'weights'? {SETTINGS}",
        "height -> line",
    ),
    Rule(
        "a scale's settings are of some task",
        "scales: {quick: {about: a, settings: {▸lin: {value: 1, source: s 1}}}}\n"
        "experiments: {e: {task: fly, about: a}, l: {task: land, about: a, at: {quick: {height: {value: 1, source: s 1"
        "}}}}}\n",
        "scales.quick.settings.lin: unknown setting 'lin'; did you mean 'line'? "
        "known: height, line, pictures, size, strong, tail, weights",
        "lin: -> height:",
    ),
    Rule(
        "an experiment's settings are of its own task",
        "experiments: {e: {task: fly, about: a, settings: {▸height: {value: 1, source: s 1}}},\n"
        "  l: {task: land, about: a, settings: {height: {value: 1, source: s 1}}}}\n",
        f"experiments.e.settings.height: unknown setting 'height'; did you mean 'weights'? {SETTINGS}",
        "fly, about: a, settings: {height: -> fly, about: a, settings: {line:",
    ),
    Rule(
        "an experiment's settings at a scale",
        "experiments: {e: {task: fly, about: a, at: {quick: {▸tale: {value: long, source: s 1}}}}}\n",
        f"experiments.e.at.quick.tale: unknown setting 'tale'; did you mean 'tail'? {SETTINGS}",
        "tale -> tail",
    ),
    Rule(
        "a cell's settings",
        "experiments: {e: {task: fly, about: a, cells: {one: {▸seize: {value: 5, source: s 1}}}}}\n",
        f"experiments.e.cells.one.seize: unknown setting 'seize'; did you mean 'size'? {SETTINGS}",
        "seize -> size",
    ),
    Rule(
        "a grid has a cell",
        "experiments: {e: {task: fly, about: a, settings: {line: {value: ▸[], source: s 1}}}}\n",
        "experiments.e.settings.line.value: an empty list is a grid without a cell",
        "[] -> [1]",
    ),
    Rule(
        "a search's settings",
        "experiments: {e: {task: fly, about: a, search: {space: {▸lin: [1, 2]}, trials: 1, metric: loss/final,\n"
        "  source: s 1}}}\n",
        f"experiments.e.search.space.lin: unknown setting 'lin'; did you mean 'line'? {SETTINGS}",
        "lin -> line",
    ),
    Rule(
        "a search's metric is one of its task's",
        "experiments: {e: {task: fly, about: a, search: {space: {line: [1, 2]}, trials: 1, metric: ▸drop/final,\n"
        "  source: s 1}}}\n",
        f"experiments.e.search.metric: unknown metric 'drop/final'; did you mean 'loss/final'? {MEASURED}",
        "drop/final -> loss/total",
    ),
    Rule(
        "or the engine's",
        "experiments: {e: {task: fly, about: a, search: {space: {line: [1, 2]}, trials: 1, metric: ▸time/trian,\n"
        "  source: s 1}}}\n",
        "experiments.e.search.metric: unknown metric 'time/trian'; "
        f"did you mean 'time/train' or 'time/logging'? {MEASURED}",
        "time/trian -> time/train",
    ),
    Rule(
        "a start is an experiment",
        "experiments: {e: {task: fly, about: a, from: {experiment: ▸f, match: [nothing]}}, g: {task: fly, about: a}}\n",
        "experiments.e.from.experiment: unknown experiment 'f'; known: e, g",
        "f, match: [nothing] -> g",
    ),
    Rule(
        "what a start must match is a setting of both",
        "experiments: {e: {task: fly, about: a, from: {experiment: l, match: [▸height, ▸size]}},\n"
        "  l: {task: land, about: a, settings: {height: {value: 1, source: s 1}}}}\n",
        f"experiments.e.from.match.0: unknown setting of 'e' 'height'; did you mean 'weights'? {SETTINGS}\n"
        "experiments.e.from.match.1: unknown setting of 'l' 'size'; known: height, line",
        "height, size] -> line]",
    ),
    Rule(
        "every start is looked at",
        "experiments:\n"
        "  e: {task: fly, about: a}\n"
        "  f: {task: fly, about: a, from: {experiment: ▸h}}\n"
        "  g: {task: fly, about: a, from: {experiment: ▸g}}\n",
        "experiments.f.from.experiment: unknown experiment 'h'; known: e, f, g\n"
        "experiments.g.from.experiment: 'g' would start from itself: 'g' from 'g'",
        "experiment: h -> experiment: e ~ experiment: g -> experiment: f",
    ),
    Rule(
        "nothing starts from itself",
        "experiments: {e: {task: fly, about: a, from: {experiment: ▸e}}, f: {task: fly, about: a}}\n",
        "experiments.e.from.experiment: 'e' would start from itself: 'e' from 'e'",
        "experiment: e -> experiment: f",
    ),
    Rule(
        "nor by way of another; a circle is told once, and what starts from one of its members is not in it",
        "experiments:\n"
        "  e: {task: fly, about: a, from: {experiment: f}}\n"
        "  f: {task: fly, about: a, from: {experiment: ▸g}}\n"
        "  g: {task: fly, about: a, from: {experiment: f}}\n"
        "  h: {task: fly, about: a}\n",
        "experiments.f.from.experiment: 'f' would start from itself: 'f' from 'g', 'g' from 'f'",
        "g: {task: fly, about: a, from: {experiment: f}} -> g: {task: fly, about: a, from: {experiment: h}}",
    ),
    Rule(
        "a start of a start is followed no further than it is known",
        "experiments:\n"
        "  e: {task: fly, about: a, from: {experiment: f}}\n"
        "  f: {task: fly, about: a, from: {experiment: ▸g}}\n",
        "experiments.f.from.experiment: unknown experiment 'g'; known: e, f",
        ", from: {experiment: g} -> ",
    ),
    Rule(
        "names come first: values and views would only repeat them",
        f"{GRID}settings: {{▸lin: {{value: 1, source: s 1}}, size: {{value: 2, source: s 1}}}}\n"
        "tables: {t: {title: t, from: nothing, rows: line, columns: {l: {setting: line}}}}\n",
        "settings.lin: unknown setting 'lin'; did you mean 'line'? "
        "known: height, line, pictures, size, strong, tail, weights",
        "lin: { -> line: { ~ value: 2, -> value: 5, ~ nothing -> e",
    ),
]

VALUES = [
    Rule(
        "a value of the task's type, placed in its grid",
        "experiments: {e: {task: fly, about: a, settings: {line: {value: [1, ▸far, 2], source: s 1}}}}\n",
        "experiments.e.settings.line.value.1: line: Input should be a valid number, unable to parse string as a number "
        "(got 'far')",
        "far -> 3",
    ),
    Rule(
        "one of the words that the task knows",
        "experiments: {e: {task: fly, about: a, settings: {tail: {value: ▸shrot, source: s 1}}}}\n",
        "experiments.e.settings.tail.value: 'shrot' is no value of 'tail'; did you mean 'short'? known: short, long",
        "shrot -> short",
    ),
    Rule(
        "what the task itself refuses, in its words",
        "settings: {size: {value: ▸4, source: s 1}}\n" + E,
        "settings.size.value: size: must be odd (got 4)",
        "4 -> 5",
    ),
    Rule(
        "a list in a list is shown by its place alone",
        "experiments: {e: {task: fly, about: a, settings: {line: {value: [▸[1, 2]], source: s 1}}}}\n",
        "experiments.e.settings.line.value.0: line: Input should be a valid number",
        "[[1, 2]] -> [1, 2]",
    ),
    Rule(
        "values that don't go together",
        "experiments: {e: {task: fly, about: a, settings: ▸{line: {value: 101, source: s 1}}}}\n",
        "experiments.e.settings: : so long a line must be strong",
        "101 -> 100",
    ),
    Rule(
        "a setting without a default, named once though every cell lacks it",
        "experiments: {l: {task: land, about: a, settings: ▸{line: {value: [1, 2], source: s 1}}}}\n",
        "experiments.l.settings: the task 'land' needs the setting 'height' (at scale 'quick')",
        "line: {value: [1, 2], source: s 1} -> height: {value: 1, source: s 1}",
    ),
    Rule(
        "a scale at which it is missing",
        "scales: {quick: {about: a}, long: {about: a, settings: {height: {value: 1, source: s 1}}}}\n"
        "experiments: {l: {task: land, about: a, settings: ▸{line: {value: 1, source: s 1}}}}\n",
        "experiments.l.settings: the task 'land' needs the setting 'height' (at scale 'quick')",
        "line: {value: 1, source: s 1}}} -> line: {value: 1, source: s 1}}, not_at: {quick: dear}}",
    ),
    Rule(
        "a mistake that two scales share is told once",
        "scales: {quick: {about: a}, long: {about: a}}\n"
        "experiments: {e: {task: fly, about: a, settings: {size: {value: ▸2, source: s 1}}}}\n",
        "experiments.e.settings.size.value: size: must be odd (got 2)",
        "value: 2 -> value: 1",
    ),
    Rule(
        "every wrong value of a cell",
        "experiments: {e: {task: fly, about: a, cells: {one: {size: {value: ▸x, source: s 1}, "
        "line: {value: ▸y, source: s 1}}}}}\n",
        "experiments.e.cells.one.size.value: size: Input should be a valid integer, unable to parse string as an "
        "integer (got 'x')\n"
        "experiments.e.cells.one.line.value: line: Input should be a valid number, unable to parse string as a number "
        "(got 'y')",
        "value: x -> value: 1 ~ value: y -> value: 1",
    ),
]


T = """\
tables:
  t:
    {title: t, from: e, rows: line, columns: {l: {metric: loss/final}, m: {metric: loss/final}},
     published: {"1": {l: 3, m: three}, "2.5": {l: 4, m: {not_published: torn off}}}}
"""
QUOTE = "states: 1, quote: one more"
CONSISTENCY = [
    Rule(
        "cells that agree are of a table",
        GRID + T + "consistency: {c: {about: a, same: [t/1/l, ▸u/1/l]}}\n",
        "consistency.c.same.1: unknown table 'u'; known: t",
        "u/1/l -> t/2.5/l",
    ),
    Rule(
        "of a published row",
        GRID + T + "consistency: {c: {about: a, same: [▸t/2/l, t/1/l]}}\n",
        "consistency.c.same.0: unknown published row '2'; known: 1, 2.5",
        "t/2/l -> t/2.5/l",
    ),
    Rule(
        "numbers",
        GRID + T + "consistency: {c: {about: a, same: [t/1/l, ▸t/1/m, ▸t/2.5/m, ▸t/1/n, ▸t/1]}}\n",
        "consistency.c.same.1: unknown published number in column 'm'; known: l\n"
        "consistency.c.same.2: unknown published number in column 'm'; known: l\n"
        "consistency.c.same.3: unknown published number in column 'n'; known: l\n"
        "consistency.c.same.4: unknown published number in column ''; known: l",
        "t/1/m, t/2.5/m, t/1/n, t/1] -> t/2.5/l]",
    ),
    Rule(
        "both cells of a difference",
        GRID + T + f"consistency: {{c: {{about: a, difference: {{of: ▸t/1/m, minus: ▸t/3/l, {QUOTE}}}}}}}\n",
        "consistency.c.difference.of: unknown published number in column 'm'; known: l\n"
        "consistency.c.difference.minus: unknown published row '3'; known: 1, 2.5",
        "t/1/m, minus: t/3/l -> t/1/l, minus: t/2.5/l",
    ),
    Rule(
        "of known tables",
        GRID + T + f"consistency: {{c: {{about: a, difference: {{of: t/1/l, minus: ▸u/1/l, {QUOTE}}}}}}}\n",
        "consistency.c.difference.minus: unknown table 'u'; known: t",
        "u/1/l -> t/2.5/l",
    ),
]

RULES = [*TASKS, *SCALES, *NAMES, *VALUES, *CONSISTENCY]


@pytest.mark.parametrize("rule", RULES, ids=[r.id for r in RULES])
def test_a_broken_rule_is_placed_and_explained(read: Callable[[str], Suite], rule: Rule) -> None:
    assert refused(rule.body, read) == complaints(rule.body, rule.said)


@pytest.mark.parametrize("rule", RULES, ids=[r.id for r in RULES])
def test_the_smallest_change_mends_it(read: Callable[[str], Suite], rule: Rule) -> None:
    assert read(mended(rule)).suite == "kites"


def test_what_the_paper_shows_is_a_view_of_the_suite(
    read: Callable[[str], Suite], monkeypatch: pytest.MonkeyPatch
) -> None:
    views = (
        "tables: {t: {title: t, from: e, rows: line, columns: {l: {setting: line}}}}\n"
        "figures: {f: {title: t, from: e, kind: lines, x: line, metric: loss/final}}\n"
        "claims: {c: {quote: up it goes, from: e,\n"
        "  check: {form: monotone, metric: loss/final, over: line, direction: falls}}}\n"
    )
    shown = "Table 1: t, Figure 1: [f, t], Figure 2: {not_rebuilt: a drawing}, Table 2: ▸[c, t, tt]"
    head = kites.HEAD.replace("year: 2020", f"year: 2020, contents: {{{shown}}}")
    monkeypatch.setattr(kites, "HEAD", head)
    expected = complaints(
        E + views,
        "paper.contents.Table 2: unknown table or figure 'c'; known: f, t\n"
        "paper.contents.Table 2: unknown table or figure 'tt'; did you mean 't'? known: f, t",
    )
    monkeypatch.setattr(kites, "HEAD", head.replace("▸", ""))
    assert refused(E + views, read) == expected
    monkeypatch.setattr(kites, "HEAD", head.replace("▸[c, t, tt]", "t"))
    assert read(E + views).paper.contents["Figure 1"] == ["f", "t"]


def test_a_data_set_of_the_papers_has_a_name_of_its_own(
    read: Callable[[str], Suite], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kites, "SOURCES", [replace(photos.SOURCE, about="clouds")], raising=False)
    two = "two data sources are called 'photos', in retable.bench.data.photos and in kites: rename one"
    assert refused("experiments: {e: {task: fly, about: a, not_at: {never: n}}}\n", read) == (
        f"kites.yaml:4:11: packages: {two}"
    )
    monkeypatch.setattr(kites, "SOURCES", [replace(photos.SOURCE, name="clouds")])
    assert read(E).suite == "kites"


RESULTS = [
    "trial",
    "experiment",
    "task",
    "cell",
    "state",
    "stale",
    "reason",
    "run_id",
    "started",
    "ended",
    "seconds",
    "seed",
    "id",
]


@pytest.mark.parametrize(
    ("settings", "metrics", "said"),
    [
        *(
            ([word], ["loss/a"], f"has a setting '{word}', which is a word for results: call it otherwise")
            for word in RESULTS
        ),
        (["state"], ["loss/a", "loss"], "measures 'loss'; a metric's name has a group, as 'loss/total'"),
        (
            [],
            ["loss/a%"],
            "measures 'loss/a%', which MLflow refuses; a metric's name has letters, digits, and / _ - . only",
        ),
    ],
)
def test_a_task_says_nothing_that_results_cannot_hold(
    read: Callable[[str], Suite], monkeypatch: pytest.MonkeyPatch, settings: list[str], metrics: list[str], said: str
) -> None:
    def declare(settings: list[str], metrics: list[str]) -> None:
        model = create_model("Model", __base__=Settings, **dict.fromkeys(settings, (int, 0)))
        spec = TaskSpec("soar", model, "kites.sky:make", {m: Metric("a") for m in metrics}, metrics[0], lambda s: [])
        monkeypatch.setattr(kites, "TASKS", [spec])

    suite = "experiments: {e: {task: soar, about: a}}\n"
    declare(settings, metrics)
    assert refused(suite, read) == f"kites.yaml:6:25: experiments.e.task: task 'soar' {said}"
    declare(["states", "trials"], ["loss/a", "loss/b_c-d.e"])
    assert read(suite).suite == "kites"


def test_a_package_that_is_not_there(read: Callable[[str], Suite], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kites, "HEAD", kites.HEAD.replace("packages: kites", "packages: [kites, kitez]"))
    with pytest.raises(loader.SuiteError) as error:
        read("experiments: {e: {task: fly, about: a, not_at: {never: n}}, f: {task: fly, about: a}}\n")
    assert str(error.value) == "kites.yaml:4:11: packages: cannot be imported: No module named 'kitez'"
