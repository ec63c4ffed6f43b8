"""ZeroWaste-f: frames of a waste sorting belt with five classes per pixel, and any set in the same layout.

Bashkirova et al., "ZeroWaste dataset: towards deformable object segmentation in cluttered scenes", CVPR 2022;
https://zenodo.org/records/6412647. Two layouts are read, at any depth of three folders under the set's home:
the release's own (`train/data/*.PNG`, `train/sem_seg/*.PNG`, `train/labels.json`) and the one that
MMSegmentation configurations use (`images/train/*`, `annotations/train/*`). Endings may be in either case.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from retable.bench.data.decode import SUFFIXES, read_rgb
from retable.bench.data.download import Remote, Watcher, download, quiet
from retable.bench.data.source import DataError, Source, root

if TYPE_CHECKING:
    import numpy as np

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

CLASSES = ("background", "rigid_plastic", "cardboard", "metal", "soft_plastic")
"""Names by the index that masks hold. The prose of papers lists others; the masks and labels.json say these."""

IGNORE = 255
"""Index of pixels that count neither in training nor in evaluation."""

COUNTS: dict[Split, int] = {"train": 3002, "val": 572, "test": 929}
"""Frames of the release that papers report on (1.2.1, "final"); the first one has 1245, 312 and 317."""

RECORD = "https://zenodo.org/records/6412647"

ARCHIVE = Remote(
    f"{RECORD}/files/zerowaste-f-final.zip?download=1",
    size_bytes=7_518_242_799,
    md5="e26e31a58080bca6782dca0e56074c5d",
)


@dataclass(frozen=True)
class Pair:
    """A frame and its mask of class indices."""

    image: Path
    mask: Path


def home() -> Path:
    """Folder of the set: `$RETABLE_ZEROWASTE_F`, else `root()/zerowaste-f`."""
    return _home("RETABLE_ZEROWASTE_F", "zerowaste-f")


def unlabelled_home() -> Path:
    """Folder of ZeroWaste-s, frames without masks: `$RETABLE_ZEROWASTE_S`, else `root()/zerowaste-s`."""
    return _home("RETABLE_ZEROWASTE_S", "zerowaste-s")


def pairs(split: Split, base: Path | None = None) -> list[Pair]:
    """The frames of a split with their masks, in the order of their names.

    base: the set's folder, by default `home()`. Raises DataError if the split is not there or empty, a frame
    has no mask, a mask no frame, two files share a stem, or labels.json names other classes.
    """
    base = base or home()
    images, masks = _folders(base, split)
    found, labels = _by_stem(images), _by_stem(masks)
    if not found:
        raise DataError(f"the split '{split}' is empty: {images} holds no images")
    if alone := sorted(found.keys() - labels.keys()):
        raise DataError(f"{found[alone[0]]} has no mask in {masks}{_more(alone)}")
    if alone := sorted(labels.keys() - found.keys()):
        raise DataError(f"the mask {labels[alone[0]]} has no frame in {images}{_more(alone)}")
    _check_categories(images.parent / "labels.json")
    return [Pair(found[stem], labels[stem]) for stem in sorted(found)]


def unlabelled(base: Path | None = None) -> list[Path]:
    """Frames without masks at any depth under `base` (default `unlabelled_home()`), sorted. Raises DataError."""
    base = base or unlabelled_home()
    found = sorted(p for p in base.rglob("*") if p.suffix.lower() in SUFFIXES and "sem_seg" not in p.parts)
    if not found:
        raise DataError(f"{base} holds no frames: unpack ZeroWaste-s there, or point RETABLE_ZEROWASTE_S to it")
    return found


def read(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """A frame as uint8 [H, W, 3] and its mask as uint8 [H, W] of class indices or `IGNORE`.

    Raises DataError if either cannot be read, they differ in size, the mask has several channels or holds an
    index that is no class.
    """
    import numpy as np

    image = np.asarray(read_rgb(pair.image))
    mask = _read_mask(pair.mask)
    if image.shape[:2] != mask.shape:
        (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
        raise DataError(f"{pair.mask} is {mask_width} x {mask_height}, but its frame is {width} x {height}")
    used = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    if unknown := [int(i) for i in used if i >= len(CLASSES) and i != IGNORE]:
        raise DataError(
            f"{pair.mask} holds class index {unknown[0]}; known are 0 to {len(CLASSES) - 1} "
            f"({', '.join(CLASSES)}) and {IGNORE} for pixels to ignore"
        )
    return image, mask


def missing() -> str | None:
    """None when all three splits are there, else what gets them."""
    try:
        for split in SPLITS:
            _folders(home(), split)
    except DataError as error:
        return f"zerowaste-f: {error}: bench data get zerowaste-f, or point RETABLE_ZEROWASTE_F to the set"
    return None


def get(*, progress: Watcher = quiet, keep_archive: bool = False) -> None:
    """Download (7.5 GB), verify, unpack and check the release; goes on where it was broken off. Raises DataError."""
    import zipfile

    from filelock import FileLock

    root().mkdir(parents=True, exist_ok=True)
    with FileLock(root() / ".zerowaste-f.lock"):
        if missing() is not None:
            archive = root() / "zerowaste-f.zip"
            download(ARCHIVE, archive, progress=progress)
            unpacking = home().with_name(home().name + ".unpacking")
            try:
                with zipfile.ZipFile(archive) as opened:
                    _unpack(opened, unpacking, progress)
            except zipfile.BadZipFile as error:
                raise DataError(f"{archive} is damaged ({error}): delete it and try again") from error
            if home().exists():
                raise DataError(f"{home()} exists and is not the set: move it away, {unpacking} then takes its place")
            unpacking.rename(home())
            if not keep_archive:
                archive.unlink()
    for split in SPLITS:
        if (count := len(pairs(split))) != COUNTS[split]:
            raise DataError(f"{home()}: the split '{split}' has {count} frames, the published one {COUNTS[split]}")


def _home(variable: str, name: str) -> Path:
    given = os.environ.get(variable)
    return Path(given).expanduser().resolve() if given else root() / name


def _folders(base: Path, split: Split) -> tuple[Path, Path]:
    """The folders of a split's frames and masks, in either layout."""
    if split not in SPLITS:
        raise ValueError(f"there is no split '{split}'; there are {', '.join(SPLITS)}")
    inner = [base, *sorted(p for pattern in ("*", "*/*") for p in base.glob(pattern) if p.is_dir())]
    for folder in inner:
        for images, masks in (("{}/data", "{}/sem_seg"), ("images/{}", "annotations/{}")):
            if (folder / images.format(split)).is_dir() and (folder / masks.format(split)).is_dir():
                return folder / images.format(split), folder / masks.format(split)
    raise DataError(f"{base} has no {split}/data with {split}/sem_seg, nor images/{split} with annotations/{split}")


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in os.scandir(folder):
        path = Path(entry.path)
        if path.suffix.lower() in SUFFIXES and not entry.name.startswith("."):
            if path.stem in found:
                raise DataError(f"{found[path.stem]} and {path} are two files of one name: remove one")
            found[path.stem] = path
    return found


def _more(names: list[str]) -> str:
    return f" ({len(names) - 1} more like it)" if len(names) > 1 else ""


def _read_mask(path: Path) -> np.ndarray:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            mask = np.asarray(opened)
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image that Pillow can read") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's decoders raise on damage
        raise DataError(f"{path} cannot be decoded: {error}") from error
    if mask.ndim != 2:
        raise DataError(f"{path} has {mask.shape[-1]} channels; a mask has one, the class index")
    if mask.min() < 0 or mask.max() > IGNORE:
        raise DataError(f"{path} holds class index {int(mask.max())}; masks are 8-bit")
    return mask.astype(np.uint8)


def _check_categories(file: Path) -> None:
    """Where there is a labels.json, its category ids must be the indices we know."""
    if not file.is_file():
        return
    try:
        categories = json.loads(file.read_text(encoding="utf-8"))["categories"]
        named = {int(c["id"]): str(c["name"]) for c in categories}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not a COCO file with categories: {error!r}") from error
    for index, name in named.items():
        if not 0 <= index < len(CLASSES) or name.lower().replace(" ", "_") != CLASSES[index]:
            raise DataError(f"{file} calls class {index} '{name}'; known are {', '.join(CLASSES)} (0, 1, ...)")


def _unpack(archive: object, target: Path, progress: Watcher) -> None:
    import zipfile

    assert isinstance(archive, zipfile.ZipFile)
    members = [m for m in archive.infolist() if not m.is_dir()]
    target.mkdir(parents=True, exist_ok=True)
    need, free = sum(m.file_size for m in members), shutil.disk_usage(target).free
    if need > free:
        raise DataError(f"{target} has {free / 1e9:.1f} GB free, unpacking needs {need / 1e9:.1f} GB: make room")
    for done, member in enumerate(members, 1):
        parts = PurePosixPath(member.filename).parts
        if ".." in parts or PurePosixPath(member.filename).is_absolute():
            raise DataError(f"{archive.filename} would write outside its folder ({member.filename}): not unpacked")
        if member.flag_bits & 1:
            raise DataError(f"{archive.filename} is encrypted: unpack it by hand under {home()}")
        file = target.joinpath(*parts)
        if not (file.is_file() and file.stat().st_size == member.file_size):
            file.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, file.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
        if done % 1000 == 0 or done == len(members):
            progress("unpack zerowaste-f", done, len(members))


def _missing_unlabelled() -> str | None:
    try:
        unlabelled()
    except DataError as error:
        return f"zerowaste-s: {error}; `bench data get zerowaste-s` says where from"
    return None


def get_unlabelled(*, progress: Watcher = quiet) -> None:
    """Check that ZeroWaste-s is there: its archive is split over several files, which `zipfile` can't read.

    Raises DataError with what to do.
    """
    if _missing_unlabelled() is not None:
        raise DataError(
            "zerowaste-s can't be fetched by a command, its archive comes in parts: get zerowaste-s-parts.* from "
            f"{RECORD}, join and unpack them as its page says under {unlabelled_home()}, or point RETABLE_ZEROWASTE_S "
            "to the frames"
        )


SOURCES = (
    Source(
        name="zerowaste-f",
        about="ZeroWaste-f: 4503 frames of a sorting belt, 1920 x 1080, five classes per pixel",
        licence="CC BY-NC 4.0 by its authors' page (https://ai.bu.edu/zerowaste), CC BY 4.0 by its record",
        version=lambda: f"zenodo-6412647-{ARCHIVE.md5[:12]}",
        missing=missing,
        get=get,
        embedded=False,
        url=RECORD,
        size_bytes=ARCHIVE.size_bytes,
    ),
    Source(
        name="zerowaste-s",
        about="ZeroWaste-s: more than 6000 frames of the same belt without labels",
        licence="CC BY-NC 4.0 (https://ai.bu.edu/zerowaste)",
        version=lambda: "zerowaste-s",
        missing=_missing_unlabelled,
        get=get_unlabelled,
        embedded=False,
        url="https://ai.bu.edu/zerowaste",
    ),
)
