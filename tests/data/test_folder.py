"""A user's own folder of images, with everything that people keep in such folders."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import retable.bench.data
from retable.bench.data import DataError, folder
from retable.bench.data.decode import read_rgb, square

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow remarks on damage before it raises

RGB = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def saved(tmp_path: Path, image: Image.Image, name: str = "image.png", **options: object) -> np.ndarray:
    image.save(tmp_path / name, **options)
    return np.asarray(read_rgb(tmp_path / name))


def test_rgb_is_left_as_it_is(tmp_path: Path) -> None:
    assert np.array_equal(saved(tmp_path, Image.fromarray(RGB)), RGB)


def test_grey_is_repeated(tmp_path: Path) -> None:
    assert np.array_equal(saved(tmp_path, Image.fromarray(GREY)), np.stack([GREY] * 3, -1))


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    wide = GREY.astype(np.uint16) * 257
    assert np.array_equal(saved(tmp_path, Image.fromarray(wide)), np.stack([GREY] * 3, -1))
    assert np.array_equal(saved(tmp_path, Image.fromarray(wide), "image.tif"), np.stack([GREY] * 3, -1))


def test_float_grey_is_stretched(tmp_path: Path) -> None:
    ramp = np.linspace(-1, 1, 256, dtype=np.float32).reshape(16, 16)
    picture = saved(tmp_path, Image.fromarray(ramp), "image.tiff")
    assert picture.min() == 0
    assert picture.max() == 255
    flat = saved(tmp_path, Image.fromarray(np.full((4, 4), 3.5, np.float32)), "flat.tiff")
    assert (flat == 0).all()


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    alpha = np.zeros((6, 10), np.uint8)
    alpha[:, 5:] = 255
    picture = saved(tmp_path, Image.fromarray(np.dstack([RGB, alpha])))
    assert (picture[:, :5] == 255).all()
    assert np.array_equal(picture[:, 5:], RGB[:, 5:])
    grey = saved(tmp_path, Image.fromarray(np.dstack([GREY, alpha])))
    assert (grey[:, :5] == 255).all()


def test_palettes_bits_and_cmyk_become_rgb(tmp_path: Path) -> None:
    indexed = Image.fromarray(RGB).quantize(60)
    assert np.array_equal(saved(tmp_path, indexed), np.asarray(indexed.convert("RGB")))
    transparent = saved(tmp_path, indexed, transparency=indexed.getpixel((0, 0)))
    assert (transparent[0, 0] == 255).all()
    assert saved(tmp_path, Image.fromarray(GREY > 99)).shape == (6, 10, 3)
    assert saved(tmp_path, Image.fromarray(RGB).convert("CMYK"), "image.jpg").shape == (6, 10, 3)


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 180), (6, 270), (8, 90)])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = saved(tmp_path, Image.fromarray(RGB), exif=exif)
    assert np.array_equal(picture, np.asarray(Image.fromarray(RGB).rotate(turn, expand=True)))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.webp", "a.bmp", "a.tif"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for share in (0.0, 0.01, 0.5):
        (tmp_path / name).write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match=name.replace(".", r"\.")):
            read_rgb(tmp_path / name)


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.tile(RGB, (4, 3, 1))).save(buffer, kind, exif=exif)
    return buffer.getvalue()


FILES = {kind: encoded(kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF")}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6)
)
def test_damage_ends_in_pixels_or_in_an_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, kind: str, changes: list[tuple[float, int]]
) -> None:
    content = bytearray(FILES[kind])
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    path.write_bytes(content)
    try:
        assert read_rgb(path).mode == "RGB"
    except DataError as error:
        assert "damaged.bin" in str(error)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_a_square_of_any_image_has_the_size_asked_for(width: int, height: int, size: int) -> None:
    image = Image.new("RGB", (width, height), (10, 20, 30))
    pixels = square(image, size)
    assert pixels.shape == (size, size, 3)
    assert (pixels == (10, 20, 30)).all()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    base = tmp_path / "mine"
    (base / "deep" / "deeper").mkdir(parents=True)
    for i, name in enumerate(["b.PNG", "a.jpg", "deep/c.webp", "deep/deeper/d.gif"]):
        Image.fromarray(np.roll(RGB, i, axis=0)).save(base / name)
    (base / "notes.txt").write_text("not an image")
    (base / ".hidden.png").write_bytes(b"")
    return base


def test_images_are_found_at_any_depth_in_a_stable_order(pictures: Path) -> None:
    assert folder.files(pictures) == ["a.jpg", "b.PNG", "deep/c.webp", "deep/deeper/d.gif"]
    (pictures / "deep" / "loop").symlink_to(pictures)
    assert len(folder.files(pictures)) == 4


def test_a_folder_is_a_source(pictures: Path) -> None:
    name = f"folder:{pictures}"
    assert retable.bench.data.find(name).get is None
    assert retable.bench.data.missing(name) is None
    assert retable.bench.data.version(name) == folder.version(pictures)
    images = folder.load(pictures, 4)
    assert images.shape == (4, 4, 4, 3)
    assert np.array_equal(images[1], square(read_rgb(pictures / "b.PNG"), 4))


@pytest.mark.parametrize("change", ["name", "size", "content", "one more", "one less"])
def test_any_change_is_a_new_version(pictures: Path, change: str) -> None:
    before = folder.version(pictures)
    assert folder.version(pictures) == before
    file = pictures / "a.jpg"
    status = file.stat()
    match change:
        case "name":
            file.rename(pictures / "z.jpg")
        case "size":
            file.write_bytes(file.read_bytes() + b"\0")
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        case "content":  # of the same size, and old: its hash was kept
            file.write_bytes(file.read_bytes()[:-1] + b"\1")
        case "one more":
            Image.fromarray(RGB).save(pictures / "e.png")
        case "one less":
            file.unlink()
    assert folder.version(pictures) != before


def test_a_copy_on_another_machine_has_the_same_version(pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "copy", copy_function=shutil.copyfile)  # every file's time is new
    assert folder.version(tmp_path / "copy") == folder.version(pictures)
    os.utime(pictures / "a.jpg", (5, 5))
    assert folder.version(tmp_path / "copy") == folder.version(pictures)


def test_contents_are_read_once(pictures: Path, data_root: Path) -> None:
    for name in folder.files(pictures):
        os.utime(pictures / name, (1_000, 1_000))
    before = folder.version(pictures)
    (memo,) = (data_root / "cache").glob("folder-*.json")
    kept = json.loads(memo.read_text())
    assert set(kept) == set(folder.files(pictures))
    kept["a.jpg"][2] = "0" * 64  # were it read again, this would not be believed
    memo.write_text(json.dumps(kept))
    assert folder.version(pictures) != before
    memo.write_text("torn {")
    assert folder.version(pictures) == before


def test_a_file_of_this_instant_is_not_remembered(pictures: Path, data_root: Path) -> None:
    (pictures / "a.jpg").touch()
    os.utime(pictures / "b.PNG", (1_000, 1_000))
    folder.version(pictures)
    (memo,) = (data_root / "cache").glob("folder-*.json")
    assert "b.PNG" in json.loads(memo.read_text()) and "a.jpg" not in json.loads(memo.read_text())


def test_edited_images_are_decoded_again(pictures: Path) -> None:
    before = np.array(folder.load(pictures, 4))
    Image.fromarray(255 - RGB).save(pictures / "b.PNG")
    os.utime(pictures / "b.PNG", (1, 1))
    assert not np.array_equal(folder.load(pictures, 4)[1], before[1])


def test_an_unreadable_image_stops_the_load_and_is_named(pictures: Path, data_root: Path) -> None:
    (pictures / "deep" / "c.webp").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"c\.webp.*repair or remove"):
        folder.load(pictures, 4)
    with pytest.raises(DataError, match=r"c\.webp"):
        folder.load(pictures, 4)
    (pictures / "deep" / "c.webp").unlink()
    assert len(folder.load(pictures, 4)) == 3


def test_no_folder_and_no_images_are_told(tmp_path: Path) -> None:
    assert "no folder" in (retable.bench.data.missing(f"folder:{tmp_path}/nowhere") or "")
    (tmp_path / "empty").mkdir()
    assert "no images" in (retable.bench.data.missing(f"folder:{tmp_path}/empty") or "")
    with pytest.raises(DataError, match="no images"):
        folder.load(tmp_path / "empty", 4)
