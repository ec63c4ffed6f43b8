"""Spectra, alignment, asymmetry and effective rank, on matrices whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retable.models.siamese import dynamics


def rotation(d: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]


def test_eigenvectors_that_w_p_keeps_are_aligned_and_those_it_turns_around_are_not() -> None:
    u = rotation(3)
    f = (u * torch.tensor([1.0, 5.0, 3.0]).double()) @ u.T
    w = (u * torch.tensor([-2.0, 0.5, 4.0]).double()) @ u.T
    s = dynamics.spectrum(f, w)
    assert s.eig_f == pytest.approx([5, 3, 1])
    assert s.eig_w == pytest.approx([4, 0.5, -2])
    assert s.alignment == pytest.approx([1, 1, -1])
    assert s.asymmetry == pytest.approx(0, abs=1e-12)


def test_an_unrelated_w_p_is_not_aligned() -> None:
    u, v = rotation(200, 1), rotation(200, 2)
    values = torch.linspace(-1, 1, 200, dtype=torch.float64)
    s = dynamics.spectrum((u * values.abs()) @ u.T, (v * values) @ v.T)
    assert abs(s.alignment).mean() < 0.2


def test_real_parts_of_complex_eigenvalues_are_shown() -> None:
    w = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    s = dynamics.spectrum(torch.eye(2), w)
    assert s.eig_w == pytest.approx([0, 0], abs=1e-9)
    assert s.asymmetry == pytest.approx(2)
    assert s.asymmetry_l2 == pytest.approx(2)


@given(st.integers(1, 64), st.floats(1e-6, 1e6))
@settings(deadline=None)
def test_equal_modes_count_fully_and_zeros_not_at_all(modes: int, size: float) -> None:
    eigenvalues = np.array([size] * modes + [0.0] * 7 + [-1e-9 * size])
    assert dynamics.effective_rank(eigenvalues) == pytest.approx(modes, rel=1e-6)


def test_a_collapse_shows_in_rank_and_share() -> None:
    """The published end of SimSiam with a symmetric predictor: 3309, 21.4, 6.5 of a trace of 3338."""
    eig_f = np.array([3309, 21.4, 6.5, *np.zeros(125)])
    s = dynamics.Spectrum(eig_f, np.zeros(128), np.ones(128), 0.0, 0.0)
    found = dynamics.summary(s)
    assert found["dynamics/effective_rank"] == pytest.approx(1.05, abs=0.01)
    assert found["dynamics/top_share"] > 0.99
    assert found["dynamics/live"] == 0
    gone = dynamics.summary(dynamics.Spectrum(np.zeros(4), np.zeros(4), np.ones(4), 0.0, 0.0))
    assert gone["dynamics/effective_rank"] == 0
    assert all(math.isfinite(v) for v in gone.values())


def test_alignment_counts_modes_that_live_and_is_blind_to_their_sign() -> None:
    s = dynamics.Spectrum(
        np.array([10, 5, 0.02, 0.009]), np.zeros(4), np.array([-1, 0.5, 0.3, 0.0]), asymmetry=0.0, asymmetry_l2=0.0
    )
    assert dynamics.summary(s)["dynamics/alignment_live"] == pytest.approx(0.6)
    assert dynamics.summary(s)["dynamics/alignment_least"] == pytest.approx(0.3)
    assert dynamics.summary(s)["dynamics/alignment"] == pytest.approx((-10 + 2.5 + 0.006) / 15.029)


def test_a_diverged_matrix_is_told() -> None:
    with pytest.raises(ValueError, match="W_p holds numbers that are not finite"):
        dynamics.spectrum(torch.eye(2), torch.full((2, 2), torch.nan))


def test_a_decomposition_that_fails_gives_way_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    u = rotation(6)
    f = (u * torch.tensor([9.0, 4, 2, 1, 0.5, 0.1]).double()) @ u.T
    works = torch.linalg.eigvals
    for w in (torch.randn(6, 6, dtype=torch.float64), f + torch.eye(6)):
        exact = dynamics.spectrum(f, w)

        def fail(matrix: torch.Tensor, inside: torch.Tensor = w) -> torch.Tensor:
            if matrix.data_ptr() == inside.data_ptr() and matrix.stride() == inside.T.stride():
                return works(matrix)
            raise torch.linalg.LinAlgError("the algorithm failed to converge")

        with monkeypatch.context() as patched:
            for name in ("eigh", "eigvals", "eigvalsh"):
                patched.setattr(torch.linalg, name, fail)
            with pytest.warns(RuntimeWarning, match="failed to converge") as told:
                found = dynamics.spectrum(f, w)
        assert [str(t.message).split(" failed")[0] for t in told] == ["eigh", "the eigenvalues of W_p"]
        for name in ("eig_f", "eig_w", "alignment"):
            assert getattr(found, name) == pytest.approx(getattr(exact, name), abs=1e-9), name


def test_the_course_is_told_by_the_snapshots_nearest_to_its_moments() -> None:
    def at(epoch: int) -> dynamics.Spectrum:
        return dynamics.spectrum(torch.diag(torch.tensor([1.0, epoch])), torch.eye(2))

    log = dynamics.Log(at(1000))
    assert log.near(0.5) is log.before
    for epoch in range(0, 101, 5):
        log.add(epoch, at(epoch))
    assert [log.near(share).eig_f.max() for share in (0, 0.2, 0.5, 1)] == [1, 20, 50, 100]
    short = dynamics.Log(at(1000))
    for epoch in (0, 5, 6):
        short.add(epoch, at(epoch))
    assert [short.near(share).eig_f.max() for share in (0, 0.2, 0.5, 1)] == [1, 1, 5, 6]


def test_the_log_survives_a_checkpoint() -> None:
    log = dynamics.Log(dynamics.spectrum(torch.eye(3), torch.randn(3, 3)))
    assert dynamics.Log.from_state(log.state_dict()).last.asymmetry == log.before.asymmetry
    for epoch in (0, 5):
        log.add(epoch, dynamics.spectrum(torch.diag(torch.rand(3)), torch.randn(3, 3)))
    back = dynamics.Log.from_state(log.state_dict())
    assert back.epochs == [0, 5]
    for name, array in log.arrays().items():
        assert np.array_equal(back.arrays()[name], array), name
    arrays = log.arrays()
    assert arrays["eig_f"].shape == (2, 3)
    assert arrays["epochs_done"].tolist() == [0, 1, 6]
    assert arrays["asymmetry"].shape == (3,)


def test_the_log_tells_its_snapshots_as_the_authors_series_are_told() -> None:
    log = dynamics.Log(dynamics.spectrum(torch.eye(3), torch.eye(3)))
    assert log.arrays()["passed"].shape == (0,)
    for epoch in (2, 7, 12):
        log.add(epoch, dynamics.spectrum(torch.diag(torch.tensor([1.0, 0.5, 1e-5 * epoch])), torch.eye(3)))
    arrays = log.arrays()
    assert arrays["passed"].tolist() == [0, 0.5, 1]
    assert arrays["rank"] == pytest.approx([dynamics.effective_rank(s.eig_f) for s in log.spectra])
    assert arrays["asymmetry_after"].tolist() == [0, 0, 0]
    assert np.isnan(arrays["alignment_alive"]).tolist() == [[False, False, True]] * 3, "a nearly dead mode is not shown"
