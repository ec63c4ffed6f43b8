"""The loop: a resumed trial equals an undisturbed one, divergence is seen at its step, points are means."""

from __future__ import annotations

import math
import random
import time
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


class Slow(Walk):
    """Steps so slow that a point of its curve takes longer than anybody would wait for a stop."""

    def step(self, index: int) -> Mapping[str, torch.Tensor]:
        time.sleep(0.03)
        return super().step(index)


def test_a_stop_and_a_checkpoint_do_not_wait_for_the_next_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOOK_SECONDS", 0.1)
    kept: list[int] = []
    quiet = training.Hooks(
        log=lambda *_: None,
        checkpoint=lambda data, step: kept.append(step),
        stop=lambda: len(kept) == 2,
        checkpoint_seconds=0.2,
    )
    outcome = training.run(Slow(10_000), quiet, "loss/total")  # a point each 100 steps: three seconds
    assert outcome.kind == "stopped" and outcome.progress.history == []
    assert len(kept) == 3 and kept[-1] < 100
    assert [step for step, _ in outcome.progress.since] == list(range(1, kept[-1] + 1))


def test_a_trial_that_is_stopped_within_a_point_has_the_same_point(monkeypatch: pytest.MonkeyPatch) -> None:
    whole: list[Any] = []
    training.seed_all(3, "abc")
    training.run(Walk(), hooks(whole, []), "loss/total")
    monkeypatch.setattr(training, "LOOK_SECONDS", 0.0)  # every step is looked at
    kept: list[bytes] = []
    after: list[Any] = []
    training.seed_all(3, "abc")
    asked = iter([False, False, False, False, True])
    stopped = training.Hooks(
        lambda s, _, v: after.append((s, v["loss/total"])), lambda d, _: kept.append(d), lambda: next(asked)
    )
    assert training.run(Walk(), stopped, "loss/total").reason == "stopped at step 5"
    task = Walk()
    training.run(task, hooks(after, []), "loss/total", training.unpack(kept[-1], task))
    assert after == whole


class Sampled(Walk):
    """Measures one of its values every 40 steps only."""

    def step(self, index: int) -> Mapping[str, torch.Tensor]:
        some = {"quality/now": torch.tensor(float(index))} if index % 40 == 5 else {}
        return {**super().step(index), **some}


def test_a_value_measured_now_and_then_is_logged_where_it_was_measured() -> None:
    points: list[tuple[int, dict[str, float]]] = []
    every = training.Hooks(lambda step, _, values: points.append((step, dict(values))), lambda *_: None)
    outcome = training.run(Sampled(250), every, "quality/now")
    measured = [(step, values["quality/now"]) for step, values in points if "quality/now" in values]
    assert measured == [(i + 1, float(i)) for i in range(5, 250, 40)]
    assert len([p for p in points if "loss/total" in p[1]]) == math.ceil(250 / 3)
    assert training.newest(outcome.progress, "quality/now") == 245.0
    assert training.newest(outcome.progress, "quality/never") is None


def test_a_pruner_sees_the_newest_measured_value() -> None:
    seen: list[tuple[int, float]] = []
    pruned = training.Hooks(
        lambda *_: None, lambda *_: None, report=lambda step, value: seen.append((step, value)), report_every=50
    )
    training.run(Sampled(250), pruned, "quality/now")
    assert [value for _, value in seen] == [45.0, 85.0, 125.0, 165.0, 245.0]


class Swallowing(Walk):
    """Its weights turn to `bad` at a step; its losses stay finite, as behind a ReLU."""

    def __init__(self, bad: float, at: int, place: str = "network"):
        super().__init__(250)
        self.bad, self.at, self.place = bad, at, place
        self.weights = torch.ones(3, 3)

    def step(self, index: int) -> Mapping[str, torch.Tensor]:
        if index == self.at:
            self.weights[1, 2] = self.bad
        return super().step(index)

    def state_dict(self) -> dict[str, Any]:
        return {"x": self.x, self.place: {"conv": [self.weights]}, "which": torch.arange(3)}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("at", "seen"), [(0, 3), (100, 102), (249, 250)])
def test_weights_that_are_not_finite_end_a_trial_at_the_next_point(bad: float, at: int, seen: int) -> None:
    outcome = training.run(Swallowing(bad, at), hooks([], []), "loss/total")
    assert (outcome.kind, outcome.reason) == ("diverged", f"network.conv.0 is not finite at step {seen}")


def test_an_optimizers_own_state_need_not_be_finite() -> None:
    assert training.run(Swallowing(math.inf, 3, "optimizer"), hooks([], []), "loss/total").kind == "finished"
    assert training.unsound({}) == ""


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
