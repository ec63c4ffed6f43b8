"""Heat maps: a panel of numbered cells per value of a setting, on one colour scale.

Call inside `style.look()`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import seaborn
from matplotlib.axes import Axes as Frame
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from retable.bench.report import style
from retable.bench.store.status import LOST

SHORT = {"diverged": "div.", "collapsed": "coll.", "not run": "–"}
"""Words for small cells."""


@dataclass(frozen=True)
class Spot:
    """A cell of a heat map: its value, or the word that stands in its place."""

    value: float | None
    word: str = ""


@dataclass(frozen=True)
class Axes:
    """Names and tick labels of the two axes of a heat map."""

    x: str
    xs: Sequence[str]
    y: str
    ys: Sequence[str]


def draw(
    panels: Sequence[tuple[str, Sequence[Sequence[Spot]]]],
    axes: Axes,
    axis: str,
    log: bool,
    better: str | None,
    wrap: int,
) -> Drawing:
    """A panel of numbered cells per value, on one colour scale; the best of each panel is outlined."""
    across = style.columns(len(panels), wrap)
    down = -(-len(panels) // across)
    cell = min(1.05, (style.WIDTH - 1.4) / (across * len(axes.xs)))
    width = style.WIDTH if cell < 1.05 else max(4.0, cell * across * len(axes.xs) + 1.8)
    tall = max(0.26, min(0.5, cell * 0.8))
    figure = style.canvas(width, down * (tall * len(axes.ys) + 0.42) + 0.45)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    known = [s.value for _, rows in panels for row in rows for s in row if s.value is not None]
    log = log and min(known) > 0
    low, high = min(known), max(known)
    if low == high:
        low, high = (low * 0.9, high * 1.1) if log else (low - 0.5, high + 0.5)
    norm: Normalize = LogNorm(low, high) if log else Normalize(low, high)
    colours = seaborn.color_palette("crest_r" if better != "higher" else "crest", as_cmap=True)
    exponent = style.power(known)
    for i, frame in enumerate(grid.flat):
        frame.grid(False)
        if i >= len(panels):
            frame.set_visible(False)
            continue
        title, rows = panels[i]
        frame.set_title(title)
        _panel(frame, rows, norm, colours, exponent, better, small=cell < 0.5)
        frame.set_xticks(range(len(axes.xs)), axes.xs)
        frame.set_yticks(range(len(axes.ys)), axes.ys)
        frame.set_xlim(-0.5, len(axes.xs) - 0.5)
        frame.set_ylim(len(axes.ys) - 0.5, -0.5)
        frame.tick_params(length=0, labelsize=7.5 if cell < 0.5 else 8.5)
        for side in frame.spines.values():
            side.set_visible(False)
        below = i + across >= len(panels)
        frame.tick_params(labelbottom=below)
        if below:
            frame.set_xlabel(axes.x)
        if i % across == 0:
            frame.set_ylabel(axes.y)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=list(grid.flat), shrink=0.8, aspect=28, pad=0.015)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, which="both")
    if log:
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.ax.yaxis.set_major_locator(FixedLocator(style.log_ticks(low, high)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(style.ticks(exponent)))
    bar.set_label(style.in_power(axis, exponent))
    return figure


def _panel(
    frame: Frame,
    rows: Sequence[Sequence[Spot]],
    norm: Normalize,
    colours: Any,
    exponent: int,
    better: str | None,
    small: bool,
) -> None:
    known = [s.value for row in rows for s in row if s.value is not None]
    best = None if better is None or not known else min(known) if better == "lower" else max(known)
    for y, row in enumerate(rows):
        for x, spot in enumerate(row):
            box: dict[str, Any] = {"xy": (x - 0.48, y - 0.47), "width": 0.96, "height": 0.94, "linewidth": 0}
            if spot.value is None:
                frame.add_patch(Rectangle(**{**box, "linewidth": 0.0}, facecolor="#f3f4f6"))
                frame.add_patch(Rectangle(**box, facecolor="none", edgecolor="#c9ced6", hatch="////"))
                bad = spot.word in (*LOST, "failed")
                word = SHORT.get(spot.word, spot.word) if small else spot.word
                frame.text(
                    x, y, word, ha="center", va="center", fontsize=6.2 if small else 7.5,
                    color=style.BAD if bad else style.MUTED,
                    bbox={"facecolor": "#f3f4f6", "edgecolor": "none", "pad": 0.8},
                )  # fmt: skip
                continue
            colour = colours(norm(spot.value))
            frame.add_patch(Rectangle(**box, facecolor=colour))
            light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 0.56
            winner = spot.value == best
            frame.text(
                x, y, _digits(spot.value / 10.0**exponent), ha="center", va="center",
                fontsize=(6.6 if small else 8.5), fontweight="bold" if winner else "normal",
                color=style.PAPER if light else style.INK,
            )  # fmt: skip
            if winner:
                frame.add_patch(
                    Rectangle(
                        (x - 0.46, y - 0.45), 0.92, 0.9, facecolor="none", edgecolor="#e8590c", linewidth=1.8, zorder=3
                    )
                )


def _digits(value: float) -> str:
    """Three digits without a power: 4.23, 42.3, 423, 4230."""
    if abs(value) >= 100:
        return f"{value:.0f}" if abs(value) < 1e5 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:z.3g}" if abs(value) < 1e-3 else f"{value:.{max(0, 2 - math.floor(math.log10(abs(value) or 1)))}f}"
