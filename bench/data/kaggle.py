"""Two Kaggle image sets that need an account: what to download by hand, where to put it, and whether it is whole.

"Random Image Sample Dataset" (contents) and "Abstract Art Images" (styles). Kaggle hands files out to signed-in
users only and publishes no checksums, so `bench data get` downloads nothing: it unpacks an archive that the user
put in place, counts the images and prepares them.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from retable.bench.data.decode import SUFFIXES
from retable.bench.data.download import Watcher, quiet
from retable.bench.data.source import DataError, Source, root

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class KaggleSet:
    """name: the word in a suite. slug: owner/data set on Kaggle. images: how many there are. pixels: their side."""

    name: str
    slug: str
    about: str
    images: int
    pixels: int

    @property
    def url(self) -> str:
        return f"https://www.kaggle.com/datasets/{self.slug}"


SETS: dict[str, KaggleSet] = {
    made.name: made
    for made in (
        KaggleSet(
            name="kaggle_random_images",
            slug="pankajkumar2002/random-image-sample-dataset",
            about="Random Image Sample Dataset: 3,000 photographs of 150 x 150 pixels",
            images=3_000,
            pixels=150,
        ),
        KaggleSet(
            name="kaggle_abstract_art",
            slug="greg115/abstract-art",
            about="Abstract Art Images: 8,145 pictures of 512 x 512 pixels",
            images=8_145,
            pixels=512,
        ),
    )
}


def home(name: str) -> Path:
    """Folder of a set: `$RETABLE_<NAME>` in capitals, else `root()/NAME`."""
    given = os.environ.get(f"RETABLE_{_known(name).name.upper()}")
    return Path(given).expanduser().resolve() if given else root() / name


def version(name: str) -> str:
    """The slug and the number of images: Kaggle publishes no checksum to pin."""
    known = _known(name)
    return f"{known.slug}-{known.images}"


def missing(name: str) -> str | None:
    """None when all images are there (at any depth), else what to download and where to put it."""
    from retable.bench.data import folder

    known, at = _known(name), home(name)
    found = len(folder.files(at)) if at.is_dir() else 0
    if found == known.images:
        return None
    if found:
        return f"{name}: {at} holds {found:,} images, not {known.images:,}: {_how(known)}"
    return f"{name}: no images in {at}: {_how(known)}"


def get(name: str, *, sizes: Sequence[int] = (256,), progress: Watcher = quiet) -> None:
    """Unpack an archive that lies in `home(name)`, check the number of images and prepare them.

    sizes: pixels a side of the prepared arrays. Raises DataError: with what to download and where to put it if
    nothing is there, with the two numbers if images are missing or too many, with the file if one is damaged.
    """
    from retable.bench.data import folder

    at = home(name)
    if missing(name) is not None:
        at.mkdir(parents=True, exist_ok=True)
        for archive in sorted(at.glob("*.zip")):
            _unpack(archive, at, progress)
    if (problem := missing(name)) is not None:
        raise DataError(problem)
    for size in sizes:
        folder.load(at, size, progress=progress)


def load(name: str, size: int, *, progress: Watcher = quiet) -> np.ndarray:
    """The set's images at `size` pixels a side, in the order of their paths: read-only uint8 [N, size, size, 3].

    All are square as they come, so that nothing is cropped. Raises DataError if the set is not complete.
    """
    from retable.bench.data import folder

    if (problem := missing(name)) is not None:
        raise DataError(problem)
    return folder.load(home(name), size, progress=progress)


def _how(known: KaggleSet) -> str:
    return (
        f"Kaggle needs an account, so download it yourself from {known.url} (or: kaggle datasets download -d "
        f"{known.slug}), put the zip file or the images into {home(known.name)} and run: bench data get {known.name}"
    )


def _unpack(archive: Path, target: Path, progress: Watcher) -> None:
    """The archive's images into `target`, keeping folders; files that are there whole are left as they are."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [m for m in opened.infolist() if Path(m.filename).suffix.lower() in SUFFIXES]
            for done, member in enumerate(members, 1):
                place = (target / member.filename).resolve()
                if not place.is_relative_to(target.resolve()):
                    raise DataError(f"{archive} wants to write outside its folder ({member.filename}): not unpacked")
                if not (place.is_file() and place.stat().st_size == member.file_size):
                    opened.extract(member, target)
                if done % 500 == 0 or done == len(members):
                    progress(f"unpack {archive.name}", done, len(members))
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is damaged ({error}): delete it and download it again") from error


def _known(name: str) -> KaggleSet:
    if name not in SETS:
        raise LookupError(f"unknown Kaggle set '{name}'; known: {', '.join(SETS)}")
    return SETS[name]


def _source(known: KaggleSet) -> Source:
    return Source(
        name=known.name,
        about=known.about,
        licence=f"as its page says ({known.url})",
        version=partial(version, known.name),
        missing=partial(missing, known.name),
        get=partial(get, known.name),
        embedded=False,
        url=known.url,
    )


SOURCES = tuple(_source(known) for known in SETS.values())
