"""Style images that need no network: seeded procedural pictures and real textures from scikit-image.

The papers' own style images (stock art, museum photographs) may not be redistributed. `mosaic` is the
one to use first: black outlines, flat bright cells, fine hatching, so that edges, colours and texture
all leave a trace in the Gram matrices of a shallow and a deep layer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from retable.bench.data.embedded import EmbeddedImage, absent, decode, digest
from retable.bench.data.source import Source

if TYPE_CHECKING:
    import numpy as np

GENERATOR = "patterns-1"
"""Version of `patterns.py` and of the scaling below; change it when any style's pixels change."""

MASTER = 512
"""Styles up to this size are the same picture of this size, scaled down."""

PROCEDURAL = ("mosaic", "swirls", "circles", "waves", "facets")

TEXTURES: dict[str, EmbeddedImage] = {
    "brick": EmbeddedImage(
        package="skimage",
        path="data/brick.png",
        sha256="7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
        licence="CC0 1.0",
        author="CC0Textures",
        url="https://cc0textures.com/view.php?tex=Bricks25",
    ),
    "grass": EmbeddedImage(
        package="skimage",
        path="data/grass.png",
        sha256="b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
        licence="CC0 1.0",
        author="linolafett",
        url="https://www.deviantart.com/linolafett/art/Grass-01-434853879",
    ),
    "gravel": EmbeddedImage(
        package="skimage",
        path="data/gravel.png",
        sha256="c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
        licence="CC0 1.0",
        author="CC0Textures",
        url="https://cc0textures.com/view.php?tex=Gravel04",
    ),
    "retina": EmbeddedImage(
        package="skimage",
        path="data/retina.jpg",
        sha256="38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
        licence="CC0 1.0",
        author="Mikael Häggström",
        url="https://commons.wikimedia.org/wiki/File:Fundus_photograph_of_normal_left_eye.jpg",
    ),
    "tissue": EmbeddedImage(
        package="skimage",
        path="data/ihc.png",
        sha256="f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        licence="no known copyright restrictions",
        author="Center for Microscopy And Molecular Imaging (CMMI)",
        url="https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.immunohistochemistry",
    ),
    "galaxies": EmbeddedImage(
        package="skimage",
        path="data/hubble_deep_field.jpg",
        sha256="3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        licence="public domain",
        author="NASA",
        url="http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
    ),
}

NAMES: tuple[str, ...] = (*PROCEDURAL, *TEXTURES)


def version() -> str:
    """Hash of the pinned textures and of the way styles are made."""
    return digest(TEXTURES.values(), GENERATOR)


def missing() -> str | None:
    """None when every texture is in place, else what to do."""
    return absent(TEXTURES.values())


@lru_cache(maxsize=32)
def load(name: str, size: int) -> np.ndarray:
    """Style `name` (one of `NAMES`) as uint8 [size, size, 3], read-only.

    Every size shows the same picture: up to 512 it is scaled down from 512 pixels, above that a
    procedural style is drawn at `size` itself and a texture's short side is enlarged to it. Textures
    are cropped to their central square. Raises LookupError for an unknown name, DataError if a
    texture's file is missing or not the pinned one.
    """
    import numpy as np
    from PIL import Image

    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    if name in TEXTURES:
        picture = Image.fromarray(decode(TEXTURES[name]))
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    elif name in PROCEDURAL:
        picture = Image.fromarray(_drawn(name, max(size, MASTER)))
    else:
        from retable.bench.task import did_you_mean

        raise LookupError(f"unknown style '{name}'{did_you_mean(name, NAMES)}")
    pixels = np.array(picture.resize((size, size), Image.Resampling.LANCZOS))
    pixels.setflags(write=False)
    return pixels


@lru_cache(maxsize=len(PROCEDURAL))
def _drawn(name: str, size: int) -> np.ndarray:
    from retable.bench.data import patterns

    return patterns.draw(name, size)


SOURCE = Source(
    name="styles",
    about=f"{len(PROCEDURAL)} procedural styles and {len(TEXTURES)} real textures that ship with scikit-image",
    licence="procedural: this project's; textures: CC0 1.0, public domain, each listed in bench/data/styles.py",
    version=version,
    missing=missing,
    get=None,
    embedded=True,
)
