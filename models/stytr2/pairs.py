"""Two models on the same pairs: near-equal losses with different pictures (figure 2), and both at one style loss.

The task starts from a trained trial that holds its baseline's weights beside its own, and puts every pair of content
and style through both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retable.bench.task import Context, Evaluation, State
from retable.models.precision import computation_dtype
from retable.models.stytr2 import TAPS, Comparison, data, measures, objective
from retable.models.stytr2 import losses as L
from retable.models.stytr2.measuring import Targets
from retable.models.stytr2.network import Generator, initial

BATCH = 8
"""Pairs per pass."""

HALVINGS = 8
"""Of the share of the content that is blended in until two style losses are equal."""


class ComparisonTask:
    """The task `stytr2_pairs`. Nothing is trained."""

    steps = 0

    def __init__(self, settings: Comparison, context: Context) -> None:
        of_itself = settings.separability == "none"
        if context.start is None or not (of_itself or "reference" in context.start):
            raise ValueError(
                "stytr2_pairs compares two models: let it start `from` an experiment that itself starts `from` the "
                "baseline, or, with separability none, from the baseline"
            )
        s = self.settings = settings
        self.device, self.layers = context.device, TAPS[s.measured_taps]
        self.dtype = computation_dtype(s.precision, self.device)
        self.network = objective.LossNetwork(s, self.device, self.dtype)
        self.targets = Targets(data.pool(s), self.network, self.device, keep=False)
        baseline = context.start if of_itself else context.start["reference"]
        self.nets = [self._net(baseline["network"]), self._net(context.start["network"])]

    def step(self, index: int) -> Mapping[str, Tensor]:
        raise IndexError(f"nothing is trained here, and step {index} was asked for")

    def evaluate(self) -> Evaluation:
        """Search the pairs; picture: a row per pair with I_c, I_s, the baseline's I_o and the other's."""
        s, images = self.settings, self.targets.images
        every = _all_pairs(len(images.contents), len(images.styles), s.searched)
        with torch.no_grad():
            batches = [every[start : start + BATCH] for start in range(0, len(every), BATCH)]
            rows = [row for batch in batches for row in self._compare(batch)]
        column = {name: np.array([row[name] for row in rows]) for name in rows[0] if name != "pictures"}
        apart = np.stack([column["content_apart"], column["style_apart"]], axis=1)
        equal = (apart <= s.tolerance).all(axis=1)
        # Without a near-equal pair the closest ones are shown; the count says so.
        order = np.lexsort((-column["distance"], ~equal)) if equal.any() else np.argsort(apart.max(1), kind="stable")
        best = int(order[0])
        metrics = {
            "pairs/searched": float(len(rows)),
            "pairs/near_equal": float(equal.sum()),
            "pairs/distance": float(column["distance"][best]),
            "pairs/ssim": float(column["ssim"][best]),
            "pairs/content_difference": 100 * float(apart[best, 0]),
            "pairs/style_difference": 100 * float(apart[best, 1]),
            "pairs/mean_distance": float(column["distance"].mean()),
            "pairs/mean_ssim": float(column["ssim"].mean()),
        }
        both = column["styled"]
        metrics["equal_style/pairs"] = float(both.sum())
        if both.any():
            metrics["equal_style/noise"] = float(column["noise"][both].mean())
            metrics["equal_style/content"] = float(column["content"][both].mean())
        shown = [rows[int(i)]["pictures"] for i in order[: s.shown]]
        table = {
            "pairs": every.astype(np.float64),
            "apart": apart,
            "distance": column["distance"],
            "ssim": column["ssim"],
        }
        return Evaluation(metrics=metrics, images={"figure2": measures.mosaic(shown)}, arrays={"pairs": table})

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: State) -> None:
        """There is nothing to load."""

    def _net(self, weights: Mapping[str, Tensor]) -> Generator:
        net = initial(self.settings, 0).to(self.device)
        net.load_state_dict(dict(weights))
        return net.eval()

    def _compare(self, pairs: np.ndarray) -> list[dict[str, Any]]:
        """Pairs [B, 2] through both models: how far apart their losses and pictures are, and both at one L_s."""
        b = len(pairs)
        images, of_targets = self.targets(pairs, self.layers)
        content = images[:b]
        made = [net.outputs(images, reverse=False, dtype=self.dtype)[2 * b :] for net in self.nets]
        found = [self._losses(output, of_targets) for output in made]
        # The distance is of what a viewer shows.
        seen = [self.network.free(output.clamp(0, 1), self.layers) for output in made]
        distance = measures.feature_distance(*seen).cpu().numpy()
        pictures = [measures.as_images(output) for output in made]
        contents, styles = measures.as_images(content), measures.as_images(images[b:])

        equal = self._at_one_style(content, made, [style for _, style in found], of_targets)
        at = [(measures.as_images(output), self._losses(output, of_targets)[0].cpu().numpy()) for output in equal]
        untouched = self._losses(content, of_targets)[1]
        styled = torch.stack([style < untouched for _, style in found]).all(0).cpu().numpy()
        losses = [[x.cpu().numpy() for x in pair] for pair in found]
        return [
            {
                "content_apart": _relative(losses[0][0][i], losses[1][0][i]),
                "style_apart": _relative(losses[0][1][i], losses[1][1][i]),
                "distance": float(distance[i]),
                "ssim": measures.similarity(pictures[0][i], pictures[1][i]),
                "styled": bool(styled[i]),
                "noise": measures.flat_noise(at[1][0][i], contents[i]) - measures.flat_noise(at[0][0][i], contents[i]),
                "content": float(at[1][1][i] - at[0][1][i]),
                "pictures": [contents[i], styles[i], pictures[0][i], pictures[1][i]],
            }
            for i in range(b)
        ]

    def _losses(self, output: Tensor, of_targets: L.Features) -> tuple[Tensor, Tensor]:
        return objective.each(self.network.free(output, self.layers), of_targets, self.layers)

    def _at_one_style(
        self, content: Tensor, made: list[Tensor], style: list[Tensor], of_targets: L.Features
    ) -> list[Tensor]:
        """Both outputs at the higher of their two style losses: the other one blended with the content up to it."""
        goal = torch.maximum(*style)
        blended = []
        for output, own in zip(made, style, strict=True):
            low, high = torch.zeros_like(goal), torch.ones_like(goal)  # share of the content
            for _ in range(HALVINGS):
                share = (low + high) / 2
                below = self._losses(torch.lerp(output, content, share[:, None, None, None]), of_targets)[1] < goal
                low, high = torch.where(below, share, low), torch.where(below, high, share)
            share = torch.where(own < goal, low, torch.zeros_like(low))
            blended.append(torch.lerp(output, content, share[:, None, None, None]))
        return blended


def _relative(a: float, b: float) -> float:
    return float(abs(a - b) / max(abs(a), abs(b), 1e-12))


def _all_pairs(contents: int, styles: int, limit: int) -> np.ndarray:
    """Every combination, or `limit` of them chosen at random (always the same ones): int64 [n, 2]."""
    if contents * styles <= limit:
        chosen = np.arange(contents * styles)
    else:
        generator = np.random.Generator(np.random.PCG64(data.SPLIT_SEED))
        chosen = np.sort(generator.choice(contents * styles, limit, replace=False))
    return np.stack(np.divmod(chosen, styles), axis=1)
