"""Trials as `bench check` sees them, made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retable.bench.judging.baseline import Baseline, merge
from retable.bench.judging.measured import Measured
from retable.bench.suite.plan import Trial

HERE = {"device": "cpu", "cpu": "AMD EPYC", "isa": "avx2", "torch": "2.9.0", "threads": "1", "ranks": "1"}
TWO = {**HERE, "threads": "2"}


def trial(
    name: str,
    loss: float | None = 1.0,
    state: str = "finished",
    platform: Mapping[str, str] = HERE,
    experiment: str = "grid",
    **more: Any,
) -> Measured:
    """A trial with `loss` at its end and ten times that at step 0; None: without a number."""
    made = Trial(name, "toy", "quick", experiment, "descent", {"steps": 20}, {"lr": 0.1}, 0)
    values = {} if loss is None else {"loss at step 0": 10 * loss, "loss": loss}
    return Measured(made, f"{experiment}: {name}", state, platform=platform, values=values, **more)


def sixteen(factor: float = 1.0, platform: Mapping[str, str] = HERE) -> list[Measured]:
    return [trial(f"t{i}", factor * (1 + i / 7), platform=platform) for i in range(16)]


def held(*measured: Measured) -> Baseline:
    """A baseline of these trials."""
    return merge(Baseline({"suite": "toy", "scale": "quick"}), measured)[0]
