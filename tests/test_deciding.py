"""`bench decide`: seeds go where a claim is undecided, looks are remembered, and a budget is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click import BadParameter

from retable.bench import api
from retable.bench.commands.decide import seconds
from retable.bench.judging import verdicts
from retable.bench.store import looks

TASKS = '''
"""Dice: what a die throws is its edge and noise of its seed."""

import numpy as np
import torch

from retable.bench.task import Evaluation, Metric, Settings, TaskSpec


class Dice(Settings):
    edge: float = 0.0


class Throw:
    steps = 1

    def __init__(self, settings, context):
        noise = np.random.default_rng([context.seed, int(settings.edge * 1000)]).normal()
        self.throw = settings.edge + noise - 20  # below 0: compared as it is, not on logarithms

    def step(self, index):
        return {"loss/total": torch.tensor(self.throw)}

    def evaluate(self):
        return Evaluation({"score/throw": float(self.throw)})

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


METRICS = {"loss/total": Metric("the throw", None), "score/throw": Metric("the throw", "higher")}
TASKS = [TaskSpec("dice", Dice, "dice:Throw", METRICS, "score/throw", lambda s: [])]
'''
SUITE = """
suite: noisy
about: A loaded die, and one that is hardly loaded.
paper: {title: On loaded dice, authors: [A. Nonymous], year: 2020}
packages: dice
scales: {quick: {about: seconds}}
experiments:
  throws:
    task: dice
    about: three dice
    settings: {edge: {value: [0.0, 3.0, 0.001], source: section 1}}
    seeds: 3
claims:
  loaded:
    quote: The loaded die throws more than the fair one.
    from: throws
    check: {form: below, metric: score/throw, these: {edge: 3.0}, than: {edge: 0.0}, higher: true}
  hardly:
    quote: The hardly loaded die throws more than the fair one.
    from: throws
    check: {form: below, metric: score/throw, these: {edge: 0.001}, than: {edge: 0.0}, higher: true}
"""


@pytest.fixture
def dice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one noisy suite, run with its three seeds."""
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "noisy.yaml").write_text(SUITE)
    (tmp_path / "dice.py").write_text(TASKS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(folder: Path) -> dict[str, str]:
    return {v.name: v.word for v in verdicts.judge_all(api.results("noisy"))}


def test_seeds_are_added_where_a_claim_is_undecided_and_every_look_is_remembered(
    dice: Path, bench: Callable[..., Any]
) -> None:
    assert bench("run", "noisy", "--no-report", "--workers", "1").code == 0
    assert words(dice) == {"loaded": "within noise", "hardly": "within noise"}

    ran = bench("decide", "noisy", "--budget", "2m", "--max-seeds", "8", "--workers", "1", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["decided"] == ["loaded"] and found["why"] == "no claim is left that more seeds may decide"
    first = found["rounds"][0]
    assert (first["claim"], first["seeds"]) == ("loaded", 5)
    assert len(first["trials"]) == 4  # two dice, two more seeds: the third die is not the claim's
    assert words(dice)["loaded"] == "reproduced"

    seen = looks.read(api.load_suite("noisy").suite, "quick", f"sqlite:///{dice}/mlruns/mlflow.db")
    assert seen["hardly"] == (3, 5, 8)
    bases = {v.name: v.basis for v in verdicts.judge_all(api.results("noisy"))}
    assert bases["hardly"].startswith("look 3 of 5: 8 paired seeds, t 98.9 %")

    again = json.loads(bench("decide", "noisy", "--budget", "2m", "--max-seeds", "8", "--json").out)
    assert again["rounds"] == [] and again["decided"] == []


def test_no_step_is_begun_that_the_budget_does_not_hold(dice: Path, bench: Callable[..., Any]) -> None:
    assert bench("run", "noisy", "--no-report", "--workers", "1").code == 0
    ran = bench("decide", "noisy", "--budget", "0s", "--workers", "1")
    assert ran.code == 0 and "0 claims decided" in ran.out and "the budget is spent" in ran.out
    assert words(dice) == {"loaded": "within noise", "hardly": "within noise"}


@pytest.mark.parametrize(("said", "is_"), [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("1.5h", 5400)])
def test_a_budget_is_a_time(said: str, is_: float) -> None:
    assert seconds(said) == is_


@pytest.mark.parametrize("said", ["", "2", "h", "2 days", "1h-3m"])
def test_what_is_no_time_is_refused(said: str) -> None:
    with pytest.raises(BadParameter, match="is no time; write 2h, 90m or 1h30m"):
        seconds(said)


def test_a_report_is_a_look_and_more_seeds_after_it_are_a_second(dice: Path, bench: Callable[..., Any]) -> None:
    assert bench("run", "noisy", "--workers", "1").code == 0
    uri, suite = f"sqlite:///{dice}/mlruns/mlflow.db", api.load_suite("noisy").suite
    assert looks.read(suite, "quick", uri) == {"loaded": (3,), "hardly": (3,)}
    assert bench("report", "noisy").code == 0
    assert looks.read(suite, "quick", uri) == {"loaded": (3,), "hardly": (3,)}, "the same look"

    assert bench("run", "noisy", "--seeds", "4", "--workers", "1").code == 0
    assert looks.read(suite, "quick", uri) == {"loaded": (3, 4), "hardly": (3, 4)}
    (basis, _) = (v.basis for v in verdicts.judge_all(api.results("noisy")))
    assert basis.startswith("unplanned look 2: 4 seeds, e-value"), "4 is not on the schedule"
