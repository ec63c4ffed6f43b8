"""Networks that turn features of a frozen VGG back into images, mirrored from it.

Sources: Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", 2017
(decoder of relu4_1); Li et al., "Universal Style Transfer via Feature Transforms", 2017 (one decoder a level); Li et
al., "A Closed-form Solution to Photorealistic Image Stylization", 2018 (unpooling in place of upsampling).

Shape suffixes: B batch, C channels, H height, W width. Images are RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retable.models.perceptual import Source, Vgg
from retable.models.transfer.objective import unit_factors

LEVELS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CHANNELS = (64, 128, 256, 512, 512)

BEFORE_POOLING = ("relu1_2", "relu2_2", "relu3_4", "relu4_4")
"""The layers whose maxima the poolings below levels 2 to 5 pick."""

MIRRORED = (1, 1, 3, 3)
"""Convolutions of VGG-19 in blocks 1 to 4 beside the one that changes the channels."""


class Decoder(nn.Module):
    """From the features of one level to the image.

    level: 1 to 5. width: share of the encoder's channels that the hidden layers have (the input has all).
    unpooling: put values back where the encoder's maxima were (needs width 1); else each pixel becomes 2x2.
    """

    def __init__(self, level: int, width: float = 1.0, unpooling: bool = False) -> None:
        super().__init__()
        self.unpooling = unpooling
        self.narrow, self.mirrored = nn.ModuleList(), nn.ModuleList()  # deep first
        inputs = CHANNELS[level - 1]
        for block in range(level - 2, -1, -1):
            outputs = max(1, round(width * CHANNELS[block]))
            self.narrow.append(conv(inputs, outputs))
            self.mirrored.append(nn.ModuleList(conv(outputs, outputs) for _ in range(MIRRORED[block])))
            inputs = outputs
        self.last = conv(inputs, 3)
        # Deviations that ReLUs keep from layer to layer (He et al. 2015): torch's default shrinks a signal a hundred
        # times over nine layers, and a short training would be spent on bringing it back.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="linear" if layer is self.last else "relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.last.weight, std=0.02 / (9 * inputs) ** 0.5)
        nn.init.constant_(self.last.bias, 0.5)  # type: ignore[arg-type]

    def forward(self, features_BCHW: Tensor, height: int, width: int, places: Sequence[Tensor] = ()) -> Tensor:
        """Features of the level -> image [B, 3, height, width], not clipped.

        height, width: of the image that the features are of. places: with unpooling, where the maxima were,
        shallow first (see `pooling_places`).
        """
        h_BCHW = features_BCHW
        depth = len(self.narrow)
        for i, (narrow, mirrored) in enumerate(zip(self.narrow, self.mirrored, strict=True)):
            block = depth - 1 - i
            size = (height >> block, width >> block)
            h_BCHW = F.relu(narrow(h_BCHW))
            if self.unpooling:
                h_BCHW = F.max_unpool2d(h_BCHW.float(), places[block], [2, 2], output_size=size)
            else:
                h_BCHW = F.interpolate(h_BCHW, size=size, mode="nearest")
            for layer in mirrored:  # type: ignore[attr-defined]
                h_BCHW = F.relu(layer(h_BCHW))
        out: Tensor = self.last(h_BCHW)
        return out.float()


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 with reflection padding."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")


class Encoder:
    """The frozen network for images in [0, 1], every filter scaled to a mean activation of one.

    So it is in the authors' code of AdaIN and WCT; without it the first blocks' features, ten times those of the
    fourth, decide every loss over several levels.
    """

    def __init__(self, vgg: Vgg, source: Source, device: str, dtype: torch.dtype) -> None:
        self.vgg = vgg
        self.network = vgg.network
        self._factors = {name: f.to(device, dtype) for name, f in unit_factors(source).items()}

    def __call__(self, image_B3HW: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Layer -> features [B, C, H / 2^k, W / 2^k]; those that the poolings see are not scaled."""
        found = self.vgg(image_B3HW, names)
        return {name: f * self._factors[name] if name in LEVELS else f for name, f in found.items()}


def encoder(
    levels: Sequence[int],
    source: Source = "file",
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    poolings: bool = False,
) -> Encoder:
    """The frozen network up to the deepest of `levels` (1 to 5), for images in [0, 1].

    poolings: also give what the poolings see, for `pooling_places`.
    """
    names = [LEVELS[level - 1] for level in sorted(set(levels))]
    if poolings:
        names += BEFORE_POOLING[: max(levels) - 1]
    vgg = Vgg(names, source=source, depth=19, maximum=1, device=device, dtype=dtype)
    return Encoder(vgg, source, device, dtype)


def pooling_places(vgg: Encoder, image_B3HW: Tensor, level: int) -> list[Tensor]:
    """Where the maxima of the poolings below `level` are, shallow first; int64 [B, C, H / 2^k, W / 2^k]."""
    names = BEFORE_POOLING[: level - 1]
    if not names:
        return []
    features = vgg(image_B3HW, names)
    # Indices of bfloat16 and float32 features differ in ties only; float32 has them on every device.
    return [F.max_pool2d(features[name].float(), 2, return_indices=True)[1] for name in names]
