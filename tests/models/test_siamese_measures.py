"""What is measured of a network over a whole data set, on features whose answers are known."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from retable.models.siamese import measures


def rows(deviations: list[float], count: int = 4000, mean: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(count, len(deviations), generator=generator, dtype=torch.float64))
    centred = q - q.mean(0)
    return (centred * torch.tensor(deviations).double() * count**0.5 + mean).float()


def test_rankme_counts_equal_directions_and_reads_singular_values_not_their_squares() -> None:
    assert measures.rankme(rows([1.0, 1.0, 1.0, 1.0])) == pytest.approx(4, abs=0.01)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert measures.rankme(rows([3.0, 1.0])) == pytest.approx(math.exp(entropy), abs=0.01)
    assert measures.rankme(torch.zeros(9, 3)) == pytest.approx(1, abs=0.01)


def test_a_common_mean_hides_the_rank_unless_it_is_taken_away() -> None:
    h = rows([1.0] * 4, mean=30.0)
    found = measures.of_outputs(h)
    assert found["whole/effective_rank"] == pytest.approx(4, abs=0.05)
    assert found["whole/effective_rank_uncentred"] < 1.2
    assert found["whole/top_share"] == pytest.approx(0.25, abs=0.01)


def test_the_spread_of_directions_is_one_where_even_and_nothing_where_they_are_one_point() -> None:
    assert measures.of_outputs(rows([1.0] * 8))["whole/spread"] == pytest.approx(1, abs=0.01)
    assert measures.of_outputs(torch.ones(50, 8))["whole/spread"] == pytest.approx(0, abs=1e-6)
    assert measures.of_outputs(torch.ones(50, 8))["whole/top_share"] == 1


def test_the_nearest_others_vote() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    x = torch.eye(3)[labels] + 0.1 * torch.randn(300, 3, generator=generator)
    fit = torch.arange(300) < 200
    found = measures.of_features(x, labels, fit, ~fit)
    assert found["probe/neighbours"] == 100
    shuffled = labels[torch.randperm(300, generator=generator)]
    assert measures.of_features(x, shuffled, fit, ~fit)["probe/neighbours"] < 60


def test_neighbours_are_counted_chunk_by_chunk_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    x, labels = torch.randn(100, 5, generator=generator), torch.arange(100) % 4
    fit = torch.arange(100) % 2 == 0
    whole = measures.of_features(x, labels, fit, ~fit)
    monkeypatch.setattr(measures, "CHUNK", 7)
    assert measures.of_features(x, labels, fit, ~fit) == whole


def test_a_survey_leaves_the_means_of_all_batches_as_running_statistics() -> None:
    encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten())
    projector = nn.Sequential(nn.Linear(16, 2), nn.BatchNorm1d(2, affine=False))
    views = [5 + torch.randn(6, 3, 2, 2) for _ in range(3)]
    calibrated, head = copy.deepcopy(encoder), copy.deepcopy(projector)
    h = measures.survey(calibrated, head, views, lambda e, p, x: p(e(x)))
    assert h.shape == (18, 2)
    means = [encoder[0](view).mean(dim=(0, 2, 3)) for view in views]
    assert torch.allclose(calibrated[1].running_mean, torch.stack(means).mean(0), atol=1e-5)
    assert torch.allclose(h[:6].mean(0), torch.zeros(2), atol=1e-5), "each batch by its own statistics"
