"""How long one image takes: the task `stylising_time` (the table of section 5.4).

A time depends on a network's shape, not on what it has learned, so the networks here are untrained.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from retable.bench.task import Context, Evaluation, State
from retable.models.stylizers import Decoder as DecoderSettings
from retable.models.stylizers import feedforward
from retable.models.stylizers.training import decoders_of, encoder_of
from retable.models.transfer import data
from retable.models.transfer.objective import loss_network
from retable.models.transfer.pictures import seconds
from retable.models.transfer.style import everywhere, style_of
from retable.models.unrolled import SHOWN_REPEATS, Timed
from retable.models.unrolled.network import Solver
from retable.models.unrolled.proximal import photorealism


class TimingTask:
    """The task `stylising_time`: there is nothing to train."""

    steps = 0

    def __init__(self, settings: Timed, context: Context) -> None:
        self.settings, self.device = settings, context.device

    def step(self, index: int) -> Mapping[str, Tensor]:
        raise RuntimeError("this task has no steps")

    def evaluate(self) -> Evaluation:
        """The median of `repeats` passes after one that warms up (none if `warm_up` is off)."""
        s = self.settings
        content = data.tensor(data.image(s.content, *s.pixels), self.device)
        style = data.tensor(data.image(s.style, *s.pixels), self.device)
        run = prepared(s, content, style, self.device)
        with torch.no_grad():
            if s.warm_up:
                run()
            times = [seconds(run, self.device)[0] for _ in range(s.repeats)]
        metrics = {"time/stylise": statistics.median(times), "time/spread": max(times) / min(times)}
        metrics |= {f"repeat/time{i:02d}": t for i, t in enumerate(times[:SHOWN_REPEATS], 1)}
        return Evaluation(metrics, {}, {"times": {"seconds": torch.tensor(times).double().numpy()}})

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: State) -> None:
        pass


def prepared(settings: Timed, content_13HW: Tensor, style_13HW: Tensor, device: str) -> Callable[[], Tensor]:
    """A pass of the method from image to image: the style is measured, and the matting Laplacian built, inside it."""
    s = settings
    if s.method == "unrolled":
        solver = Solver(s.iterations, s.width, backward=s.backward).to(device).requires_grad_(False)
        vgg = loss_network(s.weights, device)

        def solve() -> Tensor:
            proximal = photorealism(content_13HW, s.photo_weight, s.solver) if s.laplacian else None
            guide = everywhere(style_of(vgg, style_13HW))
            found: Tensor = solver(content_13HW, guide, proximal=proximal)[-1]
            return found

        return solve
    decoder = DecoderSettings(method=s.method, levels=s.levels, steps=1, images=1)
    nets = decoders_of(decoder).to(device).requires_grad_(False)
    encoder = encoder_of(decoder, device)
    if s.method == "adain":
        return lambda: feedforward.adain_stylised(encoder, nets, content_13HW, style_13HW)

    def transform() -> Tensor:
        found = feedforward.wct_stylised(encoder, nets, content_13HW, style_13HW)
        return feedforward.smoothed(found, content_13HW) if s.laplacian else found

    return transform
