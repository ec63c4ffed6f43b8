"""Stylising one pair by a trained feed-forward method: the tasks `adain`, `wct` and `photo_wct`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from retable.bench.task import Context, State
from retable.models.stylizers import FeedForward, feedforward
from retable.models.stylizers.training import encoder_of, trained
from retable.models.transfer.pictures import PairTask, needed

Stylise = Callable[[Tensor, Tensor], Tensor]
"""Content and style [1, 3, H, W] in [0, 1] -> stylised [1, 3, H, W], not clipped."""


class FeedForwardTask(PairTask):
    """One pass through encoder, transform and decoders; for photo_wct also the smoothing step if asked."""

    def __init__(self, settings: FeedForward, context: Context) -> None:
        super().__init__(settings, context.device)
        state = needed(context.start, f"the decoders of {settings.method}")
        if state["settings"]["method"] != settings.method:
            raise ValueError(f"started from decoders of {state['settings']['method']}, not of {settings.method}")
        self.stylise = stylizer(state, context.device, strength=settings.strength, smoothing=settings.smoothing)

    def run(self) -> Tensor:
        return self.stylise(self.content_13HW, self.style_13HW)


def stylizer(state: State, device: str, *, strength: float = 0.6, smoothing: bool = False) -> Stylise:
    """The method whose decoders a state holds. strength: WCT's share of transformed features at each level."""
    decoders, settings = trained(state, device)
    vgg = encoder_of(settings, device)

    def stylise(content_13HW: Tensor, style_13HW: Tensor) -> Tensor:
        with torch.no_grad():
            if settings.method == "adain":
                return feedforward.adain_stylised(vgg, decoders, content_13HW, style_13HW)
            found = feedforward.wct_stylised(vgg, decoders, content_13HW, style_13HW, strength)
            return feedforward.smoothed(found.clamp(0, 1), content_13HW) if smoothing else found

    return stylise
