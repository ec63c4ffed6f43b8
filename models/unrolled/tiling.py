"""The solver on pictures of any size in bounded memory: each learned update is computed tile by tile.

An update is local: what it does to a pixel depends on no other farther away than `MARGIN`, and styles are measured
elsewhere. Tiles that overlap by that much are equal to the whole, up to the rounding of sums in another order.
Operators between updates see the whole picture. Shape suffixes: C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from retable.models.transfer.style import Region
from retable.models.unrolled.network import ALL_SCALES, MULTIPLE, Proximal, Solver, Update, padded

MARGIN = 5 * MULTIPLE
"""Pixels: an update reaches 31 forward and 31 backward (a 3x3 convolution at strides 1 to 16, twice), and up to 15 more
by where the coarsest pixels begin."""

MEMORY = 6e8
"""Bytes that one tile may take, about."""

PER_CHANNEL = 40
"""Bytes a pixel and channel of the first scale that an update takes, measured."""


def solved(
    solver: Solver,
    content_13HW: Tensor,
    regions: Sequence[Region],
    scales: Sequence[float] = ALL_SCALES,
    intensity: float = 1.0,
    proximal: Proximal | None = None,
    side: int = 0,
) -> Tensor:
    """X(N), [1, 3, H, W], as `Solver` computes it on the whole picture. side: of a tile, without its margin; 0: what
    fits into `MEMORY`. Raises ValueError for a picture that is too small."""
    weights_1S = intensity * torch.tensor([scales], dtype=torch.float32, device=content_13HW.device)
    h, w = content_13HW.shape[-2:]
    inside = [Region(r.matrices, None if r.mask_B1HW is None else padded(r.mask_B1HW, "replicate")) for r in regions]
    x_13HW = content_13HW.float()
    with torch.no_grad():
        for update in solver.updates:
            assert isinstance(update, Update)
            whole_13HW = padded(x_13HW)
            if update.derivative == "difference":  # needs the Gram matrix of the whole picture
                side = max(whole_13HW.shape[-2:])
            side = side or _side(update.widths[0])
            change_13HW = torch.empty_like(whole_13HW)
            for outer, core, within in tiles(whole_13HW.shape[-2], whole_13HW.shape[-1], side):
                there = [Region(r.matrices, None if r.mask_B1HW is None else _cut(r.mask_B1HW, outer)) for r in inside]
                _cut(change_13HW, core).copy_(_cut(update(_cut(whole_13HW, outer), there, weights_1S), within))
            x_13HW = x_13HW - change_13HW[:, :, :h, :w]
            if proximal is not None:
                x_13HW = proximal(x_13HW)
    return x_13HW


Box = tuple[slice, slice]


def tiles(height: int, width: int, side: int) -> Iterator[tuple[Box, Box, Box]]:
    """Of every tile what is computed, what of it counts, and where that stands inside it; all begin on multiples."""
    for rows in _spans(height, side):
        for columns in _spans(width, side):
            outer, core, within = zip(rows, columns, strict=True)
            yield outer, core, within


def _spans(length: int, side: int) -> Iterator[tuple[slice, slice, slice]]:
    for start in range(0, length, side):
        stop = min(length, start + side)
        first, last = max(0, start - MARGIN), min(length, stop + MARGIN)
        yield slice(first, last), slice(start, stop), slice(start - first, stop - first)


def _cut(image_1CHW: Tensor, box: Box) -> Tensor:
    return image_1CHW[:, :, box[0], box[1]]


def _side(width: int) -> int:
    """The largest multiple of `MULTIPLE` whose square, with its margins, fits into `MEMORY`; two margins at least."""
    outer = math.isqrt(int(MEMORY / (PER_CHANNEL * width)))
    return int(max(2 * MARGIN, outer - outer % MULTIPLE - 2 * MARGIN))
