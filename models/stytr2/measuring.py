"""What every model and every reference is measured by: the same fixed pairs, losses, noise and pictures.

Shape suffixes: B pairs of a batch. Outputs come as `Generator.outputs` gives them: I_cc, I_ss, I_o and I_r.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from retable.models.stytr2 import TAPS, Model, data, measures, objective
from retable.models.stytr2 import losses as L

BATCH = 8
"""Pairs per pass; no result depends on a trial's batch size."""

CACHE_BYTES = 256 * 2**20
"""Features of all images are kept up to this size; beyond it they are computed per batch."""

NOISE = 0.05
"""Deviation of the noise that is put on contents and styles, of a range of 1: a grain that one sees."""

SHOWN = 4
"""Pairs in a picture, as in figure 4; where all pairs are trained on, all of a gallery of nine."""

Produce = Callable[[Tensor, slice, bool], Tensor]
"""Images [2 B, 3, H, W], which of all pairs they are, and whether I_r is wanted -> outputs [3 B or 4 B, 3, H, W]."""


class Targets:
    """Images and features of pairs. kept: layer -> features of all contents, then all styles, if they fit."""

    def __init__(self, images: data.Pool, network: objective.LossNetwork, device: str, *, keep: bool = True) -> None:
        self.images, self.network, self.device = images, network, device
        self.kept = _kept_features(images, network, device) if keep else None

    def __call__(self, pairs: np.ndarray, layers: tuple[str, ...]) -> tuple[Tensor, L.Features]:
        """Images [2 B, 3, H, W] and features of pairs [B, 2], whole and uncropped."""
        taken = np.concatenate([self.images.contents[pairs[:, 0]], self.images.styles[pairs[:, 1]]])
        images = data.as_tensor(taken, self.device)
        if self.kept is not None:
            rows = torch.from_numpy(np.concatenate([pairs[:, 0], len(self.images.contents) + pairs[:, 1]]))
            return images, {layer: self.kept[layer][rows.to(self.device)] for layer in layers}
        with torch.no_grad():
            return images, self.network.targets(images, layers)


@dataclass(frozen=True)
class Measured:
    """means: metric -> mean over the pairs. stylised: 10 L_c + 7 L_s of each pair. pictures: of the shown pairs."""

    means: dict[str, float]
    stylised: np.ndarray = field(default_factory=lambda: np.empty(0))
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    collapsed: str = ""


def losses(settings: Model, pairs: np.ndarray, targets: Targets, produce: Produce) -> dict[str, Tensor]:
    """Equations 6 to 9 over the pairs, without pictures: what is measured again and again during a training."""
    sums: dict[str, Tensor] = {}
    with torch.no_grad():
        for at in batches(len(pairs)):
            images, of_targets = targets(pairs[at], TAPS[settings.measured_taps])
            terms = objective.measured(settings, produce(images, at, False), images, targets.network, of_targets)
            for name, value in _validation(settings, terms).items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value * len(pairs[at]) / len(pairs)
    return sums


def everything(settings: Model, pairs: np.ndarray, targets: Targets, produce: Produce, *, function: bool) -> Measured:
    """Losses, comparison with the simplest references, and pictures.

    function: whether `produce` makes something of any images, so that noise on them and exchanged roles say something.
    No more than a batch's pictures and the shown ones are held at a time.
    """
    s, layers = settings, TAPS[settings.measured_taps]
    sums: dict[str, float] = {}
    stylised: list[np.ndarray] = []
    shown = _shown(settings, pairs)
    pictures: dict[str, list[np.ndarray]] = {"output": [], "reverse": []}

    def add(name: str, value: Tensor) -> None:
        sums[name] = sums.get(name, 0.0) + float(value.sum()) / len(pairs)

    def weighted(output: Tensor, of_targets: L.Features) -> Tensor:
        content_B, style_B = objective.each(targets.network.free(output, layers), of_targets, layers)
        return s.content_weight * content_B + s.style_weight * style_B

    with torch.no_grad():
        for number, at in enumerate(batches(len(pairs))):
            images, of_targets = targets(pairs[at], layers)
            b = len(images) // 2
            outputs = produce(images, at, function)
            terms = objective.measured(s, outputs[: 3 * b], images, targets.network, of_targets)
            for name, value in _validation(s, terms).items():
                add(name, value * b)
            content, style = images.chunk(2)
            mine = weighted(outputs[2 * b : 3 * b], of_targets)
            stylised.append(mine.cpu().numpy())
            add("better/than_unchanged", (mine < weighted(content, of_targets)).float())
            add("better/than_crossfade", (mine < weighted((content + style) / 2, of_targets)).float())
            if function:
                add("robust/stylised", weighted(produce(_noisy(images, number), at, False)[2 * b :], of_targets))
                exchanged = {layer: f.roll(b, 0) for layer, f in of_targets.items()}
                add("reverse/stylised", weighted(outputs[3 * b :], exchanged))
            here = [i - at.start for i in sorted(shown) if at.start <= i < at.start + b]
            pictures["output"] += list(measures.as_images(outputs[2 * b : 3 * b][here]))
            pictures["reverse"] += list(measures.as_images(outputs[3 * b :][here])) if function else []
    order = np.argsort(np.argsort(shown))  # from the order of the pairs to that in which they are shown
    found = {name: np.stack([p[i] for i in order]) for name, p in pictures.items() if p}
    drawn = _drawn(targets.images, pairs[shown], found)
    return Measured(sums, np.concatenate(stylised), drawn, measures.flatness(found["output"]))


def by_pair(stylised: np.ndarray) -> dict[str, np.ndarray]:
    """10 L_c + 7 L_s of each pair, for a figure: pairs count from 1, styles change first."""
    return {"pair": np.arange(1.0, len(stylised) + 1), "stylised": stylised[None].astype(np.float64)}


def _drawn(images: data.Pool, pairs: np.ndarray, pictures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Figure 4's columns, a row for each shown pair; and figure 3's rows of I_c, I_s, I_o, I_r, the first three."""
    contents, styles = images.contents[pairs[:, 0]] / 255, images.styles[pairs[:, 1]] / 255
    columns = {"contents": contents, "styles": styles, "stylised": pictures["output"]}
    drawn = {name: measures.mosaic([[tile] for tile in tiles]) for name, tiles in columns.items()}
    if "reverse" in pictures:
        rows = zip(contents, styles, pictures["output"], pictures["reverse"], strict=True)
        drawn["reversal"] = measures.mosaic(list(rows)[:3])
    return drawn


def _shown(settings: Model, pairs: np.ndarray) -> list[int]:
    return measures.varied(pairs, 9 if settings.pairing == "all" and len(pairs) <= 9 else SHOWN)


def _noisy(images_2B3HW: Tensor, number: int) -> Tensor:
    """The same noise for every model: of the batch's number and the images' shape alone."""
    noise = np.random.Generator(np.random.PCG64([data.SPLIT_SEED, number])).normal(0, NOISE, images_2B3HW.shape)
    return images_2B3HW + torch.from_numpy(noise.astype(np.float32)).to(images_2B3HW.device)


def batches(count: int) -> list[slice]:
    """So many pairs, a pass at a time."""
    return [slice(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]


def _validation(s: Model, terms: objective.Terms) -> dict[str, Tensor]:
    values = {name: getattr(terms, name) for name in ("content", "style", "id1", "id2", "total")}
    values["score"] = terms.content + terms.style
    values["stylised"] = s.content_weight * terms.content + s.style_weight * terms.style
    return {f"validation/{name}": value for name, value in values.items()}


def _kept_features(images: data.Pool, network: objective.LossNetwork, device: str) -> dict[str, Tensor] | None:
    count = len(images.contents) + len(images.styles)
    first = data.as_tensor(images.contents[:1], device)
    vgg = network.targets
    with torch.no_grad():
        size = sum(f.numel() * f.element_size() for f in vgg(first).values())
        if size * count > CACHE_BYTES:
            return None
        every = [images.contents, images.styles]
        found = [vgg(data.as_tensor(part[i : i + 8], device)) for part in every for i in range(0, len(part), 8)]
    return {layer: torch.cat([f[layer] for f in found]) for layer in vgg.layers}
