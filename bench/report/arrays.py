"""Figures of kind `arrays`: series from the .npz files that runs saved, a row per run and a panel per array.

A two-dimensional array is a line per row, coloured from first to last along a rainbow whose bar says what the rows
are (epochs, say), or a legend where they are few (layers, say); a one-dimensional one is a single line. Call inside
`style.look()`.
"""

from __future__ import annotations

import io
import struct
import textwrap
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes as Frame
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from retable.bench.report import style
from retable.bench.suite.schema import Panel

Array = NDArray[np.float64]

DECADES = 12
"""A logarithmic panel shows so many below its largest value; what lies lower is rounding."""

SAID = 36
"""Characters a line of why a row is empty: what is wider than a panel leaves the layout no room for it."""

FEW = 8
"""Up to so many kinds of lines are named one by one."""


MOST = 2**28
"""Bytes of arrays that a figure reads: a zip archive of some kilobytes can hold gigabytes of zeros."""

BROKEN = (
    *(OSError, EOFError, LookupError, RuntimeError, TypeError, ValueError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
"""What numpy raises, by what is broken, for a file that is."""


@dataclass(frozen=True)
class Row:
    """One run of the figure: its label and arrays, or the reason why it has none."""

    label: str
    arrays: Mapping[str, Array]
    why: str = ""


def read(data: bytes) -> dict[str, Array]:
    """The arrays of an .npz file. Raises ValueError, which says what is wrong, if it is broken, holds anything but
    numbers, or is too large."""
    if not data:
        raise ValueError("it is empty")
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise ValueError("it is no .npz file, or cut short")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as opened:
            if sum(info.file_size for info in opened.zip.infolist()) > MOST:
                raise ValueError(f"its arrays take more than {MOST >> 20} MB")
            return {name: np.asarray(opened[name], dtype=np.float64) for name in opened.files}
    except BROKEN as error:
        raise ValueError(str(error) or type(error).__name__) from error


def lacking(row: Row, panels: Sequence[Panel], by: str | None) -> str:
    """What is wrong with a row's arrays for these panels, in words; empty where nothing is."""
    for panel in panels:
        for name in filter(None, (panel.y, panel.x)):
            if name not in row.arrays:
                return f"its file has no array '{name}'; it has {', '.join(row.arrays)}"
        y, x = row.arrays[panel.y], row.arrays[panel.x] if panel.x else None
        if y.ndim not in (1, 2) or y.size == 0:
            return f"array '{panel.y}' has the shape {list(y.shape)}, and a line needs one or two dimensions"
        if x is not None and x.shape != y.shape[-1:]:
            return f"arrays '{panel.x}' and '{panel.y}' do not fit: {list(x.shape)} and {list(y.shape)}"
        if by and y.ndim == 2 and (by not in row.arrays or row.arrays[by].shape != y.shape[:1]):
            return f"there is no array '{by}' with a number for each of the {len(y)} lines of '{panel.y}'"
    return ""


def draw(rows: Sequence[Row], panels: Sequence[Panel], by: str | None) -> Figure:
    """The figure. Rows whose `why` is set stay empty and say it; `by` names the array that colours lines."""
    height = 2.15 * len(rows) + (0.35 if by else 0.1)
    figure = style.canvas(style.WIDTH, height)
    frames = figure.subplots(len(rows), len(panels), squeeze=False)
    known = [row.arrays[by] for row in rows if by and not row.why]
    scale = Normalize(*_range(known)) if known else None
    for i, row in enumerate(rows):
        for j, panel in enumerate(panels):
            frame = frames[i][j]
            if i == 0:
                frame.set_title(panel.title, fontsize=8.5)
            if j == 0 and row.label:
                frame.set_ylabel(row.label, fontweight="bold", fontsize=8.5)
            if row.why:
                _say(frame, row.why if j == 0 else "")
                continue
            _panel(frame, row, panel, row.arrays[by] if by else None, scale)
            if i == len(rows) - 1:
                frame.set_xlabel(panel.x_label or panel.x or "index")
    if scale is not None:
        _key(figure, list(frames.flat), np.unique(np.concatenate(known)), scale, by or "")
    return figure


def _key(figure: Figure, frames: list[Frame], values: Array, scale: Normalize, title: str) -> None:
    """What the colours stand for."""
    if len(values) <= FEW:
        shades = colormaps["turbo"]
        lines = [Line2D([], [], color=shades(scale(v)), label=f"{v:g}") for v in values]
        figure.legend(handles=lines, title=title, loc="outside right upper")
    else:
        bar = figure.colorbar(ScalarMappable(scale, colormaps["turbo"]), ax=frames, aspect=40, pad=0.015)
        bar.set_label(title)
        bar.outline.set_visible(False)


def _range(known: Sequence[Array]) -> tuple[float, float]:
    everything = np.unique(np.concatenate(known))
    low, high = float(everything.min()), float(everything.max())
    if len(everything) <= FEW:  # both ends of the rainbow are nearly black
        low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    return low, high if high > low else low + 1


def _panel(frame: Frame, row: Row, panel: Panel, order: Array | None, scale: Normalize | None) -> None:
    y = row.arrays[panel.y]
    lines = y[None] if y.ndim == 1 else y
    x = row.arrays[panel.x] if panel.x else np.arange(lines.shape[1], dtype=np.float64)
    shades = colormaps["turbo"]
    for k, line in enumerate(lines):
        good = np.isfinite(line) & ((line > 0) | (not panel.log))
        colour = shades(scale(order[k])) if y.ndim == 2 and order is not None and scale is not None else style.INK
        marker = "o" if y.ndim == 1 else ""
        frame.plot(x[good], line[good], color=colour, linewidth=1.0, marker=marker, markersize=2.5)
    if panel.log:
        _log_axis(frame, lines)
    if panel.limits is not None:
        frame.set_ylim(*panel.limits)
    frame.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    frame.tick_params(labelsize=7.5)
    frame.margins(x=0.02)


def _log_axis(frame: Frame, lines: Array) -> None:
    positive = lines[np.isfinite(lines) & (lines > 0)]
    if not positive.size:
        frame.text(0.5, 0.5, "no value above 0", ha="center", transform=frame.transAxes, color=style.MUTED)
        return
    high = float(positive.max())
    low = max(float(positive.min()), high / 10.0**DECADES)
    frame.set_yscale("log")
    frame.set_ylim(*style.limits([low, high], log=True))
    frame.yaxis.set_minor_locator(NullLocator())


def _say(frame: Frame, why: str) -> None:
    frame.set_axis_off()
    frame.text(
        0, 0.5, textwrap.fill(why, SAID), ha="left", va="center", fontsize=8, color=style.BAD, transform=frame.transAxes
    )
