"""The Kaggle sets: told what to do when they are not there, unpacked and counted when they are."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from retable.bench import data
from retable.bench.data import DataError, kaggle

NAME = "kaggle_random_images"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and a set that has three images."""
    monkeypatch.setenv("RETABLE_DATA", str(tmp_path))
    known = kaggle.SETS[NAME]
    small = kaggle.KaggleSet(known.name, known.slug, known.about, images=3, pixels=150)
    monkeypatch.setitem(kaggle.SETS, NAME, small)
    return tmp_path / NAME


def archive(path: Path, names: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as made:
        for i, name in enumerate(names):
            buffer = io.BytesIO()
            Image.new("RGB", (150, 150), (90 * i, 10, 10)).save(buffer, "PNG")
            made.writestr(name, buffer.getvalue() if name.endswith("png") else b"notes")


def test_what_to_download_and_where_to_put_it_is_said_plainly(home: Path) -> None:
    with pytest.raises(DataError) as caught:
        kaggle.get(NAME)
    for part in (
        "needs an account",
        "pankajkumar2002/random-image-sample-dataset",
        str(home),
        f"bench data get {NAME}",
    ):
        assert part in str(caught.value)
    assert kaggle.missing(NAME) == str(caught.value)


def test_an_archive_is_unpacked_counted_and_prepared(home: Path) -> None:
    archive(home / "archive.zip", ["data/1.png", "data/more/2.png", "data/3.png", "data/readme.txt"])
    kaggle.get(NAME, sizes=[32])
    assert kaggle.missing(NAME) is None
    images = kaggle.load(NAME, 32)
    assert images.shape == (3, 32, 32, 3)
    assert images[:, 5, 5, 0].tolist() == [0, 180, 90]  # in the order of their paths
    assert not (home / "data" / "readme.txt").exists()
    kaggle.get(NAME, sizes=[32])  # again: nothing to do


def test_images_may_lie_there_unpacked(home: Path) -> None:
    home.mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (150, 150)).save(home / f"{i}.jpg")
    kaggle.get(NAME, sizes=[16])
    assert kaggle.load(NAME, 16).shape == (3, 16, 16, 3)


def test_an_incomplete_set_is_refused_with_both_numbers(home: Path) -> None:
    archive(home / "archive.zip", ["data/1.png", "data/2.png"])
    with pytest.raises(DataError, match="holds 2 images, not 3"):
        kaggle.get(NAME)
    with pytest.raises(DataError, match="holds 2 images, not 3"):
        kaggle.load(NAME, 16)


def test_a_damaged_archive_is_named(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "archive.zip").write_bytes(b"not a zip file")
    with pytest.raises(DataError, match=r"archive\.zip is damaged"):
        kaggle.get(NAME)


def test_an_archive_cannot_write_outside_its_folder(home: Path) -> None:
    archive(home / "archive.zip", ["../escaped.png"])
    with pytest.raises(DataError, match="outside its folder"):
        kaggle.get(NAME)
    assert not (home.parent / "escaped.png").exists()


def test_both_sets_are_listed_with_a_version_that_does_not_depend_on_the_files() -> None:
    assert {"kaggle_random_images", "kaggle_abstract_art"} <= set(data.sources())
    assert data.version("kaggle_abstract_art") == "greg115/abstract-art-8145"
