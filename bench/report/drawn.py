"""What a figure becomes, and what every kind of figure needs to become it: cells, labels, pens, gaps.

Nothing here averages over anything but seeds, and nothing is left out in silence: what could not be drawn is
shown in its place and listed in `Drawn.gaps`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from matplotlib.figure import Figure as Drawing

from retable.bench.judging import views
from retable.bench.judging.views import Book, Cell, ReportError
from retable.bench.report import style
from retable.bench.report.style import Pen
from retable.bench.report.words import capital
from retable.bench.suite.schema import Figure
from retable.bench.suite.values import canonical, same, text

F = TypeVar("F", bound=Figure, covariant=True)


@dataclass(frozen=True)
class Picture:
    """An encoded picture. file: its name; width: CSS pixels to show it at; alt: what it shows, in words.

    drawing: what it was made from, unless it is made of pictures; for `style.pdf`.
    """

    file: str
    data: bytes = field(repr=False)
    width: int
    alt: str
    drawing: Drawing | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Drawn:
    """A figure ready for a page. picture: None where there is nothing to draw, and `problem` says why.

    tiles: of an images figure, the single pictures that were there (label, PNG), for a closer look.
    chart: of a curves figure, its lines as data, to be read off under the pointer.
    gaps: what is missing in the picture, in words. reading: how to read it (bands, outlines).
    """

    name: str
    figure: Figure
    picture: Picture | None
    problem: str = ""
    tiles: tuple[tuple[str, bytes], ...] = ()
    chart: Mapping[str, Any] | None = None
    gaps: tuple[str, ...] = ()
    reading: str = ""

    @property
    def said(self) -> tuple[str, ...]:
        """What stands under it beside its title: how to read it, and the suite's note."""
        return tuple(filter(None, (f"{capital(self.reading)}." if self.reading else "", self.figure.note)))

    @property
    def missing(self) -> str:
        """What the picture lacks, as a sentence; empty where there is no picture, since `problem` says it then."""
        return f"Missing here: {'; '.join(self.gaps)}." if self.gaps and self.picture else ""


@dataclass(frozen=True)
class Job(Generic[F]):
    """A figure to draw from these cells. place: where it is declared, for errors. references: the cells of yardsticks,
    which are no methods of the paper and are drawn apart."""

    book: Book
    name: str
    figure: F
    place: str
    cells: list[Cell]
    references: list[Cell]

    def label(self, value: Any) -> str:
        return self.figure.labels.get(text(value), text(value))

    def named(self, setting: str | None, value: Any) -> str:
        """A value as a title: words stand for themselves, numbers carry the setting's name."""
        if setting is None:
            return ""
        shown = self.label(value)
        plain = isinstance(value, (bool, int, float)) and text(value) not in self.figure.labels
        return f"{setting} {shown}" if plain else shown

    def values(self, setting: str | None) -> list[Any]:
        return views.values_of(self.cells, setting) if setting else [None]

    def at(self, settings: Mapping[str | None, Any]) -> Cell | None:
        """The one cell with these values; raises where several are left, since only seeds are averaged.

        A setting that the figure does not name (None) is no condition.
        """
        wanted = {k: v for k, v in settings.items() if k is not None}
        found = [c for c in self.cells if all(same(c.get(k), v) for k, v in wanted.items())]
        if len(found) > 1:
            raise ReportError(
                f"{self.place}: {len(found)} cells for {', '.join(f'{k} {text(v)}' for k, v in wanted.items())}, "
                f"which differ in {views.differing(found)}; name these in where, select.over or an axis"
            )
        return found[0] if found else None

    def yardsticks(self, settings: Mapping[str | None, Any] = {}, along: str | None = None) -> list[tuple[str, Cell]]:
        """The references to show where these settings hold, with their labels; `along` says no more of them.

        A setting is a condition only on a reference that takes several values of it.
        """
        found = []
        for own in dict.fromkeys(c.trials[0].experiment for c in self.references):
            cells = [c for c in self.references if c.trials[0].experiment == own]
            names = views.varying(cells)
            cells = [c for c in cells if all(k not in names or same(c.get(k), v) for k, v in settings.items())]
            rest = [n for n in names if n not in settings and n != along]
            label = self.figure.labels.get(own, own)
            found += [(", ".join(filter(None, [label, views.describe(c, rest, self.figure.labels)])), c) for c in cells]
        return found

    @property
    def references_said(self) -> str:
        """What the references do, in words; empty where there is none."""
        own = dict.fromkeys(c.trials[0].experiment for c in self.references)
        said = [f"{self.figure.labels.get(e, e)} ({self.book.suite.experiments[e].reference})" for e in own]
        return f"references, no methods of the paper: {', '.join(said)}" if said else ""

    def pens(self, setting: str | None) -> dict[str, Pen]:
        """Value of the colour setting -> pen, the same in every figure of the report."""
        if setting is None:
            return {"null": style.pens(1)[0]}
        methods, _ = self.book.apart(views.cells(self.book.trials))
        every = views.values_of(methods, setting)
        keys = [canonical(v) for v in every]
        return dict(zip(keys, style.pens(len(keys)), strict=True))

    def drawn(self, made: Drawing | bytes, alt: str, **more: Any) -> Drawn:
        """The figure with its picture."""
        reading = "; ".join(filter(None, [more.pop("reading", ""), self.references_said]))
        return Drawn(self.name, self.figure, self._picture(made, alt), reading=reading, **more)

    def undrawn(self, why: str) -> Drawn:
        """The figure without one."""
        return Drawn(self.name, self.figure, None, f"nothing to draw: {why}")

    def _picture(self, made: Drawing | bytes, alt: str) -> Picture:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name)
        data, drawing = (made, None) if isinstance(made, bytes) else (style.encode(made), made)
        return Picture(f"{stem}.{style.kind(data)}", data, style.width(data), alt, drawing)

    def axis(self, metric: str) -> str:
        """A metric with its unit, in the suite's words where it has some."""
        unit, words = self.book.unit(self.figure.from_, metric), getattr(self.figure, "metric_label", "") or metric
        return f"{words} ({unit})" if unit else words

    def one_seed(self) -> str:
        """Which seed stands for the others where pictures cannot be averaged, or an empty text."""
        seeds = {t.seed for c in self.cells for t in c.trials}
        return f"seed {min(seeds)} of {len(seeds)}" if len(seeds) > 1 else ""

    def gaps(self, cells: Sequence[Cell], metric: str | None = None) -> tuple[str, ...]:
        """Every trial that has nothing to show, by reason."""
        names = views.varying(self.cells)
        said = []
        for cell in cells:
            lost = cell.lacking(metric) if metric else [t for t in cell.trials if t.state != "finished"]
            for trial in lost:
                label = views.describe(cell, names, self.figure.labels) or trial.experiment
                said.append((views.trouble(trial), label + (f" seed {trial.seed}" if len(cell.trials) > 1 else "")))
        return tuple(views.grouped(said))
