"""What every method's result for one pair of images is measured by: L_TV, and how photographic it is.

Shape suffixes: C channels, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retable.bench.task import Evaluation, State
from retable.models.transfer import Measured, Pair, data
from retable.models.transfer.matting import laplacian
from retable.models.transfer.objective import Objective, loss_network


def objective_of(settings: Measured, device: str, dtype: torch.dtype = torch.float32) -> Objective:
    """L_TV with the settings' weights. In float32 unless a training run asks otherwise: methods are compared by it."""
    vgg = loss_network(settings.weights, device, dtype)
    return Objective(vgg, settings.content_weight, settings.variation_weight, settings.alpha_floor)


def pair_of(settings: Pair, device: str) -> tuple[Tensor, Tensor]:
    """Content and style, float32 [1, 3, H, W] in [0, 1]."""
    content = data.image(settings.content, *settings.pixels)
    style = data.image(settings.style, *settings.pixels)
    return data.tensor(content, device), data.tensor(style, device)


def evaluation(objective: Objective, content_13HW: Tensor, style_13HW: Tensor, result_13HW: Tensor) -> Evaluation:
    """The metrics `unrolled.PICTURE` of a result that is clipped to [0, 1] first, and the three images."""
    from skimage.metrics import structural_similarity

    with torch.no_grad():
        target = objective.targets(content_13HW, style_13HW)
        losses = objective(result_13HW, target)
        clipped = result_13HW.clamp(0, 1)
        matrix = laplacian(content_13HW[0])
        affine = float(matrix.energy(clipped[0]) / clipped[0].numel())
    pictures = {
        "stylised": data.pixels(result_13HW),
        "content": data.pixels(content_13HW),
        "style": data.pixels(style_13HW),
    }
    grey = [np.asarray(pictures[name], np.float64).mean(2) for name in ("stylised", "content")]
    metrics = {
        "loss/total": float(losses.total_B),
        "loss/content": float(losses.content_B),
        "loss/style": float(losses.style_B),
        "loss/variation": float(losses.variation_B),
        "quality/affine": affine,
        "quality/ssim": float(structural_similarity(*grey, data_range=255)),
        **{f"style/scale{s}": float(losses.scales_SB[s - 1]) for s in range(1, 6)},
    }
    return Evaluation(metrics, pictures)


def seconds(run: Callable[[], Any], device: str) -> tuple[float, Any]:
    """How long `run` takes, and what it returns.

    By CUDA events on a GPU, which runs behind the program; processor seconds on a CPU with one thread, which other
    programs on the machine do not lengthen, else seconds on the wall.
    """
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        event: Any = torch.cuda.Event
        begin, end = event(enable_timing=True), event(enable_timing=True)
        begin.record()
        result = run()
        end.record()
        torch.cuda.synchronize(device)
        return float(begin.elapsed_time(end)) / 1000, result
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    before = clock()
    result = run()
    return clock() - before, result


class PairTask:
    """Base of the tasks that stylise one pair in one go: `run` once, then measure. There is nothing to train."""

    steps = 0

    def __init__(self, settings: Pair, device: str) -> None:
        self.device = device
        self.objective = objective_of(settings, device)
        self.content_13HW, self.style_13HW = pair_of(settings, device)

    @property
    def facts(self) -> dict[str, Any]:
        """What the losses depend on beside the settings."""
        return {"loss_network": self.objective.vgg.network.as_dict()}

    def run(self) -> Tensor:
        """The stylised image, [1, 3, H, W]."""
        raise NotImplementedError

    def step(self, index: int) -> Mapping[str, Tensor]:
        raise RuntimeError("this task has no steps")

    def evaluate(self) -> Evaluation:
        """Stylise, with its time, and measure."""
        with torch.no_grad():
            took, result_13HW = seconds(self.run, self.device)
        found = evaluation(self.objective, self.content_13HW, self.style_13HW, result_13HW)
        return Evaluation({**found.metrics, "time/stylise": took}, found.images)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: State) -> None:
        pass


def needed(state: State | None, what: str) -> State:
    """The state that a trial starts from; ValueError saying what is missing if there is none."""
    if state is None:
        raise ValueError(f"this needs {what}: give the experiment a `from:` that trains it")
    return state
