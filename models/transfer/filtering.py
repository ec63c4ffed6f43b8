"""Two ways to (I + w L)^-1 y that never invert a matrix: a polynomial graph filter and conjugate gradients.

The first is the paper's (section 4.2.1): a function of a graph's Laplacian, replaced by a Chebyshev polynomial, is
applied by as many products with L as its order (Shuman et al., "The Emerging Field of Signal Processing on
Graphs", 2013, section III). It needs no inner products; conjugate gradients stop as soon as they are close enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Operator = Callable[[Tensor], Tensor]
"""A symmetric linear map of arrays [..., H, W] to arrays of the same shape."""


def chebyshev_order(weight: float, bound: float, tolerance: float) -> int:
    """The smallest order whose filter is off by at most `tolerance` anywhere on the spectrum [0, bound].

    The coefficients of 1 / (1 + weight x) fall geometrically, and at x = 0 all that are left out have one sign:
    the error there is the largest, and known in closed form.
    """
    scale, rho = _series(weight, bound)
    return max(1, math.ceil(math.log(max(2 * scale / ((rho - 1) * tolerance), 1.0)) / math.log(rho)))


def graph_filter(laplacian: Operator, y_CHW: Tensor, weight: float, bound: float, order: int) -> Tensor:
    """(I + weight L)^-1 y by a Chebyshev polynomial of L of the given order.

    bound: an upper bound of L's eigenvalues. weight: at least 0. Applied to every channel of [..., H, W].
    """
    if weight == 0:
        return y_CHW.clone()
    scale, rho = _series(weight, bound)
    ratio = -1 / rho
    # T_0 y, T_1 y of the spectrum moved to [-1, 1]; then T_k+1 = 2 (2 L / bound - I) T_k - T_k-1.
    before = y_CHW
    now = laplacian(y_CHW).mul_(2 / bound).sub_(y_CHW)
    out = scale * (before + 2 * ratio * now)
    for k in range(2, order + 1):
        after = laplacian(now).mul_(4 / bound).sub_(now, alpha=2).sub_(before)
        before, now = now, after
        out.add_(now, alpha=2 * scale * ratio**k)
    return out


def conjugate_gradients(
    operator: Operator, y_CHW: Tensor, tolerance: float, start_CHW: Tensor | None = None, limit: int = 1000
) -> Tensor:
    """x with |A x - y| <= tolerance |y|, every channel of [..., H, W] by itself.

    operator: A, symmetric positive definite. start: a first guess; y itself unless given. Raises RuntimeError
    after `limit` steps.
    """
    x = (y_CHW if start_CHW is None else start_CHW).clone()
    residual = y_CHW - operator(x)
    direction = residual.clone()
    square = residual.square().sum((-2, -1), keepdim=True)
    goal = (tolerance**2 * y_CHW.square().sum((-2, -1), keepdim=True)).clamp_min(torch.finfo(x.dtype).tiny)
    for _ in range(limit):
        if bool((square <= goal).all()):
            return x
        product = operator(direction)
        curvature = (direction * product).sum((-2, -1), keepdim=True)
        step = torch.where(curvature > 0, square / curvature, 0.0)  # a channel that is solved has nothing to go on
        x.add_(step * direction)
        residual.sub_(step * product)
        before, square = square, residual.square().sum((-2, -1), keepdim=True)
        direction.mul_(torch.where(before > 0, square / before, 0.0)).add_(residual)
    off = float((square.sqrt() / goal.sqrt()).max() * tolerance)
    raise RuntimeError(
        f"conjugate gradients reached {off:.1e} of {tolerance:.1e} in {limit} steps: raise the tolerance"
    )


def _series(weight: float, bound: float) -> tuple[float, float]:
    """1 / (1 + weight x) on [0, bound] is scale (1 + 2 sum_k (-1 / rho)^k T_k): its scale and rho."""
    if weight <= 0 or bound <= 0:
        raise ValueError(f"weight and bound must be above 0, not {weight:g} and {bound:g}")
    z = 1 + 2 / (weight * bound)
    root = math.sqrt(z * z - 1)
    return 2 / (weight * bound) / root, z + root
