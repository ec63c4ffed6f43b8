"""A training step of FANet's backbone against its direct form and against FocalNet-T, timed side by side.

The direct form is the formulas as they stand: channels first, normalisation by mean and variance over the channel
axis, every 1x1 a convolution. Only ratios of interleaved timings within one run are judged.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import pytest
import speed
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retable.bench.data import clutter
from retable.models.fanet import Classification, networks
from retable.models.fanet.backbone import FANet, Shape
from retable.models.fanet.blocks import LayerNorm, Pointwise


class DirectNorm(nn.Module):
    def __init__(self, weight: nn.Parameter, bias: nn.Parameter) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        return self.weight[:, None, None] * ((x - mean) / torch.sqrt(variance + 1e-6)) + self.bias[:, None, None]


def direct(net: nn.Module) -> nn.Module:
    """The same weights in the direct form."""
    made = copy.deepcopy(net).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in list(made.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LayerNorm):
                setattr(module, name, DirectNorm(child.weight, child.bias))
            elif isinstance(child, Pointwise):
                conv = nn.Conv2d(child.in_channels, child.out_channels, 1)
                conv.weight, conv.bias = child.weight, child.bias
                setattr(module, name, conv)
    return made


def train_step(net: nn.Module, x: Tensor) -> Callable[[], Any]:
    target = torch.arange(len(x))

    def step() -> None:
        net.zero_grad()
        F.cross_entropy(net(x), target).backward()

    return step


def ratio(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> float:
    """Fastest of ours over fastest of theirs, taken in turns after one warm-up each."""
    best = [float("inf"), float("inf")]
    for round_ in range(rounds + 1):
        for i, step in enumerate((ours, theirs)):
            began = time.perf_counter()
            step()
            if round_:
                best[i] = min(best[i], time.perf_counter() - began)
    return best[0] / best[1]


def channels_last(net: nn.Module) -> nn.Module:
    networks.to_device(net, "cpu")
    return net.train()


def test_the_direct_form_is_the_same_network_and_slower() -> None:
    torch.manual_seed(0)
    shape = Shape(widths=(24, 48, 96, 192), depths=(1, 1, 2, 1), drop_path=0.0, init="fan_in")
    ours = channels_last(FANet(shape, classes=10))
    theirs = direct(ours).train()
    x = torch.randn(8, 3, 96, 96)
    x_last = x.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(ours(x_last), theirs(x), atol=1e-4)
    train_step(ours, x_last)(), train_step(theirs, x)()
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    assert all(torch.allclose(a.grad, b.grad, atol=1e-4) for a, b in pairs if a.grad is not None and b.grad is not None)
    speed.at_least(1 / ratio(train_step(ours, x_last), train_step(theirs, x), rounds=8), 1.2)


@pytest.mark.slow
def test_at_full_size_it_is_faster_than_the_direct_form() -> None:
    torch.manual_seed(0)
    ours = channels_last(FANet(Shape(drop_path=0.0), classes=1000))
    theirs = direct(ours).train()
    x = torch.randn(4, 3, 224, 224)
    x_last = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.allclose(ours(x_last), theirs(x), atol=1e-4)
    speed.at_least(1 / ratio(train_step(ours, x_last), train_step(theirs, x), rounds=5), 1.2)


@pytest.mark.slow
def test_it_costs_no_more_than_a_fifth_above_focalnet_t() -> None:
    """With 1.30 times FocalNet-T's operations."""
    torch.manual_seed(0)
    ours = channels_last(FANet(classes=1000))
    theirs = networks.classifier(Classification(network="focalnet_tiny", epochs=1, batch_size=2, lr=1e-3), 1000).train()
    x = torch.randn(4, 3, 224, 224)
    x_last = x.contiguous(memory_format=torch.channels_last)
    speed.at_most(ratio(train_step(ours, x_last), train_step(theirs, x), rounds=5), 1.20)


def test_a_core_draws_a_hundred_scenes_a_second() -> None:
    clutter.scene(96, 0)
    began = time.process_time()
    for i in range(40):
        clutter.scene(96, 0, "train", i)
    speed.at_least(40 / (time.process_time() - began), 100)
