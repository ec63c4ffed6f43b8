"""COCO's official layout, on a tiny tree and tiny archives made here."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import retable.bench.data
from retable.bench.data import DataError, cache, coco
from retable.bench.data.download import Remote


def picture(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def make_tree(base: Path, year: int = 2017, train: int = 7, val: int = 3) -> Path:
    for split, count in (("train", train), ("val", val)):
        folder = base / f"{split}{year}"
        folder.mkdir(parents=True)
        for i in range(count):
            picture(i, *((40, 30) if i % 2 else (30, 50))).save(folder / f"{i * 37:012}.jpg", quality=95)
    return base


@pytest.fixture
def tree(data_root: Path) -> Path:
    return make_tree(data_root / "coco2017")


def test_images_are_resized_on_the_short_side_and_cropped_in_file_order(tree: Path) -> None:
    train = coco.load("train", 16)
    assert train.shape == (7, 16, 16, 3)
    assert train.dtype == np.uint8
    assert isinstance(train, np.memmap)
    assert not train.flags.writeable
    for row, name in enumerate(sorted(p.name for p in (tree / "train2017").iterdir())):
        opened = Image.open(tree / "train2017" / name)
        width, height = opened.size
        scaled = opened.resize(
            (16 * width // min(width, height), 16 * height // min(width, height)), Image.Resampling.BILINEAR
        )
        left, top = round((scaled.width - 16) / 2), round((scaled.height - 16) / 2)
        assert np.array_equal(train[row], np.asarray(scaled.crop((left, top, left + 16, top + 16))))
    assert coco.load("val", 16).shape == (3, 16, 16, 3)


def test_preparing_is_done_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = np.array(coco.load("train", 16))
    monkeypatch.setattr("retable.bench.data.decode.read_rgb", lambda path: pytest.fail("decoded again"))
    assert np.array_equal(coco.load("train", 16), first)


def test_sizes_and_years_do_not_mix(tree: Path, data_root: Path) -> None:
    make_tree(data_root / "coco2014", 2014, train=2, val=1)
    assert coco.load("train", 16).shape == (7, 16, 16, 3)
    assert coco.load("train", 8).shape == (7, 8, 8, 3)
    assert coco.load("train", 8, name="coco2014").shape == (2, 8, 8, 3)


def test_new_files_make_a_new_cache(tree: Path) -> None:
    coco.load("val", 8)
    picture(99).save(tree / "val2017" / "000000999999.jpg")
    assert len(coco.load("val", 8)) == 4


def test_the_images_may_be_deleted_once_prepared(tree: Path) -> None:
    kept = {split: np.array(coco.load(split, 8)) for split in ("train", "val")}
    for folder in ("train2017", "val2017"):
        for file in (tree / folder).iterdir():
            file.unlink()
    assert retable.bench.data.missing("coco2017") is None
    assert np.array_equal(coco.load("train", 8), kept["train"])
    with pytest.raises(DataError, match="none prepared at 16 pixels: bench data get coco2017"):
        coco.load("train", 16)


@pytest.mark.parametrize("how", ["environment", "link"])
def test_a_folder_the_user_has_is_accepted(
    how: str, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = make_tree(tmp_path / "mine")
    assert "RETABLE_COCO2017" in (retable.bench.data.missing("coco2017") or "")
    if how == "environment":
        monkeypatch.setenv("RETABLE_COCO2017", str(mine))
    else:
        data_root.mkdir()
        (data_root / "coco2017").symlink_to(mine)
    assert retable.bench.data.missing("coco2017") is None
    coco.load("val", 8)
    assert sorted(p.name for p in mine.iterdir()) == ["train2017", "val2017"], "nothing is written into it"


def test_half_a_set_is_missing_the_other_half(tree: Path) -> None:
    for file in (tree / "val2017").iterdir():
        file.unlink()
    message = retable.bench.data.missing("coco2017") or ""
    assert "val2017" in message
    assert "train2017" not in message


def test_corrupt_images_are_named_counted_and_left_out(tree: Path) -> None:
    names = sorted(p.name for p in (tree / "train2017").iterdir())
    whole = (tree / "train2017" / names[2]).read_bytes()
    (tree / "train2017" / names[2]).write_bytes(whole[: len(whole) // 2])
    (tree / "train2017" / names[5]).write_bytes(b"")
    assert len(coco.load("train", 8)) == 5
    corrupt = coco.corrupt("train", 8)
    assert set(corrupt) == {names[2], names[5]}
    assert all(name in reason for name, reason in corrupt.items())


def test_nothing_readable_is_an_error(tree: Path) -> None:
    for file in (tree / "val2017").iterdir():
        file.write_bytes(b"\xff\xd8 no")
    with pytest.raises(DataError, match="none of the 3 images"):
        coco.load("val", 8)


def test_a_killed_preparation_goes_on(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the second chunk, the next call decodes only what was not noted; the result is the same."""
    names = sorted(p.name for p in (tree / "train2017").iterdir())
    (tree / "train2017" / names[1]).write_bytes(b"")
    monkeypatch.setattr(cache, "CHUNK", 3)

    class Killed(BaseException):
        pass

    def kill(what: str, done: int, total: int) -> None:
        if done >= 3:
            raise Killed

    with pytest.raises(Killed):
        coco.load("train", 8, progress=kill)
    part = next((tree.parent / "cache").glob("*.part"))
    with part.open("ab") as file:
        file.write(b"half a picture")  # what a kill between two notes leaves

    decoded: list[str] = []
    from retable.bench.data import decode

    original = decode.read_rgb
    monkeypatch.setattr(decode, "read_rgb", lambda path: (decoded.append(path.name), original(path))[1])
    resumed = np.array(coco.load("train", 8))
    assert sorted(decoded) == names[3:]
    assert set(coco.corrupt("train", 8)) == {names[1]}

    cache.remove(coco._pixels("train", 8, "coco2017"))
    assert np.array_equal(coco.load("train", 8), resumed)


def _shape(folder: str) -> tuple[int, ...]:
    import os

    os.environ["RETABLE_DATA"] = folder
    return coco.load("train", 8).shape


def test_several_processes_may_ask_at_once(tree: Path, data_root: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("fork")) as pool:
        assert set(pool.map(_shape, [str(data_root)] * 3)) == {(7, 8, 8, 3)}
    assert sorted(p.name for p in (data_root / "cache").iterdir() if p.suffix != ".lock") == [
        "coco2017-train-8.u8",
        "coco2017-train-8.u8.json",
    ]


def test_no_room_on_the_disk_is_told_before_any_work(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(DataError, match="RETABLE_DATA at another disk"):
        coco.load("train", 8)


def test_an_unknown_split_or_release_is_told(tree: Path) -> None:
    with pytest.raises(ValueError, match="train, val"):
        coco.load("test", 8)  # type: ignore[arg-type]
    with pytest.raises(LookupError, match="coco2014"):
        coco.load("train", 8, name="coco2016")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny archives at file:// addresses in place of the official ones."""
    site = tmp_path / "site"
    tree = make_tree(site / "tree")
    (tree / "annotations").mkdir()
    (tree / "annotations" / "instances_val2017.json").write_text("{}")
    archives = {}
    for part, folder in (("train", "train2017"), ("val", "val2017"), ("annotations", "annotations")):
        file = site / f"{folder}.zip"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(f"{folder}/", "")
            for member in sorted((tree / folder).iterdir()):
                archive.write(member, f"{folder}/{member.name}")
            archive.writestr("../outside.jpg", "x")
        archives[part] = Remote(file.as_uri(), file.stat().st_size, hashlib.md5(file.read_bytes()).hexdigest())
    release = dataclasses.replace(coco.RELEASES["coco2017"], archives=archives)
    monkeypatch.setitem(coco.RELEASES, "coco2017", release)
    return site


def test_get_downloads_unpacks_and_prepares(served: Path, data_root: Path) -> None:
    steps: list[str] = []
    coco.get(sizes=(8,), progress=lambda what, done, total: steps.append(what))
    assert sorted(p.name for p in (data_root / "coco2017").iterdir()) == ["train2017", "val2017"]
    assert not (data_root / "outside.jpg").exists()
    assert {"unpack train2017", "unpack val2017", "prepare coco2017-train-8.u8"} <= set(steps)
    assert retable.bench.data.missing("coco2017") is None
    for archive in served.glob("*.zip"):
        archive.unlink()
    coco.get(sizes=(8,))  # all there: nothing is asked of the server
    assert len(coco.load("train", 8)) == 7


def test_get_takes_annotations_on_request(served: Path, data_root: Path) -> None:
    coco.get(parts=("annotations",), keep_archives=True)
    assert (data_root / "coco2017" / "annotations" / "instances_val2017.json").read_text() == "{}"
    assert (data_root / "coco2017" / "annotations.zip").is_file()
    with pytest.raises(DataError, match="train, val, annotations"):
        coco.get(parts=("test",))  # type: ignore[arg-type]


def test_an_interrupted_unpacking_does_not_look_complete(served: Path, data_root: Path) -> None:
    """A folder of the official name exists only when it is whole."""
    unpacking = data_root / "coco2017" / "val2017.unpacking"
    unpacking.mkdir(parents=True)
    (unpacking / f"{0:012}.jpg").write_bytes(b"half")
    assert "val2017" in (retable.bench.data.missing("coco2017") or "")
    coco.get(parts=("val",), sizes=(8,))
    assert not unpacking.exists()
    assert len(coco.load("val", 8)) == 3
    assert not coco.corrupt("val", 8)
