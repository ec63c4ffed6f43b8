"""Learning rate schedules: equation 13, the original's continuous one, reduction on a plateau, constant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Name = Literal["equation13", "continuous", "plateau", "constant"]


def equation13(step: int, *, warmup_steps: int = 10_000, decay: float = 0.05) -> float:
    """eta(s) of equation 13: from 0.1 up to 0.4 over the warm-up, then 1 / (1 + gamma (s - warm-up)).

    step counts from 0. The printed slope 3e-4 is 3 / 10^4: with another warm-up the rise has the same height.
    At the end of the warm-up the multiplier jumps from 0.4 to 1, as printed.
    """
    if step < warmup_steps:
        return 0.1 * (1 + 3 * step / warmup_steps)
    return 1 / (1 + decay * (step - warmup_steps))


def continuous(step: int, *, warmup_steps: int = 10_000, decay: float = 1e-5) -> float:
    """The original's schedule: the same rise, then a decay that starts where the rise ends (0.4)."""
    if step < warmup_steps:
        return equation13(step, warmup_steps=warmup_steps)
    return 0.4 / (1 + decay * (step - warmup_steps))


@dataclass
class Plateau:
    """Multiply by `factor` after more than `patience` steps in a row without a loss below the lowest so far.

    As `torch.optim.lr_scheduler.ReduceLROnPlateau` with its relative threshold of 1e-4 and no cool-down.
    """

    patience: int
    factor: float
    multiplier: float = field(default=1.0, init=False)
    lowest: float = field(default=float("inf"), init=False)
    waited: int = field(default=0, init=False)

    def see(self, loss: float) -> None:
        """Take note of the loss of a step."""
        if loss < self.lowest * (1 - 1e-4):
            self.lowest, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.multiplier, self.waited = self.multiplier * self.factor, 0

    def state_dict(self) -> dict[str, float]:
        return {"multiplier": self.multiplier, "lowest": self.lowest, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.multiplier, self.lowest = float(state["multiplier"]), float(state["lowest"])
        self.waited = int(state["waited"])
