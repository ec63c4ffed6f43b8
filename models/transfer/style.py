"""What the solver knows of a style: its Gram matrices (section 3.1), their mixture and their regions (section 4.1).

Shape suffixes: B batch, C channels of the loss network, H height, W width, S the five style scales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from retable.models.perceptual import gram_BCC

SCALES = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""I_s, the scales of the style, coarse last. The paper writes conv; its reference 15 reads them after the ReLU."""

CHANNELS = (64, 128, 256, 512, 512)
"""Channels of the loss network at each scale."""


class Features(Protocol):
    """A frozen network: `retable.models.transfer.objective.LossNetwork`."""

    def __call__(self, image_B3HW: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Style:
    """Style matrices of a batch of style images.

    matrices: scale -> S^T S / n', float32 [B, C, C].
    alpha_B: section 5.1, the sum over the scales of the mean square of the matrices; float32 [B]. Divided by
        it, losses and updates of different styles are of the same size.
    """

    matrices: Mapping[str, Tensor]
    alpha_B: Tensor

    def normalised(self, scale: str) -> Tensor:
        """lambda_s S^T S / n' of equation 10 with beta = 1: the matrices of `scale` over alpha, [B, C, C]."""
        return self.matrices[scale] / self.alpha_B[:, None, None]

    def rows(self, which: Tensor) -> Style:
        """The styles number `which`, int [B'], in that order; a style may come twice."""
        return Style({scale: m[which] for scale, m in self.matrices.items()}, self.alpha_B[which])


@dataclass(frozen=True)
class Region:
    """A style, or a mixture of them, and where it goes.

    matrices: scale -> normalised style matrices [B, C, C] ([1, C, C] serves a batch).
    mask_B1HW: share of each pixel, in [0, 1]; None is everywhere.
    """

    matrices: Mapping[str, Tensor]
    mask_B1HW: Tensor | None = None


def gram(features_BCHW: Tensor) -> Tensor:
    """F^T F / n, as equation 2 has it: float32 [B, C, C]."""
    return gram_BCC(features_BCHW) * features_BCHW.shape[1]


def measure(features: Mapping[str, Tensor], alpha_floor: float = 0.0) -> Style:
    """The style of images from their features at the `SCALES`, [B, C, H, W] each.

    alpha_floor: least alpha. A dark or flat image has next to no Gram matrix, and a loss divided by its alpha
    drowns those of the others. 0 is the paper's.
    """
    matrices = {scale: gram(features[scale]) for scale in SCALES}
    alpha_B = torch.stack([m.square().mean((1, 2)) for m in matrices.values()]).sum(0)
    # Even a black image leaves some alpha, but nothing may be divided by zero.
    return Style(matrices, alpha_B.clamp_min(max(alpha_floor, 1e-6)))


def style_of(vgg: Features, image_B3HW: Tensor, alpha_floor: float = 0.0) -> Style:
    """The style of images in [0, 1], without gradients; see `measure`."""
    with torch.no_grad():
        return measure(vgg(image_B3HW, SCALES), alpha_floor)


def mix(styles: Sequence[Style], weights: Sequence[float]) -> dict[str, Tensor]:
    """Equation 12: scale -> sum over i of weight_i times the normalised matrices of style i.

    Raises ValueError unless there is one weight a style, none is negative and they sum to one.
    """
    if len(styles) != len(weights):
        raise ValueError(f"{len(styles)} styles but {len(weights)} weights: give one weight a style")
    if not (all(w >= 0 for w in weights) and abs(sum(weights) - 1) <= 1e-4):  # so that NaN is refused too
        shown = ", ".join(f"{w:g}" for w in weights)
        raise ValueError(f"the weights of the styles must be at least 0 and sum to 1, not {shown}")
    pairs = list(zip(styles, weights, strict=True))
    return {scale: torch.stack([w * s.normalised(scale) for s, w in pairs]).sum(0) for scale in SCALES}


def everywhere(*styles: Style, weights: Sequence[float] | None = None) -> list[Region]:
    """One region with one style, or with a mixture (equal weights unless given)."""
    return [Region(mix(styles, weights or [1 / len(styles)] * len(styles)))]


def regions(styles: Sequence[Style], masks_B1HW: Sequence[Tensor]) -> list[Region]:
    """A style for each region of the content (section 4.1).

    masks: one a style, [B, 1, H, W] in [0, 1]. Raises ValueError if they leave pixels out, overlap (their sum
    is not one somewhere) or differ in size.
    """
    if len(styles) != len(masks_B1HW) or not styles:
        raise ValueError(f"{len(styles)} styles but {len(masks_B1HW)} masks: give one mask a style")
    sizes = sorted({tuple(m.shape[-2:]) for m in masks_B1HW})
    if len(sizes) > 1:
        raise ValueError(f"the masks differ in size: {', '.join(f'{w}x{h}' for h, w in sizes)}")
    total = torch.stack(list(masks_B1HW)).sum(0)
    bare, double = float((total < 0.99).float().mean()), float((total > 1.01).float().mean())
    if bare or double:
        parts = [f"{bare:.1%} of the pixels in none"] * (bare > 0)
        parts += [f"{double:.1%} of the pixels in more than one"] * (double > 0)
        raise ValueError(f"the masks must share every pixel out: {' and '.join(parts)}")
    return [Region(mix([s], [1.0]), m) for s, m in zip(styles, masks_B1HW, strict=True)]


def at_scale(mask_B1HW: Tensor, height: int, width: int) -> Tensor:
    """The mask M_l of a scale: area means, [B, 1, height, width]."""
    return F.adaptive_avg_pool2d(mask_B1HW, (height, width))
