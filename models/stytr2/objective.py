"""Equation 12 for a batch: the four outputs of one generator pass, and what the loss network sees of them.

The contents and styles are targets: their features carry no gradient, and are computed once per image where the
images are few enough to keep them.

Shape suffixes: B pairs in a batch; outputs come as I_cc, I_ss, I_o, I_r.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from retable.models.perceptual import Vgg
from retable.models.stytr2 import TAPS, Model, Training
from retable.models.stytr2 import losses as L
from retable.models.stytr2.separability import Hinges, Seen, hinges


@dataclass(frozen=True)
class Terms:
    """The terms of equation 12 without their weights, and their weighted sums. hinges: None without L_sep."""

    content: Tensor
    style: Tensor
    id1: Tensor
    id2: Tensor
    base: Tensor
    total: Tensor
    hinges: Hinges | None


class LossNetwork:
    """phi, with every tap that training and measuring need.

    In bfloat16 the outputs I_o and I_r are seen by a float32 copy: a hinge takes differences of features that may be
    nearly equal, of which rounding leaves little. The identities and the targets are not.
    """

    def __init__(self, settings: Model, device: str, dtype: torch.dtype) -> None:
        def make(dtype: torch.dtype) -> Vgg:
            return Vgg(
                sorted({*TAPS[settings.taps], *TAPS[settings.measured_taps]}),
                source="torchvision" if settings.weights == "torchvision19" else "file",
                depth=19,
                maximum=1,
                normalise=settings.normalise,
                features=settings.features,
                device=device,
                dtype=dtype,
            )

        self.targets = make(dtype)
        self.free = self.targets if dtype == torch.float32 else make(torch.float32)

    def outputs(self, outputs: Tensor, b: int, layers: tuple[str, ...]) -> list[L.Features]:
        """Features of the identities [2 B], of I_o [B] and, if it is there, of I_r [B]."""
        sizes = [2 * b, *[b] * (len(outputs) // b - 2)]
        if self.free is self.targets:
            # One split per layer, not slices: the gradient of a slice is an array of zeros of the whole's size.
            split = {layer: torch.split(f, sizes) for layer, f in self.targets(outputs, layers).items()}
            return [{layer: parts[i] for layer, parts in split.items()} for i in range(len(sizes))]
        identity, *free = torch.split(outputs, sizes)
        seen = {layer: torch.split(f, b) for layer, f in self.free(torch.cat(free), layers).items()}
        return [
            self.targets(identity, layers),
            *({layer: parts[i] for layer, parts in seen.items()} for i in range(len(free))),
        ]


def trained(
    settings: Training, outputs: Tensor, targets: Tensor, network: LossNetwork, of_targets: L.Features
) -> Terms:
    """The loss that is trained, with every variant that the settings choose.

    outputs: I_cc, I_ss, I_o and, with a separability loss, I_r: [3 B or 4 B, 3, H, W]. targets: I_c, I_s, and
    of_targets their features by layer.
    """
    s, layers, b = settings, TAPS[settings.taps], len(targets) // 2
    identity, output, *reverse = network.outputs(outputs, b, layers)
    output_stats = L.stats(output, layers)
    contents = {layer: of_targets[layer][:b] for layer in layers[-2:]}
    content = L.content_loss(
        output,
        contents,
        output_stats,
        L.stats(contents, layers[-2:]),
        layers[-2:],
        raw=s.content_features == "raw",
        norm=s.content_norm,
        reduction=s.reduction,
    )
    styles_stats = L.stats({layer: of_targets[layer][b:] for layer in layers}, layers)
    style = L.style_loss(output_stats, styles_stats, layers, norm=s.style_norm, reduction=s.reduction)
    id1 = L.identity_pixels(outputs[: 2 * b], targets, norm=s.id1_norm, reduction=s.reduction)
    id2 = L.identity_features(identity, of_targets, layers, norm=s.id2_norm, reduction=s.reduction)
    base = _weighted(s, content, style, id1, id2)
    if s.separability == "none":
        return Terms(content, style, id1, id2, base, base, None)
    seen = Seen(output, reverse[0], output_stats, L.stats(reverse[0], layers))
    found = hinges(s.separability, seen, s)
    return Terms(content, style, id1, id2, base, base + s.separability_weight * found.loss, found)


def measured(settings: Model, outputs: Tensor, targets: Tensor, network: LossNetwork, of_targets: L.Features) -> Terms:
    """The loss that is reported: equation 12 without separability, squared, averaged, on the measured taps.

    The same function for all trials, whatever norms and taps they were trained with; the weights are the trial's.
    outputs: I_cc, I_ss and I_o, [3 B, 3, H, W].
    """
    layers, b = TAPS[settings.measured_taps], len(targets) // 2
    identity, output = network.outputs(outputs, b, layers)
    content, style = (x.mean() for x in each(output, of_targets, layers))
    id1 = L.identity_pixels(outputs[: 2 * b], targets)
    id2 = L.identity_features(identity, of_targets, layers)
    base = _weighted(settings, content, style, id1, id2)
    return Terms(content, style, id1, id2, base, base, None)


def each(output: L.Features, of_targets: L.Features, layers: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """L_c and L_s of each pair of a batch as they are reported, float32 [B] each.

    of_targets: layer -> features of the contents, then of the styles, [2 B, C, H, W].
    """
    b = len(output[layers[0]])
    stats, of_both = L.stats(output, layers), L.stats(of_targets, layers)
    content = torch.zeros(b, device=output[layers[0]].device)
    style = torch.zeros_like(content)
    for layer in layers:
        for mine, both in zip(stats[layer], of_both[layer], strict=True):
            style += (mine - both[b:]).square().mean(1)
    for layer in layers[-2:]:
        mean, deviation = of_both[layer]
        target = L.normalised(of_targets[layer][:b], (mean[:b], deviation[:b]))
        content += (L.normalised(output[layer], stats[layer]) - target).square().mean((1, 2, 3))
    return content, style


def _weighted(s: Model, content: Tensor, style: Tensor, id1: Tensor, id2: Tensor) -> Tensor:
    return s.content_weight * content + s.style_weight * style + s.id1_weight * id1 + s.id2_weight * id2
