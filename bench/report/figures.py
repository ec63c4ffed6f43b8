"""The figures of a suite, each by the function of its kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retable.bench.judging import views
from retable.bench.judging.views import Book
from retable.bench.report import from_artifacts, from_metrics, style
from retable.bench.report.drawn import Drawn, Job
from retable.bench.suite.schema import Arrays, Bars, Curves, Figure, Heatmap, Images, Importance, Lines

DRAWN_BY: dict[type[Figure], Callable[[Job[Any]], Drawn]] = {
    Curves: from_metrics.curves,
    Heatmap: from_metrics.heat,
    Lines: from_metrics.lines,
    Bars: from_metrics.bars,
    Importance: from_metrics.importances,
    Images: from_artifacts.images,
    Arrays: from_artifacts.array_lines,
}


def draw_all(book: Book) -> list[Drawn]:
    """Every figure of the suite, in its order."""
    with style.look():
        return [draw(book, name, figure) for name, figure in book.suite.figures.items()]


def draw(book: Book, name: str, figure: Figure) -> Drawn:
    """One figure. Use inside `style.look()`. Raises `ReportError` where a setting is unknown or left open."""
    problem = book.not_here(figure)
    if problem:
        return Drawn(name, figure, None, f"not at scale {book.scale}: {problem}")
    place = f"figures.{name}"
    for setting in figure.axes.values():
        book.require(place, setting)
    seen = views.look(book, place, figure)
    job = Job(book, name, figure, place, *book.apart(seen.cells))
    if not seen.cells:
        return job.undrawn(next((views.trouble(t) for t in seen.grid if t.state != "finished"), "no trial matches"))
    return DRAWN_BY[type(figure)](job)
