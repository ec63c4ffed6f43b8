"""The online network's parts, the cosine loss, the symmetric predictor and the moving target."""

from __future__ import annotations

import copy
import math
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from retable.models.siamese import network
from retable.models.siamese.dynamics import asymmetry


def test_resnet18_has_the_parameters_of_the_version_for_32_pixels() -> None:
    """11,173,962 with the ten-class layer that public implementations count, 5,130."""
    net = network.resnet18()
    assert sum(p.numel() for p in net.parameters()) == 11_173_962 - 5_130
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 512)


@pytest.mark.parametrize("name", ["resnet18", "conv4"])
@pytest.mark.parametrize("width", [1, 4])
def test_features_are_eight_times_the_width(name: str, width: int) -> None:
    net = network.ENCODERS[name](width)
    assert net(torch.rand(3, 3, 16, 16)).shape == (3, 8 * width)


def test_the_two_layer_predictor_is_the_papers() -> None:
    net = network.predictor("two_layer", 512, 128)
    shapes = [tuple(p.shape) for p in net.parameters()]
    assert shapes == [(512, 128), (512,), (128, 512)], "BatchNorm without scale and shift, no bias at the end"
    assert network.matrix(net).shape == (128, 128)
    assert [tuple(p.shape) for p in network.predictor("linear", 512, 128).parameters()] == [(128, 128)]


def test_a_predictor_of_independent_entries_starts_at_an_asymmetry_of_the_root_of_two() -> None:
    """In both norms: E|a - b| = sqrt(2) E|a| for normal entries. Published start: 1.417."""
    torch.manual_seed(0)
    for w in (torch.randn(400, 400), network.matrix(network.predictor("two_layer", 512, 128)).detach()):
        for value in asymmetry(w):
            assert value == pytest.approx(math.sqrt(2), rel=0.02)


@given(st.integers(0, 1000), st.sampled_from(["two_layer", "linear"]))
@settings(deadline=None)
def test_symmetrising_makes_w_p_symmetric_and_nothing_more(seed: int, kind: Literal["two_layer", "linear"]) -> None:
    torch.manual_seed(seed)
    net = network.predictor(kind, 12, 6)
    before = copy.deepcopy(net)
    network.symmetrise_(net)
    w = network.matrix(net).detach()
    assert torch.allclose(w, w.T, atol=1e-6)
    if kind == "linear":
        half = network.matrix(before).detach()
        assert torch.allclose(w, (half + half.T) / 2)
    else:
        assert torch.linalg.eigvalsh(w).min() > -1e-5, "A A' is positive semidefinite"
        assert torch.equal(net[0].bias, before[0].bias)
    again = copy.deepcopy(net)
    network.symmetrise_(again)
    assert torch.allclose(network.matrix(again), w, atol=1e-6)


def test_the_cosine_loss_is_equation_1_and_stops_at_the_target() -> None:
    p = torch.tensor([[3.0, 4.0], [1.0, 0.0]], requires_grad=True)
    t = torch.tensor([[30.0, 40.0], [0.0, 5.0]], requires_grad=True)
    loss = network.cosine_loss(p, t)
    assert loss.item() == pytest.approx(-(1 + 0) / 2)
    loss.backward()
    assert p.grad is not None and t.grad is None


def test_decay_leaves_out_the_biases_of_linear_layers_only() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    decayed, free = network.decay_groups(net)
    names = {id(p): name for name, p in net.named_parameters()}
    assert [names[id(p)] for p in decayed] == ["0.weight", "1.weight", "1.bias", "2.weight"]
    assert [names[id(p)] for p in free] == ["0.bias", "2.bias"]


@given(st.floats(0, 0.999), st.integers(1, 6))
@settings(deadline=None)
def test_the_target_follows_in_closed_form_with_its_buffers(tau: float, steps: int) -> None:
    """A still online network: after n steps, W_a = W + tau^n (W_a - W), running statistics included."""
    torch.manual_seed(0)
    target, online = (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)) for _ in range(2))
    online(torch.randn(9, 3) + 2)
    start = copy.deepcopy(target)
    for _ in range(steps):
        network.follow_(target, online, tau)
    for a, w, a0 in zip(network.floats(target), network.floats(online), network.floats(start), strict=True):
        assert torch.allclose(a, w + tau**steps * (a0 - w), atol=1e-5)
    assert any("running_mean" in name for name, _ in target.named_buffers())


def test_a_view_normalised_by_itself_tells_nothing_of_its_mean_colour() -> None:
    x = 0.2 + 0.5 * torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    tinted = x + torch.tensor([0.1, -0.1, 0.2])[:, None, None]
    alone = network.normalise(x, "image")
    assert torch.allclose(network.normalise(tinted, "image"), alone, atol=1e-5)
    assert torch.allclose(alone.mean(dim=(2, 3)), torch.zeros(4, 3), atol=1e-5)
    assert torch.allclose(alone[:2], network.normalise(x[:2], "image")), "its neighbours in a batch do not matter"
    deviation = (x - x.mean(dim=(2, 3), keepdim=True)).square().mean(dim=(1, 2, 3)).sqrt()
    assert torch.allclose(alone.std(dim=(1, 2, 3)), deviation / (deviation + 0.05), rtol=0.01)
    assert network.normalise(torch.full((1, 3, 8, 8), 0.5), "image").abs().max() < 1e-5, "a flat view stays flat"


def test_views_normalised_by_the_data_set_have_the_released_codes_numbers() -> None:
    x = torch.tensor(network.MEAN)[None, :, None, None] + torch.tensor(network.STD)[None, :, None, None]
    assert torch.allclose(network.normalise(x, "dataset"), torch.ones(1, 3, 1, 1), atol=1e-6)
