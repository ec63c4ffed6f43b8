"""The VGG-16 weights: what they are, and that damage is told."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

import retable.bench.data
from retable.bench.data import DataError, weights

WIDTHS = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256, 17: 512, 19: 512, 21: 512, 24: 512, 26: 512, 28: 512}


def test_the_state_is_vgg16s_convolutions_in_half_precision() -> None:
    state = weights.vgg16_state()
    assert set(state) == {f"features.{i}.{kind}" for i in WIDTHS for kind in ("weight", "bias")}
    before = 3
    for i, width in WIDTHS.items():
        assert state[f"features.{i}.weight"].shape == (width, before, 3, 3)
        assert state[f"features.{i}.bias"].shape == (width,)
        before = width
    assert {t.dtype for t in state.values()} == {torch.float16}
    assert all(t.isfinite().all() for t in state.values())


def test_it_fits_torchvisions_network() -> None:
    from retable.bench.data.vision import torchvision

    with torch.device("meta"):
        features = torchvision().models.vgg16(weights=None).features
    state = {name.removeprefix("features."): value for name, value in weights.vgg16_state().items()}
    features.load_state_dict(state, assign=True)


def test_features_are_of_order_one_on_a_photo() -> None:
    """relu1_2 of a natural photo, normalised as torchvision does: a scale error shows here first."""
    from retable.bench.data import photos

    state = {name: value.float() for name, value in weights.vgg16_state().items()}
    x = torch.from_numpy(photos.crops(2, 96, seed=0, names=["astronaut"])).permute(0, 3, 1, 2) / 255
    x = (x - torch.tensor(weights.VGG16.mean)[:, None, None]) / torch.tensor(weights.VGG16.std)[:, None, None]
    for i in (0, 2):
        x = torch.conv2d(x, state[f"features.{i}.weight"], state[f"features.{i}.bias"], padding=1).relu()
    assert 1.5 < x.mean() < 3.5  # 2.40 on the whole picture at 256 pixels


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(weights.WEIGHTS_FOLDER / weights.VGG16.file, tmp_path)
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path)
    return tmp_path


def test_a_truncated_file_is_refused_and_named(folder: Path) -> None:
    file = folder / weights.VGG16.file
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"vgg16_imagenet_features_fp16.*29431064 bytes, not 29432064.*git checkout"):
        weights.vgg16_state()
    assert "29431064 bytes" in (retable.bench.data.missing("vgg16") or "")


def test_one_changed_bit_is_refused(folder: Path) -> None:
    file = folder / weights.VGG16.file
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        weights.vgg16_state()


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / weights.VGG16.file).unlink()
    with pytest.raises(DataError, match="vgg16_imagenet_features_fp16"):
        weights.vgg16_state()
    assert "missing" in (retable.bench.data.missing("vgg16") or "")


def test_the_attribution_stands_beside_the_file() -> None:
    text = (weights.WEIGHTS_FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert weights.VGG16.sha256 in text
    assert "CC BY 4.0" in text
    assert "Simonyan" in text and "Zisserman" in text


def test_torchvisions_weights_are_used_where_the_user_has_them(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="bench data get vgg16_torchvision"):
        weights.torchvision_vgg16_state()

    stand_in = tmp_path / "stand_in.pth"
    torch.save({"features.0.weight": torch.ones(1), "classifier.0.weight": torch.ones(2)}, stand_in)
    facts = weights.Weights(
        **{
            **vars(weights.TORCHVISION_VGG16),
            "size_bytes": stand_in.stat().st_size,
            "sha256": hashlib.sha256(stand_in.read_bytes()).hexdigest()[:8],
        }
    )
    monkeypatch.setattr(weights, "TORCHVISION_VGG16", facts)
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    shutil.copy(stand_in, cache / facts.file)
    assert set(weights.torchvision_vgg16_state()) == {"features.0.weight"}

    (cache / facts.file).write_bytes(b"not it")
    with pytest.raises(DataError, match="delete it"):
        weights.torchvision_vgg16_state()
