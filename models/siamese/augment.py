"""The two views of every image, made for a whole batch at once on its device, each view with its own draw.

Section 4: mirror, crop (down to 8 % of the area), brightness, contrast, saturation and hue for 80 % of the images,
grey for 20 %. Each step is torchvision's (RandomResizedCrop, ColorJitter, RandomGrayscale on float images) applied
with per-image numbers; the order of the colour steps is fixed, as in the paper's released code.
Shapes: N views, S pixels a side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

JITTER = 0.4
"""Brightness, contrast and saturation factors lie in 1 - JITTER .. 1 + JITTER."""

HUE = 0.1
"""Largest turn of the hue circle, in turns."""

P_FLIP, P_JITTER, P_GREY = 0.5, 0.8, 0.2

LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))

TRIES = 10
"""Boxes that are drawn until one fits into the image, as torchvision does it."""


@dataclass(frozen=True)
class Draws:
    """What was drawn for N views.

    top, left, height, width: [N], the crop in whole pixels. flip, grey: [N] bool. brightness, contrast, saturation:
    [N], factors, 1 where nothing is to change. hue: [N], in turns.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grey: Tensor

    def of(self, rows: Tensor) -> Draws:
        """What was drawn for some of the views, by number."""
        return Draws(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def draw(
    count: int,
    size: int,
    *,
    crop: float = 0.08,
    device: str | torch.device = "cpu",
    generator: torch.Generator | None = None,
) -> Draws:
    """Draw for `count` views of square images, from torch's generator of that device or the one given.

    crop: smallest share of the area that a crop keeps.
    """
    u = torch.rand(count, 2 * TRIES + 9, device=device, generator=generator)
    area = size * size * (crop + (1 - crop) * u[:, :TRIES])
    ratio = torch.exp(LOG_RATIO[0] + (LOG_RATIO[1] - LOG_RATIO[0]) * u[:, TRIES : 2 * TRIES])
    widths, heights = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (widths <= size) & (heights <= size) & (widths > 0) & (heights > 0)
    first = fits.int().argmax(dim=1, keepdim=True)  # the first that fits
    any_fits = fits.any(dim=1)
    width = torch.where(any_fits, widths.gather(1, first)[:, 0], size)  # else the whole image: its ratio is 1
    height = torch.where(any_fits, heights.gather(1, first)[:, 0], size)
    rest = u[:, 2 * TRIES :]
    jitter = rest[:, 3] < P_JITTER

    def factor(column: int) -> Tensor:
        return torch.where(jitter, 1 - JITTER + 2 * JITTER * rest[:, column], 1.0)

    return Draws(
        top=(rest[:, 0] * (size - height + 1)).floor(),
        left=(rest[:, 1] * (size - width + 1)).floor(),
        height=height,
        width=width,
        flip=rest[:, 2] < P_FLIP,
        brightness=factor(4),
        contrast=factor(5),
        saturation=factor(6),
        hue=torch.where(jitter, HUE * (2 * rest[:, 7] - 1), 0.0),
        grey=rest[:, 8] < P_GREY,
    )


def apply(images: Tensor, d: Draws, interpolation: Literal["bilinear", "bicubic"] = "bilinear") -> Tensor:
    """The views of images [N, 3, S, S] in 0..1 that `d` describes, as large as the images and in 0..1."""
    x = crop_and_flip(images, d, interpolation)
    x = (x * _each(d.brightness)).clamp(0, 1)
    mean = luma(x).mean(dim=(2, 3), keepdim=True)
    x = torch.lerp(mean, x, _each(d.contrast)).clamp(0, 1)
    x = torch.lerp(luma(x), x, _each(d.saturation)).clamp(0, 1)
    x = turn_hue(x, d.hue)
    return torch.where(_each(d.grey), luma(x), x)


def two_views(
    images: Tensor,
    *,
    crop: float = 0.08,
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    generator: torch.Generator | None = None,
    share: range | None = None,
) -> tuple[Tensor, Tensor]:
    """Two views of each of uint8 images [B, 3, S, S], drawn independently: two [B, 3, S, S] in 0..1.

    share: the images whose views are made, None: all; what is drawn for each is the same whatever its share.
    """
    count = len(images)
    drawn = draw(2 * count, images.shape[-1], crop=crop, device=images.device, generator=generator)
    if share is not None:
        rows = torch.tensor(share, device=images.device)
        images = images[rows]
        drawn = drawn.of(torch.cat([rows, count + rows]))
    pairs = images.float().div_(255).repeat(2, 1, 1, 1)
    first, second = apply(pairs, drawn, interpolation).chunk(2)
    return first, second


def crop_and_flip(images: Tensor, d: Draws, interpolation: Literal["bilinear", "bicubic"] = "bilinear") -> Tensor:
    """Every image's box, resized to the whole size and mirrored where drawn; [N, 3, S, S].

    Inside the box this is `interpolate(..., align_corners=False)`; the box only grows, so that no smoothing is due.
    """
    size = images.shape[-1]
    centres = (torch.arange(size, device=images.device) + 0.5) / size
    x = _line(centres, d.left, d.width, size)
    x = torch.where(d.flip[:, None], x.flip(1), x)
    y = _line(centres, d.top, d.height, size)
    grid = torch.stack((x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)), dim=-1)
    sampled = F.grid_sample(images, grid, mode=interpolation, padding_mode="border", align_corners=False)
    return sampled.clamp_(0, 1) if interpolation == "bicubic" else sampled


def _line(centres: Tensor, start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where along one side the new pixels' centres fall, [N, S], in grid_sample's -1..1; never outside the box."""
    first, last = start[:, None] + 0.5, (start + length)[:, None] - 0.5
    at = (start[:, None] + centres * length[:, None]).clamp(first, last)
    return 2 * at / size - 1


def luma(x: Tensor) -> Tensor:
    """Grey of [N, 3, S, S] as [N, 1, S, S], with torchvision's weights."""
    r, g, b = x.unbind(1)
    return (0.2989 * r + 0.587 * g + 0.114 * b).unsqueeze(1)


def turn_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Hue of [N, 3, S, S] in 0..1 turned by [N]; saturation and value stay (torchvision's adjust_hue).

    The closed form of HSV to RGB: channel n of (5, 3, 1) is v - v s max(0, min(k, 4 - k, 1)), k = (n + 6 h) mod 6.
    """
    r, g, b = x.unbind(1)
    value, low = x.amax(1), x.amin(1)
    chroma = value - low
    safe = torch.where(chroma > 0, chroma, 1.0)
    six_h = torch.where(value == r, (g - b) / safe, torch.where(value == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    six_h = six_h + 6 * turns[:, None, None]
    k = (six_h.unsqueeze(1) + _offsets(x)) % 6
    return value.unsqueeze(1) - chroma.unsqueeze(1) * torch.minimum(k, 4 - k).clamp(0, 1)


def _offsets(x: Tensor) -> Tensor:
    return torch.arange(5, 0, -2, device=x.device, dtype=x.dtype)[:, None, None]


def _each(value: Tensor) -> Tensor:
    return value[:, None, None, None]
