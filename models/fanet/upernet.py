"""UPerNet, the decoder on every backbone here, and the auxiliary head of the paper's training recipe.

Source: Xiao et al., "Unified perceptual parsing for scene understanding", ECCV 2018 (section 3.1: pyramid
pooling on the last stage, a feature pyramid over all, their fusion). Sizes as in the released FANet
configuration: 256 channels, pools 1, 2, 3, 6, dropout 0.1, an FCN head of one convolution on stage 3.

Shape suffixes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POOLS = (1, 2, 3, 6)


class UPerHead(nn.Module):
    """Features of several strides, finest first, to class scores at the finest stride."""

    def __init__(self, inputs: Sequence[int], classes: int, channels: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        *finer, last = inputs
        self.pools = nn.ModuleList(conv_bn_relu(last, channels, 1) for _ in POOLS)
        self.bottleneck = conv_bn_relu(last + len(POOLS) * channels, channels, 3)
        self.laterals = nn.ModuleList(conv_bn_relu(width, channels, 1) for width in finer)
        self.smooths = nn.ModuleList(conv_bn_relu(channels, channels, 3) for _ in finer)
        self.fuse = conv_bn_relu(len(inputs) * channels, channels, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(channels, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        *finer, last = features
        pyramid = [last]
        for size, conv in zip(POOLS, self.pools, strict=True):
            pyramid.append(resize(conv(F.adaptive_avg_pool2d(last, size)), last))
        levels = [lateral(x) for lateral, x in zip(self.laterals, finer, strict=True)]
        levels.append(self.bottleneck(torch.cat(pyramid, dim=1)))
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + resize(levels[i], levels[i - 1])
        smoothed = [smooth(x) for smooth, x in zip(self.smooths, levels, strict=False)]
        smoothed.append(levels[-1])
        fused = self.fuse(torch.cat([resize(x, smoothed[0]) for x in smoothed], dim=1))
        out: Tensor = self.classify(self.dropout(fused))
        return out


class FCNHead(nn.Module):
    """Long, Shelhamer and Darrell 2015, as an auxiliary head: one convolution, then scores."""

    def __init__(self, inputs: int, classes: int, channels: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.conv = conv_bn_relu(inputs, channels, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(channels, classes, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = self.classify(self.dropout(self.conv(x_BCHW)))
        return out


class Segmenter(nn.Module):
    """A backbone under UPerNet. Images [B, 3, H, W] to scores [B, K, H, W].

    backbone: a module whose `features` call (below) gives a list of feature maps, finest first.
    auxiliary: channels of the auxiliary head on the last stage but one, which only training uses; 0 for none.
    """

    def __init__(
        self,
        backbone: nn.Module,
        widths: Sequence[int],
        classes: int,
        channels: int = 256,
        auxiliary: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = UPerHead(widths, classes, channels, dropout)
        self.auxiliary = FCNHead(widths[-2], classes, auxiliary, dropout) if auxiliary else None

    def forward(self, x_B3HW: Tensor) -> Tensor:
        return resize(self.decoder(self.features(x_B3HW)), x_B3HW)

    def forward_train(self, x_B3HW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores of the decoder and of the auxiliary head (None where there is none), both [B, K, H, W]."""
        features = self.features(x_B3HW)
        scores = resize(self.decoder(features), x_B3HW)
        return scores, resize(self.auxiliary(features[-2]), x_B3HW) if self.auxiliary is not None else None

    def features(self, x_B3HW: Tensor) -> list[Tensor]:
        """FANet's stages, or whatever list a timm `features_only` model returns."""
        stages = getattr(self.backbone, "stage_features", self.backbone)
        found: list[Tensor] = list(stages(x_B3HW))
        return found


def conv_bn_relu(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """Convolution without bias, batch normalisation, ReLU; the size is kept."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def resize(x_BCHW: Tensor, like_B_hw: Tensor) -> Tensor:
    """Bilinear to the height and width of `like`."""
    size = like_B_hw.shape[-2:]
    if x_BCHW.shape[-2:] == size:
        return x_BCHW
    return F.interpolate(x_BCHW, size=size, mode="bilinear", align_corners=False)
