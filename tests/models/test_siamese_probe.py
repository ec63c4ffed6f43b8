"""The two linear probes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from retable.models.siamese import probe


def clouds(
    classes: int = 4, per_class: int = 60, spread: float = 1.2, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    centres = torch.randn(classes, 8, generator=torch.Generator().manual_seed(99)) * 1.5
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(per_class)
    return centres[labels] + spread * torch.randn(len(labels), 8, generator=generator), labels


def test_the_deterministic_probe_is_multinomial_logistic_regression() -> None:
    """The same accuracy as scipy's minimum of the mean cross-entropy plus L2 |W|^2 / 2."""
    from scipy.optimize import minimize

    (x, y), (test_x, test_y) = clouds(seed=0), clouds(seed=1)
    mean, std = x.mean(0), x.std(0, correction=0)
    a, labels = ((x - mean) / std).double().numpy(), y.numpy()

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = flat[:32].reshape(8, 4), flat[32:]
        logits = a @ w + b
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[np.arange(len(a)), labels]).mean() + 0.5 * probe.L2 * (w**2).sum()
        p[np.arange(len(a)), labels] -= 1
        return loss, np.concatenate([(a.T @ p / len(a) + probe.L2 * w).ravel(), p.mean(0)])

    flat = minimize(objective, np.zeros(36), jac=True, method="BFGS", options={"gtol": 1e-7}).x
    logits = ((test_x - mean) / std).double().numpy() @ flat[:32].reshape(8, 4) + flat[32:]
    expected = 100 * (logits.argmax(1) == test_y.numpy()).mean()
    assert probe.lbfgs_probe((x, y), (test_x, test_y), 4) == pytest.approx(expected, abs=0.5)


def test_the_deterministic_probe_repeats_and_leaves_the_generator_alone() -> None:
    train, test = clouds(seed=0), clouds(seed=1)
    before = torch.get_rng_state()
    first = probe.lbfgs_probe(train, test, 4)
    assert probe.lbfgs_probe(train, test, 4) == first
    assert probe.adam_probe(train, test, 4, 3, 32, seed=0) == probe.adam_probe(train, test, 4, 3, 32, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_papers_probe_gets_as_far_on_plain_features() -> None:
    train, test = clouds(seed=0), clouds(seed=1)
    assert probe.adam_probe(train, test, 4, 60, 32, seed=0) == pytest.approx(probe.lbfgs_probe(train, test, 4), abs=4)


def test_separable_classes_are_separated_and_noise_is_not() -> None:
    train, test = clouds(spread=0.05), clouds(spread=0.05, seed=1)
    assert probe.lbfgs_probe(train, test, 4) == 100
    assert probe.adam_probe(train, test, 4, 30, 32, seed=0) == 100
    x = torch.randn(2000, 8, generator=torch.Generator().manual_seed(5))
    y = torch.arange(2000) % 4
    assert probe.lbfgs_probe((x[:1000], y[:1000]), (x[1000:], y[1000:]), 4) == pytest.approx(25, abs=6)


def test_constant_features_give_chance() -> None:
    x, y = torch.ones(40, 3), torch.arange(40) % 4
    assert probe.lbfgs_probe((x, y), (x, y), 4) == pytest.approx(25)


def test_an_encoder_that_gives_nan_is_told() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.log(x.mean(dim=(2, 3)))

    images = torch.rand(5, 3, 4, 4)
    images[1] = -1
    with pytest.raises(ValueError, match="features of 1 of 5 images are not finite: its training has diverged"):
        probe.features(Broken(), images)


def test_features_are_the_evaluation_modes_and_leave_the_encoder_as_it_was() -> None:
    encoder = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12))
    encoder.train()
    images = 3 + torch.rand(6, 3, 2, 2)
    found = probe.features(encoder, images)
    assert encoder.training
    assert np.allclose(found, images.flatten(1), rtol=1e-4), "untrained running statistics: mean 0, variance 1"
    assert encoder[1].num_batches_tracked == 0
