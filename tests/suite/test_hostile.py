"""A suite is somebody's text: its names cannot lead outside, reach a terminal or a page as markup, or hide numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from retable.bench.suite import loader, yaml12
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
