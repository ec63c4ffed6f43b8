"""The embedded classes of small images: what they hold, and that test patches were never trained on."""

from __future__ import annotations

import numpy as np
import pytest

from retable.bench.data import patches


@pytest.mark.parametrize(("split", "count"), [("train", 2400), ("test", 720)])
def test_every_class_comes_up_equally_often(split: patches.Split, count: int) -> None:
    images, labels = patches.load(split, 32)
    assert images.shape == (count, 32, 32, 3)
    assert images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [count // 12] * 12


def test_smaller_patches_are_the_same_ones_averaged() -> None:
    large, _ = patches.load("train", 32)
    small, _ = patches.load("train", 16)
    mean = large.reshape(-1, 16, 2, 16, 2, 3).astype(float).mean(axis=(2, 4))
    assert np.abs(mean - small).max() <= 0.5


def test_train_and_test_share_no_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures whose red says the column: no column is in both splits."""
    columns = np.zeros((patches.SIDE, patches.SIDE, 3), np.uint8)
    columns[..., 0] = np.arange(patches.SIDE) // 2  # two columns a shade, so that 8 bits hold them all
    monkeypatch.setattr(patches, "_square", lambda image: columns)
    patches.load.cache_clear()
    try:
        seen = {split: set(np.unique(patches.load(split, 32)[0][..., 0])) for split in ("train", "test")}
    finally:
        patches.load.cache_clear()
    assert max(seen["train"]) < patches.BOUNDARY // 2 <= min(seen["test"])


def test_labels_held_back_for_choosing_settings_are_of_columns_that_none_known_touches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = np.zeros((patches.SIDE, patches.SIDE, 3), np.uint8)
    columns[..., 0] = np.arange(patches.SIDE) // 2
    monkeypatch.setattr(patches, "_square", lambda image: columns)
    patches.load.cache_clear()
    try:
        shades = patches.load("train", 32)[0][..., 0]
    finally:
        patches.load.cache_clear()
    known, held = patches.held_back()
    assert known.shape == held.shape == (2400,)
    assert shades[known].max() < patches.HELD_BACK // 2 <= shades[held].min()
    assert known.sum() > 2 * held.sum() > 0
    assert np.bincount(patches.load("train", 32)[1][held]).min() > 20, "of every class"


def test_they_are_the_same_every_time() -> None:
    first = patches.load("test", 8)[0].copy()
    patches.load.cache_clear()
    assert np.array_equal(patches.load("test", 8)[0], first)


def test_what_there_is_not_is_told() -> None:
    with pytest.raises(ValueError, match="train, test"):
        patches.load("val")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="8, 16, 32"):
        patches.load("train", 20)
