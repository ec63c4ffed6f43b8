"""What is held of a suite's trials; any MLflow experiment's runs as trials: told apart by parameters or a tag."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from gating import trial

from retable.bench.judging import measured
from retable.bench.judging.measured import GateError, Measured
from retable.bench.store import status
from retable.bench.store.places import Stores
from retable.bench.suite import loader, plan

Uri = str


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> Uri:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def train(
    uri: Uri, losses: list[float], *, status: str = "FINISHED", tags: dict[str, str] | None = None, **params: Any
) -> str:
    """A training as other people write them."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("nightly")
    run = mlflow.start_run(tags=tags)
    mlflow.log_params(params)
    for step, loss in enumerate(losses):
        mlflow.log_metric("loss/total", loss, step=step)
    mlflow.end_run(status)
    return run.info.run_id


def found(uri: Uri, *metrics: str, **how: Any) -> dict[str, Measured]:
    return {m.trial.id: m for m in measured.of_runs(uri, "nightly", metrics or ("loss/total",), **how)}


def test_runs_are_told_apart_by_their_parameters(uri: Uri) -> None:
    train(uri, [4.0, 2.0, 1.0], lr=0.1, seed=3, host="a")
    train(uri, [5.0, 3.0, 2.0], lr=0.01, seed=3, host="b")
    assert set(found(uri)) == {"host=a lr=0.1 seed=3", "host=b lr=0.01 seed=3"}
    assert set(found(uri, match=["lr"])) == {"lr=0.1", "lr=0.01"}
    one = found(uri, match=["lr", "seed"])["lr=0.1 seed=3"]
    assert (one.name, one.state, one.done) == ("nightly: lr=0.1 seed=3", "finished", True)
    assert one.trial == plan.Trial("lr=0.1 seed=3", "", "", "nightly", "", {}, {"lr": 0.1, "seed": 3}, 3)


def test_a_curve_is_held_at_shares_of_its_steps_and_at_its_end(uri: Uri) -> None:
    train(uri, [float(100 - i) for i in range(41)], lr=0.1)
    (one,) = found(uri).values()
    assert one.values == {
        "loss/total at step 2": 98.0,
        "loss/total at step 10": 90.0,
        "loss/total at step 20": 80.0,
        "loss/total at step 40": 60.0,
        "loss/total": 60.0,
    }


def test_of_runs_that_are_alike_the_newest_counts(uri: Uri) -> None:
    train(uri, [1.0], lr=0.1)
    train(uri, [2.0], lr=0.1)
    assert found(uri)["lr=0.1"].values["loss/total"] == 2.0
    newest = train(uri, [3.0], lr=0.1, status="FAILED")
    (one,) = found(uri).values()
    assert (one.state, one.values) == ("failed", {}) and one.reason == f"its newest run, {newest}, is FAILED"
    train(uri, [3.0], lr=0.1, status="KILLED")
    assert found(uri)["lr=0.1"].state == "failed"
    train(uri, [3.0], lr=0.1, status="RUNNING")
    assert found(uri)["lr=0.1"].state == "running"


def test_a_tag_tells_runs_apart_and_leaves_those_without_it(uri: Uri) -> None:
    train(uri, [1.0], lr=0.1, tags={"case": "small"})
    train(uri, [2.0], lr=0.1)
    assert {key: m.values["loss/total"] for key, m in found(uri, tag="case").items()} == {"small": 1.0}
    with pytest.raises(GateError, match=r"has the tag 'cas'; did you mean 'case'\?"):
        found(uri, tag="cas")


def test_runs_say_what_they_ran_on_by_tags(uri: Uri) -> None:
    train(uri, [1.0], lr=0.1, tags={"retable.platform": "ci", "retable.device": "cuda", "retable.gpu": "L4"})
    assert found(uri)["lr=0.1"].platform == {"device": "cuda", "gpu": "L4", "ranks": "1", "platform": "ci"}


def test_what_cannot_be_told_apart_or_was_not_logged_is_said(uri: Uri) -> None:
    with pytest.raises(GateError, match="no runs of an MLflow experiment 'nightly'"):
        found(uri)
    train(uri, [1.0], lr=0.1)
    with pytest.raises(GateError, match=r"has no parameter 'lrate'; known: lr"):
        found(uri, match=["lrate"])
    with pytest.raises(
        GateError, match=r"has logged loss; did you mean 'loss/total'\?|has logged loss; known: loss/total"
    ):
        found(uri, "loss")
    train(uri, [1.0])
    with pytest.raises(GateError, match="has no parameters to tell it by"):
        found(uri)


def test_counterparts_are_other_runs_of_the_same_parameters_and_code(uri: Uri, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "other.db")
    train(uri, [9.0], lr=0.1, seed=0)
    train(uri, [1.0], lr=0.1, seed=0)
    train(uri, [1.0], lr=0.2, seed=0)
    train(uri, [1.0], lr=0.3, seed=0, tags={"retable.code": "a"})
    for loss in (2.0, 2.5):  # the newest counts
        train(other, [loss], lr=0.1, seed=0, precision="fp32", tags={"retable.threads": "2"})
    train(other, [3.0], lr=0.2, seed=1)
    train(other, [3.0], lr=0.3, seed=0, tags={"retable.code": "b"})
    train(other, [3.0], lr=0.2, seed=0, status="FAILED")
    mine = list(found(uri).values())
    (there,) = measured.counterparts(uri, mine, other, {"nightly": "nightly"})
    assert there.trial.id == "lr=0.1 seed=0" and there.values["loss/total"] == 2.5
    assert there.platform == {"threads": "2", "ranks": "1"}
    (again,) = measured.counterparts(uri, mine, uri, {"nightly": "nightly"})
    assert again.values["loss/total"] == 9.0  # never the run itself
    assert measured.counterparts(uri, [], other, {"nightly": "nightly"}) == []


def test_a_run_that_logged_less_is_held_to_what_it_logged(uri: Uri) -> None:
    train(uri, [2.0, 1.0], lr=0.1, seed="first")
    both = found(uri, "loss/total", "accuracy")["lr=0.1 seed=first"]
    assert both.values == {"loss/total at step 1": 1.0, "loss/total": 1.0}
    assert (both.trial.seed, both.trial.varied["seed"], both.reason, both.code) == (0, "first", "", "")


def test_one_run_that_logged_a_metric_is_enough(uri: Uri) -> None:
    train(uri, [], lr=0.1)
    with pytest.raises(GateError, match=r"^no run of 'nightly' has logged loss/total, accuracy"):
        found(uri, "loss/total", "accuracy")
    train(uri, [1.0], lr=0.2)
    assert {key: bool(m.values) for key, m in found(uri).items()} == {"lr=0.1": False, "lr=0.2": True}


def test_a_tag_is_looked_for_among_the_users_own(uri: Uri) -> None:
    train(uri, [1.0], lr=0.1, tags={"retable.code": "abc"})
    with pytest.raises(GateError, match=r"'sase'; known: retable\.code$"):
        found(uri, tag="sase")
    assert found(uri)["lr=0.1"].code == "abc"


def test_a_run_that_waits_to_start_is_missing(uri: Uri) -> None:
    train(uri, [1.0], lr=0.1, status="SCHEDULED")
    (one,) = found(uri).values()
    assert (one.state, one.done, one.values) == ("missing", False, {})


@pytest.mark.parametrize(
    ("state", "done"),
    [
        *[(state, True) for state in ("finished", "diverged", "collapsed", "pruned")],
        *[(state, False) for state in ("failed", "running", "missing", "stale", "gone")],
    ],
)
def test_a_trial_is_done_when_it_has_an_outcome_to_compare(state: str, done: bool) -> None:
    assert Measured(trial("t"), "grid: t", state).done is done


def test_counterparts_have_the_metrics_of_the_trial_and_may_lie_in_another_experiment(uri: Uri) -> None:
    import mlflow

    train(uri, [4.0, 2.0], lr=0.1)
    train(uri, [4.0, 2.0], lr=0.2, status="FAILED")
    mine = list(found(uri).values())
    mlflow.set_experiment("again")
    for lr in (0.1, 0.2):
        with mlflow.start_run():
            mlflow.log_params({"lr": lr})
            for step, loss in enumerate((4.0, 3.0)):
                mlflow.log_metrics({"loss/total": loss, "accuracy": 0.5}, step=step)
    (there,) = measured.counterparts(uri, mine, uri, {"nightly": "again"})
    assert (there.trial, there.name, there.state) == (mine[0].trial, "nightly: lr=0.1", "finished")
    assert there.values == {"loss/total at step 1": 3.0, "loss/total": 3.0}


SUITE = """
suite: nightly
about: one task, timed
paper: {title: On nights, authors: [A. Nonymous], year: 2020}
packages: nightlypaper
scales: {quick: {about: seconds}}
experiments:
  one: {task: with_total, about: it has a total loss, settings: {lr: {value: [1, 2, 3, 4, 5, 6], source: here}}}
  two: {task: without, about: it has none}
"""
PACKAGE = '''
from retable.bench.task import Metric, Settings, TaskSpec

class Nightly(Settings):
    """One setting."""

    lr: int = 1

SECONDS = {"time/step": Metric("a step"), "cost/wait": Metric("of waiting", unit="s")}
TIMES = {**SECONDS, "cost/delay": Metric("of delay", unit="ms")}
LOSSES = {"loss/part": Metric("a part"), "mean/score": Metric("of pictures", unit="points")}
TASKS = [
    TaskSpec("with_total", Nightly, "nightlypaper.tasks:make", {"loss/total": Metric("all"), **LOSSES, **TIMES},
             "mean/score", lambda s: []),
    TaskSpec("without", Nightly, "nightlypaper.tasks:make", {**LOSSES, **TIMES}, "loss/part", lambda s: []),
]
'''


@pytest.fixture
def suite(tmp_path: Path, uri: Uri, monkeypatch: pytest.MonkeyPatch) -> loader.SuiteFile:
    """A suite whose tasks measure losses and times."""
    for path, text in {"suites/nightly.yaml": SUITE, "nightlypaper/__init__.py": PACKAGE}.items():
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
    (tmp_path / "nightlypaper/tasks.py").write_text("def make(settings, context):\n    return None\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return loader.load("nightly")


def test_a_suites_trials_are_held_as_their_runs_left_them(suite: loader.SuiteFile, uri: Uri, tmp_path: Path) -> None:
    import mlflow

    code = status.code_digests(suite.suite)
    planned = plan.trials(suite.suite, "quick")

    metrics = ("loss/total", "loss/part", "mean/score", "time/step", "cost/wait", "cost/delay")

    def ran(trial: plan.Trial, ended: str = "FINISHED", **tags: str) -> None:
        mlflow.set_experiment(f"nightly/{trial.experiment}")
        known = {"trial": trial.id, "code": code[trial.experiment], "device": "cpu", "threads": "2", **tags}
        run = mlflow.start_run(tags={f"retable.{key}": value for key, value in known.items()} | {"threads": "9"})
        for step in range(1, 11):
            mlflow.log_metrics(dict.fromkeys(metrics, 1 / step), step=step)
        mlflow.end_run(ended)
        runs[trial.id] = run.info.run_id

    runs: dict[str, str] = {}
    mlflow.set_tracking_uri(uri)
    *ones, two = planned
    for at, how in enumerate(
        [
            {},
            {"code": "old"},
            {"outcome": "diverged", "reason": "at step 3"},
            {"outcome": "pruned"},
            {"ended": "FAILED", "reason": "out of memory"},
        ]
    ):
        ran(ones[at], **how)
    ran(two)
    found = measured.of_suite(suite, planned, Stores(uri, "", tmp_path / "artifacts", tmp_path))

    ends = {"loss/part": 0.1, "mean/score": 0.1}
    assert found[0].values == {
        "loss/total at step 1": 1.0,
        "loss/total at step 3": 1 / 3,
        "loss/total at step 5": 0.2,
        "loss/total at step 10": 0.1,
        "loss/total": 0.1,
        **ends,
    }
    assert [*found[-1].values] == [*(f"loss/part at step {step}" for step in (1, 3, 5, 10)), *ends]
    assert [(m.state, m.reason) for m in found] == [
        ("finished", ""),
        ("stale", "measured by code that has changed since: bench run --stale"),
        ("diverged", "at step 3"),
        ("pruned", ""),
        ("failed", "out of memory"),
        ("missing", ""),
        ("finished", ""),
    ]
    assert [bool(m.values) for m in found] == [True, True, False, False, False, False, True]
    assert [m.name for m in found] == [f"{t.experiment}: {t.name}" for t in planned]
    assert [m.run for m in found] == [runs.get(t.id, "") for t in planned]
    assert [m.code for m in found] == [code["one"], "old", *[code["one"]] * 3, "", code["two"]]
    assert found[0].platform == {"device": "cpu", "threads": "2", "ranks": "1"} and found[5].platform == {}
    assert measured.suite_experiments(found) == {"one": "nightly/one", "two": "nightly/two"}
