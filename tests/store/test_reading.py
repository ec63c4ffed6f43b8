"""The fast SQL reading of MLflow's tables against MLflow's own client."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from retable.bench.store import reading


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> str:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_it_reads_what_mlflow_wrote(uri: str, tmp_path: Path) -> None:
    client = MlflowClient(uri)
    experiment = client.create_experiment("a/b", artifact_location=str(tmp_path / "artifacts"))
    other = client.create_experiment("c", artifact_location=str(tmp_path / "other"))
    runs = [client.create_run(experiment, tags={"retable.trial": f"t{i}"}, run_name=f"r{i}") for i in range(3)]
    client.create_run(other)
    for i, run in enumerate(runs):
        points = [Metric("loss/total", float(step * i), step, step) for step in range(5)]
        odd = [Metric("odd", math.nan, 1, 1), Metric("big", math.inf, 1, 1), Metric("low", -math.inf, 1, 1)]
        client.log_batch(run.info.run_id, metrics=points + odd, params=[Param("lr", "0.1")])
    client.set_terminated(runs[0].info.run_id, "FINISHED")
    client.delete_run(runs[2].info.run_id)

    found = reading.runs(uri, ["a/b"])
    assert [(r.name, r.status, r.tags["retable.trial"]) for r in found] == [
        ("r0", "FINISHED", "t0"),
        ("r1", "RUNNING", "t1"),
    ]
    assert found[0].artifact_uri == runs[0].info.artifact_uri and found[1].ended is None
    assert [r.id for r in reading.runs(uri, ["a/b"], trial="t1")] == [runs[1].info.run_id]
    ids = [r.id for r in found]
    last = reading.metrics(uri, ids)
    for run_id in ids:
        assert last[run_id]["loss/total"] == client.get_run(run_id).data.metrics["loss/total"]
    assert math.isnan(last[ids[0]]["odd"]) and last[ids[0]]["big"] == math.inf and last[ids[0]]["low"] == -math.inf
    assert reading.params(uri, ids)[ids[1]] == {"lr": "0.1"}
    history = client.get_metric_history(ids[1], "loss/total")
    assert reading.curves(uri, [ids[1]], "loss/total") == [(ids[1], p.step, p.value) for p in history]


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert reading.runs(f"sqlite:///{tmp_path / 'none.db'}", ["a"]) == []
    assert not (tmp_path / "none.db").exists()
