"""The loss that the solver is trained to minimise: content, style and total variation (equations 1, 2, section 5.1).

Shape suffixes: B batch, C channels, H height, W width, S the five style scales. Images are RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.perceptual import Source, Vgg
from models.unrolled.style import SCALES, Style, gram, measure

CONTENT = "relu4_2"
"""I_c, the layer of the content."""

LAYERS = (*SCALES, CONTENT)


@dataclass(frozen=True)
class Target:
    """What an image is compared with: the content's features [B, C, H, W] and the style."""

    content_BCHW: Tensor
    style: Style


@dataclass(frozen=True)
class Losses:
    """The terms of L_TV, each float32 [B] with its weight; `scales` holds the style's, [S, B], without beta."""

    total_B: Tensor
    content_B: Tensor
    style_B: Tensor
    variation_B: Tensor
    scales_SB: Tensor


@dataclass(frozen=True)
class Objective:
    """L_TV of section 5.1. `content_weight` is lambda_c, `variation_weight` lambda_TV; the style's are beta / alpha."""

    vgg: Vgg
    content_weight: float = 0.02
    variation_weight: float = 0.3

    def targets(self, content_B3HW: Tensor, style_B3HW: Tensor) -> Target:
        """Targets of a batch of pairs, from one pass over both (two where their sizes differ), without gradients."""
        with torch.no_grad():
            if content_B3HW.shape == style_B3HW.shape:
                features = self.vgg(torch.cat([style_B3HW, content_B3HW]))
                b = len(style_B3HW)
                return Target(features[CONTENT][b:], measure({s: features[s][:b] for s in SCALES}))
            return Target(self.vgg(content_B3HW, [CONTENT])[CONTENT], measure(self.vgg(style_B3HW, SCALES)))

    def __call__(self, image_B3HW: Tensor, target: Target, betas_BS: Tensor | None = None) -> Losses:
        """L_TV of images, clipped to [0, 1] first, against targets of the same batch.

        betas: the switches of the scales, [B, 5] or [1, 5]; None is 1 for all.
        """
        x_B3HW = image_B3HW.clamp(0, 1)
        features = self.vgg(x_B3HW)
        content_B = self.content_weight * (features[CONTENT] - target.content_BCHW).float().square().mean((1, 2, 3))
        style = target.style
        scales_SB = torch.stack(
            [(gram(features[s]) - style.matrices[s]).square().mean((1, 2)) / style.alpha_B for s in SCALES]
        )
        switched = scales_SB if betas_BS is None else scales_SB * betas_BS.T
        style_B = switched.sum(0)
        variation_B = self.variation_weight * total_variation_B(x_B3HW)
        return Losses(content_B + style_B + variation_B, content_B, style_B, variation_B, scales_SB)

    def over_iterations(self, images: Sequence[Tensor], target: Target, betas_BS: Tensor | None = None) -> Tensor:
        """The training loss: the sum over X(1) ... X(N) of L_TV, [N, B], from one pass over all of them."""
        n, b = len(images), len(images[0])
        content = target.content_BCHW.repeat(n, 1, 1, 1)
        matrices = {scale: m.repeat(n, 1, 1) for scale, m in target.style.matrices.items()}
        repeated = Target(content, Style(matrices, target.style.alpha_B.repeat(n)))
        betas = None if betas_BS is None else betas_BS.expand(b, -1).repeat(n, 1)
        return self(torch.cat(list(images)), repeated, betas).total_B.reshape(n, b)


def total_variation_B(image_B3HW: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, across plus down, of each image: [B].

    The paper does not say which total variation it uses; a sum would be 10^5 times the other terms at its weight.
    """
    down = (image_B3HW[:, :, 1:] - image_B3HW[:, :, :-1]).abs().mean((1, 2, 3))
    across = (image_B3HW[..., 1:] - image_B3HW[..., :-1]).abs().mean((1, 2, 3))
    return down + across


def loss_network(source: Source = "file", device: str = "cpu", dtype: torch.dtype = torch.float32) -> Vgg:
    """The frozen network that content and style are measured in, for images in [0, 1].

    source: whose weights. The paper's is VGG-19: with the file's weights its layers are mapped to VGG-16's.
    """
    depth = 19 if source == "file" else 16
    return Vgg(LAYERS, source=source, depth=depth, maximum=1, device=device, dtype=dtype)  # type: ignore[arg-type]


def random_betas(batch: int, keep: float, generator: torch.Generator) -> Tensor:
    """Section 5.1: independent switches that are 1 / keep with probability `keep`, else 0; [B, 5]."""
    return (torch.rand((batch, len(SCALES)), generator=generator) < keep).float() / keep


def noisy(image_B3HW: Tensor, amplitude: float, generator: torch.Generator) -> Tensor:
    """Section 5.1: uniform noise of zero mean whose amplitude is drawn for each image in [0, `amplitude`)."""
    amplitudes = amplitude * torch.rand((len(image_B3HW), 1, 1, 1), generator=generator)
    return image_B3HW + amplitudes * (2 * torch.rand(image_B3HW.shape, generator=generator) - 1)
