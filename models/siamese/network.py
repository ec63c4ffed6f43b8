"""The online network of Figure 1: encoder, projector and predictor, and what they see of images.

He et al., "Deep Residual Learning for Image Recognition" (2015), with the stem for 32-pixel images of section 4;
heads as in section 4: Linear, BatchNorm, ReLU, Linear. Shapes: B images, w channels of the first layer, h hidden
units, d outputs.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
"""Of CIFAR-10's channels, as in the released code; the patches are normalised with the same numbers."""


SOFTENING = 0.05
"""Added to an image's own deviation: a flat one is not blown up to noise."""


def normalise(x: Tensor, how: Literal["dataset", "image"]) -> Tensor:
    """What the encoder sees of views [B, 3, H, W] in 0..1.

    dataset: channels less MEAN, over STD. image: every view less its own channel means, over its own deviation. The
    latter hides the mean colour, by which alone a patch of a photograph gives away where it comes from.
    """
    if how == "dataset":
        mean, std = _channels(x.device)
        return (x - mean) / std
    centred = x - x.mean(dim=(2, 3), keepdim=True)
    return centred / (centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + SOFTENING)


@cache
def _channels(device: torch.device) -> tuple[Tensor, Tensor]:
    """MEAN and STD there, [3, 1, 1]: copied once, so that no step waits for the host."""
    return torch.tensor(MEAN, device=device)[:, None, None], torch.tensor(STD, device=device)[:, None, None]


def conv3x3(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """relu(x' + conv(conv(x))) with BatchNorm after each convolution; x' = x, or its 1x1 convolution."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.conv1, self.norm1 = conv3x3(c_in, c_out, stride), nn.BatchNorm2d(c_out)
        self.conv2, self.norm2 = conv3x3(c_out, c_out), nn.BatchNorm2d(c_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x), inplace=True)


class Pool(nn.Module):
    """Global average pooling, [B, C, H, W] -> [B, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def resnet18(width: int = 64) -> nn.Sequential:
    """ResNet-18 for 32-pixel images: 3x3 stem of stride 1, no max-pooling. [B, 3, H, W] -> [B, 8 width]."""
    stages: list[nn.Module] = []
    c_in = width
    for i in range(4):
        c_out = width * 2**i
        stages += [BasicBlock(c_in, c_out, 1 if i == 0 else 2), BasicBlock(c_out, c_out, 1)]
        c_in = c_out
    return nn.Sequential(conv3x3(3, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True), *stages, Pool())


def conv4(width: int = 8) -> nn.Sequential:
    """Four 3x3 convolutions with BatchNorm and ReLU, strides 1, 2, 2, 2. [B, 3, H, W] -> [B, 8 width].

    Ours, for CPUs: it learns what separates the patches in seconds, and collapses where the paper's network does.
    """
    layers: list[nn.Module] = []
    c_in = 3
    for i in range(4):
        c_out = width * 2**i
        layers += [conv3x3(c_in, c_out, 1 if i == 0 else 2), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)]
        c_in = c_out
    return nn.Sequential(*layers, Pool())


ENCODERS = {"resnet18": resnet18, "conv4": conv4}


def head(c_in: int, hidden: int, dim: int) -> nn.Sequential:
    """Projector or two-layer predictor, [B, c_in] -> [B, dim].

    As the released code has it: BatchNorm without scale and shift, no bias in the last layer.
    """
    return nn.Sequential(
        nn.Linear(c_in, hidden),
        nn.BatchNorm1d(hidden, affine=False),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, dim, bias=False),
    )


def predictor(kind: Literal["two_layer", "linear"], hidden: int, dim: int) -> nn.Sequential:
    """W_p's network, [B, dim] -> [B, dim]: two layers as the projector's, or a single matrix."""
    return head(dim, hidden, dim) if kind == "two_layer" else nn.Sequential(nn.Linear(dim, dim, bias=False))


def matrix(net: nn.Sequential) -> Tensor:
    """W_p of a predictor, [dim, dim]: its weight, or the product of its two (BatchNorm, ReLU and bias left out)."""
    first, last = _ends(net)
    return first.weight if first is last else last.weight @ first.weight


@torch.no_grad()
def symmetrise_(net: nn.Sequential) -> None:
    """Make W_p symmetric in place ("symmetry regularisation", section 5.2).

    One matrix W becomes (W + W') / 2. Of two, W1 and W2' become their mean A', so that W_p = A A' is positive
    semidefinite too; as in the released code.
    """
    first, last = _ends(net)
    mean = (first.weight + last.weight.T) / 2
    first.weight.copy_(mean)
    if last is not first:
        last.weight.copy_(mean.T)


def _ends(net: nn.Sequential) -> tuple[nn.Linear, nn.Linear]:
    first, last = net[0], net[-1]
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    return first, last


def cosine_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Equation 1: minus the mean cosine of the rows of two [B, d]; no gradient reaches the target."""
    return -F.cosine_similarity(prediction.float(), target.detach().float(), dim=1).mean()


def decay_groups(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters that L2 acts on, and the others.

    As in the released code the biases of linear layers are left out; BatchNorm's scale and shift are not.
    """
    free = {id(m.bias) for m in module.modules() if isinstance(m, (nn.Linear, nn.Conv2d)) and m.bias is not None}
    parameters = list(module.parameters())
    return [p for p in parameters if id(p) not in free], [p for p in parameters if id(p) in free]


@torch.no_grad()
def follow_(target: nn.Module, online: nn.Module, tau: float) -> None:
    """W_a = W_a + (1 - tau)(W - W_a) in place (section 3.1), over weights and BatchNorm's running statistics."""
    torch._foreach_lerp_(floats(target), floats(online), 1 - tau)


def floats(module: nn.Module) -> list[Tensor]:
    """Weights and running statistics."""
    return [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
