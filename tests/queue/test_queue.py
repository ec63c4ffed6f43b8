"""Optuna as the queue: no trial is claimed twice, even by many writers on one SQLite file."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from optuna.trial import TrialState

from retable.bench.queue import storage, study
from retable.bench.store.places import Stores
from retable.bench.suite.plan import Trial
from retable.bench.suite.schema import Experiment

CLAIM = """
import sys, optuna
from retable.bench.queue import storage, study
found = optuna.load_study(study_name="s", storage=storage.connect(sys.argv[1]), sampler=optuna.samplers.RandomSampler())
def objective(trial):
    if "cell" not in trial.user_attrs:
        trial.study.stop(); raise optuna.TrialPruned
    print(trial.user_attrs["cell"], flush=True)
    return 0.0
found.optimize(objective, n_trials=1000)
"""


def test_six_writers_claim_each_trial_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    storage.prepare(Stores("", url, None, tmp_path))
    trials = [Trial(f"{i:03}", "s", "quick", "e", "t", {"a": i}, {"a": i}, 0) for i in range(60)]
    queue = study.Queue(study.create(storage.connect(url), "s", Experiment(task="t", about="x")), study.space(trials))
    for trial in trials:
        queue.enqueue(trial, again=False)
    workers = [
        subprocess.Popen([sys.executable, "-c", CLAIM, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    outputs = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 6, outputs
    claimed = Counter(cell for out, _ in outputs for cell in out.split())
    assert claimed == Counter(t.id for t in trials)
    queue.refresh()
    assert {queue.state(t.id) for t in trials} == {"done"}


def test_a_dead_workers_trial_is_given_back_a_bounded_number_of_times(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    storage.prepare(Stores("", url, None, tmp_path))
    trial = Trial("x", "s", "quick", "e", "t", {}, {}, 0)
    queue = study.Queue(study.create(storage.connect(url), "s", Experiment(task="t", about="x")), {})
    queue.refresh()
    queue.enqueue(trial, again=False)
    for _ in range(storage.MAX_KILLS + 1):
        queue.refresh()
        assert queue.state("x") == "waiting"
        study.give_back(queue.study, [queue.study.ask().number])
    queue.refresh()
    assert queue.state("x") == "failed"
    queue.enqueue(trial, again=True)  # a person asks again
    queue.refresh()
    assert queue.state("x") == "waiting"


def test_trials_are_read_in_pages_and_those_that_ended_well_are_kept_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PAGE", 3)
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    storage.prepare(Stores("", url, None, tmp_path))
    trials = [Trial(f"x{i}", "s", "quick", "e", "t", {}, {"lr": i % 2}, 0) for i in range(10)]
    queue = study.Queue(study.create(storage.connect(url), "s", Experiment(task="t", about="x")), study.space(trials))
    for trial in trials:
        queue.enqueue(trial, again=False, needs={"torch": "1"})
    queue.study.tell(queue.study.ask(), 1.0)
    other = study.create(storage.connect(url), "s", Experiment(task="t", about="x"))
    for expected in (1, 2):  # what ended between two looks is seen at the second
        found = other.get_trials(deepcopy=False)
        assert [t.number for t in found] == list(range(10))
        done = [t for t in found if t.state == TrialState.COMPLETE]
        assert [t.number for t in done] == list(range(expected))
        assert all(set(t.user_attrs) == {"cell", "again"} and t.params["lr"] == t.number % 2 for t in done)
        assert all(Trial.from_json(t.user_attrs["trial"]) == trials[t.number] for t in found[expected:])
        assert all(t.distributions is not found[0].distributions for t in found[1:])
        assert all(t.distributions["lr"] is done[0].distributions["lr"] for t in done)
        queue.study.tell(queue.study.ask(), 1.0)


def test_a_space_has_every_value_once_in_order_and_by_its_type() -> None:
    values = [1, True, 1.0, "1", None, [1, 2], [1, 2], 1, [2, 1], None]
    trials = [Trial("id", "s", "quick", "e", "t", {}, {"x": value}, 0) for value in values]
    assert repr(study.space(trials)) == repr({"x": [1, True, 1.0, "1", None, [1, 2], [2, 1]]})
