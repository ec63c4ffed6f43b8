"""Predictors in closed form: DirectPred (section 3.2, equations 5 to 7) and DirectCopy.

With F = U diag(lambda) U', the released code sets W_p = U diag(sqrt(lambda / max lambda) + epsilon) U'. That is
sqrtm(F / max lambda) + epsilon I, a function of F that needs no eigenvectors: on a GPU it comes from matrix products
alone (Newton-Schulz, Higham, "Functions of Matrices", 2008, section 6.3), without waiting for the host. (Equation 5
prints epsilon times max lambda, unnormalised; the cosine loss forgives the difference in scale, not that in shape.)
DirectCopy: Wang et al., arXiv:2110.04947.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

ITERATIONS = 18
"""Of Newton-Schulz: within 0.1 % of the eigendecomposition on spectra over six decades (float32)."""

SQUARINGS = 9
"""F's 512th power weighs the eigenvalues when the largest is asked for."""

TINY = 1e-30


def second_moment(*views: Tensor) -> Tensor:
    """Mean of h h' over the rows of all views [B, d] -> [d, d], not centred, in float64.

    Equation 7 writes the product of the two views; the released code, and the original's, take each with itself. In
    float32 every eigenvalue below some 1e-6 of the largest would be rounding.
    """
    rows = torch.cat([view.detach().double() for view in views])
    return rows.T @ rows / len(rows)


def directpred(f: Tensor, epsilon: float) -> Tensor:
    """W_p for a positive semidefinite F [d, d]: sqrtm(F / max lambda) + epsilon I.

    By eigendecomposition on the CPU, by Newton-Schulz elsewhere. Numbers that are not finite come back as NaN, so
    that a diverged run ends as one; a decomposition that fails on finite numbers gives way to Newton-Schulz, with
    a warning.
    """
    if f.device.type != "cpu":
        return by_newton_schulz(f, epsilon)
    if not torch.isfinite(f).all():
        return torch.full_like(f, torch.nan)
    try:
        return by_eigh(f, epsilon)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        warnings.warn(f"eigh failed on F ({error}): this step takes Newton-Schulz", RuntimeWarning, stacklevel=2)
        return by_newton_schulz(f, epsilon)


def by_eigh(f: Tensor, epsilon: float) -> Tensor:
    """`directpred` by eigendecomposition. Raises torch.linalg.LinAlgError if that does not converge."""
    values, u = torch.linalg.eigh(f)
    values = values.clamp_min(0)
    p = (values / values[-1].clamp_min(TINY)).sqrt() + epsilon
    w: Tensor = (u * p) @ u.T
    return w


def by_newton_schulz(f: Tensor, epsilon: float) -> Tensor:
    """`directpred` by matrix products alone; nothing waits for the host."""
    eye = torch.eye(len(f), device=f.device, dtype=f.dtype)
    norm = torch.linalg.matrix_norm(f).clamp_min(TINY)
    y, z = f / norm, eye
    largest = largest_eigenvalue(y)
    for _ in range(ITERATIONS):
        t = 1.5 * eye - 0.5 * (z @ y)
        y, z = y @ t, t @ z
    w: Tensor = (y + y.T) / (2 * largest.clamp_min(TINY).sqrt()) + epsilon * eye
    return w


def largest_eigenvalue(f: Tensor) -> Tensor:
    """Of a positive semidefinite [d, d], a scalar tensor: tr(F^513) / tr(F^512), below it by less than 0.5 %."""
    power = f
    for _ in range(SQUARINGS):
        power = power / power.diagonal().sum().clamp_min(TINY)
        power = power @ power
    return (power * f).sum() / power.diagonal().sum().clamp_min(TINY)


def directcopy(f: Tensor, epsilon: float) -> Tensor:
    """W_p = F / |F| + epsilon I, with the Frobenius norm."""
    eye = torch.eye(len(f), device=f.device, dtype=f.dtype)
    w: Tensor = f / torch.linalg.matrix_norm(f).clamp_min(TINY) + epsilon * eye
    return w


SETTERS = {"directpred": directpred, "directcopy": directcopy}
