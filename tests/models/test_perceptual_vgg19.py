"""torchvision's VGG-19 where the user has it, and loss networks on images without ImageNet's normalisation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from retable.bench import data
from retable.bench.data import DataError, weights
from retable.models import perceptual
from retable.models.perceptual import Vgg

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
"""Places of torchvision's VGG-19 that hold a convolution."""


@pytest.fixture
def vgg19(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Tensor]]:
    """A file in torchvision's layout with four channels everywhere, in its hub's cache."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for place in CONVOLUTIONS:
        state[f"features.{place}.weight"] = torch.randn(4, 3 if place == 0 else 4, 3, 3, generator=generator) / 3
        state[f"features.{place}.bias"] = torch.rand(4, generator=generator)
    path = tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"
    path.parent.mkdir(parents=True)
    torch.save({**state, "classifier.0.weight": torch.zeros(1)}, path)
    content = path.read_bytes()
    facts = {
        **vars(weights.TORCHVISION_VGG19),
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    monkeypatch.setattr(weights, "TORCHVISION_VGG19", weights.Weights(**facts))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("RETABLE_DATA", str(tmp_path / "data"))
    _forget()
    yield state
    _forget()


def _forget() -> None:
    """Weights are read once per process: not these, in other tests."""
    for cached in (perceptual._state, perceptual._laid_out):
        cached.cache_clear()


def test_indices_8_15_20_26_31_35_are_the_layers_that_section_3_2_2_means(vgg19: dict[str, Tensor]) -> None:
    image = torch.rand(1, 3, 32, 32)
    h, by_index = image, {}
    for index in range(36):
        if index in CONVOLUTIONS:
            h = F.conv2d(h, vgg19[f"features.{index}.weight"], vgg19[f"features.{index}.bias"], padding=1)
        elif index in (4, 9, 18, 27):
            h = F.max_pool2d(h, 2)
        else:
            h = by_index[index] = F.relu(h)
    layers = ("relu2_2", "relu3_3", "relu4_1", "relu4_4", "relu5_2", "relu5_4")
    found = Vgg(layers, source="torchvision", depth=19, maximum=1, normalise=False)(image)
    for layer, index in zip(layers, (8, 15, 20, 26, 31, 35), strict=True):
        torch.testing.assert_close(found[layer], by_index[index], rtol=1e-3, atol=1e-4)


def test_nothing_is_mapped_where_vgg19_itself_is_there(vgg19: dict[str, Tensor]) -> None:
    network = Vgg(["relu4_4"], source="torchvision", depth=19).network
    assert (network.depth, dict(network.mapped), network.scale) == (19, {}, 1.0)
    assert network.sha256 == weights.TORCHVISION_VGG19.sha256
    assert dict(Vgg(["relu4_4"], depth=19).network.mapped) == {"relu4_4": "relu4_3"}


def test_without_the_file_the_command_that_gets_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("RETABLE_DATA", str(tmp_path / "data"))
    assert "bench data get vgg19_torchvision" in str(data.missing("vgg19_torchvision"))
    with pytest.raises(DataError, match="bench data get vgg19_torchvision"):
        weights.torchvision_state(weights.TORCHVISION_VGG19)


def test_without_normalisation_the_network_sees_the_image_itself() -> None:
    image = torch.rand(1, 3, 32, 32)
    mean, std = (torch.tensor(x)[:, None, None] for x in (weights.VGG16.mean, weights.VGG16.std))
    plain, usual = Vgg(["relu2_2"], maximum=1, normalise=False), Vgg(["relu2_2"], maximum=1)
    torch.testing.assert_close(plain((image - mean) / std)["relu2_2"], usual(image)["relu2_2"], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(plain(image)["relu2_2"], usual(image)["relu2_2"], rtol=0.1)
