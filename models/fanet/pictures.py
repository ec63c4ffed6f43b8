"""Pictures of frames, masks and feature maps: figures 5 and 6 of the paper.

Every picture is a column of frames, one below the other, so that pictures of several networks stand side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from retable.models.fanet.blocks import Block, Refinement

SIDE = 256
"""Pixels of a picture's long side."""

PALETTE = np.array([[0, 0, 0], [225, 70, 70], [200, 150, 60], [80, 180, 245], [110, 215, 110]], np.uint8)
"""Colour of each class: background (not drawn), rigid plastic, cardboard, metal, soft plastic."""

HEAT = np.array([[10, 10, 40], [70, 20, 110], [180, 50, 100], [245, 125, 60], [250, 230, 160]], np.float32)
"""Colours from the least to the largest of a feature map."""

GAP = 4


def column(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures uint8 [H, W, 3] one below the other, each scaled to one width, with white between."""
    scaled = [_scaled(p) for p in pictures]
    width = max(p.shape[1] for p in scaled)
    rows: list[np.ndarray] = []
    for picture in scaled:
        padded = np.full((picture.shape[0], width, 3), 255, np.uint8)
        padded[:, : picture.shape[1]] = picture
        rows += [padded, np.full((GAP, width, 3), 255, np.uint8)]
    return np.concatenate(rows[:-1])


def overlay(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A frame uint8 [H, W, 3] under its mask [H, W] in colours; background and ignored pixels are left as they are."""
    known = (mask > 0) & (mask < len(PALETTE))
    drawn = frame.copy()
    drawn[known] = (0.45 * frame[known] + 0.55 * PALETTE[mask[known]]).astype(np.uint8)
    return drawn


def heat(features_Chw: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Mean size of a feature map's channels, from its own least to its own largest value.

    size: height and width of the picture, uint8 [H, W, 3]; the values are interpolated to it.
    """
    strength_11hw = features_Chw.float().abs().mean(0)[None, None]
    strength = F.interpolate(strength_11hw, size, mode="bilinear", align_corners=False)[0, 0].cpu().numpy()
    low, high = float(strength.min()), float(strength.max())
    place = (strength - low) / (high - low or 1.0) * (len(HEAT) - 1)
    below = np.minimum(place.astype(int), len(HEAT) - 2)
    share = (place - below)[..., None]
    return np.asarray((1 - share) * HEAT[below] + share * HEAT[below + 1], np.uint8)


@contextmanager
def refinement(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Figure 6: F, R, S and F-bar of the refinement module in the third stage's last block, while `network` runs.

    Yields a dict that each forward pass fills with "input", "high", "low" and "output", [B, C, h, w]; it stays
    empty for a network without such a module. The hook is taken off at the end.
    """
    found: dict[str, Tensor] = {}
    module = _third_stage(network)

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, Refinement)
        with torch.no_grad():
            high, low = module.split(inputs[0])
        found.update(input=inputs[0].detach(), high=high, low=low, output=output.detach())

    hook = module.register_forward_hook(keep) if module is not None else None
    try:
        yield found
    finally:
        if hook is not None:
            hook.remove()


def _third_stage(network: nn.Module) -> Refinement | None:
    stages = getattr(getattr(network, "backbone", None), "stages", None)
    if not isinstance(stages, nn.ModuleList) or len(stages) < 3:
        return None
    blocks = [m for m in stages[2].modules() if isinstance(m, Block)]
    return blocks[-1].enhance.frm if blocks else None


def _scaled(picture: np.ndarray) -> np.ndarray:
    """The long side becomes `SIDE`: by whole pixels where it grows, so that small frames stay sharp."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, method))
