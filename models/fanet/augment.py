"""What training does to a frame: resize, crop, flip, distort colours, normalise; and the whole-image test size.

Source: the released configuration of FANet (MMSegmentation's Resize, RandomCrop, RandomFlip,
PhotoMetricDistortion and Normalize, with their defaults). Everything random comes from the generator given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""ImageNet's mean and deviation in [0, 255]."""

CROP_TRIES = 10

Frame = np.ndarray
Mask = np.ndarray


@dataclass(frozen=True)
class Recipe:
    """Augmentation of training frames.

    crop: height and width of what the network sees. resize: bounds (long, short side) that a frame is scaled into,
    or None to leave its size. ratio: the bounds are multiplied by a number drawn from this range. category: largest
    share that one class may have in a crop; after ten tries any is taken. photometric: distort colours.
    rotate: largest angle in degrees. ignore: index of pixels that padding adds to a mask.
    """

    crop: tuple[int, int]
    resize: tuple[int, int] | None
    ratio: tuple[float, float]
    category: float
    photometric: Literal["on", "off"]
    rotate: float
    ignore: int


def train(frame: Frame, mask: Mask, recipe: Recipe, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """A training sample: uint8 [h, w, 3] and [h, w] of the recipe's crop, padded with 0 and `ignore` if smaller."""
    ratio = rng.uniform(*recipe.ratio)
    if recipe.resize is not None:
        height, width = fitted(frame.shape[:2], (recipe.resize[0] * ratio, recipe.resize[1] * ratio))
    else:
        height, width = (max(1, round(side * ratio)) for side in frame.shape[:2])
    frame, mask = resized(frame, (height, width)), resized_mask(mask, (height, width))
    if recipe.rotate:
        frame, mask = _rotated(frame, mask, rng.uniform(-recipe.rotate, recipe.rotate), recipe.ignore)
    frame, mask = _cropped(frame, mask, recipe, rng)
    if rng.random() < 0.5:
        frame, mask = frame[:, ::-1], mask[:, ::-1]
    if recipe.photometric == "on":
        frame = distorted(frame, rng)
    return _padded(frame, mask, recipe)


def test_size(size: tuple[int, ...], resize: tuple[int, int] | None, divisor: int) -> tuple[int, int]:
    """Height and width at which a whole frame is evaluated: scaled into `resize`, each side up to a multiple."""
    height, width = fitted(size, resize) if resize is not None else (size[0], size[1])
    return divisor * math.ceil(height / divisor), divisor * math.ceil(width / divisor)


def fitted(size: tuple[int, ...], bounds: tuple[float, float]) -> tuple[int, int]:
    """Height and width scaled to the largest that keeps long and short side inside `bounds`.

    1080 x 1920 in (2048, 512) is 512 x 910.
    """
    scale = min(max(bounds) / max(size[:2]), min(bounds) / min(size[:2]))
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def normalised(frames: np.ndarray, device: str) -> Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W] in channels-last order, less the mean, over the deviation."""
    x_BHW3 = torch.from_numpy(np.array(frames)).to(device).float()
    x_BHW3 = (x_BHW3 - x_BHW3.new_tensor(MEAN)) / x_BHW3.new_tensor(STD)
    return x_BHW3.permute(0, 3, 1, 2)


def resized(frame: Frame, size: tuple[int, int]) -> Frame:
    """Bilinear, anti-aliased when it shrinks. size: height and width."""
    if frame.shape[:2] == size:
        return frame
    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def resized_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Nearest neighbour, so that no class appears between two others. size: height and width."""
    if mask.shape == size:
        return mask
    return np.asarray(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))


def distorted(frame: Frame, rng: np.random.Generator) -> Frame:
    """Brightness by up to 32, contrast and saturation by 0.5 to 1.5, hue by up to 36 degrees, each with chance 1/2.

    Contrast comes before or after the colour, with equal chance.
    """
    x = frame.astype(np.float32)
    if rng.random() < 0.5:
        x = x + rng.uniform(-32, 32)
    early = rng.random() < 0.5
    contrast = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    saturation = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    hue = rng.uniform(-18, 18) if rng.random() < 0.5 else 0.0
    if early:
        x = x * contrast
    x = _bytes(x)
    if saturation != 1.0 or hue != 0.0:
        hsv = np.asarray(Image.fromarray(x).convert("HSV")).astype(np.float32)
        hsv[..., 0] = (hsv[..., 0] + hue * 256 / 180) % 256  # the released code counts hue from 0 to 180
        hsv[..., 1] *= saturation
        x = np.asarray(Image.fromarray(_bytes(hsv), "HSV").convert("RGB"))
    return x if early else _bytes(x.astype(np.float32) * contrast)


def _bytes(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(x, 0, 255), np.uint8)


def _cropped(frame: Frame, mask: Mask, recipe: Recipe, rng: np.random.Generator) -> tuple[Frame, Mask]:
    height, width = recipe.crop
    slack_y, slack_x = max(0, mask.shape[0] - height), max(0, mask.shape[1] - width)
    for _ in range(CROP_TRIES if recipe.category < 1 and (slack_y or slack_x) else 1):
        top, left = int(rng.integers(0, slack_y + 1)), int(rng.integers(0, slack_x + 1))
        part = mask[top : top + height, left : left + width]
        counts = np.bincount(part.ravel(), minlength=256)
        counts[recipe.ignore] = 0
        if np.count_nonzero(counts) > 1 and counts.max() / counts.sum() < recipe.category:
            break
    return frame[top : top + height, left : left + width], part


def _rotated(frame: Frame, mask: Mask, degrees: float, ignore: int) -> tuple[Frame, Mask]:
    turned = Image.fromarray(frame).rotate(degrees, Image.Resampling.BILINEAR)
    return np.asarray(turned), np.asarray(
        Image.fromarray(mask).rotate(degrees, Image.Resampling.NEAREST, fillcolor=ignore)
    )


def _padded(frame: Frame, mask: Mask, recipe: Recipe) -> tuple[Frame, Mask]:
    below, right = recipe.crop[0] - mask.shape[0], recipe.crop[1] - mask.shape[1]
    if below <= 0 and right <= 0:
        return frame, mask
    return (
        np.pad(frame, ((0, below), (0, right), (0, 0))),
        np.pad(mask, ((0, below), (0, right)), constant_values=recipe.ignore),
    )
