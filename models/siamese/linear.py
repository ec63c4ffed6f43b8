"""Task `siamese_linear`: the linear model whose collapse can be computed, equations 2 to 4.

W is the network, W_p the predictor, W_a the target, all [d, d]; X = I is the data's covariance and X' = sigma I that
of its augmentation (section 3.2). Symbols are the paper's. Float64 throughout, drawn from the seed alone, so that
trials with one seed start from the same matrices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from retable.bench.task import Context, Evaluation, State
from retable.models.siamese import LinearDynamics, dynamics

SURVIVES = 1e-3
"""An eigenvalue of F = W X W' beyond this has not collapsed."""


def make(settings: LinearDynamics, context: Context) -> Linear:
    return Linear(settings, context)


def threshold(sigma: float) -> float:
    """The weight decay of W beyond which every mode collapses: 1 / (4 (1 + sigma)).

    Where a mode survives at rest, equation 3 leaves lambda (1 - (1 + sigma) lambda) = eta for its eigenvalue lambda
    of W_p; the left side is at most 1 / (4 (1 + sigma)).
    """
    return 1 / (4 * (1 + sigma))


def fixpoint(sigma: float, eta: float) -> float:
    """The stable eigenvalue of W_p of a surviving mode: the larger root of lambda (1 - (1 + sigma) lambda) = eta.

    Raises ValueError beyond `threshold`, where there is none.
    """
    inside = 1 - 4 * (1 + sigma) * eta
    if inside < 0:
        raise ValueError(f"no mode survives a weight decay of {eta}: the threshold is {threshold(sigma):.4g}")
    return (1 + math.sqrt(inside)) / (2 * (1 + sigma))


class Linear:
    """See the module."""

    def __init__(self, settings: LinearDynamics, context: Context):
        s = self.settings = settings
        self.steps = s.steps
        self.device = torch.device(context.device)
        generator = torch.Generator().manual_seed(context.seed)
        drawn = (
            torch.randn(2, s.units, s.units, generator=generator, dtype=torch.float64) * s.scale / math.sqrt(s.units)
        )
        w, w_p = drawn.to(self.device)
        if s.symmetric:
            w_p = w_p @ w_p.T * math.sqrt(s.units) / s.scale  # symmetric and positive, as the two-layer predictor's
        self.w, self.w_p, self.w_a = w, w_p, w.clone()

    def step(self, index: int) -> Mapping[str, Tensor]:
        s, w, w_p, w_a = self.settings, self.w, self.w_p, self.w_a
        # X + X' = (1 + sigma) I and X = I.
        error = w_a - (1 + s.sigma) * w_p @ w
        eta_p = s.eta if s.eta_acts_on != "network" else 0.0
        eta = s.eta if s.eta_acts_on != "predictor" else 0.0
        d_p = s.alpha_p * error @ w.T - eta_p * w_p  # equation 2
        d = w_p.T @ error - eta * w  # equation 3
        d_a = s.beta * (w - w_a)  # equation 4
        loss = self._loss()
        self.w_p = w_p + s.step_size * d_p
        self.w = w + s.step_size * d
        self.w_a = self.w if s.target == "copied" else w_a + s.step_size * d_a
        return {"loss/total": loss}

    def _loss(self) -> Tensor:
        """E |W_p W x1 - W_a x2|^2 / 2 over two views x1, x2 of one x."""
        p, w_a = self.w_p @ self.w, self.w_a
        loss: Tensor = 0.5 * (1 + self.settings.sigma) * (p.square().sum() + w_a.square().sum()) - (p * w_a).sum()
        return loss

    def evaluate(self) -> Evaluation:
        s = self.settings
        f = self.w @ self.w.T
        found = dynamics.spectrum(f, self.w_p)
        alive = found.eig_f > SURVIVES
        metrics = {
            "loss/total": float(self._loss()),
            "linear/modes": float(alive.sum()),
            "linear/asymmetry": found.asymmetry,
        }
        if alive.any():
            metrics["linear/alignment"] = float(found.alignment[alive].mean())
            eta = s.eta if s.eta_acts_on != "predictor" else 0.0
            if eta <= threshold(s.sigma):
                values, vectors = torch.linalg.eigh(f)
                v = vectors[:, values > SURVIVES]
                lambdas = (v * (self.w_p @ v)).sum(0)
                metrics["linear/fixpoint_error"] = float((lambdas - fixpoint(s.sigma, eta)).abs().max())
        arrays = {"eig_f": found.eig_f, "eig_w": found.eig_w, "alignment": found.alignment}
        return Evaluation(metrics=metrics, arrays={"linear": arrays}, model=self.state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {"w": self.w, "w_p": self.w_p, "w_a": self.w_a}

    def load_state_dict(self, state: State) -> None:
        self.w, self.w_p, self.w_a = (state[name].to(self.device) for name in ("w", "w_p", "w_a"))
