"""Figure 2 by search: pairs on which two models have near-equal losses and visibly different pictures.

The task starts from a trained trial that holds its baseline's weights beside its own, puts every pair of content
and style through both, and ranks the near-equal ones by how far the two pictures are apart in VGG features.
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
from retable.models.stytr2.network import Generator, initial

BATCH = 8
"""Pairs per pass."""


class ComparisonTask:
    """The task `stytr2_pairs`. Nothing is trained."""

    steps = 0

    def __init__(self, settings: Comparison, context: Context) -> None:
        if context.start is None or "reference" not in context.start:
            raise ValueError(
                "stytr2_pairs compares two models: let it start `from` an experiment that itself starts `from` the "
                "baseline"
            )
        s = self.settings = settings
        self.device = context.device
        self.dtype = computation_dtype(s.precision, self.device)
        self.vgg = objective.loss_network(s, self.device, self.dtype)
        self.nets = [self._net(context.start["reference"]["network"]), self._net(context.start["network"])]

    def step(self, index: int) -> Mapping[str, Tensor]:
        raise IndexError(f"nothing is trained here, and step {index} was asked for")

    def evaluate(self) -> Evaluation:
        """Search the pairs; picture: a row per pair with I_c, I_s, the baseline's I_o and the other's."""
        s = self.settings
        images = data.pool(s)
        every = _all_pairs(len(images.contents), len(images.styles), s.searched)
        batches = [every[start : start + BATCH] for start in range(0, len(every), BATCH)]
        rows = [row for batch in batches for row in self._compare(images, batch)]
        apart = np.array([[row["content_apart"], row["style_apart"]] for row in rows])
        distance = np.array([row["distance"] for row in rows])
        equal = (apart <= s.tolerance).all(axis=1)
        # Without a near-equal pair the closest ones are shown; the count says so.
        order = np.lexsort((-distance, ~equal)) if equal.any() else np.argsort(apart.max(axis=1), kind="stable")
        best = int(order[0])
        metrics = {
            "pairs/searched": float(len(rows)),
            "pairs/near_equal": float(equal.sum()),
            "pairs/distance": float(distance[best]),
            "pairs/ssim": float(rows[best]["ssim"]),
            "pairs/content_difference": 100 * float(apart[best, 0]),
            "pairs/style_difference": 100 * float(apart[best, 1]),
            "pairs/mean_distance": float(distance.mean()),
            "pairs/mean_ssim": float(np.mean([row["ssim"] for row in rows])),
        }
        shown = [rows[int(i)]["pictures"] for i in order[: s.shown]]
        table = {
            "pairs": every.astype(np.float64),
            "apart": apart,
            "distance": distance,
            "ssim": np.array([row["ssim"] for row in rows]),
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

    def _compare(self, images: data.Pool, pairs: np.ndarray) -> list[dict[str, Any]]:
        """Pairs [B, 2] through both models: relative differences of L_c and L_s, distance, SSIM, pictures of each."""
        layers = TAPS[self.settings.measured_taps]
        contents, styles = images.contents[pairs[:, 0]], images.styles[pairs[:, 1]]
        content, style = data.as_tensor(contents, self.device), data.as_tensor(styles, self.device)
        with torch.no_grad():
            of_content, of_style = self.vgg(content, layers[-2:]), self.vgg(style, layers)
            pictures, seen, losses = [], [], []
            for net in self.nets:
                output = self._output(net, content, style)
                losses.append(_losses(self.vgg(output, layers), of_content, of_style, layers))
                # The distance is of what a viewer shows.
                seen.append(self.vgg(output.clamp(0, 1), layers))
                pictures.append(measures.as_images(output))
            distance = measures.feature_distance(*seen).cpu().numpy()
        return [
            {
                "content_apart": _relative(losses[0][i][0], losses[1][i][0]),
                "style_apart": _relative(losses[0][i][1], losses[1][i][1]),
                "distance": float(distance[i]),
                "ssim": measures.similarity(pictures[0][i], pictures[1][i]),
                "pictures": [contents[i] / 255, styles[i] / 255, pictures[0][i], pictures[1][i]],
            }
            for i in range(len(pairs))
        ]

    def _output(self, net: Generator, content_B3HW: Tensor, style_B3HW: Tensor) -> Tensor:
        bf16 = self.dtype == torch.bfloat16
        with torch.autocast(content_B3HW.device.type, torch.bfloat16, enabled=bf16):
            output: Tensor = net(content_B3HW, style_B3HW).float()
        return output


def _losses(
    output: L.Features, content: L.Features, style: L.Features, layers: tuple[str, ...]
) -> list[tuple[float, float]]:
    """L_c and L_s of each pair of a batch, as they are reported."""
    found = []
    for i in range(len(output[layers[0]])):
        o, c, s = ({layer: f[i : i + 1] for layer, f in features.items()} for features in (output, content, style))
        of_output = L.stats(o, layers)
        l_c = L.content_loss(o, c, of_output, L.stats(c, layers[-2:]), layers[-2:])
        l_s = L.style_loss(of_output, L.stats(s, layers), layers)
        found.append((float(l_c), float(l_s)))
    return found


def _relative(a: float, b: float) -> float:
    return abs(a - b) / max(abs(a), abs(b), 1e-12)


def _all_pairs(contents: int, styles: int, limit: int) -> np.ndarray:
    """Every combination, or `limit` of them chosen at random (always the same ones): int64 [n, 2]."""
    if contents * styles <= limit:
        chosen = np.arange(contents * styles)
    else:
        generator = np.random.Generator(np.random.PCG64(data.SPLIT_SEED))
        chosen = np.sort(generator.choice(contents * styles, limit, replace=False))
    return np.stack(np.divmod(chosen, styles), axis=1)
