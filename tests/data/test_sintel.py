"""MPI Sintel's official layout, on a tiny tree made here."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retable.bench import data
from retable.bench.data import DataError, sintel


def flo(flow: np.ndarray) -> bytes:
    """The Middlebury format, written independently of the reader."""
    _, height, width = flow.shape
    header = np.float32(202021.25).tobytes() + np.int32([width, height]).tobytes()
    return header + flow.transpose(1, 2, 0).astype("<f4").tobytes()


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def tree(frames: int = 4, height: int = 24, width: int = 32, shift: float = 2.0) -> dict[str, bytes]:
    """A scene whose picture moves right by `shift` pixels a frame."""
    wide = np.random.default_rng(0).integers(0, 255, (height, width + 40, 3), np.uint8)
    files = {}
    for i in range(frames):
        at = 20 - round(i * shift)
        name = f"frame_{i + 1:04d}"
        for render in ("clean", "final"):
            files[f"training/{render}/alley_1/{name}.png"] = png(wide[:, at : at + width])
        if i < frames - 1:
            files[f"training/flow/alley_1/{name}.flo"] = flo(
                np.stack([np.full((height, width), shift), np.zeros((height, width))])
            )
            files[f"training/occlusions/alley_1/{name}.png"] = png(np.zeros((height, width), np.uint8))
    return files


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in tree().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("RETABLE_SINTEL", str(tmp_path))
    return tmp_path


def test_a_scene_comes_with_the_flow_back(home: Path) -> None:
    clip = sintel.load("alley_1", 3, 24, 32)
    assert clip.frames.shape == (3, 24, 32, 3)
    assert clip.flows.shape == (2, 2, 24, 32)
    known = clip.valid[0, 0]
    assert known[:, 2:].all()  # what entered on the left is not known
    assert not known[:, :2].any()
    np.testing.assert_allclose(clip.flows[0][0][known], -2, atol=1e-5)
    # The flow says where in the frame before each pixel came from.
    assert np.array_equal(clip.frames[1][:, 2:], clip.frames[0][:, :-2])


def test_resizing_scales_the_flow(home: Path) -> None:
    clip = sintel.load("alley_1", 2, 12, 16)
    assert clip.frames.shape == (2, 12, 16, 3)
    assert np.median(clip.flows[0][0][clip.valid[0, 0]]) == pytest.approx(-1, abs=1e-4)


def test_occluded_pixels_carry_nothing() -> None:
    forward = np.zeros((2, 4, 6), np.float32)
    visible = np.ones((4, 6), bool)
    visible[:, 3] = False
    back, known = sintel.reversed_flow(forward, visible)
    assert not known[:, 3].any()
    assert known[:, :3].all()
    assert float(np.abs(back).max()) == 0


def test_what_is_asked_for_must_be_there(home: Path) -> None:
    with pytest.raises(LookupError, match="did you mean 'alley_1'"):
        sintel.load("aley_1", 2, 24, 32)
    with pytest.raises(ValueError, match="has 4 frames; from 3 on it can't give 3"):
        sintel.load("alley_1", 3, 24, 32, first=3)


@pytest.mark.parametrize("damage", ["magic", "short"])
def test_a_damaged_flow_is_named(home: Path, damage: str) -> None:
    file = home / "training/flow/alley_1/frame_0001.flo"
    content = file.read_bytes()
    file.write_bytes(b"\0" * 4 + content[4:] if damage == "magic" else content[:-3])
    with pytest.raises(DataError, match=r"frame_0001\.flo is (no \.flo file|damaged)"):
        sintel.load("alley_1", 2, 24, 32)


def test_missing_data_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETABLE_SINTEL", str(tmp_path / "nothing"))
    assert "bench data get sintel" in (data.missing("sintel") or "")
    with pytest.raises(DataError, match="bench data get sintel"):
        sintel.load("alley_1", 2, 24, 32)
    assert data.version("sintel") == sintel.VERSION  # does not change when the set arrives


def test_get_unpacks_the_training_part_and_leaves_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETABLE_SINTEL", str(tmp_path / "sintel"))
    monkeypatch.setenv("RETABLE_DATA", str(tmp_path))

    def fetch(remote: object, target: Path, **_: object) -> None:
        target.parent.mkdir(parents=True)
        with zipfile.ZipFile(target, "w") as archive:
            for name, content in tree().items():
                archive.writestr(f"MPI-Sintel-complete/{name}", content)
            archive.writestr("MPI-Sintel-complete/test/clean/secret/frame_0001.png", b"no")
            archive.writestr("MPI-Sintel-complete/README.txt", b"no")

    monkeypatch.setattr(sintel, "download", fetch)
    sintel.get()
    assert data.missing("sintel") is None
    assert sintel.load("alley_1", 2, 24, 32).valid.any()
    assert sorted(p.name for p in (tmp_path / "sintel").iterdir()) == ["training"]


def test_a_damaged_archive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETABLE_SINTEL", str(tmp_path / "sintel"))
    monkeypatch.setenv("RETABLE_DATA", str(tmp_path))

    def fetch(remote: object, target: Path, **_: object) -> None:
        target.parent.mkdir(parents=True)
        target.write_bytes(b"not a zip")

    monkeypatch.setattr(sintel, "download", fetch)
    with pytest.raises(DataError, match="is damaged"):
        sintel.get()
    assert not (tmp_path / "sintel" / "training").exists()
