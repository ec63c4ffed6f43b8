"""References: what doing nothing, simple recipes and the best possible picture score on the models' pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from retable.bench.task import Context, Evaluation, State
from retable.models import precision
from retable.models.stytr2 import TAPS, Reference, data, measuring, objective


class ReferenceTask:
    """The task `stytr2_reference`. Pixels are optimised from the contents, a step for all pairs at a time."""

    def __init__(self, settings: Reference, context: Context) -> None:
        s = self.settings = settings
        self.device = context.device
        self.dtype = precision.computation_dtype(s.precision, self.device)
        images = data.pool(s)
        self.pairs = data.pairs(s, len(images.contents), len(images.styles)).validation
        self.network = objective.LossNetwork(s, self.device, self.dtype)
        self.targets = measuring.Targets(images, self.network, self.device, keep=False)
        self.steps = s.steps if s.reference == "pixels" else 0
        self.pixels = data.as_tensor(images.contents[self.pairs[:, 0]], self.device)
        if self.steps:
            self.pixels.requires_grad_()
            self.optimizer = torch.optim.Adam([self.pixels], s.lr)

    @property
    def facts(self) -> dict[str, Any]:
        """What the losses depend on beside the settings."""
        return precision.facts(self.dtype, self.network.targets.network.as_dict())

    def step(self, index: int) -> Mapping[str, Tensor]:
        """One update of all pixels, each pair's by its own loss."""
        layers, losses = TAPS[self.settings.measured_taps], []
        self.optimizer.zero_grad(set_to_none=True)
        for part in measuring.batches(len(self.pairs)):
            _, of_targets = self.targets(self.pairs[part], layers)
            content, style = objective.each(self.network.free(self.pixels[part], layers), of_targets, layers)
            loss = (self.settings.content_weight * content + self.settings.style_weight * style).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        self.optimizer.step()
        with torch.no_grad():
            self.pixels.clamp_(0, 1)
        return {"loss/total": torch.stack(losses).sum() / len(self.pairs)}

    def evaluate(self) -> Evaluation:
        """The same measures as of a trained model, where it is a function of its images."""
        function = self.settings.reference != "pixels"
        found = measuring.everything(self.settings, self.pairs, self.targets, self._produce, function=function)
        return Evaluation(found.means, found.pictures, {"pairs": measuring.by_pair(found.stylised)})

    def state_dict(self) -> dict[str, Any]:
        return {"pixels": self.pixels.detach(), "optimizer": self.optimizer.state_dict()} if self.steps else {}

    def load_state_dict(self, state: State) -> None:
        if self.steps:
            self.pixels.detach().copy_(state["pixels"])
            self.optimizer.load_state_dict(dict(state["optimizer"]))

    def _produce(self, images_2B3HW: Tensor, at: slice, reverse: bool) -> Tensor:
        if self.settings.reference == "pixels":
            return torch.cat([images_2B3HW, self.pixels.detach()[at]])
        content, style = images_2B3HW.chunk(2)
        roles = [(content, content), (style, style), (content, style), *([(style, content)] if reverse else [])]
        return torch.cat([made(self.settings.reference, c, s) for c, s in roles])


def made(reference: str, content_B3HW: Tensor, style_B3HW: Tensor) -> Tensor:
    """What the reference makes of contents and styles.

    colour: the content's channels with the style's mean and deviation (Reinhard et al. 2001, in RGB).
    """
    if reference == "unchanged":
        return content_B3HW
    if reference == "crossfade":
        return (content_B3HW + style_B3HW) / 2
    if reference == "grey":
        return torch.full_like(content_B3HW, 0.5)
    mean_c, mean_s = (x.mean((2, 3), keepdim=True) for x in (content_B3HW, style_B3HW))
    std_c, std_s = (x.std((2, 3), keepdim=True).clamp_min(1e-3) for x in (content_B3HW, style_B3HW))
    return ((content_B3HW - mean_c) / std_c * std_s + mean_s).clamp(0, 1)
