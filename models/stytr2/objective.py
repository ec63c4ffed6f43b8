"""Equation 12 for a batch: the four outputs of one generator pass, their features of one loss network pass.

The contents and styles are targets: their features carry no gradient, and are computed once per image where the
images are few enough to keep them.

Shape suffixes: B pairs in a batch; outputs come as I_cc, I_ss, I_o, I_r.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from retable.models.perceptual import Vgg
from retable.models.stytr2 import TAPS, Model, Training
from retable.models.stytr2 import losses as L


@dataclass(frozen=True)
class Terms:
    """The terms of equation 12 without their weights, and their weighted sums. hinges: None without L_sep."""

    content: Tensor
    style: Tensor
    id1: Tensor
    id2: Tensor
    base: Tensor
    total: Tensor
    hinges: L.Hinges | None


def loss_network(settings: Model, device: str, dtype: torch.dtype) -> Vgg:
    """The loss network phi with every tap that training and measuring need."""
    torchvision = settings.weights == "torchvision19"
    return Vgg(
        sorted({*TAPS[settings.taps], *TAPS[settings.measured_taps]}),
        source="torchvision" if torchvision else "file",
        depth=19,
        maximum=1,
        normalise=settings.normalise,
        features=settings.features,
        device=device,
        dtype=dtype,
    )


def trained(
    settings: Training, outputs: Tensor, targets: Tensor, features: L.Features, of_targets: L.Features
) -> Terms:
    """The loss that is trained, with every variant that the settings choose.

    outputs: I_cc, I_ss, I_o and, with a separability loss, I_r: [3 B or 4 B, 3, H, W]. targets: I_c, I_s.
    features, of_targets: layer -> features of both.
    """
    s, layers = settings, TAPS[settings.taps]
    parts = _Parts(features, of_targets, layers, len(targets) // 2)
    content = L.content_loss(
        parts.output,
        parts.contents,
        parts.output_stats,
        parts.contents_stats,
        layers[-2:],
        raw=s.content_features == "raw",
        norm=s.content_norm,
        reduction=s.reduction,
    )
    style = L.style_loss(parts.output_stats, parts.styles_stats, layers, norm=s.style_norm, reduction=s.reduction)
    identity = outputs[: len(targets)]
    id1 = L.identity_pixels(identity, targets, norm=s.id1_norm, reduction=s.reduction)
    id2 = L.identity_features(parts.identity, of_targets, layers, norm=s.id2_norm, reduction=s.reduction)
    base = s.content_weight * content + s.style_weight * style + s.id1_weight * id1 + s.id2_weight * id2
    if s.separability == "none":
        return Terms(content, style, id1, id2, base, base, None)
    hinges = L.separability(
        parts.output,
        parts.reverse,
        parts.output_stats,
        L.stats(parts.reverse, layers) if s.separability == "full" else {},
        layers,
        form=s.separability,
        margin=s.margin,
        hinge=s.hinge,
        sigma_sign=s.sigma_sign,
        norm=s.separability_norm,
    )
    return Terms(content, style, id1, id2, base, base + s.separability_weight * hinges.loss, hinges)


def measured(
    settings: Training, outputs: Tensor, targets: Tensor, features: L.Features, of_targets: L.Features
) -> Terms:
    """The loss that is reported: equation 12 without separability, squared, averaged, on the measured taps.

    The same function for all trials, whatever norms and taps they were trained with; the weights are the trial's.
    """
    s, layers = settings, TAPS[settings.measured_taps]
    parts = _Parts(features, of_targets, layers, len(targets) // 2)
    content = L.content_loss(parts.output, parts.contents, parts.output_stats, parts.contents_stats, layers[-2:])
    style = L.style_loss(parts.output_stats, parts.styles_stats, layers)
    id1 = L.identity_pixels(outputs[: len(targets)], targets)
    id2 = L.identity_features(parts.identity, of_targets, layers)
    base = s.content_weight * content + s.style_weight * style + s.id1_weight * id1 + s.id2_weight * id2
    return Terms(content, style, id1, id2, base, base, None)


class _Parts:
    """A batch's features by what they are features of, with the statistics that more than one loss needs."""

    def __init__(self, features: L.Features, of_targets: L.Features, layers: tuple[str, ...], b: int) -> None:
        # One split per layer, not slices: the gradient of a slice is an array of zeros of the whole's size.
        split = {
            layer: torch.split(features[layer], [2 * b, *[b] * (len(features[layer]) // b - 2)]) for layer in layers
        }
        self.identity, self.output, *reverse = (
            {layer: split[layer][part] for layer in layers} for part in range(len(split[layers[0]]))
        )
        self.reverse: Mapping[str, Tensor] = reverse[0] if reverse else {}
        self.contents = {layer: of_targets[layer][:b] for layer in layers}
        self.output_stats = L.stats(self.output, layers)
        self.contents_stats = L.stats(self.contents, layers[-2:])
        self.styles_stats = L.stats({layer: of_targets[layer][b:] for layer in layers}, layers)
