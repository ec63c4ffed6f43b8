"""COCO 2017 and 2014 in their official layout: download, prepare, load.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; https://cocodataset.org. A set lies in
`root()/coco2017` (or wherever `$RETABLE_COCO2017` points, or behind a link of that name) as
`train2017/*.jpg`, `val2017/*.jpg`, `annotations/*.json`. Prepared arrays lie in `root()/cache`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from retable.bench.data.download import Remote, Watcher, download, quiet
from retable.bench.data.source import DataError, Source, root

if TYPE_CHECKING:
    import zipfile

    import numpy as np

    from retable.bench.data import cache

Split = Literal["train", "val"]
Part = Literal["train", "val", "annotations"]


@dataclass(frozen=True)
class Release:
    """One year's release: its archives, and the folder in each that is wanted."""

    name: str
    year: int
    images: dict[Split, int]
    archives: dict[Part, Remote]


_URL = "http://images.cocodataset.org"  # the server's certificate is not for this name; the hashes stand in for it

RELEASES: dict[str, Release] = {
    "coco2017": Release(
        name="coco2017",
        year=2017,
        images={"train": 118_287, "val": 5_000},
        archives={
            "train": Remote(f"{_URL}/zips/train2017.zip", 19_336_861_798, "cced6f7f71b7629ddf16f17bbcfab6b2"),
            "val": Remote(f"{_URL}/zips/val2017.zip", 815_585_330, "442b8da7639aecaf257c1dceb8ba8c80"),
            "annotations": Remote(
                f"{_URL}/annotations/annotations_trainval2017.zip", 252_907_541, "f4bbac642086de4f52a3fdda2de5fa2c"
            ),
        },
    ),
    "coco2014": Release(
        name="coco2014",
        year=2014,
        images={"train": 82_783, "val": 40_504},
        archives={
            "train": Remote(f"{_URL}/zips/train2014.zip", 13_510_573_713, "0da8c0bd3d6becc4dcb32757491aca88"),
            "val": Remote(f"{_URL}/zips/val2014.zip", 6_645_013_297, "a3d79f5ed8d289b7a7554ce06a5782b3"),
            "annotations": Remote(
                f"{_URL}/annotations/annotations_trainval2014.zip", 252_872_794, "0a379cfc70b0e71301e0f377548639bd"
            ),
        },
    ),
}


def home(name: str = "coco2017") -> Path:
    """Folder of a release: `$RETABLE_COCO2017` (`$RETABLE_COCO2014`), else `root()/coco2017`."""
    given = os.environ.get(f"RETABLE_{_release(name).name.upper()}")
    return Path(given).expanduser().resolve() if given else root() / name


def version(name: str = "coco2017") -> str:
    """The release's year and the beginning of its training archive's checksum, here or not."""
    release = _release(name)
    return f"{release.year}-{release.archives['train'].md5[:12]}"


def missing(name: str = "coco2017") -> str | None:
    """None when the training and validation images, or arrays prepared from them, are there; else what gets them."""
    release = _release(name)
    absent = [
        f"{split}{release.year}"
        for split in release.images
        if not _has_images(home(name) / f"{split}{release.year}") and not _any_prepared(split, name)
    ]
    if not absent:
        return None
    return (
        f"{name}: no images in {' and '.join(str(home(name) / folder) for folder in absent)}: bench data get {name}, "
        f"or link or point RETABLE_{name.upper()} to a folder that has {' and '.join(absent)}"
    )


def get(
    name: str = "coco2017",
    *,
    parts: Sequence[Part] = ("train", "val"),
    sizes: Sequence[int] = (256,),
    progress: Watcher = quiet,
    keep_archives: bool = False,
) -> None:
    """Download, verify, unpack and prepare a release; each step goes on where it was broken off.

    parts: "train", "val", "annotations". sizes: pixels a side of the arrays prepared from the images.
    keep_archives: keep the downloaded zip files (20 GB) after unpacking. Raises DataError.
    """
    from filelock import FileLock

    release = _release(name)
    if unknown := [part for part in parts if part not in release.archives]:
        raise DataError(f"{name} has no part '{unknown[0]}'; it has {', '.join(release.archives)}")
    root().mkdir(parents=True, exist_ok=True)
    for part in parts:
        folder = "annotations" if part == "annotations" else f"{part}{release.year}"
        with FileLock(root() / f".{name}.lock"):
            if not (home(name) / folder).is_dir():
                _fetch(release.archives[part], home(name), folder, progress, keep_archives)
        if part != "annotations":
            for size in sizes:
                load(part, size, name=name, progress=progress)


def load(split: Split, size: int, *, name: str = "coco2017", progress: Watcher = quiet) -> np.memmap:
    """The images of a split, short side resized to `size`, centre cropped: read-only uint8 [N, size, size, 3].

    Memory-mapped, in the order of the file names. Made on the first call (some 250 images a second and
    core at 256 pixels) and kept; `corrupt(...)` says which images could not be read and are left out. Raises DataError
    if the images are not there, none can be read or the disk is full.
    """
    from retable.bench.data import cache

    pixels = _pixels(split, size, name)
    return cache.open_array(pixels, _prepared(split, size, name, progress))


def corrupt(split: Split, size: int, *, name: str = "coco2017") -> dict[str, str]:
    """File name -> reason, of the images that a prepared array leaves out."""
    return dict(_prepared(split, size, name, quiet).corrupt)


def _prepared(split: Split, size: int, name: str, progress: Watcher) -> cache.Index:
    from retable.bench.data import cache

    release = _release(name)
    if split not in release.images:
        raise ValueError(f"{name} has no split '{split}'; it has {', '.join(release.images)}")
    folder = home(name) / f"{split}{release.year}"
    pixels = _pixels(split, size, name)
    if not _has_images(folder):  # the images may be deleted once they are prepared
        if index := cache.read_index(pixels):
            return index
        raise DataError(f"{name}: no images in {folder} and none prepared at {size} pixels: bench data get {name}")
    files = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".jpg"))
    return cache.prepare(folder, files, size, pixels, progress=progress)


def _pixels(split: Split, size: int, name: str) -> Path:
    return root() / "cache" / f"{name}-{split}-{size}.u8"


def _any_prepared(split: Split, name: str) -> bool:
    return any((root() / "cache").glob(f"{name}-{split}-*.u8.json"))


def _release(name: str) -> Release:
    if name not in RELEASES:
        raise LookupError(f"unknown COCO release '{name}'; known: {', '.join(RELEASES)}")
    return RELEASES[name]


def _has_images(folder: Path) -> bool:
    """At the first image it stops looking: a split has 118,287."""
    try:
        return any(entry.name.endswith(".jpg") for entry in os.scandir(folder))
    except OSError:
        return False


def _fetch(remote: Remote, target: Path, folder: str, progress: Watcher, keep: bool) -> None:
    """Download an archive and unpack its `folder` into `target`; the folder appears when it is complete."""
    import zipfile

    archive = target / remote.url.rsplit("/", 1)[1]
    download(remote, archive, progress=progress)
    unpacking = target / f"{folder}.unpacking"
    unpacking.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            _unpack(opened, folder, unpacking, progress)
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is damaged ({error}): delete it and try again") from error
    unpacking.rename(target / folder)
    if not keep:
        archive.unlink()


def _unpack(archive: zipfile.ZipFile, folder: str, target: Path, progress: Watcher) -> None:
    """Files of `folder` in the archive into `target`; those that are there whole are left as they are."""
    members = [info for info in archive.infolist() if _wanted(info.filename, folder)]
    if not members:
        raise DataError(f"{archive.filename} holds no {folder}/: delete it and try again")
    need, free = sum(info.file_size for info in members), shutil.disk_usage(target).free
    if need > free + sum(file.stat().st_size for file in target.iterdir()):
        raise DataError(f"{target} has {free / 1e9:.1f} GB free, unpacking needs {need / 1e9:.1f} GB: make room")
    for done, info in enumerate(members, 1):
        # Only the last part of the name is used: nothing is written outside the folder.
        file = target / info.filename.rsplit("/", 1)[1]
        if not (file.is_file() and file.stat().st_size == info.file_size):
            with archive.open(info) as source, file.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
        if done % 1000 == 0 or done == len(members):
            progress(f"unpack {folder}", done, len(members))


def _wanted(filename: str, folder: str) -> bool:
    parent, _, name = filename.rpartition("/")
    return parent == folder and bool(name)


def _source(release: Release) -> Source:
    pictures = {split: f"{count:,} {split}" for split, count in release.images.items()}
    return Source(
        name=release.name,
        about=f"COCO {release.year} images ({' and '.join(pictures.values())})",
        licence="images: Flickr terms of use, each its own; annotations: CC BY 4.0 (https://cocodataset.org/#termsofuse)",
        version=partial(version, release.name),
        missing=partial(missing, release.name),
        get=partial(get, release.name),
        embedded=False,
        url="https://cocodataset.org",
        size_bytes=sum(release.archives[split].size_bytes for split in release.images),
    )


SOURCES = tuple(_source(release) for release in RELEASES.values())
