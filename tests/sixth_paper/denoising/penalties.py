"""Section 2: what the differences of neighbours cost. dx, dy: differences along both axes, of any shape.

A penalty is a function and its name in `PENALTIES`, which a suite's `penalty` may say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def quadratic(dx: Tensor, dy: Tensor) -> Tensor:
    """|∇u|²: a step of 1 costs as much as a hundred of 0.1, so it blurs edges."""
    return dx**2 + dy**2


def total_variation(dx: Tensor, dy: Tensor) -> Tensor:
    """|∇u|, which does not care how steep an edge is; 1e-6 keeps its gradient finite."""
    return (dx**2 + dy**2 + 1e-6).sqrt()


PENALTIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"quadratic": quadratic, "total_variation": total_variation}
