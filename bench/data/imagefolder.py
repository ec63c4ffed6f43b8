"""Labelled images in ImageNet's folder layout: `train/CLASS/*.JPEG`, `val/CLASS/*.JPEG`; ImageNet-1K among them.

Russakovsky et al., "ImageNet large scale visual recognition challenge", IJCV 2015. The set itself may not be passed
on: it is got at https://image-net.org under its own terms and linked or pointed to.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retable.bench.data.decode import SUFFIXES
from retable.bench.data.download import Watcher, quiet
from retable.bench.data.source import FOLDER_PREFIX, DataError, Source, root

Split = Literal["train", "val"]


@dataclass(frozen=True)
class Listing:
    """A split's images. files: in order of class and name; labels: index into `classes` of each."""

    files: list[Path]
    labels: list[int]
    classes: list[str]


def home() -> Path:
    """Folder of ImageNet-1K: `$RETABLE_IMAGENET1K`, else `root()/imagenet1k`."""
    given = os.environ.get("RETABLE_IMAGENET1K")
    return Path(given).expanduser().resolve() if given else root() / "imagenet1k"


def listing(name: str, split: Split) -> Listing:
    """The images of a split of `imagenet1k` or `folder:PATH`.

    Classes are the folders of train, sorted by name. Raises DataError when a split has no class folders, a class
    without images, or val has a class that train has not.
    """
    base = Path(name.removeprefix(FOLDER_PREFIX)).expanduser() if name.startswith(FOLDER_PREFIX) else home()
    classes = _classes(base / "train")
    files: list[Path] = []
    labels: list[int] = []
    for folder in _classes(base / split):
        if folder not in classes:
            raise DataError(f"{base / split / folder} is a class that {base / 'train'} does not have")
        entries = sorted(e.name for e in os.scandir(base / split / folder) if Path(e.name).suffix.lower() in SUFFIXES)
        if not entries:
            raise DataError(f"{base / split / folder} holds no images")
        files += [base / split / folder / entry for entry in entries]
        labels += [classes.index(folder)] * len(entries)
    return Listing(files, labels, classes)


def missing() -> str | None:
    """None when ImageNet-1K's splits have class folders, else how to bring them."""
    try:
        for split in ("train", "val"):
            _classes(home() / split)
    except DataError as error:
        return f"imagenet1k: {error}; `bench data get imagenet1k` says where from"
    return None


def get(*, progress: Watcher = quiet) -> None:
    """Check that ImageNet-1K is there. Its terms are agreed to in person, so it can't be fetched by a command.

    Raises DataError with what to do.
    """
    if missing() is not None:
        raise DataError(
            "imagenet1k can't be downloaded by a command: register at https://image-net.org, unpack ILSVRC 2012 and "
            f"lay train/CLASS/*.JPEG and val/CLASS/*.JPEG (images of val sorted into their classes) under {home()}, or "
            "point RETABLE_IMAGENET1K to a folder that has them"
        )


def _classes(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not found:
        raise DataError(f"{folder} has no folder per class (images of one class belong in one folder)")
    return found


SOURCE = Source(
    name="imagenet1k",
    about="ImageNet-1K (ILSVRC 2012): 1,281,167 training and 50,000 validation images of 1000 classes",
    licence="its own terms of access (https://image-net.org/download)",
    version=lambda: "ilsvrc2012",
    missing=missing,
    get=get,
    embedded=False,
    url="https://image-net.org",
)
