"""Losses of two views that keep different images apart by themselves, with neither predictor nor target.

Controls beside BYOL and SimSiam: on the same data, encoder and projector, what does not collapse. Their constants are
their papers'. Shapes: h1, h2 the projector's outputs for both views, [B, d].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.5
"""Of SimCLR: Chen et al., ICML 2020, appendix B.9 on CIFAR-10."""

REDUNDANCY = 5e-3
"""Of Barlow Twins: Zbontar et al., ICML 2021, section 2.2's lambda."""

INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
"""Of VICReg: Bardes et al., ICLR 2022, section 4.2's lambda, mu and nu."""


def simclr(h1: Tensor, h2: Tensor) -> Tensor:
    """NT-Xent: each view must find its image's other one among the batch's 2 B - 1, by cosine."""
    z = F.normalize(torch.cat([h1, h2]), dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z @ z.T / TEMPERATURE).masked_fill(itself, -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z), device=z.device).roll(len(h1)))


def barlow_twins(h1: Tensor, h2: Tensor) -> Tensor:
    """The views' cross-correlation matrix must be the identity."""
    z1, z2 = ((h - h.mean(0)) / (h.var(0, correction=0) + 1e-5).sqrt() for h in (h1, h2))
    correlation = z1.T @ z2 / len(h1)
    diagonal = correlation.diagonal()
    others = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + REDUNDANCY * others


def vicreg(h1: Tensor, h2: Tensor) -> Tensor:
    """The views must be near each other, every output vary by 1 at least, and no two of them vary together."""
    total = INVARIANCE * F.mse_loss(h1, h2)
    for h in (h1, h2):
        hinge = F.relu(1 - (h.var(0) + 1e-4).sqrt()).mean()
        total = total + VARIANCE * hinge / 2 + COVARIANCE * _covariances(h)
    return total


def _covariances(h: Tensor) -> Tensor:
    """Sum of the squared covariances between different outputs, over d."""
    centred = h - h.mean(0)
    covariance = centred.T @ centred / (len(h) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / h.shape[1]


LOSSES = {"simclr": simclr, "barlow_twins": barlow_twins, "vicreg": vicreg}
