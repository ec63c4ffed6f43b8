"""Figures of kind `arrays`: series from the .npz files that runs saved, a row per run and a panel per array.

A two-dimensional array is a line per row, coloured from first to last along a rainbow whose bar says what the rows
are (epochs, say), or a legend where they are few (layers, say); a one-dimensional one is a single line. Of several
seeds a line is the median, and the first and the last line, or the only one, have a band from the lowest to the
highest. Call inside `style.look()`.
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
    """One cell of the figure: its label and the arrays of a run, or the reason why it has none.

    others: the arrays of its other seeds, of the same shapes. value: of the setting that rows stand for, as text.
    """

    label: str
    arrays: Mapping[str, Array]
    why: str = ""
    others: Sequence[Mapping[str, Array]] = ()
    value: str = ""


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


def alike(row: Row, arrays: Mapping[str, Array], panels: Sequence[Panel], by: str | None) -> bool:
    """Whether another seed's arrays can be drawn over a row's: of the same shapes, along the same axes."""
    if lacking(Row(row.label, arrays), panels, by):
        return False
    axes = {name for name in (by, *(panel.x for panel in panels)) if name}
    same = all(np.array_equal(arrays[name], row.arrays[name]) for name in axes if name in row.arrays)
    return same and all(arrays[panel.y].shape == row.arrays[panel.y].shape for panel in panels)


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
        bar.set_label(f"{title} (thick: {values.min():g} and {values.max():g})")
        bar.ax.set_ylim(values.min(), values.max())
        bar.outline.set_visible(False)


def _range(known: Sequence[Array]) -> tuple[float, float]:
    """Of the rainbow, whose both ends are nearly black and are left out."""
    everything = np.unique(np.concatenate(known))
    low, high = float(everything.min()), float(everything.max())
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    return low, high if high > low else low + 1


def _panel(frame: Frame, row: Row, panel: Panel, order: Array | None, scale: Normalize | None) -> None:
    y = row.arrays[panel.y]
    middle, low, high = _over_seeds([y, *(other[panel.y] for other in row.others)])
    x = row.arrays[panel.x] if panel.x else np.arange(middle.shape[1], dtype=np.float64)
    shades = colormaps["turbo"]
    coloured = y.ndim == 2 and order is not None and scale is not None
    for k, line in enumerate(middle):
        good = np.isfinite(line) & ((line > 0) | (not panel.log))
        colour = shades(scale(order[k])) if coloured and order is not None and scale is not None else style.INK
        end = k in (0, len(middle) - 1)
        many = len(middle) > FEW
        frame.plot(
            x[good], line[good], color=colour, marker="o" if y.ndim == 1 else "", markersize=2.5,
            linewidth=1.0 if not many else 1.8 if end else 0.7, alpha=0.5 if many and not end else 1.0,
            zorder=3 if end else 2,
        )  # fmt: skip
        if end and row.others and (many or y.ndim == 1):
            frame.fill_between(x[good], low[k][good], high[k][good], color=colour, alpha=0.18, linewidth=0, zorder=1)
    for point in (points := panel.published.get(row.value, [])):
        frame.plot(*point, marker="D", markersize=4.5, color=style.BAD, fillstyle="none", zorder=4)
    if panel.log:
        _log_axis(frame, np.concatenate([middle.ravel(), [y for _, y in points]]))
    if panel.limits is not None:
        frame.set_ylim(*panel.limits)
    whole = not panel.x or bool(np.ptp(x) > 1)
    frame.xaxis.set_major_locator(MaxNLocator(4, integer=True) if whole else MaxNLocator(4, steps=[1, 2, 5, 10]))
    frame.tick_params(labelsize=7.5)
    frame.margins(x=0.02 if not points else 0.06)


def _over_seeds(several: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Median, lowest and highest over seeds, [lines, points] each; nan where fewer than half have a number."""
    stack = np.stack([np.atleast_2d(y) for y in several])
    finite = np.isfinite(stack)
    none = finite.sum(0) * 2 < len(stack)
    kept = np.where(none, 0.0, np.where(finite, stack, np.nan))
    return tuple(np.where(none, np.nan, f(kept, axis=0)) for f in (np.nanmedian, np.nanmin, np.nanmax))  # type: ignore[return-value]


def _log_axis(frame: Frame, values: Array) -> None:
    positive = values[np.isfinite(values) & (values > 0)]
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
