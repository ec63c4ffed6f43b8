"""The controls' losses, against their papers' formulas written out by loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from retable.models.siamese import controls


def outputs(seed: int = 0, images: int = 5, dim: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(images, dim, generator=generator, dtype=torch.float64)
    return first, first + 0.3 * torch.randn(images, dim, generator=generator, dtype=torch.float64)


def test_simclr_is_a_choice_among_all_other_views() -> None:
    h1, h2 = outputs()
    views = [v / v.norm() for v in torch.cat([h1, h2])]
    total = 0.0
    for i, view in enumerate(views):
        scores = {j: math.exp(float(view @ other) / 0.5) for j, other in enumerate(views) if j != i}
        total -= math.log(scores[(i + 5) % 10] / sum(scores.values()))
    assert float(controls.simclr(h1, h2)) == pytest.approx(total / 10)


def test_barlow_twins_is_the_distance_of_the_correlations_from_the_identity() -> None:
    h1, h2 = outputs(images=400)
    together = torch.corrcoef(torch.cat([h1, h2], dim=1).T)[:3, 3:]
    expected = sum(
        float((1 - together[i, j]) ** 2 if i == j else 0.005 * together[i, j] ** 2) for i in range(3) for j in range(3)
    )
    assert float(controls.barlow_twins(h1, h2)) == pytest.approx(expected, rel=1e-3)


def test_vicreg_is_invariance_variance_and_covariance() -> None:
    h1, h2 = (0.7 * h for h in outputs(images=50))
    expected = 25 * float(((h1 - h2) ** 2).mean())
    for h in (h1, h2):
        covariance = torch.cov(h.T)
        hinges = [max(0.0, 1 - math.sqrt(float(covariance[i, i]) + 1e-4)) for i in range(3)]
        expected += 25 * sum(hinges) / 3 / 2
        expected += sum(float(covariance[i, j]) ** 2 for i in range(3) for j in range(3) if i != j) / 3
    assert float(controls.vicreg(h1, h2)) == pytest.approx(expected)


@pytest.mark.parametrize("name", controls.LOSSES)
def test_one_point_for_every_image_is_no_way_out(name: str) -> None:
    """What makes the cosine loss of BYOL and SimSiam perfect is far from these losses' best."""
    h = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    spread = torch.linalg.qr(h - h.mean(0))[0] * 64**0.5
    point = torch.ones(64, 8) + 1e-3 * h.mean(1, keepdim=True)
    loss = controls.LOSSES[name]
    assert float(loss(point, point)) > float(loss(spread, spread)) + 0.5
