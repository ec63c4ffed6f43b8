"""Metrics along a setting: lines and dot plots, from plain values to a drawing.

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
from matplotlib.ticker import NullLocator
from matplotlib.transforms import offset_copy

from retable.bench.judging import stats
from retable.bench.report import axes, style
from retable.bench.report.axes import Array, Level
from retable.bench.report.style import Pen
from retable.bench.suite.values import text


@dataclass(frozen=True)
class Point:
    """A position along x with the values of its seeds; `lost` says why where there is none."""

    x: Any
    values: Sequence[float]
    lost: str = ""


Lines = Sequence[tuple[str, Sequence[tuple[str, Pen, Sequence[Point]]]]]
Levels = Sequence[Sequence[Level]]
"""Of each panel what the references reach."""


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of its 95 % t interval; no interval from fewer than three values."""
    middle = sum(values) / len(values)
    if len(values) < stats.ENOUGH:
        return middle, 0.0
    half = stats.t_quantile(len(values) - 1, stats.CONFIDENCE) * stats.sd(values) / math.sqrt(len(values))
    return middle, half


def _every_value(panels: Lines, levels: Levels, log: bool) -> Array:
    found = [level.value for several in levels for level in several]
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


def _along(panels: Lines, levels: Levels) -> dict[str, Any]:
    """Every value of the setting that something stands at, by its text."""
    found = {text(p.x): p.x for _, several in panels for _, _, points in several for p in points}
    return found | {text(v.x): v.x for several in levels for v in several if v.x is not None}


def _setting(panels: Lines, levels: Levels, name: str, labels: Mapping[str, str]) -> _Setting:
    """Numbers stand where they are, ascending; words one after the other as they come."""
    values = list(_along(panels, levels).values())
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    at = {text(v): float(v) for v in sorted(values)} if numeric else {text(v): float(i) for i, v in enumerate(values)}
    return _Setting(name, at, {v: labels.get(v, v) for v in at}, numeric)


def lines(panels: Lines, x: str, labels: Mapping[str, str], axis: str, log: bool, wrap: int, levels: Levels) -> Drawing:
    """Means joined by lines along a setting, with intervals and seeds; one legend."""
    legend = any(label for _, several in panels for label, _, _ in several)
    figure, frames = axes.frames(len(panels), wrap, 3.6 if len(panels) == 1 else 2.7, legend)
    setting = _setting(panels, levels, x, labels)
    handles: dict[str, Any] = {}
    for frame, (title, several) in zip(frames, panels, strict=True):
        frame.set_title(title)
        _setting_axis(frame, setting)
        for label, pen, points in several:
            drawn = [p for p in points if p.values]
            handle = _line(figure, frame, pen, drawn, setting)
            if label and drawn:
                handles.setdefault(label, handle)
    axes.value_axis(frames, _every_value(panels, levels, log), axis, log)
    for frame, (_, several), references in zip(frames, panels, levels, strict=True):
        for _, pen, points in several:
            _say_lost(frame, pen, points, setting)
        axes.draw_levels(frame, [level for level in references if level.x is None], log)
        _reference_lines(frame, [level for level in axes.shown(references, log) if level.x is not None], setting)
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside right upper")
    return figure


def mark(figure: Drawing, thresholds: Mapping[str, float]) -> None:
    """A dotted line across every frame at each of these places, with its words."""
    for frame in figure.axes:
        for words, x in thresholds.items():
            frame.axvline(x, color=style.BAD, linestyle=":", linewidth=1.2, zorder=1)
            frame.annotate(
                words, (x, 1), xytext=(-3, -2), xycoords=("data", "axes fraction"), textcoords="offset points",
                ha="right", va="top", fontsize=7.5, color=style.BAD,
            )  # fmt: skip


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


def _reference_lines(frame: Frame, levels: Sequence[Level], setting: _Setting) -> None:
    """References that are another at each value of the setting: a dashed grey line each, its label at its end."""
    for label in dict.fromkeys(level.label for level in levels):
        ends = sorted((setting.at[text(level.x)], level.value) for level in levels if level.label == label)
        frame.plot(*zip(*ends, strict=True), color=style.MUTED, linestyle=axes.DASHES, linewidth=1.2, zorder=1.8)
        frame.annotate(
            label, ends[-1], ha="right", va="bottom", xytext=(0, 3), textcoords="offset points", fontsize=7.5,
            color=style.MUTED,
        )  # fmt: skip


def _say_lost(frame: Frame, pen: Pen, points: Sequence[Point], setting: _Setting) -> None:
    """Where there is no value, the reason at the top of the frame."""
    for p in points:
        if not p.values:
            frame.annotate(
                axes.brief(p.lost or "not run", 20), (setting.of(p), 1), xycoords=("data", "axes fraction"),
                ha="center", va="top", rotation=90, fontsize=7, color=pen.colour,
            )  # fmt: skip


def dots(panels: Lines, x: str, labels: Mapping[str, str], axis: str, log: bool, wrap: int, levels: Levels) -> Drawing:
    """A row per value of a setting, a point per colour with its interval: labels stay horizontal, zero isn't forced.

    A reference is hollow and grey, in a row of its own or, where it is another for each value, in the rows of these.
    """
    names = list(_along(panels, levels))
    colours = list(dict.fromkeys(label for _, several in panels for label, _, _ in several))
    own = list(dict.fromkeys(level.label for several in levels for level in several if level.x is None))
    height = max(1.6, (len(names) + len(own)) * max(0.3, 0.17 * len(colours)) + 0.9)
    figure, frames = axes.frames(len(panels), wrap, height, legend=len(colours) > 1)
    handles: dict[str, Any] = {}
    step = 0.64 / max(1, len(colours))
    for frame, (title, several) in zip(frames, panels, strict=True):
        frame.set_title(title)
        _rows_axis(frame, [labels.get(n, n) for n in names], own)
        for label, pen, points in several:
            beside = (colours.index(label) - (len(colours) - 1) / 2) * step
            for p in points:
                handle = _dot(figure, frame, pen, p, names.index(text(p.x)) + beside)
                if handle is not None:
                    handles.setdefault(label, handle)
    for frame, references in zip(frames, levels, strict=True):
        for level in axes.shown(references, log):
            at = len(names) + own.index(level.label) if level.x is None else names.index(text(level.x))
            _reference_dot(frame, level, at)
    axes.value_axis(frames, _every_value(panels, levels, log), axis, log, along="x")
    for frame in frames:
        if axes.first_column(frame):
            frame.set_ylabel(x)
    if len(colours) > 1:
        figure.legend(list(handles.values()), list(handles), loc="outside right upper")
    return figure


def _rows_axis(frame: Frame, labels: Sequence[str], references: Sequence[str]) -> None:
    several = [*labels, *references]
    frame.set_yticks(range(len(several)), several)
    frame.set_ylim(len(several) - 0.5, -0.5)
    for label in frame.get_yticklabels()[len(labels) :]:
        label.set(color=style.MUTED, style="italic")
    frame.tick_params(axis="y", length=0)
    frame.spines["left"].set_visible(False)


def _reference_dot(frame: Frame, level: Level, y: int) -> None:
    frame.plot(level.value, y, "D", markerfacecolor=style.PAPER, color=style.MUTED, markersize=5.5, zorder=2.8)
    if level.x is None:
        frame.axvline(level.value, color=style.MUTED, linestyle=axes.DASHES, linewidth=0.9, zorder=1.2)
    else:
        frame.annotate(
            level.label, (level.value, y), ha="center", va="top", xytext=(0, -5), textcoords="offset points",
            fontsize=7, color=style.MUTED,
        )  # fmt: skip


def _dot(figure: Drawing, frame: Frame, pen: Pen, point: Point, y: float) -> Any:
    """A mean with its interval and its seeds below; returns the legend's handle, or None where no seed has a value."""
    if not point.values:
        frame.annotate(
            axes.brief(point.lost or "not run", 40), (0.985, y), xycoords=("axes fraction", "data"), ha="right",
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
