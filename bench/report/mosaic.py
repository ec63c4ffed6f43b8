"""Sheets of pictures, composed with Pillow so that pixels stay pixels: tiles with labels, and a tile that says why
where there is no picture."""

from __future__ import annotations

import io
import struct
import textwrap
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, UnidentifiedImageError

from retable.bench.report import style

SHEET = 1640
"""Widest sheet in pixels; shown at half of it."""
LARGEST, SMALLEST = 400, 120
GAP, TEXT, LINE = 20, 24, 32
MOST = 4096 * 4096
"""Pixels of a picture. A file of 140 kB can hold 144 million, which take gigabytes to decode."""
LONGEST = 50
"""Times the shorter side: a tile has one width, and the height that follows from it."""
BROKEN = (OSError, EOFError, SyntaxError, ValueError, OverflowError, struct.error, zlib.error)
"""What Pillow raises, by kind of file, for one that is broken."""
Picture = Image.Image


@dataclass(frozen=True)
class Tile:
    """A labelled picture, or `why` there is none."""

    label: str
    image: Picture | None
    why: str


@dataclass(frozen=True)
class Sheet:
    """Lines of tiles. With `row_labels` and `column_labels` it is a grid, and `first` a line of its own above it."""

    first: list[Tile]
    grid: list[list[Tile]]
    row_labels: list[str] = field(default_factory=list)
    column_labels: list[str] = field(default_factory=list)


def load(path: Path) -> Picture:
    """A picture as RGB. Raises ValueError, which says what is wrong, for one that is broken, or too large to decode."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our bound is lower
            picture = Image.open(path)  # its header alone
        with picture:
            if picture.width * picture.height > MOST or max(picture.size) > LONGEST * min(picture.size):
                raise ValueError(f"it has {picture.width} x {picture.height} pixels, more than a report can show")
            return picture.convert("RGB")
    except UnidentifiedImageError as error:
        raise ValueError("it is no picture" if path.stat().st_size else "it is empty") from error
    except Image.DecompressionBombError as error:
        raise ValueError("it has more pixels than a report can show") from error
    except BROKEN as error:
        raise ValueError((isinstance(error, OSError) and error.strerror) or str(error)) from error


def lines(tiles: Sequence[Tile], wrap: int) -> list[list[Tile]]:
    """Tiles in lines of equal length, at most `wrap` in each."""
    across = style.columns(len(tiles), wrap)
    return [list(tiles[i : i + across]) for i in range(0, len(tiles), across)]


def encode(picture: Picture, most: int = 512) -> bytes:
    """A single picture as PNG, at most `most` pixels wide."""
    if picture.width > most:
        picture = picture.resize((most, round(picture.height * most / picture.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _tile_width(sheet: Sheet) -> int:
    across = max(len(line) for line in [*sheet.grid, sheet.first])
    left = _label_width(sheet.row_labels)
    fits = (SHEET - left - GAP * (across + 1)) // across
    return max(SMALLEST, min(LARGEST, fits))


def _label_width(labels: Sequence[str]) -> int:
    return max((round(style.font(TEXT).getlength(label)) + GAP for label in labels), default=0)


def enlarged(sheet: Sheet) -> str:
    """A sentence on pictures that are shown much larger than they are, or an empty text."""
    widths = [t.image.width for line in [sheet.first, *sheet.grid] for t in line if t.image is not None]
    if not widths or _tile_width(sheet) / 2 < 1.5 * min(widths):
        return ""
    return f"pictures of {min(widths)} pixels, enlarged"


def compose(sheet: Sheet) -> bytes:
    """The sheet as PNG, or as JPEG where photographs would make that too large."""
    width = _tile_width(sheet)
    grid = bool(sheet.column_labels)
    left = GAP + _label_width(sheet.row_labels)
    plans = [(line, True) for line in [sheet.first] if line] + [(line, not grid) for line in sheet.grid]
    heights = [max(_height(tile, width) for tile in line) for line, _ in plans]
    captions = [
        [textwrap.wrap(t.label, _characters(t.label, width)) or [""] if shown else [] for t in line]
        for line, shown in plans
    ]
    below = [max(len(words) for words in line) * LINE + (8 if any(line) else 0) for line in captions]
    across = max(len(line) for line, _ in plans)
    total = (left + across * (width + GAP), GAP + sum(h + b + GAP for h, b in zip(heights, below, strict=True)))
    header = LINE + GAP // 2 if grid else 0
    page = Image.new("RGB", (total[0], total[1] + header), style.PAPER)
    draw = ImageDraw.Draw(page)
    top, row = GAP, 0
    for (line, _), height, caption, extra in zip(plans, heights, captions, below, strict=True):
        in_grid = grid and line is not sheet.first
        if in_grid and row == 0:
            for i, label in enumerate(sheet.column_labels):
                _centred(draw, label, left + i * (width + GAP) + width // 2, top, width, bold=True)
            top += header
        if in_grid:
            draw.text((GAP, top + height // 2), sheet.row_labels[row], style.INK, style.font(TEXT), anchor="lm")
            row += 1
        for i, tile in enumerate(line):
            x = left + i * (width + GAP)
            _place(page, draw, tile, x, top, width, height)
            for j, words in enumerate(caption[i]):
                _centred(draw, words, x + width // 2, top + height + 8 + j * LINE, width)
        top += height + extra + GAP
    return _bytes(page)


def _characters(label: str, width: int) -> int:
    return max(8, int(len(label) * width / max(1.0, style.font(TEXT).getlength(label))))


def _height(tile: Tile, width: int) -> int:
    return round(tile.image.height * width / tile.image.width) if tile.image is not None else min(width, LARGEST)


def _place(page: Picture, draw: ImageDraw.ImageDraw, tile: Tile, x: int, y: int, width: int, height: int) -> None:
    if tile.image is not None:
        page.paste(_fit(tile.image, width), (x, y))
        return
    box = (x, y, x + width - 1, y + height - 1)
    draw.rectangle(box, fill="#f6f8fa", outline=style.FAINT, width=2)
    size = 22 if width >= 220 else 16
    words = textwrap.wrap(tile.why, max(10, int(width / (size * 0.62))))[: max(1, height // (size + 8) - 1)]
    start = y + height // 2 - len(words) * (size + 6) // 2
    for i, line in enumerate(words):
        draw.text((x + width // 2, start + i * (size + 6)), line, style.MUTED, style.font(size), anchor="ma")


def _fit(picture: Picture, width: int) -> Picture:
    """Scaled to `width`. Pictures of a few pixels are enlarged by whole factors first, so that they don't blur away."""
    if picture.width == width:
        return picture
    height = round(picture.height * width / picture.width)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _centred(draw: ImageDraw.ImageDraw, words: str, x: int, y: int, width: int, bold: bool = False) -> None:
    """One line centred at `x`, in a smaller size where it is wider than `width`."""
    size = TEXT
    while size > 14 and style.font(size, bold).getlength(words) > width:
        size -= 1
    draw.text((x, y), words, style.INK, style.font(size, bold), anchor="ma")


def _bytes(page: Picture) -> bytes:
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    if buffer.tell() <= style.LIMIT:
        return buffer.getvalue()
    for quality, subsampling in ((93, 0), (88, 0), (82, 0), (76, 2)):
        buffer = io.BytesIO()
        page.save(buffer, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
        if buffer.tell() <= style.LIMIT:
            break
    return buffer.getvalue()
