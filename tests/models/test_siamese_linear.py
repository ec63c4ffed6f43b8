"""The linear dynamics of equations 2 to 4: fixed points, the collapse threshold, symmetry and alignment."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retable.bench.task import Context
from retable.models.siamese import LinearDynamics, linear


def run(seed: int = 0, **settings: object) -> tuple[linear.Linear, dict[str, float]]:
    task = linear.make(LinearDynamics.model_validate(settings), Context("cpu", seed))
    for i in range(task.steps):
        task.step(i)
    return task, dict(task.evaluate().metrics)


@given(st.floats(0, 2), st.floats(0, 1))
@settings(deadline=None)
def test_the_predicted_fixpoint_rests_and_exists_up_to_the_threshold(noise: float, share: float) -> None:
    eta = share * linear.threshold(noise)
    p = linear.fixpoint(noise, eta)
    assert p * (1 - (1 + noise) * p) == pytest.approx(eta, abs=1e-9)
    with pytest.raises(ValueError, match="no mode survives"):
        linear.fixpoint(noise, 1.01 * linear.threshold(noise))


def test_modes_survive_below_the_threshold_and_none_above() -> None:
    assert linear.threshold(0.1) == pytest.approx(0.2273, abs=1e-4)
    modes = {eta: run(eta=eta)[1]["linear/modes"] for eta in (0.04, 0.1, 0.15, 0.2, 0.24)}
    assert list(modes.values()) == sorted(modes.values(), reverse=True), "more decay, fewer modes"
    assert modes[0.04] >= 10
    assert modes[0.2] >= 1
    assert modes[0.24] == 0


def test_survivors_sit_at_the_predicted_fixpoint_and_are_aligned() -> None:
    for eta in (0.04, 0.1):
        _, metrics = run(eta=eta, steps=3000)
        assert metrics["linear/fixpoint_error"] < 1e-3
        assert metrics["linear/alignment"] == pytest.approx(1, abs=1e-4)


def test_the_predictor_turns_symmetric_by_itself() -> None:
    start, _ = run(steps=1)
    _, metrics = run()
    from retable.models.siamese.dynamics import asymmetry

    assert asymmetry(start.w_p)[0] > 1.3
    assert metrics["linear/asymmetry"] < 0.05


def test_a_faster_predictor_and_a_slower_target_save_modes() -> None:
    modes = [run(eta=0.15, alpha_p=ratio)[1]["linear/modes"] for ratio in (0.1, 1.0, 10.0)]
    assert modes[0] < modes[1] < modes[2]
    assert run(eta=0.15, target="ema")[1]["linear/modes"] >= modes[1]


def test_a_step_is_the_equations() -> None:
    s = LinearDynamics(units=3, target="ema", beta=0.2, sigma=0.3, eta=0.05, alpha_p=2, step_size=0.01)
    task = linear.make(s, Context("cpu", 1))
    w, w_p, w_a = task.w.clone(), task.w_p.clone(), task.w_a.clone() + 0.1
    task.w_a = w_a.clone()
    x, x_prime = torch.eye(3).double(), 0.3 * torch.eye(3).double()
    task.step(0)
    inside = -w_p @ w @ (x + x_prime) + w_a @ x
    assert torch.allclose(task.w_p, w_p + 0.01 * (2 * inside @ w.T - 0.05 * w_p))
    assert torch.allclose(task.w, w + 0.01 * (w_p.T @ inside - 0.05 * w))
    assert torch.allclose(task.w_a, w_a + 0.01 * 0.2 * (w - w_a))


def test_the_loss_is_the_expected_squared_distance() -> None:
    task = linear.make(LinearDynamics(units=4, sigma=0.2), Context("cpu", 0))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 200_000, 4, generator=generator, dtype=torch.float64)
    one, two = (x[0] + 0.2**0.5 * noise for noise in (x[1], x[2]))
    sampled = 0.5 * (one @ (task.w_p @ task.w).T - two @ task.w_a.T).square().sum(1).mean()
    assert float(task.step(0)["loss/total"]) == pytest.approx(float(sampled), rel=0.01)


def test_it_repeats_bit_for_bit_resumes_and_shares_its_start() -> None:
    first, metrics = run(steps=300)
    again, repeated = run(steps=300)
    assert metrics == repeated
    half, _ = run(steps=150)
    other = linear.make(LinearDynamics(steps=300), Context("cpu", 7))
    other.load_state_dict(half.state_dict())
    for i in range(150, 300):
        other.step(i)
    assert torch.equal(other.w_p, first.w_p)
    assert torch.equal(again.w, first.w)
    a, b = (linear.make(LinearDynamics(eta=eta), Context("cpu", 0)) for eta in (0.0, 0.1))
    assert torch.equal(a.w, b.w), "trials with one seed start from the same matrices"


def test_golden_numbers() -> None:
    """What the regression check of this project watches too."""
    _, metrics = run(steps=4000, step_size=0.05, eta=0.1)
    assert metrics["linear/modes"] == 9
    assert metrics["loss/total"] == pytest.approx(0.58350, abs=2e-4)
