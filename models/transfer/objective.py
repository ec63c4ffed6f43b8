"""The loss that the solver is trained to minimise: content, style and total variation (equations 1, 2, section 5.1).

Shape suffixes: B batch, C channels, H height, W width, S the five style scales. Images are RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from retable.bench.data import photos
from retable.models.perceptual import Source, Vgg
from retable.models.transfer.style import SCALES, Style, gram, measure, style_of

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
    """L_TV of section 5.1.

    content_weight: lambda_c. variation_weight: lambda_TV. The style's weights are beta / alpha.
    alpha_floor: least alpha, see `retable.models.transfer.style.measure`.
    """

    vgg: LossNetwork
    content_weight: float = 0.02
    variation_weight: float = 0.3
    alpha_floor: float = 0.0

    def targets(self, content_B3HW: Tensor, style_B3HW: Tensor | Style) -> Target:
        """Targets of a batch of pairs, from one pass over both (two where their sizes differ), without gradients.

        A style may have been measured already, one a content.
        """
        with torch.no_grad():
            if isinstance(style_B3HW, Style):
                return Target(self.vgg(content_B3HW, [CONTENT])[CONTENT], style_B3HW)
            if content_B3HW.shape == style_B3HW.shape:
                features = self.vgg(torch.cat([style_B3HW, content_B3HW]))
                b = len(style_B3HW)
                return Target(features[CONTENT][b:], measure({s: features[s][:b] for s in SCALES}, self.alpha_floor))
            style = style_of(self.vgg, style_B3HW, self.alpha_floor)
            return Target(self.vgg(content_B3HW, [CONTENT])[CONTENT], style)

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


class LossNetwork:
    """The frozen network that content and style are measured in, for images in [0, 1].

    As in reference 15 (section 2), filters are scaled to a mean activation of one over images and positions: without
    that, the third and fourth scale outweigh the first, which holds the colours, a thousand times. A filter rarer than
    its layer's mean, which some half of them are, is scaled by that mean instead (see `RAREST`). Since the network is
    positively homogeneous, dividing what is read from it does the same as scaling its weights.

    source: whose weights. The paper's is VGG-19: with the file's weights its layers are mapped to VGG-16's.
    """

    def __init__(self, source: Source = "file", device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.vgg = Vgg(LAYERS, source=source, depth=19, maximum=1, device=device, dtype=dtype)
        self.network = self.vgg.network
        self._factors = {layer: f.to(device, dtype) for layer, f in unit_factors(source).items()}

    def __call__(self, image_B3HW: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Layer -> features [B, C, H / 2^k, W / 2^k]; nothing deeper than the deepest of `layers` is computed."""
        return {layer: f * self._factors[layer] for layer, f in self.vgg(image_B3HW, layers).items()}


RAREST = 1.0
"""A filter's mean activation counts as at least this share of its layer's: few photographs tell little of rare ones."""


@lru_cache(maxsize=2)
def unit_factors(source: Source) -> dict[str, Tensor]:
    """Layer -> one over every filter's mean activation on the embedded training photographs, [1, C, 1, 1]."""
    vgg = Vgg(LAYERS, source=source, depth=19, maximum=1)
    names = photos.SPLITS["train"]
    images = torch.from_numpy(photos.crops(2 * len(names), 128, seed=0, names=names))
    with torch.no_grad():
        features = vgg(images.permute(0, 3, 1, 2).float() / 255)
        means = {layer: f.mean((0, 2, 3)) for layer, f in features.items()}
    return {layer: 1 / m.clamp_min(RAREST * float(m.mean()))[None, :, None, None] for layer, m in means.items()}


@lru_cache(maxsize=4)
def loss_network(source: Source = "file", device: str = "cpu", dtype: torch.dtype = torch.float32) -> LossNetwork:
    """One `LossNetwork` for all that ask for the same."""
    return LossNetwork(source, device, dtype)


def beyond_range(images: Sequence[Tensor]) -> Tensor:
    """How far images are outside [0, 1]: the mean square, summed over X(1) ... X(N); a scalar.

    L_TV, which clips, has no gradient there: once every pixel is black it stays so.
    """
    return torch.stack([(x - x.clamp(0, 1)).square().mean() for x in images]).sum()


def random_betas(batch: int, keep: float, generator: torch.Generator) -> Tensor:
    """Section 5.1: independent switches that are 1 / keep with probability `keep`, else 0; [B, 5]."""
    return (torch.rand((batch, len(SCALES)), generator=generator) < keep).float() / keep


def noisy(image_B3HW: Tensor, amplitude: float, generator: torch.Generator) -> Tensor:
    """Section 5.1: uniform noise of zero mean whose amplitude is drawn for each image in [0, `amplitude`)."""
    amplitudes = amplitude * torch.rand((len(image_B3HW), 1, 1, 1), generator=generator)
    return image_B3HW + amplitudes * (2 * torch.rand(image_B3HW.shape, generator=generator) - 1)
