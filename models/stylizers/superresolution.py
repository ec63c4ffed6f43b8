"""Super-resolution without a user's texture: bicubic interpolation and SRCNN.

Source: Dong, Loy, He and Tang, "Learning a Deep Convolutional Network for Image Super-Resolution", 2014 (9-1-5 with
64 and 32 filters), trained for bicubic reduction as published. Luminance in [0, 1].

Shape suffixes: B batch, H height, W width, h, w the low resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retable.bench.task import Context, Evaluation, State
from retable.models.stylizers import SuperResolution
from retable.models.transfer import data

LUMINANCE = (0.299, 0.587, 0.114)
"""Of RGB, ITU-R BT.601."""


class Srcnn(nn.Module):
    """Patch extraction, non-linear mapping, reconstruction; borders are reflected, so that the size is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 64, 9, padding=4, padding_mode="reflect"),
            nn.ReLU(),
            nn.Conv2d(64, 32, 1),
            nn.ReLU(),
            nn.Conv2d(32, 1, 5, padding=2, padding_mode="reflect"),
        )

    def forward(self, enlarged_B1HW: Tensor) -> Tensor:
        """The bicubically enlarged luminance, made sharper."""
        # What the network adds to its input: near zero at first, so that a short training is not spent on the identity.
        out: Tensor = enlarged_B1HW + self.layers(enlarged_B1HW)
        return out


def luminance(image_B3HW: Tensor) -> Tensor:
    """[B, 1, H, W] of RGB."""
    weights = torch.tensor(LUMINANCE).to(image_B3HW)[None, :, None, None]
    return (image_B3HW * weights).sum(1, keepdim=True)


def bicubic(low_BChw: Tensor, factor: int) -> Tensor:
    """Enlarged `factor` times in both directions."""
    return F.interpolate(low_BChw, scale_factor=factor, mode="bicubic", align_corners=False)


def reduced(image_BCHW: Tensor, factor: int) -> Tensor:
    """Bicubic reduction with anti-aliasing, as SRCNN's training data have it."""
    size = [s // factor for s in image_BCHW.shape[-2:]]
    return F.interpolate(image_BCHW, size=size, mode="bicubic", align_corners=False, antialias=True)


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio of images in [0, 1], dB."""
    return float(-10 * (a.double() - b.double()).square().mean().clamp_min(1e-12).log10())


class SrcnnTask:
    """The task `srcnn`."""

    def __init__(self, settings: SuperResolution, context: Context) -> None:
        s = self.settings = settings
        self.steps, self.device = s.steps, context.device
        self.images = data.training_images(s.data, _multiple(s), s.images, s.held_out, context.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            self.net = Srcnn().to(self.device)
        for layer in (self.net.layers[0], self.net.layers[2], self.net.layers[4]):
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.net.layers[4].weight, std=1e-3, generator=torch.Generator().manual_seed(context.seed))  # type: ignore[arg-type]
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=s.lr)
        self.generator = torch.Generator().manual_seed(context.seed)

    def step(self, index: int) -> Mapping[str, Tensor]:
        which = torch.randint(len(self.images), (self.settings.patches,), generator=self.generator).numpy()
        loss = self._error(self.images[which]).square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {"loss/total": loss.detach()}

    def evaluate(self) -> Evaluation:
        """Held-out error, in decibels too, beside bicubic interpolation's."""
        s = self.settings
        images, _ = data.validation_pairs(s.data, _multiple(s), s.held_out)
        with torch.no_grad():
            mine = self._error(images).square().mean((1, 2, 3))
            truth = luminance(data.tensor(images, self.device))
            plain = (bicubic(reduced(truth, s.factor), s.factor) - truth).square().mean((1, 2, 3))
        metrics = {
            "loss/held_out": float(mine.mean()),
            "quality/psnr": float(-10 * mine.log10().mean()),
            "quality/psnr_bicubic": float(-10 * plain.log10().mean()),
        }
        return Evaluation(metrics, {}, {}, {"network": self.net.state_dict(), "settings": s.model_dump()})

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: State) -> None:
        self.net.load_state_dict(state["network"])
        self.optimizer.load_state_dict(dict(state["optimizer"]))
        self.generator.set_state(state["generator"])

    def _error(self, images: np.ndarray) -> Tensor:
        truth = luminance(data.tensor(images, self.device))
        found: Tensor = self.net(bicubic(reduced(truth, self.settings.factor), self.settings.factor))
        return found - truth


def _multiple(settings: SuperResolution) -> int:
    """The images' size, brought down to a multiple of the factor."""
    return settings.size // settings.factor * settings.factor


def trained(state: State, device: str = "cpu") -> Srcnn:
    """The network in an `Evaluation.model` of this task, ready for use."""
    net = Srcnn()
    net.load_state_dict(state["network"])
    return net.to(device).eval().requires_grad_(False)
