"""The frames and masks of a suite's setting, and training batches of them.

Small frames are decoded once and kept; large ones are decoded when they are wanted (by `stream`'s workers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from retable.bench.data import clutter, zerowaste
from retable.bench.data.decode import read_rgb
from retable.models.fanet import Segmentation, augment, stream

Bytes = NDArray[np.uint8]

KEPT_BYTES = 512 * 2**20
"""Splits of up to this size, were all their frames like the one at hand, are kept decoded."""


@dataclass
class Frames:
    """A split: `frames[i]` is a frame uint8 [H, W, 3] and its mask uint8 [H, W] (all `IGNORE` where it has none)."""

    places: Sequence[zerowaste.Pair | Path]
    _kept: dict[int, tuple[Bytes, Bytes]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Bytes, Bytes]:
        if index in self._kept:
            return self._kept[index]
        place = self.places[index]
        if isinstance(place, Path):
            frame = np.asarray(read_rgb(place))
            mask = np.full(frame.shape[:2], zerowaste.IGNORE, np.uint8)
        else:
            frame, mask = zerowaste.read(place)
        if len(self) * (frame.nbytes + mask.nbytes) <= KEPT_BYTES:
            self._kept[index] = (frame, mask)
        return frame, mask


def split(settings: Segmentation, name: Literal["train", "val", "test"]) -> Frames:
    """A labelled split of the data that the settings name."""
    return Frames(zerowaste.pairs(name, _folder(settings)))


def unlabelled(settings: Segmentation) -> Frames:
    """The frames without masks beside it."""
    if settings.data == "clutter":
        return Frames(zerowaste.unlabelled(_folder(settings) / "unlabelled"))
    return Frames(zerowaste.unlabelled())


def _folder(settings: Segmentation) -> Path:
    if settings.data == "zerowaste-f":
        return zerowaste.home()
    counts = {
        "train": settings.train_images,
        "val": settings.val_images,
        "test": settings.test_images,
        "unlabelled": settings.unlabelled_images,
    }
    return clutter.prepare(settings.image_size, cast("dict[clutter.Part, int]", counts))


@dataclass(frozen=True)
class Batches:
    """Training batches as a function of the step: uint8 frames [B, h, w, 3] and masks [B, h, w].

    seed: of order and augmentation; trials with one seed see the same pixels, whatever their network.
    places: those of each batch that are made; None: all. What is drawn for one does not depend on the others.
    """

    frames: Frames
    size: int
    recipe: augment.Recipe
    seed: int
    places: Sequence[int] | None = None

    def __call__(self, step: int) -> tuple[Bytes, Bytes]:
        picked = stream.chosen(step, self.size, len(self.frames), self.seed)
        samples = [
            augment.train(*self.frames[picked[place]], self.recipe, np.random.default_rng((self.seed, step, place)))
            for place in (range(self.size) if self.places is None else self.places)
        ]
        return np.stack([frame for frame, _ in samples]), np.stack([mask for _, mask in samples])


def recipe(settings: Segmentation) -> augment.Recipe:
    """The settings' augmentation."""
    resize = (settings.resize_long, settings.resize_short)
    return augment.Recipe(
        crop=(settings.crop_height, settings.crop_width),
        resize=resize if settings.resize == "bounds" else None,
        ratio=(settings.ratio_low, settings.ratio_high),
        category=settings.crop_category,
        photometric=settings.photometric,
        rotate=settings.rotate,
        ignore=zerowaste.IGNORE,
    )


def class_weights(frames: Frames) -> list[float]:
    """Per class the median frequency over its own (Eigen and Fergus 2015), 0 for a class that never occurs."""
    counts = np.zeros(256, np.int64)
    for index in range(len(frames)):
        counts += np.bincount(frames[index][1].ravel(), minlength=256)
    counts = counts[: len(zerowaste.CLASSES)]
    median = float(np.median(counts[counts > 0])) if counts.any() else 0.0
    return [median / count if count else 0.0 for count in counts.tolist()]
