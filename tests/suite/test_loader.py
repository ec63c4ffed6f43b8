"""Every mistake in a suite is named with file, line, column, key and the nearest allowed words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from running import ROOT, Ran

from retable.bench.suite import loader, schema

FIGURE = """  figure1:
    title: Loss curves
    source: Figure 1
    from: grid
    kind: curves
    where: {lr: 0.1}
    metric: loss/total
    colour: method
"""
MISTAKES = [
    ("unknown key", "    about: two methods", "    abuot: two methods", "unknown key 'abuot'; did you mean 'about'?"),
    ("missing key", "    task: descent\n    about: two", "    about: two", "'task' is missing here"),
    ("unknown task", "    task: idle", "    task: idel", "unknown task 'idel'; did you mean 'idle'?"),
    ("wrong type", "year: 2020", "year: soon", "unable to parse string as an integer"),
    ("unknown setting", "      lr: {value: [", "      lrr: {value: [", "unknown setting 'lrr'; did you mean 'lr'?"),
    ("no source", "momentum], source: section 1}", "momentum]}", "'source' is missing here"),
    ("bad value", "[0.5, 0.1, 0.01", "[fast, 0.1, 0.01", "unable to parse string as a number"),
    ("unknown experiment", "    from: grid\n    rows", "    from: grit\n    rows", "unknown experiment 'grit'"),
    (
        "unknown metric",
        "{metric: loss/final, label",
        "{metric: loss/finl, label",
        "unknown metric 'loss/finl'; did you",
    ),
    (
        "published row",
        "      plain: {lr: 0.5, loss",
        "      plane: {lr: 0.5, loss",
        "unknown row 'plane'; did you mean 'plain'",
    ),
    ("published column", "plain: {lr: 0.5, loss: 0.1}", "plain: {lr: 0.5, los: 0.1}", "unknown column 'los'; did you"),
    ("no such trial", "where: {lr: 0.1}\n    metric", "where: {lr: 0.2}\n    metric", "no trial has lr = 0.2"),
    ("unknown scale", "not_at: {quick: at big", "not_at: {quik: at big", "unknown scale 'quik'; did you mean 'quick'?"),
    ("figure kind", "kind: curves", "kind: curve", "'curve' is not allowed; did you mean 'curves'?"),
    ("no kind", FIGURE, FIGURE.replace("    kind: curves\n", ""), "'kind' is missing here"),
    (
        "what a kind needs",
        FIGURE,
        FIGURE.replace("    colour: method\n", ""),
        "'colour' is missing here; kind 'curves' needs it",
    ),
    ("key of a kind", "    log: true\n", "    lag: true\n", "unknown key 'lag' of kind 'curves'; did you mean 'log'?"),
    ("key of another kind", "    log: true\n", "    x: lr\n", "unknown key 'x' of kind 'curves'"),
    ("check form", "form: below", "form: beneath", "check.form: 'beneath' is not allowed; known: below, ratio"),
    (
        "what a form needs",
        "momentum}, than: {method: plain}}",
        "momentum}}",
        "'than' is missing here; form 'below' needs it",
    ),
    ("twice", "scales:\n", "settings: {}\nscales:\n", "key 'settings' stands twice"),
    ("empty grid", "{value: [plain, momentum], source", "{value: [], source", "an empty list is a grid without a cell"),
    (
        "two selects",
        "{lowest: loss/final, over",
        "{lowest: loss/final, highest: loss/final, over",
        "exactly one of lowest",
    ),
    ("from itself", "from: {experiment: grid,", "from: {experiment: tune,", "'tune' starts from itself"),
]


@pytest.mark.parametrize(("old", "new", "message"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_placed_and_explained(project: Path, old: str, new: str, message: str) -> None:
    path = project / "suites" / "toy.yaml"
    text = path.read_text()
    assert old in text
    changed = text.replace(old, new, 1)
    path.write_text(changed)
    line = changed[: changed.index(new)].count("\n") + 1 + new.rstrip("\n").count("\n") * (old.count("\n") < 2)
    with pytest.raises(loader.SuiteError) as error:
        loader.load("toy")
    assert message in str(error.value)
    place = re.match(r"suites/toy\.yaml:(\d+):(\d+): ", str(error.value))
    assert place, error.value
    assert abs(int(place[1]) - line) <= 2


def test_a_key_that_is_called_like_its_kind_is_placed_all_the_same(project: Path) -> None:
    """In an error's path pydantic writes the kind 'arrays' where the key 'arrays' of that kind could stand too."""
    path = project / "suites" / "toy.yaml"
    figure = (
        "  spectra:\n    {title: t, kind: arrays, from: grid, bye: epoch,\n    arrays: [{title: t, yy: z}]}\nclaims:"
    )
    path.write_text(path.read_text().replace("claims:", figure, 1))
    with pytest.raises(loader.SuiteError) as error:
        loader.load("toy")
    first = path.read_text().splitlines().index("  spectra:") + 1
    told = [line.partition("; did you")[0] for line in error.value.lines]
    assert told == [
        f"suites/toy.yaml:{first}:3: figures.spectra: 'artifact' is missing here; kind 'arrays' needs it",
        f"suites/toy.yaml:{first + 1}:42: figures.spectra.bye: unknown key 'bye' of kind 'arrays'",
        f"suites/toy.yaml:{first + 2}:14: figures.spectra.arrays.0: 'y' is missing here",
        f"suites/toy.yaml:{first + 2}:25: figures.spectra.arrays.0.yy: unknown key 'yy'",
    ]


def test_a_metric_needs_a_group(project: Path, bench: Callable[..., Ran]) -> None:
    module = project / "toypaper" / "__init__.py"
    module.write_text(module.read_text().replace('"loss/final"', '"final"'))
    ran = bench("list", "toy")
    assert ran.code == 2
    assert "toy.yaml:21:11: experiments.grid.task: task 'descent' measures 'final'; a metric's name has a" in ran.err


def test_all_mistakes_are_told_at_once_and_nothing_runs(project: Path, bench: Callable[..., Ran]) -> None:
    path = project / "suites" / "toy.yaml"
    path.write_text(path.read_text().replace("lr: {value", "rate: {value").replace("    title: Loss curves\n", ""))
    ran = bench("run", "toy")
    assert ran.code == 2 and "Traceback" not in ran.err
    assert "'title' is missing here" in ran.err
    assert not list((project / "mlruns").glob("optuna.db"))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[1, 2]", b"suite: [", b"null", b"a: b: c"])
def test_files_that_are_no_suite(project: Path, content: bytes) -> None:
    (project / "suites" / "toy.yaml").write_bytes(content)
    with pytest.raises(loader.SuiteError, match=r"suites/toy.yaml:\d+:\d+"):
        loader.load("toy")


def test_a_suite_is_found_by_name_from_a_folder_below(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "toypaper")
    assert loader.load("toy").project == project
    with pytest.raises(loader.SuiteError, match="no suite is called 'tyo'; did you mean 'toy'"):
        loader.load("tyo")
    with pytest.raises(loader.SuiteError, match="no such file"):
        loader.load("suites/none.yaml")


def test_the_schema_for_editors_is_up_to_date() -> None:
    assert schema.SCHEMA_FILE.read_text(encoding="utf-8") == schema.json_schema(), (
        "run: python -m retable.bench.suite.schema"
    )


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_suite_is_sound(path: Path) -> None:
    found = loader.load(path).suite
    assert found.tables and found.figures and found.claims
    assert {"quick", "desk", "paper"} <= set(found.scales)
