"""DirectPred and DirectCopy: W_p as a function of F, by eigenvectors and without."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retable.models.siamese import direct
from retable.models.siamese.dynamics import spectrum


def moment(eigenvalues: list[float] | np.ndarray, seed: int = 0) -> torch.Tensor:
    """A symmetric matrix with these eigenvalues and random eigenvectors."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.as_tensor(np.asarray(eigenvalues), dtype=torch.float64)
    u, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64))
    return ((u * values) @ u.T).float()


def test_the_second_moment_is_the_mean_of_outer_products_over_both_views() -> None:
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0]])
    assert torch.equal(direct.second_moment(a, b), torch.tensor([[5.0, 1.0], [1.0, 2.0]]).double())


def test_the_second_moments_small_eigenvalues_are_the_outputs_not_rounding() -> None:
    """Ten decades below the largest, where float32 has lost them after seven."""
    q, _ = torch.linalg.qr(torch.randn(500, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    deviations = torch.tensor([1.0, 1e-2, 1e-4, 1e-5], dtype=torch.float64)
    rows = (q * deviations * 500**0.5).float()
    found = torch.linalg.eigvalsh(direct.second_moment(rows)).flip(0)
    assert torch.allclose(found, deviations.square(), rtol=0.01)


@given(st.integers(0, 10_000), st.integers(2, 24), st.floats(0, 1))
@settings(deadline=None, max_examples=30)
def test_directpred_has_fs_eigenvectors_and_the_papers_eigenvalues(seed: int, d: int, epsilon: float) -> None:
    values = np.sort(np.random.default_rng(seed).uniform(0.01, 9, d))
    f = moment(values, seed)
    w = direct.directpred(f, epsilon)
    assert torch.allclose(w @ f, f @ w, atol=1e-3)
    assert np.allclose(torch.linalg.eigvalsh(w.double()), np.sqrt(values / values[-1]) + epsilon, atol=2e-3)
    assert spectrum(f, w).alignment == pytest.approx(np.ones(d), abs=1e-3)


SPECTRA = {
    "published BYOL": [15.4, 10.9, 5.9, *np.geomspace(4, 1e-3, 61)],
    "published collapse": [3309, 21.4, 6.5, 2.0, 0.5, *np.geomspace(0.1, 1e-4, 59)],
    "one mode": [7.0, *np.zeros(63)],
    "equal modes": np.ones(64),
    "tiny": np.geomspace(1e-9, 1e-14, 64),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_newton_schulz_agrees_with_the_eigendecomposition(name: str) -> None:
    f = moment(SPECTRA[name], seed=1)
    exact, found = direct.by_eigh(f.double(), 0.1), direct.by_newton_schulz(f, 0.1)
    assert torch.linalg.matrix_norm(found - exact) < 2e-3 * torch.linalg.matrix_norm(exact)
    assert torch.equal(found, found.T)


@given(st.integers(0, 10_000), st.floats(0.1, 6))
@settings(deadline=None, max_examples=30)
def test_newton_schulz_agrees_on_random_spectra(seed: int, decades: float) -> None:
    rng = np.random.default_rng(seed)
    f = moment(10.0 ** rng.uniform(-decades, 0, 32), seed)
    exact, found = direct.by_eigh(f.double(), 0.1), direct.by_newton_schulz(f, 0.1)
    assert torch.linalg.matrix_norm(found - exact) < 5e-3 * torch.linalg.matrix_norm(exact)


def test_a_collapsed_f_is_a_result_and_leaves_epsilon() -> None:
    f = torch.zeros(5, 5)
    for w in (direct.by_eigh(f, 0.1), direct.by_newton_schulz(f, 0.1), direct.directcopy(f, 0.1)):
        assert torch.allclose(w, 0.1 * torch.eye(5))


def test_numbers_that_are_not_finite_come_back_as_nan() -> None:
    assert direct.directpred(torch.full((3, 3), float("inf")), 0.1).isnan().all()


def test_a_decomposition_that_fails_gives_way_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    f = moment([3.0, 2.0, 1.0])
    exact = direct.by_eigh(f, 0.1)

    def fail(matrix: torch.Tensor) -> None:
        raise torch.linalg.LinAlgError("the algorithm failed to converge")

    monkeypatch.setattr(torch.linalg, "eigh", fail)
    with pytest.warns(RuntimeWarning, match="failed to converge.*Newton-Schulz"):
        found = direct.directpred(f, 0.1)
    assert torch.allclose(found, exact, atol=2e-3)


def test_directcopy_is_f_over_its_norm() -> None:
    f = moment([3.0, 4.0])
    assert torch.allclose(direct.directcopy(f, 0.3), f / 5 + 0.3 * torch.eye(2), atol=1e-6)
