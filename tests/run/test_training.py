"""The loop: a resumed trial equals an undisturbed one, divergence is seen at its step, points are means."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from retable.bench.run import training
from retable.bench.task import Evaluation


class Walk:
    """A random walk that draws from all three generators."""

    def __init__(self, steps: int = 250, loss: Callable[[int, float], float] | None = None):
        self.steps, self.x = steps, torch.zeros(())
        self.loss = loss or (lambda _, x: x)

    def step(self, index: int) -> Mapping[str, torch.Tensor]:
        self.x = self.x + torch.randn(()) + float(np.random.rand()) + random.random()
        return {"loss/total": torch.tensor(self.loss(index, float(self.x)))}

    def evaluate(self) -> Evaluation:
        return Evaluation()

    def state_dict(self) -> dict[str, Any]:
        return {"x": self.x}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.x = state["x"].clone()


def hooks(points: list[Any], kept: list[bytes], stop_after: int | None = None) -> training.Hooks:
    return training.Hooks(
        log=lambda step, seconds, values: points.append((step, values["loss/total"])),
        checkpoint=lambda data, step: kept.append(data),
        stop=lambda: stop_after is not None and bool(points) and points[-1][0] >= stop_after,
    )


@pytest.mark.parametrize("stop", [1, 40, 199, 249])
def test_a_stopped_trial_goes_on_as_if_it_never_had(stop: int) -> None:
    whole: list[Any] = []
    training.seed_all(3, "abc")
    training.run(Walk(), hooks(whole, []), "loss/total")

    before: list[Any] = []
    kept: list[bytes] = []
    training.seed_all(3, "abc")
    outcome = training.run(Walk(), hooks(before, kept, stop), "loss/total")
    if not kept:
        assert outcome.kind == "finished" and before == whole
        return
    training.seed_all(99, "something else")
    task, after = Walk(), list(before)
    progress = training.unpack(kept[-1], task)
    assert [(s, v["loss/total"]) for s, _, v in progress.history] == before
    assert training.run(task, hooks(after, []), "loss/total", progress).kind == "finished"
    assert after == whole  # to the bit


def test_points_are_means_over_the_steps_since_the_last() -> None:
    points: list[Any] = []
    training.run(Walk(250, lambda i, _: float(i)), hooks(points, []), "loss/total")
    assert points[0] == (3, 1.0) and points[1] == (6, 4.0) and points[-1] == (250, 249.0)
    assert len(points) == math.ceil(250 / 3) <= training.POINTS


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("at", [0, 1, 17, 249])
def test_divergence_is_seen_at_its_step(bad: float, at: int) -> None:
    if bad == 1e30 and at == 0:
        return  # a first value is the measure of the others
    points: list[Any] = []
    outcome = training.run(Walk(250, lambda i, _: bad if i == at else 1.0), hooks(points, []), "loss/total")
    assert outcome.kind == "diverged" and outcome.reason.endswith(f"at step {at + 1}")


def test_generators_are_seeded_from_seed_and_trial() -> None:
    def draw(seed: int, trial: str) -> tuple[float, float, float]:
        training.seed_all(seed, trial)
        return float(torch.rand(())), float(np.random.rand()), random.random()

    assert draw(1, "a") == draw(1, "a") != draw(2, "a")
    assert draw(1, "a") != draw(1, "b")


def test_a_checkpoint_that_would_run_code_is_refused() -> None:
    import io
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return (print, ("run",))

    buffer = io.BytesIO()
    torch.save({"task": Evil()}, buffer)
    with pytest.raises(pickle.UnpicklingError):
        training.from_bytes(buffer.getvalue())
