"""Content, style, identity and separability losses: equations 6 to 12, with the printed and the released variants.

All of them come out as float32 scalars; features may be bfloat16. Where paper and released code differ, a
word says which is computed; `retable.models.stytr2.Training` explains it.

Shape suffixes: B batch, C channels, H height, W width of features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from retable.models.stytr2 import Norm, Separability

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
    a, b = _as_stored(a.float()), _as_stored(b.float())
    if reduction == "mean":
        return loss(a, b)
    return loss(a, b, reduction="sum") / len(a)


def _as_stored(x: Tensor) -> Tensor:
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


@dataclass(frozen=True)
class Hinges:
    """What a separability loss saw. loss: equation 10 or 11 without its weight, mean over the batch.

    Layer -> share of pairs with an active hinge, and mean squared distance; detached scalars. The statistics'
    are there for L_sep2 only.
    """

    loss: Tensor
    content_active: Mapping[str, Tensor]
    content_distance: Mapping[str, Tensor]
    stats_active: Mapping[str, Tensor]
    stats_distance: Mapping[str, Tensor]


def separability(
    output: Features,
    reverse: Features,
    output_stats: Stats,
    reverse_stats: Stats,
    layers: Sequence[str],
    *,
    form: Separability,
    margin: float,
    hinge: Literal["squared", "norm"] = "squared",
    sigma_sign: Literal["plus", "minus"] = "plus",
    norm: Norm = "l2",
) -> Hinges:
    """Equations 10 (form "content") and 11 ("full"): R(m^2 - distance of I_o and I_r), summed over `layers`.

    hinge "norm" holds m^2 against the norm instead of its square in equation 10, as the released code does; 11
    is squared in both. With norm "l1" the features' distance is a sum of absolute values and held against m.
    sigma_sign "minus" is equation 11 as printed, where a difference of deviations lowers the distance.
    """
    terms: list[Tensor] = []
    content_active, content_distance, stats_active, stats_distance = {}, {}, {}, {}
    for layer in layers:
        d_BF = _as_stored(output[layer].float() - reverse[layer].float()).flatten(1)
        squared_B = d_BF.square().sum(1)
        if norm == "l1":
            gap_B = margin - d_BF.abs().sum(1)
        elif hinge == "norm" and form == "content":
            gap_B = margin**2 - torch.linalg.vector_norm(d_BF, dim=1)
        else:
            gap_B = margin**2 - squared_B
        terms.append(gap_B.relu().mean())
        content_active[layer] = _share(gap_B)
        content_distance[layer] = squared_B.detach().mean()
        if form == "full":
            (mean_o, deviation_o), (mean_r, deviation_r) = output_stats[layer], reverse_stats[layer]
            means_B = (mean_o - mean_r).square().sum(1)
            deviations_B = (deviation_o - deviation_r).square().sum(1)
            gap_B = margin**2 - (means_B + deviations_B if sigma_sign == "plus" else means_B - deviations_B)
            terms.append(gap_B.relu().mean())
            stats_active[layer] = _share(gap_B)
            stats_distance[layer] = (means_B + deviations_B).detach().mean()
    return Hinges(torch.stack(terms).sum(), content_active, content_distance, stats_active, stats_distance)


def _share(gap_B: Tensor) -> Tensor:
    return (gap_B.detach() > 0).float().mean()
