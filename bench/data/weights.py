"""ImageNet VGG-16 convolution weights: the file that ships with this project, and torchvision's own.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015
(configuration D). The two are different networks: feature scales differ, so absolute losses compare
only under the same one, and a result must say which it used.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from retable.bench.data.download import Remote, Watcher, download, quiet
from retable.bench.data.source import DataError, Source, root

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Weights:
    """A set of weights and what a result must say about it.

    file: name on disk. sha256: of the whole file, or its first digits where its publisher gives only those.
    scale: activations were divided by it when the file was made.
    mean, std: input normalisation of RGB in [0, 1].
    """

    name: str
    about: str
    licence: str
    url: str
    file: str
    size_bytes: int
    sha256: str
    scale: float
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


VGG16 = Weights(
    name="vgg16",
    about="ImageNet VGG-16 convolutions (Oxford VGG), half precision, activations divided by 57.63",
    licence="CC BY 4.0",
    url="https://www.robots.ox.ac.uk/~vgg/research/very_deep/",
    file="vgg16_imagenet_features_fp16.safetensors",
    size_bytes=29_432_064,
    sha256="f47cefb0fa5b4c510581f0198f1f6b408f40dde871c3b53d477d7737223633e1",
    scale=57.63,
)

TORCHVISION_VGG16 = Weights(
    name="vgg16_torchvision",
    about="torchvision's ImageNet VGG-16 (IMAGENET1K_V1), trained from scratch by the PyTorch team",
    licence="BSD-3-Clause (torchvision)",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    file="vgg16-397923af.pth",
    size_bytes=553_433_881,
    sha256="397923af",
    scale=1.0,
)

TORCHVISION_VGG19 = Weights(
    name="vgg19_torchvision",
    about="torchvision's ImageNet VGG-19 (IMAGENET1K_V1), trained from scratch by the PyTorch team",
    licence="BSD-3-Clause (torchvision)",
    url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    file="vgg19-dcbb9e9d.pth",
    size_bytes=574_673_361,
    sha256="dcbb9e9d",
    scale=1.0,
)

WEIGHTS_FOLDER = Path(__file__).resolve().parents[2] / "models" / "weights"


def vgg16_state() -> dict[str, torch.Tensor]:
    """The convolutions of VGG-16 by torchvision's names (`features.0.weight` ... `features.28.bias`).

    float16 as stored; for inputs normalised by `VGG16.mean` and `VGG16.std`. Raises DataError if the
    file is missing, cut off or changed.
    """
    from safetensors.torch import load_file

    path = WEIGHTS_FOLDER / VGG16.file
    _verify(path, VGG16, mend=_MEND_OURS)
    return load_file(path)


def torchvision_vgg16_state() -> dict[str, torch.Tensor]:
    """The same layers of torchvision's network, float32; see `torchvision_state`."""
    return torchvision_state(TORCHVISION_VGG16)


def torchvision_state(weights: Weights) -> dict[str, torch.Tensor]:
    """The convolutions of one of torchvision's networks, float32, from a file the user already has.

    Never downloads: `bench data get NAME` does. Raises DataError if the file is missing or damaged.
    """
    import torch

    path = _torchvision_file(weights)
    if path is None:
        raise DataError(_torchvision_missing(weights) or "")
    _verify(path, weights, mend=f"delete it, then: bench data get {weights.name}")
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: value for name, value in state.items() if name.startswith("features.")}


_MEND_OURS = "restore it from the project (git checkout -- models/weights, or reinstall retable)"


def _verify(path: Path, weights: Weights, *, mend: str) -> None:
    """Refuse a file whose size or hash is not the published one."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read the weights {path} ({error.strerror}): {mend}") from error
    if size != weights.size_bytes:
        raise DataError(f"the weights {path} have {size} bytes, not {weights.size_bytes}: {mend}")
    if not found.startswith(weights.sha256):
        raise DataError(f"the weights {path} are damaged (sha256 {found}, not {weights.sha256}): {mend}")


def _missing() -> str | None:
    """Existence and size only: the hash is checked on load, and a plan shall not read 29 MB."""
    path = WEIGHTS_FOLDER / VGG16.file
    if not path.is_file():
        return f"the weights {path} are missing: {_MEND_OURS}"
    if (size := path.stat().st_size) != VGG16.size_bytes:
        return f"the weights {path} have {size} bytes, not {VGG16.size_bytes}: {_MEND_OURS}"
    return None


def _torchvision_file(weights: Weights) -> Path | None:
    """Our own download, or the one in torch's hub cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "torch"
    hub = Path(os.environ.get("TORCH_HOME", cache)).expanduser() / "hub" / "checkpoints"
    candidates = (root() / "weights" / weights.file, hub / weights.file)
    return next((path for path in candidates if path.is_file()), None)


def _torchvision_missing(weights: Weights) -> str | None:
    if _torchvision_file(weights) is None:
        return f"{weights.name}: {weights.file} is not on this machine: bench data get {weights.name}"
    return None


def _get_torchvision(weights: Weights, *, progress: Watcher = quiet) -> None:
    """Download torchvision's file (half a gigabyte) into `root()/weights`, resuming a broken attempt."""
    remote = Remote(url=weights.url, size_bytes=weights.size_bytes, sha256=weights.sha256)
    download(remote, root() / "weights" / weights.file, progress=progress)


def _torchvision_source(weights: Weights) -> Source:
    return Source(
        name=weights.name,
        about=weights.about,
        licence=weights.licence,
        version=lambda: weights.sha256,
        missing=partial(_torchvision_missing, weights),
        get=partial(_get_torchvision, weights),
        embedded=False,
        url=weights.url,
        size_bytes=weights.size_bytes,
    )


SOURCES = (
    Source(
        name=VGG16.name,
        about=VGG16.about,
        licence=VGG16.licence,
        version=lambda: VGG16.sha256[:12],
        missing=_missing,
        get=None,
        embedded=True,
        url=VGG16.url,
    ),
    _torchvision_source(TORCHVISION_VGG16),
    _torchvision_source(TORCHVISION_VGG19),
)
