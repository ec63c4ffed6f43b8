"""Any MLflow experiment's runs as trials: told apart by parameters or a tag, the newest of those that are alike."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from retable.bench.judging import measured
from retable.bench.judging.measured import GateError, Measured

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
    assert one.trial.value("lr") == 0.1 and one.trial.value("seed") == 3


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
