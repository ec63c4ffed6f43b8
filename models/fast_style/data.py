"""What all trials with one seed share: training images and their order, held-out images, loss targets.

Everything here is a function of its arguments alone and kept for the next trial of the process: the
cells of a grid differ in optimizer, learning rate and batch size, and see the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from retable.bench.data import FOLDER_PREFIX, coco, folder, photos, styles
from retable.models.fast_style import Weights
from retable.models.perceptual import Vgg, gram_BCC

CONTENT_LAYER = "relu2_2"
STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")

HELD_OUT_SEED = 0
"""Trials of every seed are measured on the same held-out crops."""

TARGETS_BYTES = 256 * 2**20
"""Content targets are kept for a set of images only up to this size; beyond it they are computed per batch."""


@lru_cache(maxsize=2)
def training_images(data: str, size: int, count: int, held_out: int, seed: int) -> np.ndarray:
    """The images of an epoch: uint8 [N, size, size, 3], read-only; a memory map where the set is large.

    photos: `count` random crops, drawn by `seed`. coco2017, folder: all (count 0) or `count` of them,
    chosen by `seed`; of a folder the last `held_out` are left out. Raises ValueError if there are fewer.
    """
    if data == "photos":
        images = photos.crops(count, size, seed=seed)
        images.setflags(write=False)
        return images
    everything = coco.load("train", size) if data == "coco2017" else folder_images(data, size)[:-held_out]
    if not max(count, 1) <= len(everything):
        raise ValueError(f"{data} has {len(everything)} training images (held-out ones aside), {count} are asked for")
    if count == 0 or count == len(everything):
        return everything
    chosen = np.random.Generator(np.random.PCG64([seed, 2])).permutation(len(everything))[:count]
    return np.asarray(everything[np.sort(chosen)])


@lru_cache(maxsize=2)
def held_out_images(data: str, size: int, count: int) -> np.ndarray:
    """uint8 [count, size, size, 3] that no training image shows: other photographs, COCO's val, a folder's last."""
    if data == "photos":
        return photos.crops(count, size, seed=HELD_OUT_SEED, split="held_out")
    images = coco.load("val", size)[:count] if data == "coco2017" else folder_images(data, size)[-count:]
    if len(images) < count:
        raise ValueError(f"{data} has {len(images)} images to hold out, {count} are asked for")
    return np.asarray(images)


def folder_images(data: str, size: int) -> np.ndarray:
    """All images of `folder:PATH`, uint8 [N, size, size, 3]."""
    return folder.load(data.removeprefix(FOLDER_PREFIX), size)


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which epoch `epoch` (from 0) sees `count` images: their indices, int64 [count]."""
    return np.random.Generator(np.random.PCG64([seed, 3, epoch])).permutation(count)


def as_tensor(images_BHWC: np.ndarray, device: str) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [0, 255], in channels-last memory order."""
    pixels = torch.tensor(np.ascontiguousarray(images_BHWC), device=device)
    return pixels.permute(0, 3, 1, 2).float()


def resized(photo_HWC: np.ndarray, longer_side: int) -> np.ndarray:
    """The photograph with its longer side at `longer_side` pixels, both cut to multiples of four."""
    from PIL import Image

    height, width = photo_HWC.shape[:2]
    factor = longer_side / max(height, width)
    h, w = (round(side * factor) for side in (height, width))
    small = Image.fromarray(photo_HWC).resize((w, h), Image.Resampling.LANCZOS)
    return np.asarray(small)[: h // 4 * 4, : w // 4 * 4]


@lru_cache(maxsize=4)
def loss_network(weights: Weights, device: str, dtype: torch.dtype) -> Vgg:
    """The loss network of section 2.2, up to relu4_3, for images in [0, 255]."""
    return Vgg(STYLE_LAYERS, source=weights, maximum=255, device=device, dtype=dtype)


@lru_cache(maxsize=8)
def style_targets(
    style: str, size: int, weights: Weights, device: str, dtype: torch.dtype, layers: Sequence[str] = STYLE_LAYERS
) -> dict[str, Tensor]:
    """Layer -> Gram matrix of the style image, float32 [1, C, C]."""
    image_13HW = as_tensor(styles.load(style, size)[None], device)
    with torch.inference_mode():
        features = loss_network(weights, device, dtype)(image_13HW, layers)
        grams = {layer: gram_BCC(f_BCHW) for layer, f_BCHW in features.items()}
    return {layer: gram.clone() for layer, gram in grams.items()}


def content_target(vgg: Vgg, images_B3HW: Tensor) -> Tensor:
    """Features of the images at the content layer, [B, 128, H / 2, W / 2]; nothing deeper is computed."""
    with torch.no_grad():
        return vgg(images_B3HW, [CONTENT_LAYER])[CONTENT_LAYER]


@lru_cache(maxsize=2)
def content_targets(
    data: str, size: int, count: int, held_out: int, seed: int, weights: Weights, device: str, dtype: torch.dtype
) -> Tensor | None:
    """Content targets of all training images, [N, 128, size / 2, size / 2], or None if they are too many to keep."""
    images = training_images(data, size, count, held_out, seed)
    bytes_each = 128 * (size // 2) ** 2 * dtype.itemsize
    if len(images) * bytes_each > TARGETS_BYTES:
        return None
    vgg = loss_network(weights, device, dtype)
    # One fixed way of batching: a target must not depend on which trial asked for it first.
    batches = [images[start : start + 8] for start in range(0, len(images), 8)]
    return torch.cat([content_target(vgg, as_tensor(batch, device)) for batch in batches])
