"""Images and pairs: what is trained on in which order, and the fixed pairs that every trial is measured on.

Source: sections 1.3 and 3.2.1; the shares of training, validation and test (0.6, 0.3, 0.1, seed 42) are the
released code's. Images and pairs are the same for all seeds; a trial's seed draws the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from retable.bench.data import FOLDER_PREFIX, folder, kaggle, photos, styles
from retable.models.stytr2 import Model, named

SPLIT_SEED = 42
SHARES = (0.6, 0.3)
"""Of all pairs, for training and validation; the rest is the released code's test set."""

POOL_SEED = 0
"""Crops of the embedded photographs."""


@dataclass(frozen=True)
class Pool:
    """All images of a trial: uint8 [N, S, S, 3] each, read-only."""

    contents: np.ndarray
    styles: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Indices into a pool, int64 [n, 2] (content, style). A content of -1 is drawn at each use."""

    train: np.ndarray
    validation: np.ndarray


def pool(settings: Model, *, side: int | None = None) -> Pool:
    """The images that the settings name, at `side` pixels (default: the settings' size).

    Raises ValueError if there are fewer than asked for, DataError if a set is not there.
    """
    side = side or settings.size
    contents = _contents(settings.content, settings.contents, side)
    return Pool(contents, _styles(settings.style, settings.styles, side))


@lru_cache(maxsize=2)
def _contents(name: str, count: int, side: int) -> np.ndarray:
    if name == "photos":
        images = photos.crops(count, side, seed=POOL_SEED)
    elif chosen := named(name):
        images = np.stack([_middle(photos.load(word), side) for word in chosen[: count or None]])
    else:
        return _first(name, _stored(name, side), count)
    images.setflags(write=False)
    return images


@lru_cache(maxsize=2)
def _styles(name: str, count: int, side: int) -> np.ndarray:
    if name != "styles" and not named(name):
        return _first(name, _stored(name, side), count)
    images = np.stack([styles.load(word, side) for word in (named(name) or styles.NAMES)[: count or None]])
    images.setflags(write=False)
    return images


def _middle(photo_HWC: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(ImageOps.fit(Image.fromarray(photo_HWC), (side, side), Image.Resampling.BILINEAR))


def _stored(name: str, side: int) -> np.ndarray:
    if name.startswith(FOLDER_PREFIX):
        return folder.load(name.removeprefix(FOLDER_PREFIX), side)
    return kaggle.load(name, side)


def _first(name: str, images: np.ndarray, count: int) -> np.ndarray:
    if count > len(images):
        raise ValueError(f"{name} has {len(images)} images, {count} are asked for")
    return images[: count or None]


def pairs(settings: Model, contents: int, styles: int) -> Pairs:
    """Training and validation pairs of so many contents and styles; the same for every trial.

    paper: each content with `pairs_per_content` different styles. upstream: the released code runs through
    styles as if they were contents, `pairs_per_content` times, so that only the first `contents` are used, and
    draws a content at each use. Its validation pairs change at every use too, which nothing could be compared
    on: here they are drawn once. all: every pair is trained on and measured. Raises ValueError if there are too few
    styles or pairs.
    """
    if settings.pairing == "all":
        every = np.stack(np.divmod(np.arange(contents * styles), styles), axis=1)
        if settings.validation_pairs > len(every):
            raise ValueError(f"validation_pairs: {settings.validation_pairs} of {len(every)} pairs are asked for")
        return Pairs(every, every[: settings.validation_pairs or None])
    per_content = settings.pairs_per_content
    generator = np.random.Generator(np.random.PCG64(SPLIT_SEED))
    if settings.pairing == "paper":
        if per_content > styles:
            raise ValueError(f"pairs_per_content: {per_content} different styles are asked for, there are {styles}")
        chosen = [generator.permutation(styles)[:per_content] for _ in range(contents)]
        every = np.stack([np.repeat(np.arange(contents), per_content), np.concatenate(chosen)], axis=1)
    else:
        listed = np.tile(np.arange(min(contents, styles)), per_content)
        every = np.stack([generator.integers(0, contents, len(listed)), listed], axis=1)
    every = every[generator.permutation(len(every))]
    train, validation = (int(share * len(every)) for share in SHARES)
    wanted = settings.validation_pairs or validation
    if not (train >= 1 and 1 <= wanted <= validation):
        raise ValueError(
            f"validation_pairs: {wanted} of {validation} pairs are asked for ({len(every)} in all, 30 % for "
            "validation); use more images or pairs_per_content"
        )
    training = every[:train].copy()
    if settings.pairing == "upstream":
        training[:, 0] = -1
    return Pairs(training, every[train : train + wanted])


def batch(pairs: Pairs, contents: int, *, step: int, size: int, seed: int) -> np.ndarray:
    """The pairs of training step `step` (from 0): int64 [size, 2]. Epochs follow each other without a gap."""
    train = pairs.train
    places = np.arange(step * size, (step + 1) * size)
    chosen = np.stack([train[_order(seed, int(p) // len(train), len(train))[p % len(train)]] for p in places])
    unset = chosen[:, 0] < 0
    if unset.any():
        draw = np.random.Generator(np.random.PCG64([seed, 7, step])).integers(0, contents, size)
        chosen[unset, 0] = draw[unset]
    return chosen


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64([seed, 3, epoch])).permutation(count)


def crop(images: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
    """A random square of `side` pixels out of each image [B, S, S, 3], the original's augmentation."""
    span = images.shape[1] - side + 1
    corners = generator.integers(0, span, (len(images), 2))
    return np.stack([image[y : y + side, x : x + side] for image, (y, x) in zip(images, corners, strict=True)])


def as_tensor(images_BHWC: np.ndarray, device: str) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [0, 1]."""
    pixels = torch.tensor(np.ascontiguousarray(images_BHWC), device=device)
    return pixels.permute(0, 3, 1, 2).float() / 255
