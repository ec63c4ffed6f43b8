"""Curves over training steps, from plain values to a drawing. Call inside `style.look()`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes as Frame
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from retable.bench.judging import stats
from retable.bench.report import axes, style
from retable.bench.report.axes import Array, Level
from retable.bench.report.style import Pen

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


def draw(
    panels: Sequence[tuple[str, Sequence[Curve]]],
    axis: str,
    log: bool,
    smooth: int,
    wrap: int,
    levels: Sequence[Sequence[Level]] = (),
) -> Drawing:
    """Lines over training steps; one legend, in the order in which the lines end. levels: of each panel."""
    figure, frames = axes.frames(len(panels), wrap, 3.9 if len(panels) == 1 else 2.6, legend=True)
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
    everything = np.append(everything, [level.value for several in levels for level in axes.shown(several, log)])
    _, high = axes.value_axis(frames, everything, axis, log)
    for frame, several in zip(frames, levels, strict=False):
        axes.draw_levels(frame, several, log)
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
        labels.append(f"{label}\n{axes.brief(lost)}" if lost else label)
    figure.legend(handles, labels, loc="outside right upper")
    return figure


def _ends(curve: Curve) -> list[tuple[float, float]]:
    """Where the diverged runs of a curve were last finite."""
    clean = [_clean(s, False) for s, e in zip(curve.series, curve.ended, strict=True) if e == "diverged"]
    return [(float(steps[-1]), float(values[-1])) for steps, values in clean if len(steps)]


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
