"""Content, style and identity losses: equations 6 to 9, with the printed and the released variants.

All of them come out as float32 scalars; features may be bfloat16. Where paper and released code differ, a
word says which is computed; `retable.models.stytr2.Training` explains it.

Shape suffixes: B batch, C channels, H height, W width of features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from retable.models.stytr2 import Norm

Features = Mapping[str, Tensor]
Stats = Mapping[str, tuple[Tensor, Tensor]]
Reduction = Literal["mean", "norm"]

EPSILON = 1e-5
"""Added to the variance under the root, as the original does: a flat channel has a gradient."""


def stats(features: Features, layers: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer -> mean and standard deviation over positions, both float32 [B, C] (deviation over n - 1)."""
    found = {}
    for layer in layers:
        mean_BC, deviation_BC = _Stats.apply(features[layer])  # type: ignore[no-untyped-call]
        found[layer] = (mean_BC, deviation_BC)
    return found


class _Stats(torch.autograd.Function):
    """Mean and deviation over positions, with their gradient as one line in the features.

    With a = g_sigma / (sigma (n - 1)) it is a x + g_mu / n - a mu: autograd's way there makes five arrays of the
    features' size, in float32.
    """

    @staticmethod
    def forward(ctx: Any, features_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        # Two passes in plain sums: torch.var_mean takes ten times as long on channels-last features.
        f_BCHW = features_BCHW.float()
        mean_BC = f_BCHW.mean((2, 3))
        n = f_BCHW.shape[2] * f_BCHW.shape[3]
        variance_BC = (f_BCHW - mean_BC[..., None, None]).square_().sum((2, 3)) / (n - 1)
        deviation_BC = (variance_BC + EPSILON).sqrt()
        ctx.save_for_backward(features_BCHW, mean_BC, deviation_BC)
        return mean_BC, deviation_BC

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        g_mean_BC, g_deviation_BC = gradients
        features_BCHW, mean_BC, deviation_BC = ctx.saved_tensors
        n = features_BCHW.shape[2] * features_BCHW.shape[3]
        slope_BC = g_deviation_BC / (deviation_BC * (n - 1))
        constant_BC = g_mean_BC / n - slope_BC * mean_BC
        slope, constant = (x[..., None, None].to(features_BCHW.dtype) for x in (slope_BC, constant_BC))
        return torch.addcmul(constant, slope, features_BCHW)


def normalised(features_BCHW: Tensor, stats_BC: tuple[Tensor, Tensor]) -> Tensor:
    """Features with mean 0 and deviation 1 per image and channel, float32."""
    mean_BC, deviation_BC = stats_BC
    return (features_BCHW.float() - mean_BC[..., None, None]) / deviation_BC[..., None, None]


def difference(a: Tensor, b: Tensor, norm: Norm = "l2", reduction: Reduction = "mean") -> Tensor:
    """Squared (l2) or absolute (l1) differences of two batches, a scalar.

    mean: over all entries. norm: summed over an image's entries, mean over the batch.
    """
    loss = F.mse_loss if norm == "l2" else F.l1_loss
    a, b = as_stored(a.float()), as_stored(b.float())
    if reduction == "mean":
        return loss(a, b)
    return loss(a, b, reduction="sum") / len(a)


def as_stored(x: Tensor) -> Tensor:
    """[B, C, H, W] in the order of channels-last memory. torch's gradients of these losses come out contiguous, and
    the loss network's backward pass takes three times as long over gradients that are not laid out as it is."""
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def content_loss(
    output: Features,
    target: Features,
    output_stats: Stats,
    target_stats: Stats,
    layers: Sequence[str],
    *,
    raw: bool = False,
    norm: Norm = "l2",
    reduction: Reduction = "mean",
) -> Tensor:
    """Equation 6 over `layers`. raw: of the features as printed, else of the normalised ones (released code)."""
    terms = []
    for layer in layers:
        a, b = output[layer], target[layer]
        if not raw:
            a, b = normalised(a, output_stats[layer]), normalised(b, target_stats[layer])
        terms.append(difference(a, b, norm, reduction))
    return torch.stack(terms).sum()


def style_loss(
    output: Stats, target: Stats, layers: Sequence[str], *, norm: Norm = "l2", reduction: Reduction = "mean"
) -> Tensor:
    """Equation 7 over `layers`: differences of the means plus differences of the deviations."""
    pairs = [(o, t) for layer in layers for o, t in zip(output[layer], target[layer], strict=True)]
    return torch.stack([difference(o, t, norm, reduction) for o, t in pairs]).sum()


def identity_pixels(
    images_2B3HW: Tensor, targets_2B3HW: Tensor, *, norm: Norm = "l2", reduction: Reduction = "mean"
) -> Tensor:
    """Equation 8. images: I_cc, then I_ss; targets: I_c, then I_s. The two terms are summed."""
    return 2 * difference(images_2B3HW, targets_2B3HW, norm, reduction)  # each half's mean: twice that of both


def identity_features(
    features: Features,
    targets: Features,
    layers: Sequence[str],
    *,
    norm: Norm = "l2",
    reduction: Reduction = "mean",
) -> Tensor:
    """Equation 9 over `layers`, of I_cc and I_ss against I_c and I_s, stacked as in equation 8; features raw."""
    terms = [difference(features[layer], targets[layer], norm, reduction) for layer in layers]
    return 2 * torch.stack(terms).sum()
