"""One look for all figures of all papers: fonts, colours, lines, and how a drawing becomes bytes.

Colours are seaborn's `colorblind` palette in an order that keeps neighbours apart; lines differ by dash and marker
as well, so that eight of them can be told apart without colour. The same drawing gives the same bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib
import seaborn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageFont

from retable.bench.numbers import short, superscript

DPI = 200
WIDTH = 8.0
"""Inches; pixels are drawn at `DPI` and shown at half of it, so that they are sharp on a dense screen."""
LIMIT = 300_000
"""Bytes that a picture should stay under, for pages that load on a phone."""
INK, MUTED, FAINT, PAPER = "#24292f", "#6e7781", "#d8dee4", "#ffffff"
BAD = "#a40e26"

_COORDINATES = re.compile(r' (?:d|x|y)="[^"]*"')
_DIGITS = re.compile(r"-?\d+\.\d{3,}")
_ORDER = (0, 1, 2, 3, 4, 9, 5, 7, 6, 8)  # blue, orange, green, vermilion, purple, sky, tan, grey, pink, yellow
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")

_RC: Any = {  # matplotlib's stubs want a literal of its 300 keys
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same everywhere
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 7,
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.8,
    "legend.labelspacing": 0.55,
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "round",
    "lines.dash_capstyle": "round",
    "hatch.linewidth": 0.6,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "svg.hashsalt": "retable",
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Pen:
    """How one value of a setting is drawn, in every figure of a report."""

    colour: str
    dash: Any
    marker: str


def pens(n: int) -> list[Pen]:
    """`n` pens that differ by colour and by dash and marker; colours repeat after ten, marks don't repeat with them."""
    palette = seaborn.color_palette("colorblind").as_hex()
    return [
        Pen(
            palette[_ORDER[i % len(_ORDER)]],
            _DASHES[(i + i // len(_ORDER)) % len(_DASHES)],
            _MARKERS[(i + i // len(_ORDER)) % len(_MARKERS)],
        )
        for i in range(n)
    ]


@contextmanager
def look() -> Iterator[None]:
    """The style, for as long as the block lasts; nothing of matplotlib's state is left changed."""
    with matplotlib.rc_context(_RC):
        yield


def canvas(width: float, height: float) -> Figure:
    """An empty figure in inches, drawn without a display. Use inside `look()`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def encode(figure: Figure) -> bytes:
    """The figure as SVG, or as PNG where it holds so much that SVG would be over `LIMIT`."""
    data = svg(figure)
    return data if len(data) <= LIMIT else png(figure)


def svg(figure: Figure) -> bytes:
    """The figure as SVG without dates or versions in it; letters are shapes, the same on every machine."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _COORDINATES.sub(lambda match: _DIGITS.sub(_rounded, match[0]), buffer.getvalue().decode()).encode()


def _rounded(match: re.Match[str]) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def pdf(figure: Figure) -> bytes:
    """The figure as PDF for a paper, without dates or versions in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as PNG without dates or versions in it, in 256 colours where it would be too large."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    if buffer.tell() <= LIMIT:
        return buffer.getvalue()
    small = Image.open(io.BytesIO(buffer.getvalue())).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def kind(data: bytes) -> str:
    """`svg`, `jpg` or `png`: the ending of an encoded picture's file name."""
    return "svg" if data[:5] == b"<?xml" else "jpg" if data[:2] == b"\xff\xd8" else "png"


def width(data: bytes) -> int:
    """CSS pixels to show an encoded picture at: half its own, or the inches of a drawing at `DPI` / 2."""
    if kind(data) == "svg":
        points = re.search(rb'<svg [^>]*?width="([\d.]+)pt"', data)
        assert points is not None  # matplotlib writes it
        return round(float(points[1]) / 72 * DPI / 2)
    with Image.open(io.BytesIO(data)) as picture:
        return picture.width // 2


def power(values: Sequence[float]) -> int:
    """The power of ten (a multiple of three) to take out of an axis; 0 where the numbers read well as they are, or
    where they span more than three decades."""
    sizes = [abs(v) for v in values if v]
    if not sizes or (max(sizes) < 10_000 and min(sizes) >= 1e-3) or max(sizes) < 0.05 <= min(sizes):
        return 0
    if max(sizes) / min(sizes) >= 1e4:
        return 3 * math.floor(math.log10(max(sizes)) / 3) if min(values) <= 0 else 0
    return 3 * math.floor(math.log10(min(sizes)) / 3)


def in_power(label: str, exponent: int) -> str:
    """An axis label with the power that was taken out: `loss/total, in 10⁶`."""
    return f"{label}, in 10{superscript(exponent)}" if exponent else label


def ticks(exponent: int) -> Callable[[float, int | None], str]:
    """Tick labels after that power is taken out: `0.05`, `300`, `3·10⁷`."""

    def label(value: float, _position: int | None = None) -> str:
        return short(float(f"{value / 10.0**exponent:.6g}"))

    return label


def log_ticks(low: float, high: float) -> list[float]:
    """Four to eight round positions on a logarithmic axis: powers of ten, then with 3, 2 and 5, and finer."""
    decades = math.log10(high / low)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    if decades > 7:
        return [10.0**k for k in powers if low <= 10.0**k <= high][:: math.ceil(decades / 7)]
    halves, tenths = [1 + i / 2 for i in range(18)], [1 + i / 10 for i in range(90)]
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), halves, tenths):
        inside = [v for k in powers for m in steps if low <= (v := m * 10.0**k) <= high]
        if len(inside) >= 4:
            return inside[:: math.ceil(len(inside) / 8)]
    return [low, high]


@cache
def font(pixels: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The style's font for Pillow."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = f"{matplotlib.get_data_path()}/fonts/ttf/{name}"
    return ImageFont.truetype(path, pixels, layout_engine=ImageFont.Layout.BASIC)


def columns(n: int, wrap: int) -> int:
    """Into how many columns `n` panels go: at most `wrap`, with lines of equal length (8 panels, wrap 5: 4)."""
    lines = -(-n // max(1, min(wrap, n)))
    return -(-n // lines)


def limits(values: Sequence[float], log: bool, pad: float = 0.06) -> tuple[float, float]:
    """Axis limits with a margin; on a logarithmic axis the margin is a factor."""
    low, high = min(values), max(values)
    if log:
        factor = max((high / low) ** pad, 1.02)
        return low / factor, high * factor
    margin = (high - low) * pad or abs(high) * 0.05 or 1.0
    return low - margin, high + margin
