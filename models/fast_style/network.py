"""The image transformation network f_W: an image in, the same image in the style out (figure 2.1).

Source: section 2.1 of the paper; layer sizes from Johnson, Alahi and Fei-Fei, "Perceptual losses for
real-time style transfer", 2016, in the form of the public code that the paper names as its base. Where
paper and that code differ (normalisation, output layer, upsampling) both are a word in the settings.

Shape suffixes: B batch, C channels, H height, W width. Images are [0, 255] in and out.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["instance", "batch"]
Output = Literal["tanh255", "linear"]
Upsample = Literal["nearest", "deconv"]


class TransformNet(nn.Module):
    """Convolutions down to a quarter of the size, five residual blocks, convolutions up again.

    width: channels of the first layer (32 in the paper); the others have two and four times as many.
    norm: after every convolution but the last: "instance" statistics per image, or "batch".
    output: "tanh255" bounds the image to (0, 255) as section 2.1 says; "linear" is the base code's.
    upsample: "nearest" enlargement before a convolution, or transposed convolution ("deconv").

    At width 32 it has 1,679,235 parameters.
    """

    def __init__(
        self, width: int = 32, norm: Norm = "instance", output: Output = "tanh255", upsample: Upsample = "nearest"
    ) -> None:
        super().__init__()
        w1, w2, w4 = width, 2 * width, 4 * width
        self.output = output
        self.encoder = nn.Sequential(
            layer(3, w1, kernel=9, norm=norm),
            layer(w1, w2, kernel=3, stride=2, norm=norm),
            layer(w2, w4, kernel=3, stride=2, norm=norm),
        )
        self.residuals = nn.Sequential(*(Residual(w4, norm) for _ in range(5)))
        self.decoder = nn.Sequential(
            up_layer(w4, w2, norm, upsample),
            up_layer(w2, w1, norm, upsample),
            reflect_conv(w1, 3, kernel=9),
        )

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """Stylise. x: [B, 3, H, W] in [0, 255], H and W multiples of 4; returns the same shape and range."""
        y_B3HW: Tensor = self.decoder(self.residuals(self.encoder(x_B3HW)))
        if self.output == "tanh255":
            return 127.5 * (torch.tanh(y_B3HW.float()) + 1)
        return y_B3HW.float()


class Residual(nn.Module):
    """Two 3x3 convolutions beside an identity; nothing after the sum."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            layer(channels, channels, kernel=3, norm=norm),
            layer(channels, channels, kernel=3, norm=norm, relu=False),
        )

    def forward(self, h_BCHW: Tensor) -> Tensor:
        out: Tensor = h_BCHW + self.body(h_BCHW)
        return out


class Nearest2x(nn.Module):
    """Each pixel becomes 2 x 2."""

    def forward(self, h_BCHW: Tensor) -> Tensor:
        return F.interpolate(h_BCHW, scale_factor=2.0, mode="nearest")


def reflect_conv(inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Convolution with reflection at the border, so that the size is kept (or divided by `stride`)."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode="reflect")


def layer(inputs: int, outputs: int, *, kernel: int, norm: Norm, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Convolution, normalisation, ReLU."""
    conv = reflect_conv(inputs, outputs, kernel=kernel, stride=stride)
    return nn.Sequential(conv, normalisation(outputs, norm), *([nn.ReLU()] if relu else []))


def up_layer(inputs: int, outputs: int, norm: Norm, upsample: Upsample) -> nn.Sequential:
    """Twice the size: by repetition and a convolution, or by a transposed convolution; normalisation, ReLU."""
    if upsample == "nearest":
        return nn.Sequential(Nearest2x(), *layer(inputs, outputs, kernel=3, norm=norm))
    conv = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(conv, normalisation(outputs, norm), nn.ReLU())


def normalisation(channels: int, norm: Norm) -> nn.Module:
    """Normalisation with learned scale and shift and torch's eps of 1e-5."""
    return InstanceNorm(channels, affine=True) if norm == "instance" else nn.BatchNorm2d(channels)


class InstanceNorm(nn.InstanceNorm2d):
    """Instance normalisation as batch normalisation of one image after the other.

    The same numbers: torch's own form goes through the channels-first layout and back, which on a CPU
    costs as much as a convolution (bfloat16, width 32, 256 px: a third of the network's time).
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu":
            return super().forward(input)
        normalised = [
            F.batch_norm(h_1CHW, None, None, self.weight, self.bias, training=True, eps=self.eps)
            for h_1CHW in torch.split(input, 1)
        ]
        return torch.cat(normalised)
