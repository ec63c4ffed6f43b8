"""The parts of FANet: convolutional embedding, SCM, FRM, the AFE block around them, ConvMLP.

Source: FANet (arXiv 2407.09379), sections 3.2 and 3.3, figures 3 and 4; what the text leaves open (order of
norm and activation, groups of the large kernel) is that of the released code, which the published parameter
and operation counts confirm. Names in comments (F, P, Q, R, S, T) are those of figure 4.

Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Scm = Literal["off", "7x7", "3x3", "3x3-dense", "depthwise"]
"""Large-kernel branch. "7x7" in four groups is the paper's. The others are controls: "3x3" in as many groups,
"3x3-dense" in one group, which has three quarters of its weights at a small kernel, and a depthwise 7x7."""

Frm = Literal["off", "high", "low", "both"]
"""Feature refinement: the difference branch (R), the product branch (S), or both."""

Bare = Literal["plain", "projected"]
"""A block with neither branch: the embedding alone, or with the squeeze and projection around nothing."""

_KERNEL_AND_GROUPS = {"7x7": (7, 4), "3x3": (3, 4), "3x3-dense": (3, 1), "depthwise": (7, 0)}
"""0 groups stand for as many as channels."""


class LayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of [B, C, H, W].

    Through torch's own kernel on a permuted view: for tensors in channels-last order nothing is copied, and
    the gradient is one kernel instead of a dozen.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BHWC = F.layer_norm(x_BCHW.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return y_BHWC.permute(0, 3, 1, 2)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution, as the matrix product that it is.

    The same numbers as `nn.Conv2d`, whose way on a CPU copies the image and is half as fast; free for tensors
    in channels-last order.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BHWC = F.linear(x_BCHW.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return y_BHWC.permute(0, 3, 1, 2)


class Embedding(nn.Module):
    """CE, section 3.2: a depthwise convolution beside a skip connection."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = LayerNorm(channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = x_BCHW + self.norm(F.gelu(self.conv(x_BCHW)))
        return out


class SpatialContext(nn.Module):
    """SCM, section 3.2: a group-wise convolution with a large kernel."""

    def __init__(self, channels: int, kind: Scm) -> None:
        super().__init__()
        kernel, groups = _KERNEL_AND_GROUPS[kind]
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=groups or channels)
        self.norm = LayerNorm(channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = self.norm(F.gelu(self.conv(x_BCHW)))
        return out


class Refinement(nn.Module):
    """FRM, section 3.3 and figure 4: what differs from a blurred copy, and what agrees with it.

    `smooth` makes P, `high` works on R = F - Q, `low` on S = F * Q, `project` makes F-bar of their
    concatenation T (or of the one branch there is).
    """

    def __init__(self, channels: int, kind: Frm) -> None:
        super().__init__()
        self.kind = kind
        self.smooth = nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels)
        if kind in ("low", "both"):
            self.low = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
            self.low_norm = LayerNorm(channels)
        if kind in ("high", "both"):
            self.high = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
            self.high_norm = LayerNorm(channels)
        self.project = Pointwise(2 * channels if kind == "both" else channels, channels)

    def split(self, f_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """R and S of figure 4: the high and the low frequencies of F, each [B, C, H, W]."""
        p_BChw = self.smooth(f_BCHW)
        q_BCHW = F.interpolate(p_BChw, size=f_BCHW.shape[-2:], mode="bilinear", align_corners=False)
        return f_BCHW - q_BCHW, f_BCHW * q_BCHW

    def forward(self, f_BCHW: Tensor) -> Tensor:
        r_BCHW, s_BCHW = self.split(f_BCHW)
        parts = []
        if self.kind in ("low", "both"):
            parts.append(self.low_norm(self.low(F.gelu(s_BCHW))))
        if self.kind in ("high", "both"):
            parts.append(self.high_norm(self.high(F.gelu(r_BCHW))))
        t_BTHW = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return F.gelu(self.project(t_BTHW))


class Enhancement(nn.Module):
    """AFE, section 3.2: CE, squeeze to half the channels, SCM and FRM side by side, projection.

    The rows of table 2 leave branches out: the projection then takes what is left. With neither, table 2's
    "CE + ConvMLP" is read as the embedding alone (`bare="plain"`), or keeps the two 1x1 convolutions.
    """

    def __init__(self, channels: int, kernel: int, scm: Scm, frm: Frm, bare: Bare) -> None:
        super().__init__()
        half = channels // 2
        self.embedding = Embedding(channels, kernel)
        self.scm = SpatialContext(half, scm) if scm != "off" else None
        self.frm = Refinement(half, frm) if frm != "off" else None
        branches = (self.scm is not None) + (self.frm is not None)
        self.mixes = branches > 0 or bare == "projected"
        if self.mixes:
            self.squeeze = Pointwise(channels, half)
            self.norm = LayerNorm(half)
            self.project = Pointwise(max(1, branches) * half, channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.embedding(x_BCHW)
        if not self.mixes:
            return x_BCHW
        f_BCHW = self.norm(F.gelu(self.squeeze(x_BCHW)))
        parts = [branch(f_BCHW) for branch in (self.scm, self.frm) if branch is not None] or [f_BCHW]
        return F.gelu(self.project(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)))


class ConvMLP(nn.Module):
    """Section 3.2: a multi-layer perceptron per position, with a depthwise convolution at its width."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.widen = Pointwise(channels, ratio * channels)
        self.conv = nn.Conv2d(ratio * channels, ratio * channels, 3, padding=1, groups=ratio * channels)
        self.narrow = Pointwise(ratio * channels, channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h_BCHW = F.gelu(self.widen(x_BCHW))
        out: Tensor = self.narrow(h_BCHW + F.gelu(self.conv(h_BCHW)))
        return out


class Block(nn.Module):
    """AFE and ConvMLP, each behind a norm and beside a skip connection that a sample may drop (figure 3b).

    drop: probability that a sample skips a half of the block in training (stochastic depth).
    """

    def __init__(self, channels: int, kernel: int, mlp_ratio: int, drop: float, scm: Scm, frm: Frm, bare: Bare) -> None:
        super().__init__()
        self.drop = drop
        self.norm1 = LayerNorm(channels)
        self.enhance = Enhancement(channels, kernel, scm, frm, bare)
        self.norm2 = LayerNorm(channels)
        self.mlp = ConvMLP(channels, mlp_ratio)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = x_BCHW + self._kept(self.enhance(self.norm1(x_BCHW)))
        return x_BCHW + self._kept(self.mlp(self.norm2(x_BCHW)))

    def _kept(self, x_BCHW: Tensor) -> Tensor:
        if not self.training or self.drop == 0:
            return x_BCHW
        keep_B111 = x_BCHW.new_empty(len(x_BCHW), 1, 1, 1).bernoulli_(1 - self.drop)
        return x_BCHW * keep_B111 / (1 - self.drop)
