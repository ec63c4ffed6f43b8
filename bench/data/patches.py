"""Twelve classes of small real images that need no network: patches of twelve photographs, one class each.

They stand in for CIFAR-10 where it is not at hand. A class is a photograph (a cat, bricks, galaxies), and training
and test patches come from separate columns of it, so that nothing that is tested was trained on.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from retable.bench.data.embedded import EmbeddedImage, absent, decode, digest
from retable.bench.data.photos import PHOTOS
from retable.bench.data.source import Source
from retable.bench.data.styles import TEXTURES

if TYPE_CHECKING:
    import numpy as np

Split = Literal["train", "test"]

GENERATOR = "patches-1"
"""Version of how patches are drawn and resized; part of the data's version, so change it with the method."""

CLASSES: dict[str, EmbeddedImage] = {
    **{name: PHOTOS[name] for name in ("astronaut", "coffee", "chelsea", "grace_hopper", "flower", "china")},
    **{name: TEXTURES[name] for name in ("brick", "grass", "gravel", "retina", "tissue", "galaxies")},
}

SIDE = 384
"""A photograph's central square is resized to so many pixels a side before patches are cut."""

PATCH = 32
"""Side of a patch in those pixels."""

BOUNDARY = 256
"""Training patches lie left of this column, test patches right of it."""

HELD_BACK = 176
"""Of the training patches those right of this column are held back where settings are chosen, those left of it known;
those across it are neither."""

PER_CLASS: dict[Split, int] = {"train": 200, "test": 60}

SIZES = (8, 16, 32)
"""Sides that a patch can be asked for: it is averaged down over blocks."""


def version() -> str:
    """Hash of the pinned photographs and of the way patches are made."""
    return digest(CLASSES.values(), GENERATOR)


def missing() -> str | None:
    """None when every photograph is in place, else what to do."""
    return absent(CLASSES.values())


@lru_cache(maxsize=2 * len(SIZES))
def load(split: Split, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """The patches of a split: uint8 [N, size, size, 3] and their classes, int64 [N], both read-only.

    N is 2,400 (train) or 720 (test); classes follow each other in the order of `CLASSES`. The same patches at every
    size. Raises ValueError for another split or size, DataError if a photograph is missing or not the pinned one.
    """
    import numpy as np

    if split not in PER_CLASS:
        raise ValueError(f"patches have no split '{split}'; they have {', '.join(PER_CLASS)}")
    if size not in SIZES:
        raise ValueError(f"patches come in {', '.join(map(str, SIZES))} pixels a side, not {size}")
    count = PER_CLASS[split]
    images = np.empty((len(CLASSES) * count, size, size, 3), np.uint8)
    for label, image in enumerate(CLASSES.values()):
        picture = _square(image)
        tops, lefts = _corners(label, split)
        for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            images[label * count + i] = _shrink(picture[top : top + PATCH, left : left + PATCH], size)
    labels = np.repeat(np.arange(len(CLASSES)), count)
    images.setflags(write=False)
    labels.setflags(write=False)
    return images, labels


def held_back() -> tuple[np.ndarray, np.ndarray]:
    """Of the training patches, in `load`'s order: whose labels are known, and whose are held back, bool [N] each.

    The two share no pixel.
    """
    import numpy as np

    lefts = np.concatenate([_corners(label, "train")[1] for label in range(len(CLASSES))])
    return lefts + PATCH <= HELD_BACK, lefts >= HELD_BACK


def _corners(label: int, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Top and left of each of a class's patches; a stream per class and split: a new class moves no other's."""
    import numpy as np

    count = PER_CLASS[split]
    first, last = (0, BOUNDARY - PATCH) if split == "train" else (BOUNDARY, SIDE - PATCH)
    draw = np.random.Generator(np.random.PCG64([label, 0 if split == "train" else 1]))
    tops = draw.integers(0, SIDE - PATCH, count, endpoint=True)
    return tops, draw.integers(first, last, count, endpoint=True)


def _square(image: EmbeddedImage) -> np.ndarray:
    """The central square of a photograph, [SIDE, SIDE, 3] uint8."""
    import numpy as np
    from PIL import Image

    picture = Image.fromarray(decode(image))
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box))


def _shrink(patch: np.ndarray, size: int) -> np.ndarray:
    """The mean over blocks, rounded: what area interpolation does at a whole factor."""
    import numpy as np

    block = PATCH // size
    blocks = patch.reshape(size, block, size, block, 3).astype(np.uint32)
    mean: np.ndarray = (blocks.sum(axis=(1, 3)) + block * block // 2) // (block * block)
    return mean.astype(np.uint8)


SOURCE = Source(
    name="patches",
    about=f"{len(CLASSES)} classes of 32-pixel patches, cut from photographs that ship with the packages",
    licence="public domain, CC0 1.0 and CC BY 2.0; each photograph's is listed in bench/data/photos.py and styles.py",
    version=version,
    missing=missing,
    get=None,
    embedded=True,
)
