"""The drawings over axes: curves, lines and dot plots, from plain values to a drawing.

Call inside `style.look()`. Nothing here knows suites or trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes as Frame
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import offset_copy
from numpy.typing import NDArray

from retable.bench.judging import stats
from retable.bench.report import style
from retable.bench.report.style import Pen
from retable.bench.suite.values import text

Array = NDArray[np.float64]
POINTS = 500
"""Points of a line: more than a picture of this width can show."""


@dataclass(frozen=True)
class Curve:
    """One line of a curves figure. series: per seed, steps and values; ended: the state in which that run ended.

    lost: why a seed (or all of them) has no curve, shown in the legend.
    """

    label: str
    pen: Pen
    series: Sequence[tuple[Any, Any]]
    ended: Sequence[str]
    lost: str = ""

    @property
    def apart(self) -> list[bool]:
        """Per seed, whether it is a thin line that no mean counts: it diverged, or collapsed where others finished."""
        return [e == "diverged" or (e == "collapsed" and "finished" in self.ended) for e in self.ended]


@dataclass(frozen=True)
class Point:
    """A position along x with the values of its seeds; `lost` says why where there is none."""

    x: Any
    values: Sequence[float]
    lost: str = ""


def smoothed(values: Array, window: int) -> Array:
    """Running mean over the last `window` points, over fewer at the start."""
    if window <= 1 or len(values) == 0:
        return values
    sums = np.cumsum(values)
    out = sums.copy()
    out[window:] = sums[window:] - sums[:-window]
    return np.asarray(out / np.minimum(np.arange(1, len(values) + 1), window), dtype=np.float64)


def thinned(steps: Array, values: Array, most: int = POINTS) -> tuple[Array, Array]:
    """At most about `most` points: of every stretch its lowest and its highest, so that no peak is lost."""
    if len(values) <= most:
        return steps, values
    keep = {0, len(values) - 1}
    for part in np.array_split(np.arange(len(values)), most // 2):
        keep.add(int(part[np.argmin(values[part])]))
        keep.add(int(part[np.argmax(values[part])]))
    index = np.array(sorted(keep))
    return steps[index], values[index]


def _clean(series: tuple[Any, Any], log: bool) -> tuple[Array, Array]:
    steps, values = np.asarray(series[0], dtype=np.float64), np.asarray(series[1], dtype=np.float64)
    good = np.isfinite(values) & ((values > 0) | (not log))
    return steps[good], values[good]


def curves(panels: Sequence[tuple[str, Sequence[Curve]]], axis: str, log: bool, smooth: int, wrap: int) -> Drawing:
    """Lines over training steps; one legend, in the order in which the lines end."""
    figure, frames = _frames(len(panels), wrap, 3.9 if len(panels) == 1 else 2.6, legend=True)
    kept: list[Array] = []
    last: dict[str, float] = {}
    pens: dict[str, tuple[Pen, str]] = {}
    for frame, (title, lines) in zip(frames, panels, strict=True):
        frame.set_title(title)
        for i, curve in enumerate(lines):
            pens.setdefault(curve.label, (curve.pen, curve.lost))
            shown = _curve(frame, curve, log, smooth, i)
            if shown is not None:
                kept.append(shown)
                last[curve.label] = max(last.get(curve.label, -math.inf), float(shown[-1]))
        frame.set_xlabel("step")
        frame.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}".replace(",", "\u2009")))
        frame.margins(x=0.02)
    gone = [
        (f, c.pen, x, y) for f, (_, several) in zip(frames, panels, strict=True) for c in several for x, y in _ends(c)
    ]
    everything = np.concatenate(kept) if kept else np.array([y for *_, y in gone if y > 0 or not log])
    _, high = _value_axis(frames, everything, axis, log)
    for frame, pen, x, y in gone:  # a run that blew up leaves the picture: its cross stays at the edge
        frame.plot(x, min(y, high), "x", markersize=8, markeredgewidth=2.2, color=pen.colour, zorder=4, clip_on=False)
    order = sorted(pens, key=lambda label: -last.get(label, -math.inf))
    handles, labels = [], []
    for label in order:
        pen, lost = pens[label]
        faint = 1.0 if label in last else 0.45
        handles.append(
            Line2D([], [], color=pen.colour, linestyle=pen.dash, marker=pen.marker, markersize=4.5, alpha=faint)
        )
        labels.append(f"{label}\n{_brief(lost)}" if lost else label)
    figure.legend(handles, labels, loc="outside right upper")
    return figure


def _ends(curve: Curve) -> list[tuple[float, float]]:
    """Where the diverged runs of a curve were last finite."""
    clean = [_clean(s, False) for s, e in zip(curve.series, curve.ended, strict=True) if e == "diverged"]
    return [(float(steps[-1]), float(values[-1])) for steps, values in clean if len(steps)]


def _brief(words: str, most: int = 26) -> str:
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def _curve(frame: Frame, curve: Curve, log: bool, smooth: int, index: int) -> Array | None:
    """Draw a curve: the mean over the seeds that finished (or all collapsed), those apart as thin lines. Return the
    mean's values, or None where there is none."""
    pen = curve.pen
    every = [(_clean(s, log), gone) for s, gone in zip(curve.series, curve.apart, strict=True)]
    every = [(line, gone) for line, gone in every if len(line[0])]
    for (steps, values), gone in every:
        if gone:
            frame.plot(
                *thinned(steps, smoothed(values, smooth)), color=pen.colour, linewidth=0.9, alpha=0.7, zorder=1.5
            )
    seeds = [line for line, gone in every if not gone]
    if not seeds:
        return None
    soft = [(steps, smoothed(values, smooth)) for steps, values in seeds]
    if len(seeds) == 1 and smooth > 1:
        frame.plot(*thinned(*seeds[0]), color=pen.colour, linewidth=0.6, alpha=0.22, zorder=1.5)
    steps, lines = _together(soft)
    middle = lines.mean(axis=0)
    if len(seeds) >= stats.ENOUGH and len(lines) > 1:
        at = np.unique(np.linspace(0, len(steps) - 1, min(POINTS, len(steps))).astype(int))
        low, high = lines.min(axis=0)[at], lines.max(axis=0)[at]
        frame.fill_between(steps[at], low, high, color=pen.colour, alpha=0.16, linewidth=0, zorder=1.4)
    elif len(seeds) > 1:
        for one in soft:
            frame.plot(*thinned(*one), color=pen.colour, linewidth=0.7, alpha=0.5, zorder=1.5)
    x, y = thinned(steps, middle)
    every_n = max(1, len(x) // 6)
    mark = (every_n // 2 + index * every_n // 9 % every_n, every_n)
    frame.plot(
        x, y, color=pen.colour, linestyle=pen.dash, marker=pen.marker, markersize=4.2, markevery=mark,
        markeredgecolor=style.PAPER, markeredgewidth=0.5,
    )  # fmt: skip
    return y


def middle(curve: Curve, log: bool, smooth: int) -> tuple[Array, Array] | None:
    """Steps and smoothed mean over the seeds that finished, thinned; None where none did."""
    clean = [_clean(s, log) for s, gone in zip(curve.series, curve.apart, strict=True) if not gone]
    soft = [(steps, smoothed(values, smooth)) for steps, values in clean if len(steps)]
    if not soft:
        return None
    steps, lines = _together(soft)
    return thinned(steps, lines.mean(axis=0))


def _together(soft: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """The steps that all seeds share, and a row of values per seed; the first seed alone where they share none."""
    shared = np.array(sorted(set.intersection(*(set(s.tolist()) for s, _ in soft))))
    if not len(shared):
        return soft[0][0], soft[0][1][None]
    return shared, np.stack([values[np.isin(s, shared)] for s, values in soft])


def _frames(n: int, wrap: int, height: float, legend: bool = False) -> tuple[Drawing, list[Frame]]:
    across = style.columns(n, wrap if wrap < 4 or not legend else 3)
    down = -(-n // across)
    figure = style.canvas(style.WIDTH, height * down + 0.2)
    grid = figure.subplots(down, across, squeeze=False, sharex=False, sharey=n > 1)
    frames = list(grid.flat)
    for spare in frames[n:]:
        spare.set_visible(False)
    return figure, frames[:n]


def _first_column(frame: Frame) -> bool:
    place = frame.get_subplotspec()
    return place is not None and place.is_first_col()


def _value_axis(frames: Sequence[Frame], values: Array, label: str, log: bool, along: str = "y") -> tuple[float, float]:
    """The same limits and readable ticks on the value axis of every panel; returns the limits."""
    low, high = style.limits(values.tolist(), log)
    exponent = style.power(values.tolist())
    for frame in frames:
        line = frame.yaxis if along == "y" else frame.xaxis
        if log:
            (frame.set_yscale if along == "y" else frame.set_xscale)("log")
            line.set_major_locator(FixedLocator(style.log_ticks(low, high)))
            line.set_minor_locator(NullLocator())
        (frame.set_ylim if along == "y" else frame.set_xlim)(low, high)
        line.set_major_formatter(FuncFormatter(style.ticks(exponent)))
        if along == "x" or _first_column(frame):
            line.set_label_text(style.in_power(label, exponent))
    return low, high


Lines = Sequence[tuple[str, Sequence[tuple[str, Pen, Sequence[Point]]]]]


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of its 95 % t interval; no interval from fewer than three values."""
    middle = sum(values) / len(values)
    if len(values) < stats.ENOUGH:
        return middle, 0.0
    half = stats.t_quantile(len(values) - 1, stats.CONFIDENCE) * stats.sd(values) / math.sqrt(len(values))
    return middle, half


def _every_value(panels: Lines, log: bool) -> Array:
    found = []
    for _, lines_ in panels:
        for _, _, points in lines_:
            for p in points:
                if p.values:
                    middle, half = _interval(p.values)
                    found += [*p.values, middle + half, middle - half]
    return np.array([v for v in found if math.isfinite(v) and (v > 0 or not log)])


@dataclass(frozen=True)
class _Setting:
    """The setting along an axis: the text of each of its values -> where it stands."""

    name: str
    at: Mapping[str, float]
    labels: Mapping[str, str]
    numeric: bool

    def of(self, point: Point) -> float:
        return self.at[text(point.x)]

    def spread(self) -> bool:
        """Whether its values are so far apart that their axis is logarithmic."""
        places = list(self.at.values())
        return self.numeric and places[0] > 0 and places[-1] / places[0] >= 8


def _setting(panels: Lines, name: str, labels: Mapping[str, str]) -> _Setting:
    """Numbers stand where they are, ascending; words one after the other as they come."""
    values = list({text(p.x): p.x for _, several in panels for _, _, points in several for p in points}.values())
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    at = {text(v): float(v) for v in sorted(values)} if numeric else {text(v): float(i) for i, v in enumerate(values)}
    return _Setting(name, at, {v: labels.get(v, v) for v in at}, numeric)


def lines(panels: Lines, x: str, labels: Mapping[str, str], axis: str, log: bool, wrap: int) -> Drawing:
    """Means joined by lines along a setting, with intervals and seeds; one legend."""
    legend = any(label for _, several in panels for label, _, _ in several)
    figure, frames = _frames(len(panels), wrap, 3.6 if len(panels) == 1 else 2.7, legend)
    setting = _setting(panels, x, labels)
    handles: dict[str, Any] = {}
    for frame, (title, several) in zip(frames, panels, strict=True):
        frame.set_title(title)
        _setting_axis(frame, setting)
        for label, pen, points in several:
            drawn = [p for p in points if p.values]
            handle = _line(figure, frame, pen, drawn, setting)
            if label and drawn:
                handles.setdefault(label, handle)
    _value_axis(frames, _every_value(panels, log), axis, log)
    for frame, (_, several) in zip(frames, panels, strict=True):
        for _, pen, points in several:
            _say_lost(frame, pen, points, setting)
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside right upper")
    return figure


def _setting_axis(frame: Frame, setting: _Setting) -> None:
    if setting.spread():
        frame.set_xscale("log")
    frame.set_xticks(list(setting.at.values()), list(setting.labels.values()))
    frame.xaxis.set_minor_locator(NullLocator())
    frame.set_xlabel(setting.name)
    frame.margins(x=0.06)


def _line(figure: Drawing, frame: Frame, pen: Pen, points: Sequence[Point], setting: _Setting) -> Any:
    """Means with their intervals, and each seed as a small dot beside its mean; returns the legend's handle."""
    means = [_interval(p.values) for p in points]
    handle = frame.errorbar(
        [setting.of(p) for p in points], [m for m, _ in means], [h for _, h in means], color=pen.colour,
        linestyle=pen.dash, marker=pen.marker, markersize=5.5, elinewidth=1.4, markeredgecolor=style.PAPER,
        markeredgewidth=0.6, zorder=3,
    )  # fmt: skip
    for p in points:
        if len(p.values) > 1:
            beside = offset_copy(frame.transData, figure, x=6, units="points")
            at_x = [setting.of(p)] * len(p.values)
            frame.plot(at_x, p.values, ".", color=pen.colour, alpha=0.55, markersize=3.5, transform=beside)
    return handle


def _say_lost(frame: Frame, pen: Pen, points: Sequence[Point], setting: _Setting) -> None:
    """Where there is no value, the reason at the top of the frame."""
    for p in points:
        if not p.values:
            frame.annotate(
                _brief(p.lost or "not run", 20), (setting.of(p), 1), xycoords=("data", "axes fraction"),
                ha="center", va="top", rotation=90, fontsize=7, color=pen.colour,
            )  # fmt: skip


def dots(panels: Lines, x: str, labels: Mapping[str, str], axis: str, log: bool, wrap: int) -> Drawing:
    """A row per value of a setting, a point per colour with its interval: labels stay horizontal, zero isn't forced."""
    names = list(dict.fromkeys(text(p.x) for _, several in panels for _, _, points in several for p in points))
    colours = list(dict.fromkeys(label for _, several in panels for label, _, _ in several))
    height = max(1.6, len(names) * max(0.3, 0.17 * len(colours)) + 0.9)
    figure, frames = _frames(len(panels), wrap, height, legend=len(colours) > 1)
    handles: dict[str, Any] = {}
    step = 0.64 / max(1, len(colours))
    for frame, (title, several) in zip(frames, panels, strict=True):
        frame.set_title(title)
        _rows_axis(frame, [labels.get(n, n) for n in names])
        for label, pen, points in several:
            beside = (colours.index(label) - (len(colours) - 1) / 2) * step
            for p in points:
                handle = _dot(figure, frame, pen, p, names.index(text(p.x)) + beside)
                if handle is not None:
                    handles.setdefault(label, handle)
    _value_axis(frames, _every_value(panels, log), axis, log, along="x")
    for frame in frames:
        if _first_column(frame):
            frame.set_ylabel(x)
    if len(colours) > 1:
        figure.legend(list(handles.values()), list(handles), loc="outside right upper")
    return figure


def _rows_axis(frame: Frame, labels: Sequence[str]) -> None:
    frame.set_yticks(range(len(labels)), labels)
    frame.set_ylim(len(labels) - 0.5, -0.5)
    frame.tick_params(axis="y", length=0)
    frame.spines["left"].set_visible(False)


def _dot(figure: Drawing, frame: Frame, pen: Pen, point: Point, y: float) -> Any:
    """A mean with its interval and its seeds below; returns the legend's handle, or None where no seed has a value."""
    if not point.values:
        frame.annotate(
            _brief(point.lost or "not run", 40), (0.985, y), xycoords=("axes fraction", "data"), ha="right",
            va="center", fontsize=7.5, color=style.BAD,
        )  # fmt: skip
        return None
    middle, half = _interval(point.values)
    if len(point.values) > 1:
        under = offset_copy(frame.transData, figure, y=-6, units="points")
        at_y = [y] * len(point.values)
        frame.plot(point.values, at_y, ".", color=pen.colour, alpha=0.55, markersize=4, transform=under)
    return frame.errorbar(
        middle, y, xerr=half or None, color=pen.colour, marker=pen.marker, linestyle="", markersize=6.5,
        elinewidth=1.6, markeredgecolor=style.PAPER, markeredgewidth=0.6, zorder=3,
    )  # fmt: skip
