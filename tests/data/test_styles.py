"""Embedded style images."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from retable.bench.data import styles

GOLDEN = {
    "mosaic": "4cde9ad82bc427fa",
    "swirls": "f6e532ba124ec0ca",
    "circles": "8a518c9b4888c515",
    "waves": "61aa93c4e8a29648",
    "facets": "05b415a70b07202c",
    "brick": "ca8e7c66b40134ee",
    "grass": "b1d6a3d20ef45847",
    "gravel": "7fef536778346e96",
    "retina": "d1fdac8e5259e1a8",
    "tissue": "c0ff48e75ef692c6",
    "galaxies": "c6b806985521d0b8",
}


@pytest.mark.parametrize("name", styles.NAMES)
@pytest.mark.parametrize("size", [1, 33, 128])
def test_every_style_has_the_size_asked_for(name: str, size: int) -> None:
    picture = styles.load(name, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    assert not picture.flags.writeable


@pytest.mark.parametrize("name", styles.NAMES)
def test_styles_are_the_ones_they_always_were(name: str) -> None:
    """Golden: if this moves, the meaning of every committed loss moves; raise `styles.GENERATOR`."""
    assert styles.GENERATOR == "patterns-1"
    assert hashlib.sha256(styles.load(name, 64).tobytes()).hexdigest()[:16] == GOLDEN[name]


@pytest.mark.parametrize("name", styles.NAMES)
def test_a_style_is_the_same_picture_at_every_size(name: str) -> None:
    large = Image.fromarray(styles.load(name, 640)).resize((32, 32), Image.Resampling.BOX)
    difference = np.asarray(large, float) - styles.load(name, 32)
    assert np.sqrt((difference**2).mean()) < 16


def test_styles_are_told_apart_by_their_colours() -> None:
    """Pairwise different in mean colour or contrast: several suites need several styles."""
    facts = {n: np.r_[styles.load(n, 128).mean((0, 1)), styles.load(n, 128).std((0, 1))] for n in styles.PROCEDURAL}
    names = list(facts)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert np.abs(facts[a] - facts[b]).max() > 10, (a, b)


def test_the_mosaic_has_black_outlines_and_eight_bright_colours() -> None:
    picture = styles.load("mosaic", 512).astype(int)
    dark = (picture.max(-1) < 60).mean()
    assert 0.05 < dark < 0.25
    hues = {int(np.argmax(p)) * 3 + int(np.argmin(p)) for p in picture.reshape(-1, 3)[::97] if np.ptp(p) > 60}
    assert len(hues) >= 5


def test_an_unknown_style_gets_the_nearest() -> None:
    with pytest.raises(LookupError, match="did you mean 'mosaic'"):
        styles.load("mosaics", 8)
    with pytest.raises(ValueError, match="size"):
        styles.load("mosaic", 0)
