"""Parameters and operations of tables 3 and 4, worked out from the networks' shapes: task `waste_network_cost`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from retable.bench.task import Context, Evaluation, State
from retable.models.fanet import Cost, networks


def make(settings: Cost, context: Context) -> CostTask:
    """Task `waste_network_cost`."""
    return CostTask(settings)


class CostTask:
    """No step; the evaluation counts. The device, seed and weights do not matter."""

    steps = 0

    def __init__(self, settings: Cost) -> None:
        self.settings = settings

    def step(self, index: int) -> Mapping[str, Tensor]:
        raise IndexError("this task has no steps")

    def evaluate(self) -> Evaluation:
        s = self.settings
        with torch.device("meta"):
            network = networks.classifier(s, s.classes) if s.head == "classifier" else networks.segmenter(s, s.classes)
        macs = networks.macs(network, s.image_size, s.image_size)
        return Evaluation(metrics={"cost/parameters": networks.parameters(network), "cost/macs": macs})

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: State) -> None:
        """There is none."""
