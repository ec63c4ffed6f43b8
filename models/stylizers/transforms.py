"""Feature transforms that give one image's features the statistics of another's: AdaIN and WCT.

Sources: Huang and Belongie 2017, equation 8; Li et al., "Universal Style Transfer via Feature Transforms", 2017,
section 3.2. Shape suffixes: B batch, C channels, H height, W width, L = H * W.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_EIGENVALUE = 1e-5
"""Directions with less variance than this share of the largest are left out of whitening and colouring."""


def statistics(features_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel, float32 [B, C, 1, 1] each."""
    f = features_BCHW.float()
    return f.mean((2, 3), keepdim=True), (f.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()


def adain(content_BCHW: Tensor, style_BCHW: Tensor) -> Tensor:
    """The content's features with the means and deviations of the style's channels, float32."""
    mean, deviation = statistics(content_BCHW)
    style_mean, style_deviation = statistics(style_BCHW)
    return (content_BCHW.float() - mean) / deviation * style_deviation + style_mean


def wct(content_BCHW: Tensor, style_BCHW: Tensor, strength: float = 1.0) -> Tensor:
    """Whitening and colouring: the content's features with the mean and covariance of the style's, float32.

    strength: alpha, the share of the transformed features; the rest are the content's own. The style may have
    another size. Computed in float64, since covariances of ReLU features are nearly singular.
    """
    b, c, h, w = content_BCHW.shape
    content = content_BCHW.flatten(2).double()
    style = style_BCHW.flatten(2).double()
    mean, style_mean = content.mean(2, keepdim=True), style.mean(2, keepdim=True)
    whiten = _power(_covariance(content - mean), -0.5)
    colour = _power(_covariance(style - style_mean), 0.5)
    transformed = colour @ (whiten @ (content - mean)) + style_mean
    blended = strength * transformed + (1 - strength) * content
    return blended.reshape(b, c, h, w).float()


def _covariance(centred_BCL: Tensor) -> Tensor:
    return centred_BCL @ centred_BCL.transpose(1, 2) / max(1, centred_BCL.shape[2] - 1)


def _power(matrix_BCC: Tensor, exponent: float) -> Tensor:
    """A symmetric positive semi-definite matrix to a power, on the directions that have variance."""
    values, vectors = torch.linalg.eigh(matrix_BCC)
    large = values > SMALLEST_EIGENVALUE * values[:, -1:]
    powers = torch.where(large, values.clamp_min(torch.finfo(values.dtype).tiny) ** exponent, 0.0)
    power: Tensor = (vectors * powers[:, None, :]) @ vectors.transpose(1, 2)
    return power
