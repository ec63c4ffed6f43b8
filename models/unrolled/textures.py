"""Enlarging a texture with another one as a guide: the task `texture` (sections 4.2.3 and 5.6).

Shape suffixes: B batch, C channels, H height, W width, h, w the low resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from retable.bench.data import styles
from retable.bench.task import Context, Evaluation, State
from retable.models.stylizers.superresolution import bicubic, luminance, psnr
from retable.models.stylizers.superresolution import trained as trained_srcnn
from retable.models.transfer import data
from retable.models.transfer.objective import LossNetwork, loss_network
from retable.models.transfer.pictures import needed
from retable.models.transfer.style import SCALES, gram
from retable.models.unrolled import Texture
from retable.models.unrolled.proximal import gaussian_downsampling, low_resolution
from retable.models.unrolled.solving import Restructurable, betas


class TextureTask:
    """The task `texture`: there is nothing to train."""

    steps = 0

    def __init__(self, settings: Texture, context: Context) -> None:
        s = self.settings = settings
        self.device = context.device
        self.vgg = loss_network(s.weights, self.device)
        self.truth_11HW, self.guide_11HW = (luminance(t) for t in patches(s.texture, s.size, self.device))
        self.downsampling = gaussian_downsampling(s.size, s.size, s.factor)
        self.low_11hw = self.downsampling(self.truth_11HW)
        self.start = None if s.method == "bicubic" else needed(context.start, f"a trained {s.method}")

    def step(self, index: int) -> Mapping[str, Tensor]:
        raise RuntimeError("this task has no steps")

    def evaluate(self) -> Evaluation:
        """Enlarge, and compare with the texture that was reduced: pixels, and Gram matrices per scale."""
        found = self.enlarged().clamp(0, 1)
        snr = gram_snr(self.vgg, self.truth_11HW, found)
        metrics = {
            "quality/psnr": psnr(found, self.truth_11HW),
            "quality/detail": 100 * self._detail(found) / self._detail(self.truth_11HW),
            "quality/consistency": psnr(self.downsampling(found), self.low_11hw),
            "quality/gram_snr": snr["all"],
            **{f"quality/gram_snr{s}": snr[scale] for s, scale in enumerate(SCALES, 1)},
        }
        pictures = {
            "enlarged": found,
            "truth": self.truth_11HW,
            "guide": self.guide_11HW,
            "bicubic": bicubic(self.low_11hw, self.settings.factor),
        }
        return Evaluation(metrics, {name: data.pixels(grey(p)) for name, p in pictures.items()})

    def _detail(self, image_11HW: Tensor) -> float:
        """Root mean square of what reducing the image and enlarging it again takes away."""
        coarse = bicubic(self.downsampling(image_11HW), self.settings.factor)
        return float((image_11HW - coarse).square().mean().sqrt())

    def enlarged(self) -> Tensor:
        """The method's result, [1, 1, H, W], not clipped."""
        s = self.settings
        start_11HW = bicubic(self.low_11hw, s.factor)
        if self.start is None:
            return start_11HW
        if s.method == "srcnn":
            with torch.no_grad():
                out: Tensor = trained_srcnn(self.start, self.device)(start_11HW)
            return out
        method = Restructurable(self.start, self.device)
        low = grey(self.low_11hw)
        hold = low_resolution(low, self.downsampling, s.consistency_weight)
        guide = method.guide([grey(self.guide_11HW)])
        found = method(grey(start_11HW), guide, betas(s.scales), s.intensity, proximal=hold)
        return found.mean(1, keepdim=True)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: State) -> None:
        pass


def patches(texture: str, size: int, device: str) -> tuple[Tensor, Tensor]:
    """Two pieces of an embedded texture that do not overlap, [1, 3, size, size] each: one to rebuild, one as guide."""
    whole = data.tensor(styles.load(texture, styles.MASTER), device)
    if 2 * size > styles.MASTER:
        raise ValueError(f"two pieces of {size} pixels do not fit in a texture of {styles.MASTER}: make them smaller")
    return whole[:, :, :size, :size], whole[:, :, -size:, -size:]


def grey(luminance_11HW: Tensor) -> Tensor:
    """As RGB, [1, 3, H, W]."""
    return luminance_11HW.expand(-1, 3, -1, -1).contiguous()


def gram_snr(vgg: LossNetwork, truth_11HW: Tensor, found_11HW: Tensor) -> dict[str, float]:
    """10 log10(|G|^2 / |G - G'|^2) in decibels, for each scale and ("all") over all of them together."""
    with torch.no_grad():
        its, mine = vgg(grey(truth_11HW), SCALES), vgg(grey(found_11HW), SCALES)
    signal, noise, found = 0.0, 0.0, {}
    for scale in SCALES:
        g, h = gram(its[scale]).double(), gram(mine[scale]).double()
        power, error = float(g.square().sum()), max(float((g - h).square().sum()), 1e-12)
        found[scale] = _decibels(power, error)
        signal, noise = signal + power, noise + error
    return {**found, "all": _decibels(signal, noise)}


def _decibels(signal: float, noise: float) -> float:
    import math

    return 10 * math.log10(max(signal, 1e-12) / noise)
