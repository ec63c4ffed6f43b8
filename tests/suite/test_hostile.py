"""A suite is somebody's text: its names cannot lead outside, reach a terminal or a page as markup, or hide numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from running import Ran

from retable.bench.suite import loader, plan, yaml12
from retable.bench.task import legal_metric


def refused(project: Path, old: str, new: str) -> str:
    file = project / "suites" / "toy.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(loader.SuiteError) as caught:
        loader.load("toy")
    return caught.value.lines[0]


@pytest.mark.parametrize("name", ["../../pics", "/etc", "a/b", ".hidden", "", "a b", "n" * 101, "<b>", "a\\b"])
@pytest.mark.parametrize("place", ["scales", "experiments", "tables", "figures", "claims"])
def test_a_name_that_becomes_a_path_has_a_closed_pattern(project: Path, place: str, name: str) -> None:
    old = {"scales": "  big:", "experiments": "  tune:", "tables": "  table1:", "figures": "  figure1:"}
    said = refused(project, f"\n{old.get(place, '  momentum-wins:')}", f"\n  '{name}':")
    assert f"'{name}' is no name: letters, digits, '.', '_' and '-', the first a letter or a digit" in said
    assert f": {place}." in said


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//host/x", "https://a b", "file:///etc/passwd"]
)
def test_a_papers_address_is_a_web_address(project: Path, url: str) -> None:
    assert "paper.url: String should match pattern" in refused(project, "  year: 2020", f"  year: 2020\n  url: '{url}'")


@pytest.mark.parametrize("doi", ["javascript:alert(1)", "10.1/x y", "10.12345/a b"])
def test_a_doi_is_a_doi(project: Path, doi: str) -> None:
    assert "paper.doi: String should match pattern" in refused(project, "  year: 2020", f"  year: 2020\n  doi: '{doi}'")


@pytest.mark.parametrize("escape", [r"\e[2J", r"\0", r"\r", r"\x7f", r"\u202e", r"\u2028", r"\x9b"])
@pytest.mark.parametrize("template", ['- "a{}b"', 'k: "{}"', '"{}": v'])
def test_no_text_holds_what_would_reach_a_terminal(escape: str, template: str) -> None:
    with pytest.raises(yaml12.YamlError, match=r"a control character \(U\+[0-9A-F]{4}\) in a text: take it out"):
        yaml12.loads(template.format(escape))


def test_lines_and_tabs_are_no_control_characters() -> None:
    assert yaml12.loads('a: "one\\n\\ttwo — café 中"').data == {"a": "one\n\ttwo — café 中"}


@pytest.mark.parametrize(
    ("name", "legal"),
    [
        ("loss/total", True),
        ("style/scale1.5-x/mean_2", True),
        ("quality/acc@1", False),
        ("löss/x", False),
        ("loss/<b>", False),
        ("loss/", False),
        ("/loss", False),
        ("loss//x", False),
        ("loss/../x", False),
        ("loss", False),
        ("loss/a b", False),
        ("loss/" + "x" * 195, True),
        ("loss/" + "x" * 196, False),
    ],
)
def test_a_metrics_name_is_one_that_every_store_takes(name: str, legal: bool) -> None:
    assert legal_metric(name) == legal


def test_a_task_that_measures_what_mlflow_refuses_is_refused_before_it_trains(project: Path) -> None:
    package = project / "toypaper" / "__init__.py"
    text = package.read_text()
    assert '"loss/final"' in text
    package.write_text(text.replace('"loss/final"', '"loss/final@1"').replace("toypaper", "refusedpaper"))
    (project / "toypaper").rename(project / "refusedpaper")
    said = refused(project, "packages: toypaper", "packages: refusedpaper")
    assert "task 'descent' measures 'loss/final@1', which MLflow refuses" in said and ".task: " in said


@pytest.mark.parametrize("word", ["state", "seconds", "task", "reason", "seed"])
def test_a_setting_that_would_overwrite_a_results_own_column_is_refused(project: Path, word: str) -> None:
    package = project / "toypaper" / "__init__.py"
    text = package.read_text()
    assert "    steps: int" in text
    package.write_text(text.replace("    steps: int", f"    {word}: int = 1\n    steps: int", 1))
    (project / "toypaper").rename(project / f"paperwith{word}")
    said = refused(project, "packages: toypaper", f"packages: paperwith{word}")
    assert f"has a setting '{word}', which is a word for results: call it otherwise" in said


TUNED = "      lr: {value: 0.05, source: section 3}\n"
MANY = f"{{value: {list(range(100))}, source: guessed}}"
WIDE = f"      lr: {{value: {list(range(1, 11))}, source: guessed}}\n" + "".join(
    f"      {setting}: {MANY}\n" for setting in ("pause", "fail_at", "kill_at")
)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            TUNED,
            WIDE,
            "28:3: experiments.tune: 10,000,000 trials at scale 'quick' of 10,000,016 of the suite, and at most 200,000"
            " are planned; shorten its lists or seeds, or allow them: RETABLE_MAX_TRIALS=10000016",
        ),
        ("seeds: 2", "seeds: 1000000000", "experiments.grid: 8,000,000,000 trials at scale 'quick' of 8,000,000,001 "),
        ("seeds: 2", f"seeds: {'9' * 99}", "RETABLE_MAX_TRIALS=7999"),
        ("seeds: 2", f"seeds: {'9' * 5000}", "experiments.grid.seeds: "),
        (
            "seeds: 2",
            "seeds_at: {quick: 1, big: 2, long: 1000000}",
            "experiments.grid: 8,000,000 trials at scale 'long'",
        ),
    ],
    ids=["grid", "seeds", "digits", "more digits", "another scale"],
)
def test_more_trials_than_anybody_means_are_counted_and_not_made(project: Path, old: str, new: str, said: str) -> None:
    assert said in refused(project, old, new)


@pytest.mark.parametrize(
    "args",
    [("list", "toy"), ("plan", "toy"), ("run", "toy"), ("plan", "toy", "--scale", "big"), ("list",)],
    ids=" ".join,
)
def test_every_command_says_so(project: Path, bench: Callable[..., Ran], args: tuple[str, ...]) -> None:
    file = project / "suites" / "toy.yaml"
    file.write_text(file.read_text().replace("seeds: 2", "seeds: 1000000000"))
    ran = bench(*args)
    assert ran.code == 2
    assert "experiments.grid: 8,000,000,000 trials" in ran.err
    assert "Traceback" not in ran.err


def test_seeds_and_settings_of_the_command_line_count_too(project: Path) -> None:
    toy = loader.load("toy").suite
    with pytest.raises(plan.PlanError, match=r"^grid: 1,000,000 trials at scale 'quick' of 1,500,000 of the suite, "):
        plan.trials(toy, "quick", overrides={"lr": [0.1, 0.2, 0.3, 0.4]}, seeds=125_000)


def test_the_bound_is_what_the_environment_says(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = loader.load("toy").suite
    monkeypatch.setenv("RETABLE_MAX_TRIALS", "16")
    with pytest.raises(plan.PlanError, match=r"^grid: 16 trials at scale 'quick' of 17 of .*RETABLE_MAX_TRIALS=17$"):
        plan.trials(toy, "quick")
    monkeypatch.setenv("RETABLE_MAX_TRIALS", "17")
    assert len(plan.trials(toy, "quick")) == 17
    monkeypatch.setenv("RETABLE_MAX_TRIALS", "many")
    with pytest.raises(
        plan.PlanError, match="RETABLE_MAX_TRIALS is 'many'; it is the most trials that a suite may have"
    ):
        plan.trials(toy, "quick")


@pytest.mark.parametrize("scale", ["quick", "long", "big"])
def test_as_many_are_counted_as_are_made(project: Path, monkeypatch: pytest.MonkeyPatch, scale: str) -> None:
    toy = loader.load("toy").suite
    made = len(plan.trials(toy, scale))
    monkeypatch.setenv("RETABLE_MAX_TRIALS", str(made))
    assert len(plan.trials(toy, scale)) == made
    monkeypatch.setenv("RETABLE_MAX_TRIALS", str(made - 1))
    with pytest.raises(plan.PlanError, match=f"RETABLE_MAX_TRIALS={made}$"):
        plan.trials(toy, scale)
