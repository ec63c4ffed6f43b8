"""Image files that ship inside packages we depend on: where they lie, whose they are, what they hash to.

The packages are located, not imported. A file whose content differs from its pinned hash is
refused: results made from it would carry the wrong version.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retable.bench.data.source import DataError

if TYPE_CHECKING:
    import numpy as np

DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}
"""Import name -> what to install."""


@dataclass(frozen=True)
class EmbeddedImage:
    """An image file of another package.

    package, path: top-level package and the file's place in it.
    sha256: of the file's bytes.
    licence, author, url: as the package's own documentation states them; "not stated" where it does not.
    """

    package: str
    path: str
    sha256: str
    licence: str
    author: str
    url: str


def locate(image: EmbeddedImage) -> Path:
    """Where the file should be. Raises DataError if its package is not installed."""
    spec = importlib.util.find_spec(image.package)
    if spec is None or not spec.submodule_search_locations:
        name = DISTRIBUTIONS.get(image.package, image.package)
        raise DataError(f"{image.path} ships with {name}, which is not installed: pip install {name}")
    return Path(next(iter(spec.submodule_search_locations))) / image.path


def read(image: EmbeddedImage) -> bytes:
    """The file's bytes, their hash verified. Raises DataError naming the file and what mends it."""
    path, mend = locate(image), f"pip install --force-reinstall {DISTRIBUTIONS.get(image.package, image.package)}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read embedded image {path} ({error.strerror}): {mend}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != image.sha256:
        raise DataError(f"embedded image {path} is not the pinned one (sha256 {found}, not {image.sha256}): {mend}")
    return content


def decode(image: EmbeddedImage) -> np.ndarray:
    """The verified image as uint8 [H, W, 3]; grey is repeated over the channels."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(read(image))) as opened:
        return np.asarray(opened.convert("RGB"))


def absent(images: Iterable[EmbeddedImage]) -> str | None:
    """None if every file is there and is the pinned one, else what the first bad one needs."""
    try:
        for image in images:
            read(image)
    except DataError as error:
        return str(error)
    return None


def digest(images: Iterable[EmbeddedImage], *generators: str) -> str:
    """Twelve hex digits over the pinned hashes and the versions of whatever makes pixels from them."""
    words = [*(image.sha256 for image in images), *generators]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]
