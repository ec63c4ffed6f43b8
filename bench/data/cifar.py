"""CIFAR-10 in the layout that its authors and torchvision use: `cifar-10-batches-py/` with five training batches.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html. The set lies in `root()/cifar10` (or wherever `$RETABLE_CIFAR10`
points: the folder of the batches, or the one that holds it, as torchvision's `root`).
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retable.bench import files
from retable.bench.data.download import Remote, Watcher, download, quiet
from retable.bench.data.source import DataError, Source, root

if TYPE_CHECKING:
    import numpy as np

Split = Literal["train", "test"]

FOLDER = "cifar-10-batches-py"

ARCHIVE = Remote(
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a"
)

# The checksums that torchvision publishes (torchvision/datasets/cifar.py, BSD 3-clause).
BATCHES: dict[Split, dict[str, str]] = {
    "train": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
}

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def home() -> Path:
    """Folder of the batches: in or at `$RETABLE_CIFAR10`, else in or at `root()/cifar10`."""
    given = os.environ.get("RETABLE_CIFAR10")
    base = Path(given).expanduser().resolve() if given else root() / "cifar10"
    return base if (base / "data_batch_1").is_file() else base / FOLDER


def version() -> str:
    """The beginning of the archive's checksum, whether the set is here or not."""
    return f"2009-{ARCHIVE.md5[:12]}"


def missing() -> str | None:
    """None when every batch is there (their contents are verified when they are read), else what gets them."""
    absent = [name for names in BATCHES.values() for name in names if not (home() / name).is_file()]
    if not absent:
        return None
    return (
        f"cifar10: no {', '.join(absent)} in {home()}: bench data get cifar10, "
        f"or point RETABLE_CIFAR10 to a folder that has {FOLDER}"
    )


def get(*, progress: Watcher = quiet) -> None:
    """Download (170 MB), verify and unpack into `root()/cifar10`; goes on where it was broken off. Raises DataError."""
    import tarfile

    from filelock import FileLock

    base = root() / "cifar10"
    base.mkdir(parents=True, exist_ok=True)
    with FileLock(root() / ".cifar10.lock"):
        if missing() is None:
            return
        archive = base / ARCHIVE.url.rsplit("/", 1)[1]
        download(ARCHIVE, archive, progress=progress)
        wanted = {name for names in BATCHES.values() for name in names} | {"batches.meta", "readme.html"}
        folder = base / FOLDER
        folder.mkdir(exist_ok=True)
        try:
            with tarfile.open(archive) as opened:
                for member in opened:
                    # Only the last part of the name is used: nothing is written outside the folder.
                    name = member.name.rsplit("/", 1)[-1]
                    source = opened.extractfile(member) if member.isfile() and name in wanted else None
                    if source is not None:
                        files.write(folder / name, source.read())
                        progress(f"unpack {name}", len(list(folder.iterdir())), len(wanted))
        except (tarfile.TarError, EOFError, OSError) as error:
            raise DataError(f"{archive} cannot be unpacked ({error}): delete it and try again") from error
        archive.unlink()


def load(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """The images of a split, uint8 [N, 32, 32, 3], and their classes, int64 [N]; N is 50,000 or 10,000.

    In the order of the batches. Every batch's checksum is verified before it is read. Raises ValueError for another
    split, DataError for a missing or damaged batch, with its name and what mends it.
    """
    import numpy as np

    if split not in BATCHES:
        raise ValueError(f"cifar10 has no split '{split}'; it has {', '.join(BATCHES)}")
    if problem := missing():
        raise DataError(problem)
    parts = [_batch(home() / name, md5) for name, md5 in BATCHES[split].items()]
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def _batch(path: Path, md5: str) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path} is damaged: {len(content)} bytes with md5 {found}, not {md5}; "
            "delete it and run bench data get cifar10"
        )
    try:
        batch: dict[str, Any] = _Reader(io.BytesIO(content), encoding="latin1").load()
        pixels, labels = np.asarray(batch["data"], np.uint8), np.asarray(batch["labels"], np.int64)
        images = pixels.reshape(len(labels), 3, 32, 32).transpose(0, 2, 3, 1)
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        raise DataError(f"{path} is no CIFAR-10 batch: {error}") from error
    return np.ascontiguousarray(images), labels


class _Reader(pickle.Unpickler):
    """Reads a batch's dictionary, list and array; any other object in the file is refused."""

    ALLOWED = frozenset(
        {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
        | {(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")}
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        if name == "_reconstruct":
            module = "numpy._core.multiarray"  # its place since numpy 2; the old one warns
        try:
            return super().find_class(module, name)
        except ModuleNotFoundError:
            return super().find_class("numpy.core.multiarray", name)


SOURCE = Source(
    name="cifar10",
    about="CIFAR-10: 60,000 images of 32x32 pixels in ten classes",
    licence="not stated by its authors; cite Krizhevsky 2009",
    version=version,
    missing=missing,
    get=get,
    embedded=False,
    url="https://www.cs.toronto.edu/~kriz/cifar.html",
    size_bytes=ARCHIVE.size_bytes,
)
