"""Numbers for what the paper only describes: noise, visible difference, collapse; and the pictures that show it.

Images are float arrays [N, H, W, 3]; outputs of the network may leave [0, 1] and are clamped where they are
shown, as a viewer would. Sources are named where a measure has one; the others are this project's choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

FLAT_SHARE = 0.25
"""Of an image's pixels, those whose surroundings vary least count as flat: always some, whatever the content."""

CONSTANT = 2.0
"""Grey levels, of 0 to 255: outputs that vary by less are of a collapsed network. Set before any run was looked at."""

SHOWN_SIDE = 128
"""Smaller images are enlarged by a whole factor up to about this side, so that a report shows pixels."""


def flat_noise(output: np.ndarray, content: np.ndarray) -> float:
    """High-frequency energy of an output where its content is flat: root mean square in grey levels of 255.

    Flat: the quarter of the content's pixels with the lowest deviation of grey in the surrounding 5 x 5. High
    frequency: what a Gaussian blur of one pixel takes away. Untouched content and a blur score low: a number to hold
    outputs of one style loss against each other, not to rank models by.
    """
    from scipy.ndimage import gaussian_filter, uniform_filter

    output = np.clip(output, 0, 1)
    grey = content.mean(axis=2)
    variance = uniform_filter(grey**2, 5) - uniform_filter(grey, 5) ** 2
    flat = variance <= np.quantile(variance, FLAT_SHARE)
    high = output - gaussian_filter(output, sigma=(1, 1, 0))
    return float(255 * np.sqrt(np.mean(high[flat] ** 2)))


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of two images [H, W, 3] (Wang et al. 2004, windows of 7): 1 for equal ones."""
    from skimage.metrics import structural_similarity

    return float(structural_similarity(np.clip(a, 0, 1), np.clip(b, 0, 1), channel_axis=2, data_range=1.0))


def flatness(images: np.ndarray) -> str:
    """Why a network with these outputs has collapsed, or an empty text: its pictures are constant, or all the same."""
    images = 255 * np.clip(images, 0, 1)
    if images.std(axis=(1, 2)).mean() < CONSTANT:
        return "every output is a constant picture"
    if len(images) > 1 and images.std(axis=0).mean() < CONSTANT:
        return "the output is the same picture for every input"
    return ""


def feature_distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Tensor:
    """Distance of features of two batches, float32 [B]: 0 for equal images, 4 at most.

    Zhang et al., "The unreasonable effectiveness of deep features", 2018, without its learned weights: at each
    position the squared difference of the unit vectors over channels, mean over positions and layers.
    """
    terms = []
    for layer, f_BCHW in a.items():
        unit_a, unit_b = (torch.nn.functional.normalize(f.float(), dim=1) for f in (f_BCHW, b[layer]))
        terms.append((unit_a - unit_b).square().sum(1).mean((1, 2)))
    return torch.stack(terms).mean(0)


def as_images(batch_B3HW: Tensor) -> np.ndarray:
    """[B, 3, H, W] on any device -> float32 [B, H, W, 3]; a value that is not finite becomes 0."""
    images: np.ndarray = batch_B3HW.detach().float().permute(0, 2, 3, 1).cpu().numpy()
    return np.asarray(np.nan_to_num(images))


def mosaic(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Rows of equal-sized float images [H, W, 3] -> one uint8 picture, small ones enlarged, white lines between."""
    side = rows[0][0].shape[0]
    factor = max(1, round(SHOWN_SIDE / side))
    lines = []
    for row in rows:
        tiles = [np.round(255 * np.clip(tile, 0, 1)).astype(np.uint8) for tile in row]
        tiles = [tile.repeat(factor, axis=0).repeat(factor, axis=1) for tile in tiles]
        lines.append(_joined(tiles, axis=1))
    return _joined(lines, axis=0)


def _joined(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(parts[0].shape)
    shape[axis] = 2
    white = np.full(shape, 255, np.uint8)
    spaced = [part for tile in parts for part in (tile, white)][:-1]
    return np.concatenate(spaced, axis=axis)


def varied(pairs: np.ndarray, count: int) -> list[int]:
    """Places of up to `count` pairs [n, 2], taken so that contents and styles repeat as late as possible."""
    chosen: list[int] = []
    while len(chosen) < min(count, len(pairs)):
        seen = pairs[chosen]
        left = [i for i in range(len(pairs)) if i not in chosen]
        chosen.append(min(left, key=lambda i: (int((seen == pairs[i]).sum()), i)))
    return chosen
