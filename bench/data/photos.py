"""Real photographs that need no network: they ship inside scikit-image, scikit-learn and matplotlib.

They stand in for COCO at the quick scale: reproducible random crops, each seen as a COCO image
resized on its short side and cropped would be. Whole photographs are held out, so a held-out crop
shows nothing that was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from retable.bench.data.embedded import EmbeddedImage, absent, decode, digest
from retable.bench.data.source import Source

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

Split = Literal["train", "held_out"]

GENERATOR = "crops-1"
"""Version of how `crops` draws and resizes; part of the data's version, so change it with the method."""

# Public domain and CC0 first, then CC BY. Licences and authors are those of scikit-image's docstrings
# (skimage/data/_fetchers.py), scikit-learn's datasets/images/README.txt and matplotlib's pull request 1599.
PHOTOS: dict[str, EmbeddedImage] = {
    "astronaut": EmbeddedImage(
        package="skimage",
        path="data/astronaut.png",
        sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        licence="public domain",
        author="NASA",
        url="https://flic.kr/p/r9qvLn",
    ),
    "rocket": EmbeddedImage(
        package="skimage",
        path="data/rocket.jpg",
        sha256="c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        licence="public domain",
        author="SpaceX",
        url="https://www.flickr.com/photos/spacexphotos/16511594820/in/photostream/",
    ),
    "coffee": EmbeddedImage(
        package="skimage",
        path="data/coffee.png",
        sha256="cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        licence="CC0 1.0",
        author="Rachel Michetti, courtesy of Pikolo Espresso Bar",
        url="https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.coffee",
    ),
    "camera": EmbeddedImage(
        package="skimage",
        path="data/camera.png",
        sha256="b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
        licence="CC0 1.0",
        author="Lav Varshney",
        url="https://github.com/scikit-image/scikit-image/issues/3927",
    ),
    "chelsea": EmbeddedImage(
        package="skimage",
        path="data/chelsea.png",
        sha256="596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        licence="CC0 1.0",
        author="Stefan van der Walt",
        url="https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.chelsea",
    ),
    "grace_hopper": EmbeddedImage(
        package="matplotlib",
        path="mpl-data/sample_data/grace_hopper.jpg",
        sha256="a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
        licence="public domain",
        author="not stated",
        url="https://github.com/matplotlib/matplotlib/pull/1599",
    ),
    "flower": EmbeddedImage(
        package="sklearn",
        path="datasets/images/flower.jpg",
        sha256="a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        licence="CC BY 2.0",
        author="vultilion",
        url="https://www.flickr.com/photos/vultilion/6056698931/sizes/z/in/photostream/",
    ),
    "china": EmbeddedImage(
        package="sklearn",
        path="datasets/images/china.jpg",
        sha256="8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        licence="CC BY 2.0",
        author="danielbuechele",
        url="https://www.flickr.com/photos/danielbuechele/6061409035/sizes/z/in/photostream/",
    ),
}

SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("astronaut", "rocket", "coffee", "camera", "flower"),
    # A cat, a portrait and a building: what the papers' own figures stylise.
    "held_out": ("chelsea", "grace_hopper", "china"),
}

MIN_SIDE = 0.4
"""A crop's side is at least this share of the photo's short side (and never less than the crop's pixels,
where the photo has them): large enough to recognise what it shows, small enough to vary."""


def version() -> str:
    """Hash of the pinned files and of the way crops are made."""
    return digest(PHOTOS.values(), GENERATOR)


def missing() -> str | None:
    """None when every photograph is in place, else what to do."""
    return absent(PHOTOS.values())


@lru_cache(maxsize=len(PHOTOS))
def load(name: str) -> np.ndarray:
    """Photograph `name` (a key of `PHOTOS`) as uint8 [H, W, 3], read-only.

    Raises LookupError for an unknown name, DataError if the file is missing or not the pinned one.
    """
    if name not in PHOTOS:
        from retable.bench.task import did_you_mean

        raise LookupError(f"unknown photo '{name}'{did_you_mean(name, PHOTOS)}")
    pixels = decode(PHOTOS[name])
    pixels.setflags(write=False)
    return pixels


def crops(
    count: int,
    size: int,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    split: Split = "train",
) -> np.ndarray:
    """`count` random square crops as uint8 [count, size, size, 3].

    A function of its arguments alone, and `crops(10, ...)` is the beginning of `crops(20, ...)`. Every
    photo comes up equally often; a crop covers 0.4 to 1 of the photo's short side and is mirrored half
    the time; it is scaled by an anti-aliased bilinear filter, as torchvision's Resize does.

    names: the photos to crop; by default those of `split`, which then has no other effect.
    """
    import numpy as np
    from PIL import Image

    if count < 0 or size < 1:
        raise ValueError(f"count must be at least 0 and size at least 1, not {count} and {size}")
    chosen = list(SPLITS[split] if names is None else names)
    if not chosen:
        raise ValueError("names is empty: give at least one photo")
    photos = [Image.fromarray(load(name)) for name in chosen]

    # Rows are drawn in order from one stream per purpose: that makes a shorter call a prefix of a longer one.
    rounds = -(-count // len(photos))
    which = np.random.Generator(np.random.PCG64([seed, 0])).random((rounds, len(photos))).argsort(axis=1).ravel()
    where = np.random.Generator(np.random.PCG64([seed, 1])).random((count, 4))

    out = np.empty((count, size, size, 3), np.uint8)
    for i in range(count):
        photo = photos[which[i]]
        out[i] = _crop(photo, size, *(float(u) for u in where[i]))
    return out


def _crop(photo: Image.Image, size: int, u_side: float, u_left: float, u_top: float, u_flip: float) -> np.ndarray:
    import numpy as np
    from PIL import Image

    short = min(photo.size)
    smallest = min(short, max(size, round(MIN_SIDE * short)))
    side = smallest + int(u_side * (short - smallest + 1))
    left = int(u_left * (photo.width - side + 1))
    top = int(u_top * (photo.height - side + 1))
    small = photo.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    pixels = np.asarray(small)
    return pixels[:, ::-1] if u_flip < 0.5 else pixels


SOURCE = Source(
    name="photos",
    about=f"random crops of {len(PHOTOS)} photographs that ship with scikit-image, scikit-learn and matplotlib",
    licence="public domain, CC0 1.0 and CC BY 2.0; each photo's is listed in bench/data/photos.py",
    version=version,
    missing=missing,
    get=None,
    embedded=True,
)
