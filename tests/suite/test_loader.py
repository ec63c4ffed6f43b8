"""A suite is found, read and checked; every mistake is named with file, line, column, key and the allowed words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rules import GRID, E, Rule, complaints, mended, refused
from running import ROOT, Ran

from retable.bench.data import source
from retable.bench.suite import loader, schema
from retable.bench.suite.schema import Suite

TABLE = "tables: {t: {title: t, from: e, rows: line, columns: {l: {metric: loss/final}}"
FIGURE = "figures: {f: {title: t, from: e, metric: loss/final"
CLAIM = "claims: {c: {quote: up it goes, from: e, check: {metric: loss/final"
BELOW = "form: below, these: {line: 1}, than: {line: 2.5}"

SEEDS = "give a count of at least 1 or a list of seeds from 0 on; `not_at` leaves a scale out"

RULES = [
    Rule(
        "a key that no suite has",
        E + "▸abuot: a\n",
        "abuot: unknown key 'abuot'; did you mean 'about'? known: about, claims, consistency, experiments, figures, "
        "notes, packages, paper, preconditions, scales, settings, suite, ...",
        "abuot: a\n -> ",
    ),
    Rule(
        "a key that no experiment has",
        "experiments: {e: {task: fly, about: a, ▸form: {experiment: e}}}\n",
        "experiments.e.form: unknown key 'form'; did you mean 'from'? known: about, at, cells, from, not_at, "
        "reference, search, seconds_at, seeds, seeds_at, settings, task",
        ", form: {experiment: e} -> ",
    ),
    Rule(
        "a key that is missing is told where it is to stand",
        "experiments: {▸e: {task: fly}}\n",
        "experiments.e: 'about' is missing here",
        "fly -> fly, about: a",
    ),
    Rule(
        "every constant has a source",
        "settings: {▸line: {value: 1}, size: {value: 3, source: ▸s}}\n" + E,
        "settings.line: 'source' is missing here\n"
        "settings.size.source: String should have at least 3 characters (got 's')",
        "value: 1 -> value: 1, source: s 1 ~ source: s} -> source: s 1}",
    ),
    Rule(
        "a value of another type is shown",
        "experiments: {e: {task: fly, about: a, seconds_at: {quick: ▸soon}}}\n",
        "experiments.e.seconds_at.quick: Input should be a valid number, unable to parse string as a number "
        "(got 'soon')",
        "soon -> 2.5",
    ),
    Rule(
        "a mapping or a list of another type is not: it would fill the screen",
        "experiments: {e: {task: ▸{a: b}, about: ▸[a]}}\n",
        "experiments.e.task: Input should be a valid string\nexperiments.e.about: Input should be a valid string",
        "{a: b} -> fly ~ [a] -> a",
    ),
    Rule(
        "a value that may be of several types is complained of once",
        "experiments: {e: {task: fly, about: a, seeds: ▸many}}\n",
        "experiments.e.seeds: Input should be a valid list (got 'many')",
        "many -> 2",
    ),
    Rule(
        "there is a seed, and none is below 0",
        "experiments:\n"
        "  e: {task: fly, about: a, seeds: ▸-3, seeds_at: {quick: ▸[1, -1]}}\n"
        "  f: {task: fly, about: a, seeds: ▸0}\n"
        "  g: {task: fly, about: a, seeds: ▸[]}\n",
        f"experiments.e.seeds: {SEEDS} (got -3)\n"
        f"experiments.e.seeds_at.quick: {SEEDS}\n"
        f"experiments.f.seeds: {SEEDS} (got 0)\n"
        f"experiments.g.seeds: {SEEDS}",
        "-3 -> 3 ~ [1, -1] -> [1, 0] ~ seeds: 0 -> seeds: 1 ~ [] -> [7]",
    ),
    Rule(
        "a word that is not one of the few",
        "experiments: {e: {task: fly, about: a, search:\n"
        "  {space: {line: [1, 2]}, trials: 1, metric: loss/final, direction: ▸minimise, source: s 1}}}\n",
        "experiments.e.search.direction: 'minimise' is not allowed; did you mean 'minimize' or 'maximize'? "
        "known: minimize, maximize",
        "minimise -> minimize",
    ),
    Rule(
        "what the schema itself refuses, in its words",
        "experiments: {e: {task: fly, about: a, search:\n"
        "  {space: {line: ▸{low: 2, high: 1}}, trials: 1, metric: loss/final, source: s 1}}}\n",
        "experiments.e.search.space.line: low (2.0) must be below high (1.0)",
        "high: 1 -> high: 3",
    ),
    Rule(
        "a key of a range, though a list might stand there too",
        "experiments: {e: {task: fly, about: a, search:\n"
        "  {space: {line: ▸{low: 2, high: 3, ▸lgo: true}}, trials: 1, metric: loss/final, source: s 1}}}\n",
        "experiments.e.search.space.line: Input should be a valid list\n"
        "experiments.e.search.space.line.lgo: unknown key 'lgo'; did you mean 'low' or 'log'? "
        "known: high, integer, log, low",
        "lgo -> log",
    ),
    Rule(
        "a key of a row or a column",
        GRID + TABLE.replace("metric:", "▸metrics: a, metric:") + "}}\n",
        "tables.t.columns.l.metrics: unknown key 'metrics'; did you mean 'metric'? known: factor, format, from, label, "
        "metric, published_from, published_unit, relative_to, setting, unit, where",
        "metrics: a,  -> ",
    ),
    Rule(
        "a form of claim that there is not",
        f"{GRID}{CLAIM}, form: ▸beneath}}}}}}\n",
        "claims.c.check.form: 'beneath' is not allowed; known: below, ratio, spread, monotone, extreme, agrees, "
        "same, value",
        f"form: beneath -> {BELOW}",
    ),
    Rule(
        "of a claim's keys, those of its form are known",
        f"{GRID}{CLAIM}, {BELOW}, ▸highest: true}}}}}}\n",
        "claims.c.check.highest: unknown key 'highest' of form 'below'; did you mean 'higher'? "
        "known: form, higher, margin, metric, than, these",
        "highest -> higher",
    ),
    Rule(
        "what a form needs",
        GRID + CLAIM.replace("check", "▸check") + ", form: below, these: {line: 1}}}}\n",
        "claims.c.check: 'than' is missing here; form 'below' needs it",
        "these: {line: 1} -> these: {line: 1}, than: {line: 2.5}",
    ),
    Rule(
        "a kind of figure that there is not",
        GRID + FIGURE + ", kind: ▸curve}}\n",
        "figures.f.kind: 'curve' is not allowed; did you mean 'curves'? "
        "known: curves, heatmap, images, lines, bars, arrays, importance",
        "curve -> lines, x: line",
    ),
    Rule(
        "a figure is a mapping",
        GRID + "figures: {f: ▸5}\n",
        "figures.f: Input should be a valid dictionary or object to extract fields from (got 5)",
        "{f: 5} -> {}",
    ),
    Rule(
        "a figure or a setting may be called what tells kinds apart",
        GRID + FIGURE.replace("f:", "▸kind:") + ", kind: curves}}\nsettings: {▸form: {▸valeu: 1, source: s 1}}\n",
        "figures.kind: 'colour' is missing here; kind 'curves' needs it\n"
        "settings.form: 'value' is missing here\n"
        "settings.form.valeu: unknown key 'valeu'; did you mean 'value'? known: source, value",
        "curves -> curves, colour: line ~ form: {valeu -> line: {value",
    ),
    Rule(
        "a figure has a kind",
        GRID + FIGURE.replace("f:", "▸f:") + "}}\n",
        "figures.f: 'kind' is missing here",
        "metric: loss/final}}\n -> metric: loss/final, kind: lines, x: line}}\n",
    ),
    Rule(
        "what a kind needs",
        GRID + FIGURE.replace("f:", "▸f:") + ", kind: curves}}\n",
        "figures.f: 'colour' is missing here; kind 'curves' needs it",
        "curves -> curves, colour: line",
    ),
    Rule(
        "of a figure's keys, those of its kind are known",
        GRID + FIGURE + ", kind: lines, x: line, ▸smoth: 3}}\n",
        "figures.f.smoth: unknown key 'smoth' of kind 'lines'; "
        "known: colour, from, kind, labels, log, metric, metric_label, not_at, note, panels, select, source, ...",
        "kind: lines, x: line, smoth -> kind: curves, colour: line, smooth",
    ),
    Rule(
        "a key that is called like its kind, which in pydantic's path of the error stands there too",
        GRID + "figures:\n  ▸f: {title: t, kind: arrays, from: e, ▸bye: epoch, arrays: [▸{title: t, ▸yy: z}]}\n",
        "figures.f: 'artifact' is missing here; kind 'arrays' needs it\n"
        "figures.f.bye: unknown key 'bye' of kind 'arrays'; did you mean 'by'? known: arrays, artifact, by, from, "
        "kind, labels, not_at, note, rows, select, source, title, ...\n"
        "figures.f.arrays.0: 'y' is missing here\n"
        "figures.f.arrays.0.yy: unknown key 'yy'; did you mean 'y'? "
        "known: limits, log, published, title, x, x_label, y",
        "bye -> artifact: arrays/a.npz, by ~ yy -> y",
    ),
    Rule(
        "one of two keys",
        f"{GRID}{TABLE}, select: ▸{{lowest: loss/final, highest: loss/final, over: [line]}}}}}}\n",
        "tables.t.select: give exactly one of lowest, highest",
        "lowest: loss/final, highest -> highest",
    ),
    Rule(
        "every mistake is told, in the order of the file",
        "experiments:\n  z: {task: fly, ▸abuot: a, about: a}\n  a: {task: ▸[], about: a}\n▸suites: a\n",
        "experiments.z.abuot: unknown key 'abuot'; did you mean 'about'? known: about, at, cells, from, not_at, "
        "reference, search, seconds_at, seeds, seeds_at, settings, task\n"
        "experiments.a.task: Input should be a valid string\n"
        "suites: unknown key 'suites'; did you mean 'suite'? known: about, claims, consistency, "
        "experiments, figures, notes, packages, paper, preconditions, scales, settings, suite, ...",
        "abuot: a,  ->  ~ [] -> fly ~ suites: a\n -> ",
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=[r.id for r in RULES])
def test_a_broken_rule_is_placed_and_explained(read: Callable[[str], Suite], rule: Rule) -> None:
    assert refused(rule.body, read) == complaints(rule.body, rule.said)


@pytest.mark.parametrize("rule", RULES, ids=[r.id for r in RULES])
def test_the_smallest_change_mends_it(read: Callable[[str], Suite], rule: Rule) -> None:
    assert read(mended(rule)).suite == "kites"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "1:1: suite: Input should be a valid dictionary or instance of Suite (got None)"),
        (b"null", "1:1: suite: Input should be a valid dictionary or instance of Suite (got None)"),
        (b"\n[1, 2]", "2:1: suite: Input should be a valid dictionary or instance of Suite"),
        (b"\xff\xfe\x00", "1:1: not UTF-8 text (byte 0xff)"),
        (b"suite: [", "2:1: not YAML: did not find expected node content"),
        (b"a: 1\na: b", "2:1: key 'a' stands twice"),
    ],
)
def test_files_that_are_no_suite(project: Path, content: bytes, said: str) -> None:
    (project / "suites" / "toy.yaml").write_bytes(content)
    with pytest.raises(loader.SuiteError) as error:
        loader.load("toy")
    assert error.value.lines[0] == f"suites/toy.yaml:{said}"


def test_a_suite_that_lacks_all_is_told_so_line_by_line(project: Path) -> None:
    (project / "suites" / "toy.yaml").write_text("about: a\n")
    with pytest.raises(loader.SuiteError) as error:
        loader.load("toy")
    keys = ("experiments", "paper", "scales", "suite")
    assert error.value.lines == [f"suites/toy.yaml:1:1: suite: '{key}' is missing here" for key in keys]
    assert str(error.value) == "\n".join(error.value.lines)


def test_a_suite_that_cannot_be_read_says_why(project: Path) -> None:
    (project / "suites" / "folder.yaml").mkdir()
    with pytest.raises(loader.SuiteError, match=r"^suites/folder\.yaml: cannot be read: Is a directory$"):
        loader.load("folder")


def test_a_suite_is_known_with_its_place(project: Path) -> None:
    found = loader.load("toy")
    assert found == loader.SuiteFile(found.suite, project / "suites" / "toy.yaml", project)
    assert found.suite.suite == "toy"


def test_a_suite_is_found_by_name_from_a_folder_below(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "toypaper" / "suites").mkdir()
    monkeypatch.chdir(project / "toypaper")
    assert loader.find("toy") == project / "suites" / "toy.yaml"
    (project / "toypaper" / "suites" / "nearer.yaml").touch()
    assert loader.find("nearer") == project / "toypaper" / "suites" / "nearer.yaml"
    with pytest.raises(loader.SuiteError, match="no suite is called 'toy'; known: nearer"):
        loader.find("toy")


def test_a_suite_is_found_by_its_path_with_either_ending(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "suites" / "toy.yaml").rename(project / "other.yml")
    assert loader.find("other.yml") == loader.find(project / "other.yml") == project / "other.yml"
    assert loader.available() == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("tyo", "no suite is called 'tyo'; did you mean 'toy'? known: another, toy"),
        ("suites/toy", "no suite is called 'suites/toy'; known: another, toy"),
        ("toy.yaml", "toy.yaml: no such file; did you mean 'toy'? known: another, toy"),
        ("suites/none.yml", "suites/none.yml: no such file; known: another, toy"),
    ],
)
def test_a_suite_that_is_not_found(project: Path, asked: str, said: str) -> None:
    (project / "suites" / "another.yaml").touch()
    with pytest.raises(loader.SuiteError) as error:
        loader.load(asked)
    assert str(error.value) == said and error.value.lines == [said]


def test_suites_are_listed_by_name(project: Path) -> None:
    for name in ("zebra.yaml", "ant.yaml", "notes.txt", "other.yml"):
        (project / "suites" / name).touch()
    assert [p.name for p in loader.available()] == ["ant.yaml", "toy.yaml", "zebra.yaml"]


def test_the_packages_of_all_suites_are_listed_once_and_the_broken_suites_beside_them(project: Path) -> None:
    toy = (project / "suites" / "toy.yaml").read_text()
    (project / "suites" / "other.yaml").write_text(toy.replace("packages: toypaper", "packages: [kites, toypaper]"))
    assert loader.packages() == (["kites", "toypaper"], [])
    (project / "suites" / "other.yaml").write_text("about: a\n")
    assert loader.packages() == (["toypaper"], ["suites/other.yaml:1:1: suite: 'experiments' is missing here"])


def test_a_project_is_the_nearest_folder_that_is_marked_as_one(tmp_path: Path) -> None:
    suite = tmp_path / "a" / "b" / "suites" / "toy.yaml"
    suite.parent.mkdir(parents=True)
    assert loader.project_of(suite) == tmp_path / "a" / "b"
    assert loader.project_of(suite.parent.parent / "toy.yaml") == tmp_path / "a" / "b"
    (tmp_path / "a" / ".git").mkdir()  # a project in a folder of a larger repository
    assert loader.project_of(suite) == tmp_path / "a" / "b"
    assert loader.project_of(tmp_path / "a" / "b" / "toy.yaml") == tmp_path / "a"
    (tmp_path / "a" / "b" / "pyproject.toml").touch()
    assert loader.project_of(tmp_path / "a" / "b" / "toy.yaml") == tmp_path / "a" / "b"


def test_a_place_outside_the_working_directory_is_shown_whole(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project / "suites" / "toy.yaml"
    path.write_text("suite: [")
    monkeypatch.chdir(project / "toypaper")
    with pytest.raises(loader.SuiteError) as error:
        loader.load(path)
    assert str(error.value).startswith(f"{path}:2:1: ")


def test_the_projects_packages_are_importable_and_its_data_has_a_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETABLE_DATA", raising=False)
    for _ in range(2):
        loader.load("toy")
    assert sys.path.count(str(project)) == 1 and sys.path[-1] == str(project)
    assert source.root() == project / "data"
    monkeypatch.setenv("RETABLE_DATA", "elsewhere")
    assert source.root() == project / "elsewhere"


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


def test_the_schema_for_editors_is_up_to_date() -> None:
    assert schema.SCHEMA_FILE.read_text(encoding="utf-8") == schema.json_schema(), (
        "run: python -m retable.bench.suite.schema"
    )


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_suite_is_sound(path: Path) -> None:
    found = loader.load(path).suite
    assert found.tables and found.figures and found.claims
    assert {"quick", "desk", "paper"} <= set(found.scales)
