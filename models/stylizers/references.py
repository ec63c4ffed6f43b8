"""What stands beside every method: the content as it is, the style as it is, and the content in the style's colours.

A method that is trained and does not beat these has not been shown to stylise. Shape suffixes: C channels, H, W.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from retable.bench.task import Context
from retable.models.stylizers import Reference
from retable.models.transfer.pictures import PairTask


def unchanged(content_13HW: Tensor, style_13HW: Tensor) -> Tensor:
    """The content."""
    return content_13HW


def style_itself(content_13HW: Tensor, style_13HW: Tensor) -> Tensor:
    """The style: all of its texture and nothing of the content."""
    return style_13HW


def colour_match(content_13HW: Tensor, style_13HW: Tensor) -> Tensor:
    """The content with the mean and deviation of the style in every colour channel, clipped to [0, 1]."""
    mean, deviation = (f((2, 3), keepdim=True) for f in (content_13HW.mean, content_13HW.std))
    aim, spread = (f((2, 3), keepdim=True) for f in (style_13HW.mean, style_13HW.std))
    return ((content_13HW - mean) / deviation.clamp_min(1e-6) * spread + aim).clamp(0, 1)


REFERENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "unchanged": unchanged,
    "style_itself": style_itself,
    "colour_match": colour_match,
}


class ReferenceTask(PairTask):
    """The task `reference_picture`."""

    def __init__(self, settings: Reference, context: Context) -> None:
        super().__init__(settings, context.device)
        self.method = settings.method

    def run(self) -> Tensor:
        return REFERENCES[self.method](self.content_13HW, self.style_13HW)
