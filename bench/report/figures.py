"""Figures of a suite as pictures: gathers what a figure draws and hands it to the module of its kind.

Nothing here averages over anything but seeds, and nothing is left out in silence: what could not be drawn is
shown in its place and listed in `Drawn.gaps`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure as Drawing

from retable.bench.judging import views
from retable.bench.judging.views import Book, Cell, ReportError, Trial
from retable.bench.numbers import short
from retable.bench.report import arrays, heatmap, importance, mosaic, plots, style
from retable.bench.report.heatmap import Spot
from retable.bench.report.plots import Curve, Point
from retable.bench.report.style import Pen
from retable.bench.suite.schema import Figure
from retable.bench.suite.values import canonical, same, text


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
    for key in (figure.x, figure.y, figure.colour, figure.panels, figure.rows, figure.columns):
        if key is not None:
            book.require(place, key)
    seen = views.look(book, place, figure)
    kinds: dict[str, Callable[[_Job], Drawn]] = {
        "curves": _curves,
        "heatmap": _heatmap,
        "images": _images,
        "lines": _lines,
        "bars": _bars,
        "arrays": _arrays,
        "importance": _importance,
    }
    if not seen.cells:
        lost = next((views.trouble(t) for t in seen.grid if t.state != "finished"), "no trial matches")
        return Drawn(name, figure, None, f"nothing to draw: {lost}")
    return kinds[figure.kind](_Job(book, name, figure, place, seen.cells))


@dataclass(frozen=True)
class _Job:
    book: Book
    name: str
    figure: Figure
    place: str
    cells: list[Cell]

    def label(self, value: Any) -> str:
        return self.figure.labels.get(text(value), text(value))

    def named(self, setting: str, value: Any) -> str:
        """A value as a title: words stand for themselves, numbers carry the setting's name."""
        shown = self.label(value)
        plain = isinstance(value, (bool, int, float)) and text(value) not in self.figure.labels
        return f"{setting} {shown}" if plain else shown

    def values(self, setting: str | None) -> list[Any]:
        return views.values_of(self.cells, setting) if setting else [None]

    def at(self, **settings: Any) -> Cell | None:
        """The one cell with these values; raises where several are left, since only seeds are averaged."""
        wanted = {k: v for k, v in settings.items() if k}
        found = [c for c in self.cells if all(same(c.get(k), v) for k, v in wanted.items())]
        if len(found) > 1:
            raise ReportError(
                f"{self.place}: {len(found)} cells for {', '.join(f'{k} {text(v)}' for k, v in wanted.items())}, "
                f"which differ in {views.differing(found)}; name these in where, select.over or an axis"
            )
        return found[0] if found else None

    def pens(self) -> dict[str, Pen]:
        """Value of the colour setting -> pen, the same in every figure of the report."""
        setting = self.figure.colour
        if setting is None:
            return {"null": style.pens(1)[0]}
        every = views.values_of(views.cells(self.book.trials), setting)
        keys = [canonical(v) for v in every]
        return dict(zip(keys, style.pens(len(keys)), strict=True))

    def picture(self, made: Drawing | bytes, alt: str) -> Picture:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name)
        data, drawing = (made, None) if isinstance(made, bytes) else (style.encode(made), made)
        return Picture(f"{stem}.{style.kind(data)}", data, style.width(data), alt, drawing)

    def axis(self) -> str:
        unit = self.book.unit(self.figure.from_, self.figure.metric or "")
        return f"{self.figure.metric} ({unit})" if unit else str(self.figure.metric)

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


def _lost(cell: Cell) -> str:
    """What became of the seeds that did not finish, for a legend: `diverged at step 7`, `1 of 3 failed`."""
    lost = [t for t in cell.trials if t.state != "finished"]
    if not lost:
        return ""
    if len(cell.trials) == 1:
        return "failed" if lost[0].state == "failed" else views.trouble(lost[0])
    tally = views.states(lost)
    return ", ".join(f"{n} of {len(cell.trials)} {'not run' if s == 'missing' else s}" for s, n in tally.items())


def _empty(job: _Job, what: str) -> Drawn:
    gaps = job.gaps(job.cells)
    return Drawn(job.name, job.figure, None, f"nothing to draw: {'; '.join(gaps) or what}")


def _curves(job: _Job) -> Drawn:
    figure, metric = job.figure, job.figure.metric or ""
    drawable = [t for c in job.cells for t in c.in_state("finished", "diverged") if t.run_id]
    frame = job.book.results.curves([t.run_id for t in drawable], metric)
    by_run = {str(run): (part["step"].to_numpy(), part["value"].to_numpy()) for run, part in frame.groupby("run_id")}
    pens, panels = job.pens(), job.values(figure.panels)
    drawn: list[tuple[str, list[Curve]]] = []
    without: list[Trial] = []
    for panel in panels:
        curves = []
        for value in job.values(figure.colour):
            cell = job.at(**{figure.panels or "": panel, figure.colour or "": value})
            if cell is None:
                continue
            runs = [t for t in cell.trials if t.run_id in by_run]
            without += [t for t in cell.in_state("finished", "diverged") if t.run_id not in by_run]
            lost = _lost(cell) or ("" if runs else "no curve was logged")
            series = [by_run[t.run_id] for t in runs]
            ended = [t.state == "diverged" for t in runs]
            curves.append(Curve(job.named(figure.colour or "", value), pens[canonical(value)], series, ended, lost))
        drawn.append((job.named(figure.panels, panel) if figure.panels else "", curves))
    if not by_run:
        return _empty(job, f"no run logged {metric}")
    data = plots.curves(drawn, job.axis(), figure.log, figure.smooth, figure.wrap)
    seeds = max(len(c.series) for _, curves in drawn for c in curves)
    reading = []
    if figure.smooth > 1:
        reading.append(f"running mean over {figure.smooth} points" + (", every point faintly" if seeds == 1 else ""))
    if seeds >= 3:
        reading.append(f"mean of {seeds} seeds, band from the lowest to the highest")
    elif seeds == 2:
        reading.append("mean of 2 seeds, each as a thin line")
    if any(any(c.ended) for _, curves in drawn for c in curves):
        reading.append("a cross marks where a run diverged")
    gaps = job.gaps(job.cells) + tuple(f"no {metric} was logged: run {t.run_id}" for t in without)
    alt = f"{metric} over training steps, a line per {figure.colour}"
    chart = {"axis": job.axis(), "log": figure.log, "panels": [_chart(*p, figure) for p in drawn]}
    return Drawn(job.name, figure, job.picture(data, alt), chart=chart, gaps=gaps, reading="; ".join(reading))


def _chart(title: str, curves: Sequence[Curve], figure: Figure) -> dict[str, Any]:
    """The means of a panel's curves to five digits, for the page that shows values under the pointer."""
    lines = []
    for curve in curves:
        found = plots.middle(curve, figure.log, figure.smooth)
        if found is not None:
            x, y = found
            points = [[int(a), float(f"{b:.5g}")] for a, b in zip(x.tolist(), y.tolist(), strict=True)]
            lines.append({"label": curve.label, "colour": curve.pen.colour, "points": points})
    return {"title": title, "lines": lines}


def _heatmap(job: _Job) -> Drawn:
    figure, metric = job.figure, job.figure.metric or ""
    x, y = figure.x or "", figure.y or ""
    xs, ys, panels = job.values(x), job.values(y), job.values(figure.panels)
    grids: list[tuple[str, list[list[Spot]]]] = []
    for panel in panels:
        rows = []
        for b in ys:
            row = []
            for a in xs:
                cell = job.at(**{figure.panels or "": panel, x: a, y: b})
                if cell is None:
                    row.append(Spot(None, "–"))
                    continue
                values = list(cell.values(metric).values())
                if values and not cell.in_state("diverged"):
                    row.append(Spot(views.mean(values)))
                else:
                    state = next((t.state for t in cell.trials if t.state != "finished"), "missing")
                    row.append(Spot(None, {"diverged": "diverged", "failed": "failed"}.get(state, "not run")))
            rows.append(row)
        grids.append((job.named(figure.panels, panel) if figure.panels else "", rows))
    if not any(spot.value is not None for _, rows in grids for row in rows for spot in row):
        return _empty(job, f"no run has {metric}")
    better = job.book.better(figure.from_, metric)
    axes = heatmap.Axes(x, [job.label(v) for v in xs], y, [job.label(v) for v in ys])
    data = heatmap.draw(grids, axes, job.axis(), figure.log, better, figure.wrap)
    reading = "one colour scale for all panels" if len(panels) > 1 else ""
    if better:
        reading = "; ".join(
            filter(None, [reading, f"darker is better; the {better[:-2]}est value of a panel is outlined"])
        )
    alt = f"{metric} over {x} and {y}" + (f", a panel per {figure.panels}" if figure.panels else "")
    return Drawn(job.name, figure, job.picture(data, alt), gaps=job.gaps(job.cells, metric), reading=reading)


def _points(job: _Job, panel: Any) -> list[tuple[str, Pen, list[Point]]]:
    figure, metric = job.figure, job.figure.metric or ""
    pens, lines = job.pens(), []
    for value in job.values(figure.colour):
        points = []
        for x in job.values(figure.x):
            wanted = {figure.panels or "": panel, figure.x or "": x, figure.colour or "": value}
            cell = job.at(**wanted)
            if cell is None:
                continue
            lost = _lost(cell)
            points.append(Point(x, list(cell.values(metric).values()), lost))
        if points:
            label = job.named(figure.colour, value) if figure.colour else ""
            lines.append((label, pens[canonical(value)], points))
    return lines


def _series(job: _Job, how: Callable[..., Drawing], alt: str) -> Drawn:
    figure, metric = job.figure, job.figure.metric or ""
    groups = [
        (job.named(figure.panels, panel) if figure.panels else "", _points(job, panel))
        for panel in job.values(figure.panels)
    ]
    counts = [len(p.values) for _, lines in groups for _, _, points in lines for p in points]
    if not any(counts):
        return _empty(job, f"no run has {metric}")
    labels: Mapping[str, str] = {text(v): job.label(v) for v in job.values(figure.x)}
    data = how(groups, figure.x or "", labels, job.axis(), figure.log, figure.wrap)
    reading = ""
    if max(counts) >= 3:
        reading = f"mean of {max(counts)} seeds with its 95 % t interval; each seed as a small dot"
    elif max(counts) == 2:
        reading = "mean of 2 seeds; each seed as a small dot"
    return Drawn(job.name, figure, job.picture(data, alt), gaps=job.gaps(job.cells, metric), reading=reading)


def _lines(job: _Job) -> Drawn:
    return _series(job, plots.lines, f"{job.figure.metric} over {job.figure.x}")


def _bars(job: _Job) -> Drawn:
    return _series(job, plots.dots, f"{job.figure.metric} per {job.figure.x}")


def _importance(job: _Job) -> Drawn:
    figure, metric = job.figure, job.figure.metric or ""
    search = job.book.suite.experiments[figure.from_[0]].search
    assert search is not None  # checked when the suite was read
    every = [t for c in job.cells for t in c.trials]
    trials = [t for t in every if t.state == "finished" and metric in t.metrics]
    if len(trials) < importance.FEWEST:
        return _empty(job, f"{len(trials)} of {len(every)} trials finished; importances need {importance.FEWEST}")
    chosen, values = [t.settings for t in trials], [t.metrics[metric] for t in trials]
    data = importance.draw(search.space, chosen, values, job.axis(), search.direction)
    best = (max if search.direction == "maximize" else min)(trials, key=lambda t: t.metrics[metric])
    shown = {name: best.settings[name] for name in search.space}
    found = ", ".join(f"{n} {short(v, 3) if isinstance(v, float) else text(v)}" for n, v in shown.items())
    reading = (
        f"fANOVA over {len(trials)} finished trials of {len(every)} (the others ended early or were not run); "
        f"best (circled): {found}; few trials make uncertain shares"
    )
    alt = f"share of each searched setting in the variance of {metric}, and {metric} over each"
    lost = job.gaps([c for c in job.cells if not c.in_state("pruned")])
    return Drawn(job.name, figure, job.picture(data, alt), gaps=lost, reading=reading)


def _images(job: _Job) -> Drawn:
    figure, artifact = job.figure, job.figure.artifact or ""
    first = [_any_run(job, label, path) for label, path in figure.also.items()]
    if figure.rows and figure.columns:
        rows, columns = job.values(figure.rows), job.values(figure.columns)
        grid = [
            [_tile(job, job.at(**{figure.rows: r, figure.columns: c}), artifact, "") for c in columns] for r in rows
        ]
        sheet = mosaic.Sheet(
            first,
            grid,
            [job.named(figure.rows, r) for r in rows],
            [job.named(figure.columns, c) for c in columns],
        )
        labelled = [
            mosaic.Tile(f"{sheet.row_labels[i]}, {sheet.column_labels[j]}", tile.image, tile.why)
            for i, row in enumerate(grid)
            for j, tile in enumerate(row)
        ]
    else:
        along = figure.rows or figure.columns
        if along:
            labelled = [_tile(job, job.at(**{along: v}), artifact, job.named(along, v)) for v in job.values(along)]
        else:
            names = views.varying(job.cells)
            labelled = [
                _tile(job, c, artifact, views.describe(c, names, figure.labels) or figure.title) for c in job.cells
            ]
        sheet = mosaic.Sheet([], mosaic.lines([*first, *labelled], figure.wrap))
    every = [*first, *labelled]
    gaps = tuple(f"{tile.label or 'a picture'}: {tile.why}" for tile in every if tile.why)
    tiles = tuple((tile.label, mosaic.encode(tile.image)) for tile in every if tile.image is not None)
    if not tiles:
        return Drawn(job.name, figure, None, f"nothing to draw: {'; '.join(gaps)}")
    seeds = {t.seed for c in job.cells for t in c.trials}
    reading = f"seed {min(seeds)} of {len(seeds)}" if len(seeds) > 1 else ""
    small = mosaic.enlarged(sheet)
    reading = "; ".join(filter(None, [reading, small]))
    alt = f"{figure.title}: {', '.join(label for label, _ in tiles)}"
    return Drawn(job.name, figure, job.picture(mosaic.compose(sheet), alt), tiles=tiles, gaps=gaps, reading=reading)


def _tile(job: _Job, cell: Cell | None, artifact: str, label: str) -> mosaic.Tile:
    """The picture of a cell's first finished seed."""
    if cell is None:
        return mosaic.Tile(label, None, f"not part of scale {job.book.scale}")
    for trial in cell.in_state("finished"):
        try:
            return mosaic.Tile(label, mosaic.load(job.book.results.artifact(trial.run_id, artifact)), "")
        except FileNotFoundError:
            return mosaic.Tile(label, None, f"the run saved no {artifact}")
    return mosaic.Tile(label, None, views.trouble(cell.trials[0]))


def _any_run(job: _Job, label: str, artifact: str) -> mosaic.Tile:
    runs = [t for c in job.cells for t in c.in_state("finished")]
    for trial in runs:
        try:
            return mosaic.Tile(label, mosaic.load(job.book.results.artifact(trial.run_id, artifact)), "")
        except FileNotFoundError:
            continue
    return mosaic.Tile(label, None, f"no run saved {artifact}" if runs else "not run")


def _arrays(job: _Job) -> Drawn:
    figure = job.figure
    panels = figure.arrays or []
    rows = [_row(job, value) for value in job.values(figure.rows)]
    gaps = tuple(f"{row.label or figure.title}: {row.why}" for row in rows if row.why)
    if all(row.why for row in rows):
        return Drawn(job.name, figure, None, f"nothing to draw: {'; '.join(gaps)}")
    seeds = {t.seed for c in job.cells for t in c.trials}
    reading = f"seed {min(seeds)} of {len(seeds)}" if len(seeds) > 1 else ""
    alt = f"{figure.title}: {', '.join(panel.title for panel in panels)}"
    data = arrays.draw(rows, panels, figure.by)
    return Drawn(job.name, figure, job.picture(data, alt), gaps=gaps, reading=reading)


def _row(job: _Job, value: Any) -> arrays.Row:
    """The arrays of the first finished seed of a row's cell."""
    figure = job.figure
    label = job.named(figure.rows, value) if figure.rows else ""
    cell = job.at(**{figure.rows or "": value})
    if cell is None:
        return arrays.Row(label, {}, f"not part of scale {job.book.scale}")
    for trial in cell.in_state("finished"):
        try:
            path = job.book.results.artifact(trial.run_id, figure.artifact or "")
        except FileNotFoundError:
            return arrays.Row(label, {}, f"the run saved no {figure.artifact}")
        row = arrays.Row(label, arrays.read(path.read_bytes()))
        return arrays.Row(label, row.arrays, arrays.lacking(row, figure.arrays or [], figure.by))
    return arrays.Row(label, {}, views.trouble(cell.trials[0]))
