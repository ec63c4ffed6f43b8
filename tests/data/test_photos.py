"""Embedded photographs and their crops."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retable.bench.data import DataError, embedded, photos


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("name", photos.PHOTOS)
def test_every_photo_loads_as_rgb(name: str) -> None:
    picture = photos.load(name)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3 and picture.shape[2] == 3
    assert min(picture.shape[:2]) >= 300
    assert picture.std() > 20


def test_every_photo_has_its_licence() -> None:
    for photo in photos.PHOTOS.values():
        assert photo.licence in {"public domain", "CC0 1.0", "CC BY 2.0"}
        assert photo.author
        assert photo.url.startswith("https://")


def test_crops_are_the_ones_they_always_were() -> None:
    """Golden: if this moves, the meaning of every committed loss moves; raise `photos.GENERATOR`."""
    assert photos.GENERATOR == "crops-1"
    assert digest(photos.crops(24, 48, seed=0)) == "ad4904dd9e2f935b"
    assert digest(photos.crops(6, 32, seed=1, split="held_out")) == "ec4d0e4cf1bc14fa"
    assert photos.version() == "a7c9db222dca"


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(1, 40),
    st.integers(0, 2**32),
    st.sampled_from(["train", "held_out"]),
)
def test_fewer_crops_are_the_beginning_of_more(few: int, more: int, size: int, seed: int, split: photos.Split) -> None:
    short = photos.crops(few, size, seed=seed, split=split)
    long = photos.crops(few + more, size, seed=seed, split=split)
    assert short.shape == (few, size, size, 3)
    assert np.array_equal(short, long[:few])


def test_seeds_differ() -> None:
    assert not np.array_equal(photos.crops(4, 16, seed=0), photos.crops(4, 16, seed=1))


def test_held_out_photos_are_never_trained_on() -> None:
    train, held_out = photos.SPLITS["train"], photos.SPLITS["held_out"]
    assert not set(train) & set(held_out)
    assert {*train, *held_out} == set(photos.PHOTOS)
    assert np.array_equal(photos.crops(9, 16, seed=3, split="held_out"), photos.crops(9, 16, seed=3, names=held_out))


def test_every_photo_comes_up_equally_often() -> None:
    """A crop of one photo alone is recognised by being among the crops of all in the same place."""
    names = photos.SPLITS["train"]
    means = {name: photos.crops(1, 4, seed=0, names=[name]) for name in names}
    assert len({digest(crop) for crop in means.values()}) == len(names)
    rounds = photos.crops(4 * len(names), 64, seed=5)
    grey = [float(np.ptp(crop.astype(int), axis=-1).max()) == 0 for crop in rounds]  # only `camera` is grey
    for k in range(4):
        assert sum(grey[k * len(names) : (k + 1) * len(names)]) == 1


def test_a_crop_is_large_enough_to_recognise(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a picture whose colour says where a pixel is, a crop's range says how much it covers."""
    ramp = np.zeros((400, 400, 3), np.uint8)
    ramp[..., 0] = (np.arange(400) * 255 // 399)[None, :]
    ramp[..., 1] = (np.arange(400) * 255 // 399)[:, None]
    monkeypatch.setattr(photos, "load", lambda name: ramp)
    crops = photos.crops(200, 32, seed=0, names=["any"]).astype(int)
    spans = np.ptp(crops[..., 0], axis=(1, 2)) / 255
    assert 0.36 <= spans.min() < 0.45
    assert 0.92 < spans.max() <= 1
    assert np.allclose(spans, np.ptp(crops[..., 1], axis=(1, 2)) / 255, atol=0.03), "crops are square"
    mirrored = (crops[:, 16, -1, 0] < crops[:, 16, 0, 0]).mean()
    assert 0.4 < mirrored < 0.6
    assert (crops[:, -1, 16, 1] > crops[:, 0, 16, 1]).all(), "never upside down"


def test_a_crop_larger_than_the_photo_is_enlarged() -> None:
    assert photos.crops(1, 350, seed=0, names=["chelsea"]).shape == (1, 350, 350, 3)


def test_wrong_arguments_say_so() -> None:
    with pytest.raises(LookupError, match="did you mean 'chelsea'"):
        photos.crops(1, 8, seed=0, names=["chelsae"])
    with pytest.raises(ValueError, match="size"):
        photos.crops(1, 0, seed=0)
    with pytest.raises(ValueError, match="empty"):
        photos.crops(1, 8, seed=0, names=[])


def test_a_photo_that_is_not_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(photos.PHOTOS["coffee"], sha256="0" * 64)
    monkeypatch.setitem(photos.PHOTOS, "coffee", other)
    photos.load.cache_clear()
    with pytest.raises(DataError, match=r"coffee\.png.*not the pinned.*pip install"):
        photos.load("coffee")
    assert "coffee.png" in (photos.missing() or "")


def test_a_missing_file_or_package_says_what_to_install() -> None:
    astronaut = photos.PHOTOS["astronaut"]
    with pytest.raises(DataError, match=r"gone\.png.*pip install --force-reinstall scikit-image"):
        embedded.read(dataclasses.replace(astronaut, path="data/gone.png"))
    with pytest.raises(DataError, match="pip install no_such_package_at_all"):
        embedded.read(dataclasses.replace(astronaut, package="no_such_package_at_all"))
