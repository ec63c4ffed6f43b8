"""Figures: every kind is drawn, the same each time, and what is missing is shown."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from report_sample import FLAT, hit, results, suite_with, troubled

from retable.bench.judging import views
from retable.bench.judging.views import ReportError
from retable.bench.report import curves, figures, style
from retable.bench.report.drawn import Drawn
from retable.bench.suite import schema

VECTOR = {"figure2", "figure2b", "figure3", "figure4", "figure5"}


def drawn(tmp_path: Path, name: str, **options: Any) -> Drawn:
    book = views.read(results(tmp_path, **options))
    with style.look():
        return figures.draw(book, name, book.suite.figures[name])


def opened(figure: Drawn) -> Image.Image:
    assert figure.picture is not None
    return Image.open(io.BytesIO(figure.picture.data))


@pytest.mark.parametrize("name", ["figure1", "figure2", "figure2b", "figure3", "figure4", "figure5", "figure6"])
def test_every_kind_is_drawn_small_sharp_and_the_same_each_time(tmp_path: Path, name: str) -> None:
    first, second = drawn(tmp_path, name, change=troubled), drawn(tmp_path, name, change=troubled)
    assert first.picture is not None and second.picture is not None
    assert first.picture.data == second.picture.data
    assert len(first.picture.data) <= style.LIMIT
    if first.picture.file.endswith(".svg"):
        assert name in VECTOR and first.picture.drawing is not None
        assert ElementTree.fromstring(first.picture.data).tag == "{http://www.w3.org/2000/svg}svg"
        assert (b"<image" in first.picture.data) == (name == "figure3")  # the shades of its key
    else:
        assert name not in VECTOR
        assert opened(first).width == pytest.approx(2 * first.picture.width, abs=1)
    assert 300 <= first.picture.width <= 830
    assert not re.search(rb"Software|matplotlib v|dc:date", first.picture.data, re.IGNORECASE)


def test_a_drawing_with_too_much_in_it_is_made_of_pixels() -> None:
    with style.look():
        figure = style.canvas(4, 3)
        figure.subplots().plot(np.random.default_rng(0).normal(size=(2, 40_000)).cumsum(axis=1)[0], "o", markersize=1)
        assert len(style.svg(figure)) > style.LIMIT
        data = style.encode(figure)
    assert (style.kind(data), style.width(data)) == ("png", 400)


def test_rounded_coordinates_draw_the_same_picture() -> None:
    """Digits are cut where they are positions of things on the page, not where they scale letters."""
    with style.look():
        figure = style.canvas(4, 3)
        figure.subplots().plot([0.123456789, 2], [1 / 3, 1])
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg")
        short = style.svg(figure).decode()
    scales = [re.findall(r"scale\(([^)]*)\)", text) for text in (buffer.getvalue().decode(), short)]
    assert scales[0] == scales[1] and scales[0]
    positions = [
        [float(n) for d in re.findall(r' d="([^"]*)"', text) for n in re.findall(r"-?\d+(?:\.\d+)?", d)]
        for text in (buffer.getvalue().decode(), short)
    ]
    assert positions[1] == pytest.approx(positions[0], abs=0.0051)


def test_the_gaps_of_a_figure_are_told(tmp_path: Path) -> None:
    assert drawn(tmp_path, "figure1", change=troubled).gaps == ("AdaMax: not run",)
    assert "failed: RuntimeError" in " ".join(drawn(tmp_path, "figure3", change=troubled).gaps)
    assert drawn(tmp_path, "figure3").gaps == ()


def test_a_figure_of_another_scale_or_without_runs_says_why(tmp_path: Path) -> None:
    assert drawn(tmp_path, "figure7").problem == "not at scale quick: 40 hours on one GPU"
    for name in ("figure1", "figure2", "figure3", "figure4", "figure5"):
        nothing = drawn(tmp_path, name, change=lambda row: {"state": "missing"})
        assert nothing.picture is None
        assert nothing.problem.startswith("nothing to draw: ")
        assert "not run" in nothing.problem


def test_a_missing_artifact_leaves_a_placeholder(tmp_path: Path) -> None:
    whole = results(tmp_path)

    def artifact(run_id: str, path: str) -> Path:
        if "style.png" in path:
            raise FileNotFoundError(path)
        return whole.artifact(run_id, path)

    book = views.read(type(whole)(whole.suite, whole.scale, whole.trials, whole.facts, whole.curves, artifact))
    with style.look():
        figure = figures.draw(book, "figure1", book.suite.figures["figure1"])
    assert figure.gaps == ("style: no run saved images/style.png",)
    assert len(figure.tiles) == 9


def test_a_setting_left_open_is_refused_with_what_to_do(tmp_path: Path) -> None:
    figure = {"title": "x", "kind": "bars", "from": "grid", "metric": "loss/total", "x": "optimizer"}
    with pytest.raises(
        ReportError, match=r"figures\.f: 16 cells for optimizer adagrad, which differ in lr, batch_size"
    ):
        drawn(tmp_path, "f", suite=suite_with(figures={"f": figure}))


def test_a_diverged_run_does_not_stretch_the_axis(tmp_path: Path) -> None:
    gone = {"state": "diverged", "reason": "at step 9"}
    figure = drawn(tmp_path, "figure2", change=lambda row: gone if hit(row, optimizer="adam", lr=0.001) else None)
    assert figure.gaps == ("diverged at step 9: adam",)
    assert "a cross marks where a run diverged" in figure.reading


@pytest.mark.parametrize(
    ("name", "tiles"),
    [
        ("figure1", ["Adam (collapsed)"]),
        ("figure6", [f"adam, lr {lr} (collapsed)" for lr in ("0.0001", "0.001", "0.01", "0.1")]),
    ],
)
def test_the_picture_of_a_collapsed_run_is_shown_with_the_word(tmp_path: Path, name: str, tiles: list[str]) -> None:
    flat = {"state": "collapsed", "reason": FLAT}
    figure = drawn(tmp_path, name, change=lambda row: flat if hit(row, optimizer="adam") else None)
    assert [label for label, _ in figure.tiles if "collapsed" in label] == tiles and figure.gaps == ()


def test_a_collapsed_cell_of_a_heat_map_is_the_word(tmp_path: Path) -> None:
    flat = {"state": "collapsed", "reason": FLAT}
    heat = schema.Heatmap(title="x", **{"from": "grid"}, kind="heatmap", metric="loss/total", x="lr", y="batch_size",
                          where={"optimizer": "adam"})  # fmt: skip
    suite = suite_with(figures={"figure3": heat.model_dump(by_alias=True, exclude_unset=True)})
    figure = drawn(tmp_path, "figure3", suite=suite, change=lambda row: flat if hit(row, lr=0.1) else None)
    assert figure.picture is not None and figure.picture.drawing is not None
    words = [text.get_text() for text in figure.picture.drawing.axes[0].texts]
    assert sum(word in ("collapsed", "coll.") for word in words) == 4 and len(words) == 16


def test_the_curve_of_a_collapsed_run_is_a_line_like_any_with_the_word_in_the_legend(tmp_path: Path) -> None:
    flat = {"state": "collapsed", "reason": FLAT}
    figure = drawn(tmp_path, "figure2", change=lambda row: flat if hit(row, optimizer="adam", lr=0.001) else None)
    assert figure.gaps == (f"collapsed: {FLAT}: adam",) and "cross" not in figure.reading
    assert figure.picture is not None and figure.picture.drawing is not None
    (legend,) = figure.picture.drawing.legends
    assert "adam\ncollapsed" in [words.get_text() for words in legend.get_texts()]
    assert figure.chart is not None and "adam" in [line["label"] for line in figure.chart["panels"][0]["lines"]]


def test_no_mean_counts_a_collapsed_seed_beside_finished_ones() -> None:
    (pen,) = style.pens(1)
    series = [(np.arange(3.0), np.full(3, level)) for level in (1.0, 3.0, 100.0)]
    some = curves.Curve("a", pen, series, ["finished", "finished", "collapsed"])
    found = curves.middle(some, False, 1)
    assert found is not None and found[1].tolist() == [2.0, 2.0, 2.0]
    alone = curves.middle(curves.Curve("a", pen, series[2:], ["collapsed"]), False, 1)
    assert alone is not None and alone[1].tolist() == [100.0] * 3
    assert curves.middle(curves.Curve("a", pen, series[2:], ["diverged"]), False, 1) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3000))
def test_thinning_keeps_extremes_ends_and_order(values: list[float]) -> None:
    steps = np.arange(len(values), dtype=np.float64)
    x, y = curves.thinned(steps, np.array(values), most=100)
    assert len(x) <= 103
    assert (y.min(), y.max(), y[0], y[-1]) == (min(values), max(values), values[0], values[-1])
    assert (np.diff(x) > 0).all()


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.integers(1, 80))
def test_smoothing_is_a_running_mean(values: list[float], window: int) -> None:
    got = curves.smoothed(np.array(values), window)
    expected = [np.mean(values[max(0, i - window + 1) : i + 1]) for i in range(len(values))]
    assert got == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 40))
def test_no_two_pens_are_the_same(n: int) -> None:
    pens = [(p.colour, p.dash, p.marker) for p in style.pens(n)]
    assert len(set(pens)) == n
    assert len({(dash, marker) for _, dash, marker in pens[:8]}) == min(n, 8)  # eight lines in grey


@given(st.floats(1e-9, 1e9), st.floats(1.05, 1e12))
def test_logarithmic_axes_have_a_readable_number_of_ticks(low: float, factor: float) -> None:
    ticks = style.log_ticks(low, low * factor)
    assert 2 <= len(ticks) <= 8
    assert all(low * 0.999 <= t <= low * factor * 1.001 for t in ticks)


def test_every_kind_of_figure_has_its_own_function_and_keys() -> None:
    """A kind that the suite format knows and nothing draws would fail only when its report is made."""
    kinds = get_args(get_args(schema.AnyFigure)[0])
    assert set(figures.DRAWN_BY) == set(kinds)
    assert len(set(figures.DRAWN_BY.values())) == len(kinds)
    for kind in kinds:
        words = get_args(kind.model_fields["kind"].annotation)
        assert words == (kind.__name__.lower(),)


@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        ("curves", {"metric", "colour"}),
        ("heatmap", {"metric", "x", "y"}),
        ("lines", {"metric", "x"}),
        ("bars", {"metric", "x"}),
        ("importance", {"metric"}),
        ("images", {"artifact"}),
        ("arrays", {"artifact", "arrays"}),
    ],
)
def test_a_kind_needs_what_it_draws(kind: str, needs: set[str]) -> None:
    with pytest.raises(ValidationError) as error:
        suite_with(figures={"f": {"title": "t", "from": "grid", "kind": kind}})
    assert {item["loc"][-1] for item in error.value.errors()} == needs
    assert {item["type"] for item in error.value.errors()} == {"missing"}


def test_axes_are_named_in_the_suites_words_and_a_threshold_stands_where_it_is(tmp_path: Path) -> None:
    spec = {
        "title": "Loss over rates",
        "kind": "lines",
        "from": "grid",
        "where": {"optimizer": "adam", "batch_size": 4},
        "metric": "loss/total",
        "metric_label": "what is lost",
        "x": "lr",
        "x_label": "learning rate α",
        "thresholds": {"theory": 0.003},
    }
    found = drawn(tmp_path, "f", suite=suite_with(figures={"f": spec}))
    assert found.picture is not None and found.picture.drawing is not None
    (frame,) = found.picture.drawing.axes
    assert (frame.get_xlabel(), frame.get_ylabel()) == ("learning rate α", "what is lost, in 10⁶")
    dotted = [line for line in frame.lines if line.get_linestyle() == ":"]
    assert [float(line.get_xdata()[0]) for line in dotted] == [0.003]
    assert "theory" in [text.get_text() for text in frame.texts]
