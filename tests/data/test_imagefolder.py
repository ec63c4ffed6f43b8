"""Class folders as ImageNet's, and what is wrong with people's."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import retable.bench.data
from retable.bench.data import DataError, imagefolder


def put(base: Path, *names: str) -> None:
    for name in names:
        file = base / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(file, "JPEG" if file.suffix.lower() != ".png" else "PNG")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "train", "b/2.JPEG", "b/1.jpg", "a/x.png", ".cache/0.JPEG")
    put(tmp_path / "val", "b/9.JPEG")
    return tmp_path


def test_images_come_in_order_with_the_index_of_their_class(folder: Path) -> None:
    (folder / "train/a/notes.txt").write_text("no image")
    train = imagefolder.listing(f"folder:{folder}", "train")
    assert train.classes == ["a", "b"]
    assert [(file.name, label) for file, label in zip(train.files, train.labels, strict=True)] == [
        ("x.png", 0),
        ("1.jpg", 1),
        ("2.JPEG", 1),
    ]
    val = imagefolder.listing(f"folder:{folder}", "val")
    assert (val.classes, val.labels) == (["a", "b"], [1])


def test_a_class_that_training_does_not_have_is_named(folder: Path) -> None:
    put(folder / "val", "c/0.JPEG")
    with pytest.raises(DataError, match=r"val/c is a class that .*train does not have"):
        imagefolder.listing(f"folder:{folder}", "val")


def test_an_absent_split_and_an_empty_class_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*nowhere/train"):
        imagefolder.listing(f"folder:{tmp_path}/nowhere", "train")
    (folder / "train/c").mkdir()
    with pytest.raises(DataError, match="train/c holds no images"):
        imagefolder.listing(f"folder:{folder}", "train")


def test_imagenet_is_pointed_to_and_never_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = retable.bench.data.find("imagenet1k")
    assert "bench data get imagenet1k" in (source.missing() or "")
    with pytest.raises(DataError, match="register at https://image-net"):
        imagefolder.get()
    monkeypatch.setenv("RETABLE_IMAGENET1K", str(folder))
    assert source.missing() is None
    imagefolder.get()
    assert imagefolder.listing("imagenet1k", "train").classes == ["a", "b"]
