"""One method on many pairs of held-out contents and the figures' styles: the task `stylised_pairs`.

Figure 5 shows four pairs, too few for an interval over pairs; here each pair's L_TV is a metric of its own.
Shape suffixes: H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from retable.bench.data import photos
from retable.bench.task import Context, Evaluation, State
from retable.models.stylizers.optimised import minimised
from retable.models.stylizers.pictures import stylizer
from retable.models.stylizers.references import REFERENCES
from retable.models.transfer import data
from retable.models.transfer.pictures import needed, objective_of
from retable.models.unrolled import Pairs
from retable.models.unrolled.solving import Restructurable

STYLES = ("swirls", "mosaic")
"""Of the figures; contents take them in turn."""


class PairsTask:
    """The task `stylised_pairs`: there is nothing to train."""

    steps = 0

    def __init__(self, settings: Pairs, context: Context) -> None:
        s = self.settings = settings
        self.device = context.device
        self.objective = objective_of(s, self.device)
        self.contents = photos.crops(s.count, s.size, seed=data.VALIDATION_SEED, split="held_out")
        self.run = self._method(context)

    @property
    def facts(self) -> dict[str, Any]:
        """What the losses depend on beside the settings."""
        return {"loss_network": self.objective.vgg.network.as_dict()}

    def step(self, index: int) -> Mapping[str, Tensor]:
        raise RuntimeError("this task has no steps")

    def evaluate(self) -> Evaluation:
        """Stylise every pair; L_TV of each, and their mean."""
        s, losses = self.settings, []
        for i, pixels in enumerate(self.contents):
            content_13HW = data.tensor(pixels, self.device)
            style_13HW = data.tensor(data.image(STYLES[i % len(STYLES)], s.size, s.size), self.device)
            result_13HW = self.run(content_13HW, style_13HW)
            with torch.no_grad():
                target = self.objective.targets(content_13HW, style_13HW)
                losses.append(float(self.objective(result_13HW, target).total_B))
        named = {f"pair/loss{i:02d}": loss for i, loss in enumerate(losses, 1)}
        return Evaluation({"loss/total": sum(losses) / len(losses), **named})

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: State) -> None:
        pass

    def _method(self, context: Context) -> Callable[[Tensor, Tensor], Tensor]:
        s = self.settings
        if s.method in REFERENCES:
            return REFERENCES[s.method]
        if s.method == "gatys":
            return lambda content, style: minimised(self.objective, content, style, s.steps)
        state = needed(context.start, f"a trained {s.method}")
        if s.method != "unrolled":
            return stylizer(state, self.device, strength=s.strength)
        solver = Restructurable(state, self.device)
        return lambda content, style: solver(content, solver.guide([style]))
