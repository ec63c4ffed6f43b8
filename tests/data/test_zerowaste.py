"""ZeroWaste's layouts, and everything that is wrong with people's copies of them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import retable.bench.data
from retable.bench.data import DataError, zerowaste
from retable.bench.data.download import Remote


def put(folder: Path, stem: str, *, size: tuple[int, int] = (12, 8), index: int = 2, ending: str = ".PNG") -> None:
    """A frame and its mask in the release's own layout."""
    for part in ("data", "sem_seg"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (9, 99, 199)).save(folder / "data" / f"{stem}{ending}", "PNG")
    Image.new("L", size, index).save(folder / "sem_seg" / f"{stem}{ending}", "PNG")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """As it lies after unpacking: two folders deep."""
    base = tmp_path / "set" / "zerowaste-f-final" / "splits_final_deblurred"
    for split in zerowaste.SPLITS:
        for stem in ("b", "a"):
            put(base / split, stem)
    return tmp_path / "set"


def test_the_release_is_read_in_order_of_names(release: Path) -> None:
    pairs = zerowaste.pairs("train", release)
    assert [p.image.name for p in pairs] == ["a.PNG", "b.PNG"]
    frame, mask = zerowaste.read(pairs[0])
    assert frame.shape == (8, 12, 3)
    assert mask.shape == (8, 12)
    assert (mask == 2).all()


def test_the_other_layout_gives_the_same(release: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for split in zerowaste.SPLITS:
        source = release / "zerowaste-f-final" / "splits_final_deblurred" / split
        for old, new in (("data", "images"), ("sem_seg", "annotations")):
            (other / new).mkdir(parents=True, exist_ok=True)
            (source / old).rename(other / new / split)
    assert [p.image.stem for p in zerowaste.pairs("val", other)] == ["a", "b"]


@pytest.mark.parametrize(("frame_ending", "mask_ending"), [(".PNG", ".png"), (".png", ".PNG"), (".jpg", ".png")])
def test_endings_may_differ(tmp_path: Path, frame_ending: str, mask_ending: str) -> None:
    put(tmp_path / "train", "x")
    (tmp_path / "train/data/x.PNG").rename(tmp_path / f"train/data/x{frame_ending}")
    (tmp_path / "train/sem_seg/x.PNG").rename(tmp_path / f"train/sem_seg/x{mask_ending}")
    assert zerowaste.read(zerowaste.pairs("train", tmp_path)[0])[1].shape == (8, 12)


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_odd_sizes_are_kept(tmp_path_factory: pytest.TempPathFactory, width: int, height: int) -> None:
    base = tmp_path_factory.mktemp("odd")
    put(base / "train", "x", size=(width, height))
    frame, mask = zerowaste.read(zerowaste.pairs("train", base)[0])
    assert frame.shape[:2] == mask.shape == (height, width)


def test_ignored_pixels_are_allowed(tmp_path: Path) -> None:
    put(tmp_path / "train", "x", index=zerowaste.IGNORE)
    assert (zerowaste.read(zerowaste.pairs("train", tmp_path)[0])[1] == 255).all()


def test_an_unknown_class_is_named_with_its_file(tmp_path: Path) -> None:
    put(tmp_path / "train", "x", index=7)
    with pytest.raises(DataError, match=r"x\.PNG holds class index 7; known are 0 to 4 \(background"):
        zerowaste.read(zerowaste.pairs("train", tmp_path)[0])


def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    put(tmp_path / "train", "x")
    Image.new("L", (6, 8)).save(tmp_path / "train/sem_seg/x.PNG")
    with pytest.raises(DataError, match=r"x\.PNG is 6 x 8, but its frame is 12 x 8"):
        zerowaste.read(zerowaste.pairs("train", tmp_path)[0])


def test_a_coloured_mask_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "train", "x")
    Image.new("RGB", (12, 8)).save(tmp_path / "train/sem_seg/x.PNG")
    with pytest.raises(DataError, match="3 channels"):
        zerowaste.read(zerowaste.pairs("train", tmp_path)[0])


def test_a_palette_mask_is_read_by_index(tmp_path: Path) -> None:
    put(tmp_path / "train", "x")
    mask = Image.fromarray(np.full((8, 12), 3, np.uint8), "P")
    mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 9, 9])
    mask.save(tmp_path / "train/sem_seg/x.PNG")
    assert (zerowaste.read(zerowaste.pairs("train", tmp_path)[0])[1] == 3).all()


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    put(tmp_path / "train", "x")
    file = tmp_path / "train/sem_seg/x.PNG"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(DataError, match=r"x\.PNG"):
        zerowaste.read(zerowaste.pairs("train", tmp_path)[0])


def test_a_missing_mask_or_frame_is_named(tmp_path: Path) -> None:
    for stem in ("a", "b", "c"):
        put(tmp_path / "train", stem)
    (tmp_path / "train/sem_seg/b.PNG").unlink()
    (tmp_path / "train/sem_seg/c.PNG").unlink()
    with pytest.raises(DataError, match=r"b\.PNG has no mask.*\(1 more like it\)"):
        zerowaste.pairs("train", tmp_path)
    put(tmp_path / "train", "b")
    put(tmp_path / "train", "c")
    (tmp_path / "train/data/a.PNG").unlink()
    with pytest.raises(DataError, match=r"mask .*a\.PNG has no frame"):
        zerowaste.pairs("train", tmp_path)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "train", "a")
    Image.new("RGB", (12, 8)).save(tmp_path / "train/data/a.jpg")
    with pytest.raises(DataError, match="two files of one name"):
        zerowaste.pairs("train", tmp_path)


def test_an_empty_split_and_an_absent_one_are_different_errors(tmp_path: Path) -> None:
    put(tmp_path / "train", "a")
    (tmp_path / "val/data").mkdir(parents=True)
    (tmp_path / "val/sem_seg").mkdir()
    with pytest.raises(DataError, match="the split 'val' is empty"):
        zerowaste.pairs("val", tmp_path)
    with pytest.raises(DataError, match="has no test/data"):
        zerowaste.pairs("test", tmp_path)


def test_labels_json_must_mean_the_same_classes(tmp_path: Path) -> None:
    put(tmp_path / "train", "a")
    labels = tmp_path / "train/labels.json"
    right = [{"id": i, "name": name} for i, name in enumerate(zerowaste.CLASSES) if i]
    labels.write_text(json.dumps({"categories": right}))
    assert len(zerowaste.pairs("train", tmp_path)) == 1
    labels.write_text(json.dumps({"categories": [{"id": 1, "name": "cardboard"}]}))
    with pytest.raises(DataError, match="calls class 1 'cardboard'"):
        zerowaste.pairs("train", tmp_path)
    labels.write_text("[]")
    with pytest.raises(DataError, match="not a COCO file"):
        zerowaste.pairs("train", tmp_path)


def test_unlabelled_frames_are_found_anywhere_but_among_masks(release: Path) -> None:
    assert len(zerowaste.unlabelled(release)) == 6
    with pytest.raises(DataError, match="holds no frames"):
        zerowaste.unlabelled(release / "nothing")


def test_the_source_says_what_is_missing_and_finds_a_set_elsewhere(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = retable.bench.data.find("zerowaste-f")
    version = source.version()
    assert "bench data get zerowaste-f" in (source.missing() or "")
    monkeypatch.setenv("RETABLE_ZEROWASTE_F", str(release))
    assert source.missing() is None
    assert source.version() == version
    assert "RETABLE_ZEROWASTE_S" in (retable.bench.data.find("zerowaste-s").missing() or "")


@pytest.fixture
def archive(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release of two frames a split, as the archive to download."""
    file = tmp_path / "zerowaste-f.zip"
    with zipfile.ZipFile(file, "w") as made:
        for path in sorted(release.rglob("*.PNG")):
            made.write(path, path.relative_to(release))
    monkeypatch.setattr(zerowaste, "COUNTS", dict.fromkeys(zerowaste.SPLITS, 2))
    digest = hashlib.md5(file.read_bytes()).hexdigest()
    monkeypatch.setattr(zerowaste, "ARCHIVE", Remote(file.as_uri(), md5=digest))
    return file


def serve(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(remote: Remote, target: Path, **_: object) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(archive.read_bytes())

    monkeypatch.setattr(zerowaste, "download", download)


def test_get_unpacks_checks_and_is_done_the_second_time(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(archive, monkeypatch)
    zerowaste.get()
    assert zerowaste.missing() is None
    assert not (retable.bench.data.root() / "zerowaste-f.zip").exists()
    archive.unlink()
    zerowaste.get()


def test_get_says_when_the_set_is_not_the_published_one(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(archive, monkeypatch)
    monkeypatch.setattr(zerowaste, "COUNTS", {"train": 3002, "val": 572, "test": 929})
    with pytest.raises(DataError, match="has 2 frames, the published one 3002"):
        zerowaste.get()


def test_an_encrypted_archive_is_said(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flags of the first member in the archive's directory
    archive.write_bytes(data)
    serve(archive, monkeypatch)
    with pytest.raises(DataError, match="is encrypted: unpack it by hand"):
        zerowaste.get()


def test_what_is_downloaded_is_the_release_that_papers_report_on() -> None:
    assert zerowaste.ARCHIVE.url.endswith("6412647/files/zerowaste-f-final.zip?download=1")
    assert sum(zerowaste.COUNTS.values()) == 4503
    assert zerowaste.SOURCES[0].size_bytes == zerowaste.ARCHIVE.size_bytes == 7_518_242_799


def test_an_archive_cannot_write_elsewhere(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("../outside.PNG", b"")
    serve(archive, monkeypatch)
    with pytest.raises(DataError, match="outside its folder"):
        zerowaste.get()
