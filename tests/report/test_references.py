"""References: cheap yardsticks stand apart from the paper's methods in every form of a report, and win nothing."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import ROOT, Ran, command

from retable.bench import api
from retable.bench.judging import views
from retable.bench.report import figures, style

Bench = Callable[..., Ran]

REFERENCES = """\
  unmoved:
    task: descent
    about: hardly a step
    settings: {steps: {value: 1, source: "assumed: one"}, lr: {value: 0.1, source: "assumed: small"}}
    seeds: 3
    reference: one step from the start
  bottom:
    task: descent
    about: very many steps
    settings: {steps: {value: 3000, source: "assumed: many"}, lr: {value: 0.01, source: "assumed: fine"}}
    reference: the way down, walked to its end
"""
VIEWS = """\
  figure2:
    {title: Loss along the rate, from: [grid, unmoved], kind: lines, metric: loss/final, x: lr, colour: method}
  figure3:
    {title: Loss by method, from: [grid, unmoved], where: {lr: 0.1}, kind: bars, metric: loss/final, x: method,
      labels: {unmoved: the start}}
  figure4: {title: Loss of both, from: [grid, unmoved], kind: heatmap, metric: loss/final, x: lr, y: method}
  figure5:
    {title: Pictures, from: [grid, unmoved], kind: images, where: {lr: 0.1}, columns: method,
      artifact: images/picture.png}
claims:
"""


def edited(text: str) -> str:
    """The toy suite with two references, and views that show them."""
    table = text.index("figures:")
    new = text[:table].replace("    from: grid\n", "    from: [grid, unmoved, bottom]\n")
    new = new.replace(
        "loss: {metric: loss/final, label: Loss}",
        "loss: {metric: loss/final, label: Loss}\n"
        "      ratio: {metric: loss/final, label: to best, relative_to: lowest, format: .1f}",
    )
    rest = text[table:].replace(
        "    from: grid\n    kind: curves", "    from: [grid, unmoved, bottom]\n    kind: curves"
    )
    return new.replace("  grid:\n", REFERENCES + "  grid:\n", 1) + rest.replace("claims:\n", VIEWS)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """The folder of the report in every form, after a run."""
    project = tmp_path_factory.mktemp("references") / "project"
    shutil.copytree(ROOT / "tests" / "toy", project, ignore=shutil.ignore_patterns("__pycache__"))
    (project / "mlruns").mkdir()
    shutil.copy(empty_store, project / "mlruns" / "mlflow.db")
    suite = project / "suites" / "toy.yaml"
    suite.write_text(edited(suite.read_text()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        ran = command("run", "toy", "--workers", "1", "--where", "experiment!=tune", "--no-report")
        assert ran.wait(240) == 0
        formats = [word for form in ("md", "html", "latex", "csv") for word in ("--format", form)]
        told = command("report", "toy", *formats)
        assert told.wait(240) == 0
    yield project / "reports" / "toy"


def test_a_row_of_a_reference_is_italic_and_its_footnote_says_what_it_does(reported: Path) -> None:
    page = (reported / "quick.md").read_text()
    (row,) = re.findall(r"^\| \*unmoved\*<sup>(\w)</sup> \|", page, re.MULTILINE)
    assert f"<sup>{row}</sup> reference: one step from the start" in page
    assert re.search(r"^\| plain \|", page, re.MULTILINE)  # a method's label is plain
    html = (reported / "quick.html").read_text()
    assert '<tr class="reference"><th scope="row"><i>bottom</i><sup title="reference: the way down, walked' in html
    tex = (reported / "quick.tex").read_text()
    assert r"\emph{unmoved} &" in tex and "unmoved (one step from the start)" in tex


def test_a_reference_has_no_published_value_and_is_never_the_best(reported: Path) -> None:
    with (reported / "quick" / "values.csv").open() as file:
        rows = {(r["row"], r["column"]): r for r in csv.DictReader(file) if r["table"] == "table1"}
    assert rows["plain", "loss"]["published"] == "0.1" and rows["plain", "loss"]["reference"] == ""
    own = rows["reference bottom", "loss"]
    assert (own["published"], own["reference"]) == ("", "the way down, walked to its end")
    best = min(float(rows[method, "loss"]["measured"]) for method in ("plain", "momentum"))
    assert float(own["measured"]) < best  # it would have been the best
    ratios = {row: float(rows[row, "ratio"]["measured"]) for row in ("plain", "momentum", "reference bottom")}
    assert min(ratios["plain"], ratios["momentum"]) == 1 > ratios["reference bottom"]
    assert ratios["reference bottom"] == pytest.approx(float(own["measured"]) / best)


def test_in_curves_a_reference_is_a_level_and_not_in_the_legend(reported: Path) -> None:
    book = views.read(api.results(reported.parents[1] / "suites" / "toy.yaml"))
    with style.look():
        drawn = {name: figures.draw(book, name, figure) for name, figure in book.suite.figures.items()}
    curves = drawn["figure1"]
    assert curves.picture is not None and curves.picture.drawing is not None and curves.chart is not None
    (legend,) = curves.picture.drawing.legends
    assert sorted(words.get_text() for words in legend.get_texts()) == ["momentum", "plain"]
    (frame,) = curves.picture.drawing.axes
    assert [words.get_text() for words in frame.texts] == ["unmoved"]
    level = next(line for line in frame.get_lines() if len(set(line.get_ydata())) == 1 and len(line.get_ydata()) == 2)
    assert level.get_color() == style.MUTED and level.get_linestyle() == "--"
    lines = {line["label"]: line["points"] for line in curves.chart["panels"][0]["lines"]}
    own = [t.metrics for t in book.trials if t.experiment == "unmoved"]
    total, final = (sum(found[metric] for found in own) / 3 for metric in ("loss/total", "loss/final"))
    assert {y for _, y in lines["unmoved"]} == {float(f"{total:.5g}")}
    assert "references, no methods of the paper: unmoved (one step from the start)" in curves.reading

    along = drawn["figure2"].picture
    assert along is not None and along.drawing is not None
    assert "unmoved" in {words.get_text() for words in along.drawing.axes[0].texts}
    bars = drawn["figure3"].picture
    assert bars is not None and bars.drawing is not None
    assert [words.get_text() for words in bars.drawing.axes[0].get_yticklabels()] == ["plain", "momentum", "the start"]
    assert f"unmoved: {final:.4g}" in drawn["figure4"].reading
    assert [label for label, _ in drawn["figure5"].tiles] == ["plain", "momentum", "unmoved (reference)"]


def test_what_was_run_says_which_are_references(reported: Path) -> None:
    assert "hardly a step; reference: one step from the start" in (reported / "quick.md").read_text()
    assert json.loads((reported / "quick.json").read_text())["suite"] == "toy"


def test_a_published_value_of_a_reference_is_refused(project: Path, bench: Bench) -> None:
    suite = project / "suites" / "toy.yaml"
    rows = "    rows: {a: {from: [unmoved]}, b: {}}\n"
    text = edited(suite.read_text()).replace("    rows: method\n", rows).replace("      plain: {lr", "      a: {lr")
    suite.write_text(text.replace("      momentum: {lr", "      b: {lr"))
    told = bench("plan", "toy")
    assert told.code == 2 and "tables.table1.published.a: is a reference's row" in told.err
