"""What tables, figures and claims may name: the place and the words of every complaint."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rules import GRID, MEASURED, SEEN, Rule, complaints, mended, refused

from retable.bench.suite import loader
from retable.bench.suite.schema import Suite


def view(kind: str, words: str) -> str:
    """GRID with one view in which `words` stand."""
    rest = {
        "tables": {"title": "t", "from": "e", "rows": "line", "columns": "{l: {metric: loss/final}}"},
        "figures": {"title": "t", "from": "e", "kind": "lines", "metric": "loss/final", "x": "line"},
        "claims": {
            "quote": "up it goes",
            "from": "e",
            "check": "{form: monotone, metric: loss/final, over: line, direction: falls}",
        },
    }[kind]
    if words.startswith("kind:"):  # a figure of another kind than lines says itself what it needs
        rest = {"title": "t", "from": "e"}
    said = {part.split(":")[0] for part in words.split("\n")}
    more = [f"{key}: {value}" for key, value in rest.items() if key not in said]
    return f"{GRID}{kind}:\n  v:\n" + "".join(f"    {line}\n" for line in (*words.split("\n"), *more))


VIEWS = [
    Rule(
        "a view is from an experiment, and only then looked at",
        view("tables", "from: ▸[e, f]\nwhere: {nothing: 1}"),
        "tables.v.from: unknown experiment 'f'; known: e, land, tune",
        "f] -> land] ~ where: {nothing: 1} -> where: {line: 1}",
    ),
    Rule(
        "where names settings",
        view("figures", "where: {▸lin: 1}"),
        f"figures.v.where.lin: unknown setting 'lin'; did you mean 'line'? {SEEN}",
        "where: {lin: -> where: {line:",
    ),
    Rule(
        "where leaves trials",
        view("figures", "where: {line: ▸2}"),
        "figures.v.where.line: no trial has line = 2; known: 1, 2.5",
        "line: 2} -> line: 2.5}",
    ),
    Rule(
        "every value of a list leaves trials",
        view("figures", "where: {line: ▸[1, 3, 2.5]}"),
        "figures.v.where.line: no trial has line = 3; known: 1, 2.5",
        "1, 3, 2.5 -> 1.0, 2.5",
    ),
    Rule(
        "seeds are known by their numbers",
        view("figures", "where: {seed: ▸[0, 1, 2]}"),
        "figures.v.where.seed: no trial has seed = 2; known: 0, 1",
        "0, 1, 2 -> 0, 1",
    ),
    Rule(
        "experiments by their names",
        view("figures", "from: [e, land]\nwhere: {experiment: ▸lamd}"),
        "figures.v.where.experiment: no trial has experiment = lamd; did you mean 'land'? known: e, land",
        "lamd -> land",
    ),
    Rule(
        "a value of the first experiment or of the second",
        view("figures", "from: [e, land]\nwhere: {height: ▸[5, 7]}"),
        "figures.v.where.height: no trial has height = 7; known: 5, 6",
        "5, 7 -> 5, 6",
    ),
    Rule(
        "any value of a searched setting, no other setting's",
        view("figures", "from: tune\nwhere: {line: 3.3, size: ▸5}"),
        "figures.v.where.size: no trial has size = 5; known: 3",
        "size: 5} -> size: 3}",
    ),
    Rule(
        "the cell of an experiment with cells",
        "experiments: {e: {task: fly, about: a, cells: {one: {}, two: {line: {value: 2, source: s 1}}}}}\n"
        "figures: {f: {title: t, from: e, kind: bars, metric: loss/final, x: cell, where: {cell: ▸too}}}\n",
        "figures.f.where.cell: no trial has cell = too; did you mean 'two'? known: one, two",
        "too -> two",
    ),
    Rule(
        "a grid has no cells",
        view("figures", "x: ▸cell"),
        f"figures.v.x: unknown setting 'cell'; {SEEN}",
        "x: cell -> x: experiment",
    ),
    *(
        Rule(
            f"select {end} is a metric",
            view("tables", f"select: ▸{{{end}: loss, over: [line]}}"),
            f"tables.v.select: unknown metric 'loss'; {MEASURED}",
            f"{end}: loss, -> {end}: loss/total,",
        )
        for end in ("lowest", "highest")
    ),
    Rule(
        "what is selected over is a setting",
        view("tables", "select: {lowest: loss/final, over: [line, ▸lin]}"),
        f"tables.v.select.over.1: unknown setting 'lin'; did you mean 'line'? {SEEN}",
        "lin] -> size]",
    ),
]

TABLES = [
    Rule(
        "values compare as they are at scales that there are",
        view("tables", "absolute: [quick, ▸papr]"),
        "tables.v.absolute.1: unknown scale 'papr'; known: quick",
        "[quick, papr] -> [quick]",
    ),
    Rule(
        "rows are a setting",
        view("tables", "rows: ▸row"),
        f"tables.v.rows: unknown setting 'row'; {SEEN}",
        "rows: row -> rows: size",
    ),
    Rule(
        "a row's experiments",
        view("tables", "rows: {a: {from: ▸f, where: {nothing: 1}}}"),
        "tables.v.rows.a.from: unknown experiment 'f'; known: e, land, tune",
        "from: f, where: {nothing: 1} -> from: land, where: {height: 5}",
    ),
    Rule(
        "a row's conditions, in its own experiments",
        view("tables", "rows: {a: {from: land, where: {▸size: 5}}, b: {where: {▸height: 5}}}"),
        "tables.v.rows.a.where.size: unknown setting 'size'; known: experiment, height, line, seed\n"
        f"tables.v.rows.b.where.height: unknown setting 'height'; did you mean 'weights'? {SEEN}",
        "from: land, where: {size: 5}}, b: { -> where: {size: 5}}, b: {from: land, ",
    ),
    Rule(
        "a column's experiments, and only then the column",
        view("tables", "columns: {l: {metric: nothing, from: ▸[e, f]}}"),
        "tables.v.columns.l.from: unknown experiment 'f'; known: e, land, tune",
        "nothing, from: [e, f] -> loss/final, from: [e]",
    ),
    Rule(
        "a column's setting, in its own experiments",
        view("tables", "columns: {l: {setting: ▸size, from: land}, m: {setting: ▸height}}"),
        "tables.v.columns.l.setting: unknown setting 'size'; known: experiment, height, line, seed\n"
        f"tables.v.columns.m.setting: unknown setting 'height'; did you mean 'weights'? {SEEN}",
        "size, from: land}, m: {setting: height} -> size}, m: {setting: height, from: land}",
    ),
    Rule(
        "a column's metric, in its own experiments",
        view("tables", "columns: {l: {metric: ▸loss/final, from: land}, m: {metric: ▸drop/final}}"),
        "tables.v.columns.l.metric: unknown metric 'loss/final'; did you mean 'drop/final'? "
        "known: drop/final, memory/peak, time/logging, time/step, time/train\n"
        f"tables.v.columns.m.metric: unknown metric 'drop/final'; did you mean 'loss/final'? {MEASURED}",
        "loss/final, from: land}, m: {metric: drop/final} -> loss/final}, m: {metric: drop/final, from: land}",
    ),
    Rule(
        "a column's conditions, in its own experiments",
        view("tables", "columns: {l: {metric: time/step, from: land, where: {height: ▸7}}}"),
        "tables.v.columns.l.where.height: no trial has height = 7; known: 5, 6",
        "height: 7 -> height: 6",
    ),
    Rule(
        "the column that another's published values are made of",
        view("tables", "columns: {l: {metric: loss/final}, m: {metric: loss/final, published_from: ▸n}}"),
        "tables.v.columns.m.published_from: unknown column 'n'; known: l, m",
        "published_from: n -> published_from: l",
    ),
    Rule(
        "published values are left to the column that they are made of",
        view(
            "tables",
            "columns: {l: {metric: loss/final}, m: {setting: size, published_from: l}}\npublished: {1: {l: 3, m: ▸4}}",
        ),
        "tables.v.published.1.m: is derived from another column's published value; leave it out",
        "m: 4}} -> m: {not_published: it is derived}}}",
    ),
    Rule(
        "published rows are values of the rows' setting, as text",
        view("tables", 'published: {"1": {l: 3}, ▸"2.50": {l: 3}}'),
        "tables.v.published.2.50: unknown row '2.50'; did you mean '2.5'? known: 1, 2.5",
        '"2.50" -> "2.5"',
    ),
    Rule(
        "what a search will try is not known",
        view("tables", 'from: tune\npublished: {▸"1": {l: 3}}'),
        "tables.v.published.1: unknown row '1'; none are known",
        "from: tune -> from: e",
    ),
    Rule(
        "or explicit rows, in any order",
        view("tables", "rows: {b: {}, a: {}}\npublished: {a: {l: 3}, ▸c: {l: 3}}"),
        "tables.v.published.c: unknown row 'c'; known: a, b",
        "c: {l: 3} -> b: {l: 3}",
    ),
    Rule(
        "published columns",
        view("tables", "rows: {a: {}}\npublished: {a: {▸m: 3}}"),
        "tables.v.published.a.m: unknown column 'm'; known: l",
        "{m: 3} -> {l: 3}",
    ),
    Rule(
        "labels are of rows",
        view("tables", 'labels: {"1": one, ▸two: two}'),
        "tables.v.labels.two: unknown row 'two'; known: 1, 2.5",
        "two: two -> 2.5: two",
    ),
]

FIGURES = [
    *(
        Rule(
            f"{key} of a figure is a setting",
            view("figures", f"{key}: ▸lin"),
            f"figures.v.{key}: unknown setting 'lin'; did you mean 'line'? {SEEN}",
            f"{key}: lin -> {key}: line",
        )
        for key in ("x", "colour", "panels")
    ),
    Rule(
        "y of a heatmap",
        view("figures", "kind: heatmap\nx: line\ny: ▸siz\nmetric: loss/final"),
        f"figures.v.y: unknown setting 'siz'; did you mean 'size'? {SEEN}",
        "siz\n -> size\n",
    ),
    Rule(
        "what a figure draws is a metric",
        view("figures", "metric: ▸loss/finl"),
        f"figures.v.metric: unknown metric 'loss/finl'; did you mean 'loss/final' or 'loss/total'? {MEASURED}",
        "loss/finl -> loss/final",
    ),
    Rule(
        "of any of its experiments",
        view("figures", "from: [e, land]\nmetric: ▸drop/finl"),
        "figures.v.metric: unknown metric 'drop/finl'; did you mean 'drop/final' or 'loss/final'? "
        "known: drop/final, loss/final, loss/total, memory/peak, time/logging, time/step, time/train",
        "drop/finl -> drop/final",
    ),
    *(
        Rule(
            f"{key} of pictures",
            view("figures", f"kind: images\nartifact: images/a.png\n{key}: ▸lin"),
            f"figures.v.{key}: unknown setting 'lin'; did you mean 'line'? {SEEN}",
            f"{key}: lin -> {key}: line",
        )
        for key in ("rows", "columns")
    ),
    Rule(
        "what matters is asked of a search",
        view("figures", "kind: importance\nmetric: loss/final\nfrom: ▸e"),
        "figures.v.from: an importance figure is of one search; 'e' is not it",
        "from: e\n -> from: tune\n",
    ),
    Rule(
        "of one search",
        view("figures", "kind: importance\nmetric: loss/final\nfrom: ▸[tune, tune, e]"),
        "figures.v.from: an importance figure is of one search; 'e' is not it\n"
        "figures.v.from: an importance figure is of one search; 'tune' is not it",
        "from: [tune, tune, e]\n -> from: [tune]\n",
    ),
]

CLAIMS = [
    Rule(
        "a claim is about a metric",
        view("claims", "check: {form: monotone, metric: ▸height, over: line, direction: falls}"),
        f"claims.v.check.metric: unknown metric 'height'; {MEASURED}",
        "height, -> loss/total,",
    ),
    Rule(
        "both sides of a comparison leave trials",
        view("claims", "check: {form: below, metric: loss/final, these: {▸lin: 1}, than: {line: ▸3}}"),
        f"claims.v.check.these.lin: unknown setting 'lin'; did you mean 'line'? {SEEN}\n"
        "claims.v.check.than.line: no trial has line = 3; known: 1, 2.5",
        "{lin: 1}, than: {line: 3} -> {line: 1}, than: {line: 2.5}",
    ),
    Rule(
        "both sides of a ratio",
        view("claims", "check: {form: ratio, metric: loss/final, of: {line: ▸3}, to: {size: ▸3}, at_least: 1}"),
        "claims.v.check.of.line: no trial has line = 3; known: 1, 2.5\n"
        "claims.v.check.to.size: no trial has size = 3; known: 5",
        "{line: 3}, to: {size: 3} -> {line: 1}, to: {size: 5}",
    ),
    Rule(
        "what a metric is monotone over",
        view("claims", "check: {form: monotone, metric: loss/final, over: ▸x, direction: falls}"),
        f"claims.v.check.over: unknown setting 'x'; {SEEN}",
        "over: x -> over: line",
    ),
    Rule(
        "everything that a spread is over",
        view(
            "claims", "check: {form: spread, metric: loss/final, these: {line: 1}, than: {size: 5}, over: ▸[x, size]}"
        ),
        f"claims.v.check.over: unknown setting 'x'; {SEEN}",
        "over: [x, size] -> over: [line, size]",
    ),
    Rule(
        "ranks are compared with a table",
        view("claims", "check: {form: agrees, metric: loss/final, over: line, published: ▸w/l}")
        + 'tables: {t: {title: t, from: e, rows: line, columns: {l: {setting: size}}, published: {"1": {l: 3}}}}\n',
        "claims.v.check.published: unknown table 'w'; known: t",
        "w/l -> t/l",
    ),
    Rule(
        "with a column of it that has published numbers",
        view("claims", "check: {form: agrees, metric: loss/final, over: line, published: ▸t/m}")
        + "tables: {t: {title: t, from: e, rows: line, published: {'1': {l: 3, m: three}, '2.5': {l: 3}},\n"
        "  columns: {l: {metric: loss/final}, m: {metric: loss/final}, n: {metric: loss/final}}}}\n",
        "claims.v.check.published: unknown published column 'm'; known: l",
        "t/m -> t/l",
    ),
]

PUBLISHED = (
    "tables: {t: {title: t, from: e, rows: line, columns: {l: {setting: size}, m: {setting: size}},\n"
    "  published: {'1': {l: 3, m: three}, '2.5': {l: 4}}}}\n"
)
VALUE = "check: {{form: value, metric: loss/final, of: {{line: 1}}, within: 0.1, published: {}}}"
RATIO = "check: {{form: ratio, metric: loss/final, of: {{line: 1}}, to: {{line: 2.5}}, at_least: 1, published: {}}}"
NEEDS = """\
preconditions:
  flies: {reads: the kite is off the ground, from: e,
    check: {form: extreme, metric: loss/final, these: {line: 1}, end: lowest}}
"""

WORDS = [
    Rule(
        "a claim needs preconditions that there are",
        view("claims", "needs: [flies, ▸lands]") + NEEDS,
        "claims.v.needs.1: unknown precondition 'lands'; known: flies",
        "[flies, lands] -> [flies]",
    ),
    Rule(
        "a precondition's check is checked as a claim's is",
        view("claims", "needs: flies") + NEEDS.replace("line: 1", "line: ▸3").replace("loss/final", "▸loss/last"),
        "preconditions.flies.check.metric: unknown metric 'loss/last'; did you mean 'loss/total' or 'loss/final'? "
        f"{MEASURED}\npreconditions.flies.check.these.line: no trial has line = 3; known: 1, 2.5",
        "loss/last -> loss/total ~ line: 3 -> line: 1",
    ),
    Rule(
        "replicates are metrics of which there are several",
        view("claims", "replicates: {unit: flights, metrics: ▸loss/f*}"),
        "claims.v.replicates.metrics: fewer than two metrics of task 'fly' fit the pattern 'loss/f*'",
        "loss/f* -> loss/*",
    ),
    Rule(
        "in every experiment",
        view("claims", "from: [e, land]\nreplicates: {unit: flights, metrics: ▸loss/*}"),
        "claims.v.replicates.metrics: fewer than two metrics of task 'land' fit the pattern 'loss/*'",
        "[e, land] -> [e]",
    ),
    Rule(
        "an order is not of replicates",
        view(
            "claims",
            "check: {form: agrees, metric: loss/final, over: line, published: t/l}\n"
            "replicates: {unit: flights, metrics: ▸loss/*}",
        )
        + PUBLISHED,
        "claims.v.replicates.metrics: the form 'agrees' has no replicates",
        "replicates: {unit: flights, metrics: loss/*} -> note: none",
    ),
    Rule(
        "a value is held against a number of a table",
        view("claims", VALUE.format("▸w/1/l")) + PUBLISHED,
        "claims.v.check.published: unknown table 'w'; known: t",
        "w/1/l -> t/1/l",
    ),
    Rule(
        "of a row that it has",
        view("claims", VALUE.format("▸t/2/l")) + PUBLISHED,
        "claims.v.check.published: unknown published row '2'; known: 1, 2.5",
        "t/2/l -> t/2.5/l",
    ),
    Rule(
        "and a column with a number",
        view("claims", VALUE.format("▸t/1/m")) + PUBLISHED,
        "claims.v.check.published: unknown published number in column 'm'; known: l",
        "t/1/m -> t/1/l",
    ),
    Rule(
        "a published ratio follows from numbers on both sides",
        view("claims", RATIO.format("{of: [t/1/l, ▸t/1/m], to: [▸t/3/l]}")) + PUBLISHED,
        "claims.v.check.published.of.1: unknown published number in column 'm'; known: l\n"
        "claims.v.check.published.to.0: unknown published row '3'; known: 1, 2.5",
        "t/1/m -> t/2.5/l ~ t/3/l -> t/1/l",
    ),
    Rule(
        "what a ratio is taken per is a setting",
        view(
            "claims",
            "check: {form: ratio, metric: loss/final, of: {line: 1}, to: {line: 2.5}, at_least: 1, per: ▸[siz]}",
        ),
        f"claims.v.check.per: unknown setting 'siz'; did you mean 'size'? {SEEN}",
        "[siz] -> [size]",
    ),
]

RULES = [*VIEWS, *TABLES, *FIGURES, *CLAIMS, *WORDS]


@pytest.mark.parametrize("rule", RULES, ids=[r.id for r in RULES])
def test_a_broken_rule_is_placed_and_explained(read: Callable[[str], Suite], rule: Rule) -> None:
    assert refused(rule.body, read) == complaints(rule.body, rule.said)


@pytest.mark.parametrize("rule", RULES, ids=[r.id for r in RULES])
def test_the_smallest_change_mends_it(read: Callable[[str], Suite], rule: Rule) -> None:
    assert read(mended(rule)).suite == "kites"


def test_seeds_and_values_are_those_of_all_scales(read: Callable[[str], Suite]) -> None:
    """A view may name what one scale alone has, but not what stands at a scale where the experiment isn't run."""
    suite = (
        "scales: {quick: {about: a}, long: {about: a}, paper: {about: a}}\n"
        "experiments: {e: {task: fly, about: a, seeds: [3], seeds_at: {long: [12, 4], paper: [5]},\n"
        "  not_at: {paper: dear}, at: {quick: {line: {value: 2, source: s 1}},\n"
        "    long: {line: {value: [2, 7], source: s 1}}, paper: {line: {value: 9, source: s 1}}}}}\n"
        "figures: {f: {title: t, from: e, kind: lines, metric: loss/final, x: line,\n"
        "  where: {seed: [3, 4, 12], line: [2, 7]}}}\n"
    )
    assert read(suite).figures
    with pytest.raises(
        loader.SuiteError, match=r"no trial has seed = 5; known: 3, 4, 12\n.*no trial has line = 9; .*2, 7$"
    ):
        read(suite.replace("[3, 4, 12], line: [2, 7]", "5, line: 9"))
