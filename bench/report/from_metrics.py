"""Figures of metrics: gathers the numbers of curves, heat maps, lines, bars and importances, and has them drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure as Drawing

from retable.bench.judging import views
from retable.bench.judging.views import Cell, Result
from retable.bench.numbers import short
from retable.bench.report import axes, heatmap, importance, plots, style
from retable.bench.report import curves as drawing
from retable.bench.report.axes import Level
from retable.bench.report.curves import Curve
from retable.bench.report.drawn import Drawn, Job
from retable.bench.report.heatmap import Spot
from retable.bench.report.plots import Point
from retable.bench.report.style import Pen
from retable.bench.store.status import LOST
from retable.bench.suite.schema import Bars, Curves, Figure, Heatmap, Importance, Lines
from retable.bench.suite.values import canonical, text


def _lost(cell: Cell) -> str:
    """What became of the seeds that did not finish, for a legend: `diverged at step 7`, `1 of 3 failed`."""
    lost = [t for t in cell.trials if t.state != "finished"]
    if not lost:
        return ""
    if len(cell.trials) == 1:
        return lost[0].state if lost[0].state in ("failed", "collapsed") else views.trouble(lost[0])
    tally = views.states(lost)
    return ", ".join(f"{n} of {len(cell.trials)} {'not run' if s == 'missing' else s}" for s, n in tally.items())


def _empty(job: Job[Figure], what: str) -> Drawn:
    return job.undrawn("; ".join(job.gaps(job.cells)) or what)


def curves(job: Job[Curves]) -> Drawn:
    """A metric over training steps, a line per value of a setting."""
    figure, metric = job.figure, job.figure.metric
    drawable = [t for c in job.cells for t in c.in_state("finished", *LOST) if t.run_id]
    frame = job.book.results.curves([t.run_id for t in drawable], metric)
    by_run = {str(run): (part["step"].to_numpy(), part["value"].to_numpy()) for run, part in frame.groupby("run_id")}
    pens, panels = job.pens(figure.colour), job.values(figure.panels)
    drawn: list[tuple[str, list[Curve]]] = []
    without: list[Result] = []
    for panel in panels:
        curves = []
        for value in job.values(figure.colour):
            cell = job.at({figure.panels: panel, figure.colour: value})
            if cell is None:
                continue
            runs = [t for t in cell.trials if t.run_id in by_run]
            without += [t for t in cell.in_state("finished", *LOST) if t.run_id not in by_run]
            lost = _lost(cell) or ("" if runs else "no curve was logged")
            series = [by_run[t.run_id] for t in runs]
            ended = [t.state for t in runs]
            curves.append(Curve(job.named(figure.colour, value), pens[canonical(value)], series, ended, lost))
        drawn.append((job.named(figure.panels, panel), curves))
    if not by_run:
        return _empty(job, f"no run logged {metric}")
    levels = [_levels(job, panel) for panel in panels]
    data = drawing.draw(drawn, job.axis(metric), figure.log, figure.smooth, figure.wrap, levels)
    gaps = (*job.gaps(job.cells), *job.gaps(job.references, metric))
    gaps += tuple(f"no {metric} was logged: run {t.run_id}" for t in without)
    alt = f"{metric} over training steps, a line per {figure.colour}"
    read_off = [_chart(*panel, several, figure) for panel, several in zip(drawn, levels, strict=True)]
    chart = {"axis": job.axis(metric), "log": figure.log, "panels": read_off}
    return job.drawn(data, alt, chart=chart, gaps=gaps, reading=_reading(drawn, figure.smooth))


def _reading(drawn: Sequence[tuple[str, Sequence[Curve]]], smooth: int) -> str:
    """How to read the curves: what was averaged, and over what."""
    every = [curve for _, curves in drawn for curve in curves]
    seeds = max(len(curve.series) for curve in every)
    said = []
    if smooth > 1:
        said.append(f"running mean over {smooth} points" + (", every point faintly" if seeds == 1 else ""))
    if seeds >= 3:
        said.append(f"mean of {seeds} seeds, band from the lowest to the highest")
    elif seeds == 2:
        said.append("mean of 2 seeds, each as a thin line")
    if any("diverged" in curve.ended for curve in every):
        said.append("a cross marks where a run diverged")
    return "; ".join(said)


def _levels(job: Job[Curves | Lines | Bars], panel: Any, along: str | None = None) -> list[Level]:
    """What the references of a panel reach; at which values of `along`, where they are others at each."""
    several = len(views.values_of(job.references, along)) > 1 if along else False
    found = []
    for label, cell in job.yardsticks({job.figure.panels: panel}, along):
        values = cell.values(job.figure.metric)
        if values:
            found.append(Level(label, views.mean(values.values()), cell.get(along or "") if several else None))
    return found


def _chart(title: str, curves: Sequence[Curve], levels: Sequence[Level], figure: Curves) -> dict[str, Any]:
    """The means of a panel's curves to five digits, for the page that shows values under the pointer."""
    lines: list[dict[str, Any]] = []
    for curve in curves:
        found = drawing.middle(curve, figure.log, figure.smooth)
        if found is not None:
            x, y = found
            points = [[int(a), float(f"{b:.5g}")] for a, b in zip(x.tolist(), y.tolist(), strict=True)]
            lines.append({"label": curve.label, "colour": curve.pen.colour, "points": points})
    steps = [step for line in lines for step, _ in line["points"]]
    for level in axes.shown(levels, figure.log) if steps else ():
        points = [[step, float(f"{level.value:.5g}")] for step in (min(steps), max(steps))]
        lines.append({"label": level.label, "colour": style.MUTED, "points": points})
    return {"title": title, "lines": lines}


def heat(job: Job[Heatmap]) -> Drawn:
    """A metric over two settings."""
    figure, metric = job.figure, job.figure.metric
    x, y = figure.x, figure.y
    xs, ys, panels = job.values(x), job.values(y), job.values(figure.panels)
    grids = [
        (
            job.named(figure.panels, panel),
            [[_spot(job.at({figure.panels: panel, x: a, y: b}), metric) for a in xs] for b in ys],
        )
        for panel in panels
    ]
    if not any(spot.value is not None for _, rows in grids for row in rows for spot in row):
        return _empty(job, f"no run has {metric}")
    better = job.book.better(figure.from_, metric)
    axes = heatmap.Axes(x, [job.label(v) for v in xs], y, [job.label(v) for v in ys])
    data = heatmap.draw(grids, axes, job.axis(metric), figure.log, better, figure.wrap)
    said = ["one colour scale for all panels"] if len(panels) > 1 else []
    if better:
        said.append(f"darker is better; the {better[:-2]}est value of a panel is outlined")
    for label, cell in job.yardsticks():
        if values := cell.values(metric):
            said.append(f"{label}: {short(views.mean(values.values()), 4)}")
    alt = f"{metric} over {x} and {y}" + (f", a panel per {figure.panels}" if figure.panels else "")
    return job.drawn(data, alt, gaps=job.gaps(job.cells, metric), reading="; ".join(said))


def _spot(cell: Cell | None, metric: str) -> Spot:
    if cell is None:
        return Spot(None, "–")
    values = list(cell.values(metric).values())
    if values and not cell.in_state(*LOST):
        return Spot(views.mean(values))
    state = next((t.state for t in cell.trials if t.state != "finished"), "missing")
    return Spot(None, state if state in (*LOST, "failed") else "not run")


def _points(job: Job[Lines | Bars], panel: Any) -> list[tuple[str, Pen, list[Point]]]:
    figure, metric = job.figure, job.figure.metric
    pens, lines = job.pens(figure.colour), []
    for value in job.values(figure.colour):
        points = []
        for x in job.values(figure.x):
            cell = job.at({figure.panels: panel, figure.x: x, figure.colour: value})
            if cell is not None:
                points.append(Point(x, list(cell.values(metric).values()), _lost(cell)))
        if points:
            lines.append((job.named(figure.colour, value), pens[canonical(value)], points))
    return lines


def _series(job: Job[Lines | Bars], how: Callable[..., Drawing], alt: str) -> Drawn:
    figure, metric = job.figure, job.figure.metric
    groups = [(job.named(figure.panels, panel), _points(job, panel)) for panel in job.values(figure.panels)]
    counts = [len(p.values) for _, lines in groups for _, _, points in lines for p in points]
    if not any(counts):
        return _empty(job, f"no run has {metric}")
    labels: Mapping[str, str] = {text(v): job.label(v) for v in job.values(figure.x)}
    levels = [_levels(job, panel, figure.x) for panel in job.values(figure.panels)]
    name = getattr(figure, "x_label", "") or figure.x
    data = how(groups, name, labels, job.axis(metric), figure.log, figure.wrap, levels)
    if isinstance(figure, Lines):
        plots.mark(data, figure.thresholds)
    reading = ""
    if max(counts) >= 3:
        reading = f"mean of {max(counts)} seeds with its 95 % t interval; each seed as a small dot"
    elif max(counts) == 2:
        reading = "mean of 2 seeds; each seed as a small dot"
    return job.drawn(data, alt, gaps=job.gaps([*job.cells, *job.references], metric), reading=reading)


def lines(job: Job[Lines]) -> Drawn:
    """A metric along a setting."""
    return _series(job, plots.lines, f"{job.figure.metric} over {job.figure.x}")


def bars(job: Job[Bars]) -> Drawn:
    """A metric per value of a setting."""
    return _series(job, plots.dots, f"{job.figure.metric} per {job.figure.x}")


def importances(job: Job[Importance]) -> Drawn:
    """What each setting of a search explains of a metric."""
    figure, metric = job.figure, job.figure.metric
    search = job.book.suite.experiments[figure.from_[0]].search
    assert search is not None  # checked when the suite was read
    every = [t for c in job.cells for t in c.trials]
    trials = [t for t in every if t.state == "finished" and metric in t.metrics]
    if len(trials) < importance.FEWEST:
        return _empty(job, f"{len(trials)} of {len(every)} trials finished; importances need {importance.FEWEST}")
    chosen, values = [t.settings for t in trials], [t.metrics[metric] for t in trials]
    data = importance.draw(search.space, chosen, values, job.axis(metric), search.direction)
    best = (max if search.direction == "maximize" else min)(trials, key=lambda t: t.metrics[metric])
    shown = {name: best.settings[name] for name in search.space}
    found = ", ".join(f"{n} {short(v, 3) if isinstance(v, float) else text(v)}" for n, v in shown.items())
    reading = (
        f"fANOVA over {len(trials)} finished trials of {len(every)} (the others ended early or were not run); "
        f"best (circled): {found}; few trials make uncertain shares"
    )
    alt = f"share of each searched setting in the variance of {metric}, and {metric} over each"
    lost = job.gaps([c for c in job.cells if not c.in_state("pruned")])
    return job.drawn(data, alt, gaps=lost, reading=reading)
