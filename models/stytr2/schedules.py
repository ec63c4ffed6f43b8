"""Learning rate schedules: equation 13, the original's continuous one, a cosine, on a plateau, constant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


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


def cosine(step: int, *, steps: int, warmup_steps: int) -> float:
    """Ours, for short trainings: a straight rise to 1 over the warm-up, then half a cosine to 0 at the end."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup_steps) / (steps - warmup_steps))


class Plateau:
    """Multiply by `factor` after more than `patience` steps in a row without a loss below the lowest so far.

    As `torch.optim.lr_scheduler.ReduceLROnPlateau` with its relative threshold of 1e-4 and no cool-down, all of it on
    the device, so that no step waits for a loss.
    """

    def __init__(self, patience: int, factor: float, device: str = "cpu") -> None:
        self.patience, self.factor = patience, factor
        self.multiplier, self.waited = (
            make((), device=device, dtype=torch.double) for make in (torch.ones, torch.zeros)
        )
        self.lowest = torch.full_like(self.multiplier, torch.finfo(torch.double).max)

    def see(self, loss: Tensor) -> None:
        """Take note of the loss of a step."""
        loss = loss.double()
        lower = loss < self.lowest * (1 - 1e-4)
        waited = torch.where(lower, 0.0, self.waited + 1)
        over = waited > self.patience
        self.multiplier = torch.where(over, self.multiplier * self.factor, self.multiplier)
        self.lowest, self.waited = torch.where(lower, loss, self.lowest), torch.where(over, 0.0, waited)

    def state_dict(self) -> dict[str, Tensor]:
        return {"multiplier": self.multiplier, "lowest": self.lowest, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name in self.state_dict():
            setattr(self, name, torch.as_tensor(state[name]).to(self.multiplier))
