"""What all drawings over axes share: frames, value axes, and the levels of references.

Call inside `style.look()`. Nothing here knows suites or trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes as Frame
from matplotlib.figure import Figure as Drawing
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from retable.bench.report import style

Array = NDArray[np.float64]
DASHES = (0, (4, 2.2))
LABEL_GAP = 11.0
"""Points between the labels of two levels."""


@dataclass(frozen=True)
class Level:
    """What a reference reaches: the mean of its seeds. x: where it stands along a setting, None: everywhere."""

    label: str
    value: float
    x: Any = None


def frames(n: int, wrap: int, height: float, legend: bool = False) -> tuple[Drawing, list[Frame]]:
    across = style.columns(n, wrap if wrap < 4 or not legend else 3)
    down = -(-n // across)
    figure = style.canvas(style.WIDTH, height * down + 0.2)
    grid = figure.subplots(down, across, squeeze=False, sharex=False, sharey=n > 1)
    every = list(grid.flat)
    for spare in every[n:]:
        spare.set_visible(False)
    return figure, every[:n]


def first_column(frame: Frame) -> bool:
    place = frame.get_subplotspec()
    return place is not None and place.is_first_col()


def value_axis(frames: Sequence[Frame], values: Array, label: str, log: bool, along: str = "y") -> tuple[float, float]:
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
        if along == "x" or first_column(frame):
            line.set_label_text(style.in_power(label, exponent))
    return low, high


def brief(words: str, most: int = 26) -> str:
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def shown(levels: Sequence[Level], log: bool) -> list[Level]:
    """Those that the axis can show."""
    return [level for level in levels if np.isfinite(level.value) and (level.value > 0 or not log)]


def draw_levels(frame: Frame, levels: Sequence[Level], log: bool) -> None:
    """A dashed grey line across the frame for each, its label on it; labels that would touch make room upwards. Call
    when the limits of the value axis are set."""
    low, high = frame.get_ylim()
    scale = np.log10 if log else np.asarray
    tall = frame.bbox.height * 72 / frame.figure.dpi
    taken = -LABEL_GAP
    for level in sorted(shown(levels, log), key=lambda level: level.value):
        frame.axhline(level.value, color=style.MUTED, linestyle=DASHES, linewidth=1.2, zorder=1.8)
        at = float((scale(level.value) - scale(low)) / (scale(high) - scale(low))) * tall
        taken = max(at, taken + LABEL_GAP)
        frame.annotate(
            level.label, (0.995, level.value), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            xytext=(0, taken - at + 1.5), textcoords="offset points", fontsize=7.5, color=style.MUTED, zorder=5,
            path_effects=[withStroke(linewidth=2.2, foreground=style.PAPER)],
        )  # fmt: skip
