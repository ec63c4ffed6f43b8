"""Pictures for the solver: training images, validation pairs, and single images by name.

Everything here is a function of its arguments alone and kept for the next trial of the process. Shape suffixes:
B batch, H height, W width, N images.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from retable.bench.data import FOLDER_PREFIX, coco, folder, photos, styles

VALIDATION_SEED = 0
"""Every network is measured on the same pairs, whatever its seed."""

TEXTURES = ("brick", "grass", "gravel", "retina")
"""Embedded textures that are bright enough to have a style; the others are nearly black or white."""

PATTERNS = ("circles", "waves", "facets")
"""Drawn styles that may be trained on. `mosaic` and `swirls` are left for pictures of styles that are new."""


FEW = {"swirls": 5, "mosaic": 5, "coffee": 1, "china": 1, "brick": 1, "gravel": 1, "grass": 1}
"""The few styles that a network may be made for, those of the figures, and how often each is drawn."""


@lru_cache(maxsize=4)
def training_images(data: str, size: int, count: int, held_out: int, seed: int) -> np.ndarray:
    """uint8 [N, size, size, 3], read-only: crops of photographs (`count`), or all or the first `count` of a set.

    Of a folder the last 2 `held_out` images are left for validation. Raises ValueError if too few remain.
    """
    if data == "photos":
        crops = photos.crops(count, size, seed=seed)
        crops.setflags(write=False)
        return crops
    images = coco.load("train", size, name=data) if data == "coco2014" else _folder(data, size)[: -2 * held_out]
    if len(images) < max(count, 2):
        raise ValueError(f"{data} has {len(images)} training images, at least {max(count, 2)} are needed")
    return images[:count] if count else images


@lru_cache(maxsize=4)
def style_images(names: tuple[str, ...], size: int, count: int, seed: int) -> np.ndarray:
    """`count` random crops of embedded styles, each as often as the others; uint8 [N, size, size, 3], read-only."""
    from PIL import Image

    draw = np.random.Generator(np.random.PCG64([seed, 4]))
    out = np.empty((count, size, size, 3), np.uint8)
    for i in range(count):
        texture = styles.load(names[i % len(names)], styles.MASTER // 2)
        side = int(draw.integers(min(size, len(texture)), len(texture) + 1))
        top, left = draw.integers(0, len(texture) - side + 1, 2)
        crop = Image.fromarray(texture[top : top + side, left : left + side])
        out[i] = np.asarray(crop.resize((size, size), Image.Resampling.BILINEAR))
    out.setflags(write=False)
    return out


@lru_cache(maxsize=4)
def validation_pairs(data: str, size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Contents and styles of the held-out pairs, uint8 [count, size, size, 3] each.

    From photographs that are not trained on, the first 2 `count` of COCO's validation images, or a folder's last.
    """
    if data == "photos":
        images = photos.crops(2 * count, size, seed=VALIDATION_SEED, split="held_out")
    else:
        everything = coco.load("val", size, name=data) if data == "coco2014" else _folder(data, size)[-2 * count :]
        images = np.asarray(everything[: 2 * count])
    if len(images) < 2 * count:
        raise ValueError(f"{data} has {len(images)} images to hold out; {count} pairs need {2 * count}")
    return images[:count], images[count:]


def _folder(data: str, size: int) -> np.ndarray:
    return folder.load(data.removeprefix(FOLDER_PREFIX), size)


@lru_cache(maxsize=64)
def image(name: str, height: int, width: int) -> np.ndarray:
    """An embedded photograph or style, or `folder:PATH` of an image file, cropped to the shape's proportions.

    uint8 [height, width, 3], read-only. Raises LookupError for an unknown name, DataError for a bad file.
    """
    from PIL import Image, ImageOps

    from retable.bench.data.decode import read_rgb

    if name.startswith(FOLDER_PREFIX):
        picture = read_rgb(Path(name.removeprefix(FOLDER_PREFIX)))
    elif name in styles.NAMES:
        picture = Image.fromarray(styles.load(name, max(height, width)))
    else:
        picture = Image.fromarray(photos.load(name))
    pixels = np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS))
    pixels.setflags(write=False)
    return pixels


def tensor(images_BHWC: np.ndarray, device: str = "cpu") -> Tensor:
    """uint8 [B, H, W, 3] (or [H, W, 3]) -> float32 [B, 3, H, W] in [0, 1]."""
    pixels = torch.tensor(np.array(images_BHWC, copy=True), device=device)
    pixels = pixels[None] if pixels.dim() == 3 else pixels
    return pixels.permute(0, 3, 1, 2).float() / 255


def pixels(image_B3HW: Tensor) -> np.ndarray:
    """The first image of a batch in [0, 1] as uint8 [H, W, 3], clipped; NaN is black."""
    clipped = image_B3HW[0].detach().float().nan_to_num(0.0).clamp(0, 1)
    return (clipped.permute(1, 2, 0) * 255).round().byte().cpu().numpy()


def recoloured(image_B3HW: Tensor, generator: torch.Generator) -> Tensor:
    """Each image with its channels permuted and each bent by a random power near one."""
    out = []
    for each in image_B3HW:
        power = torch.exp(0.2 * torch.randn((3, 1, 1), generator=generator))
        out.append(each[torch.randperm(3, generator=generator)].clamp_min(1e-3) ** power)
    return torch.stack(out)
