"""The fast SQL reading of MLflow's tables against MLflow's own client."""

from __future__ import annotations

import math
import shutil
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from retable.bench.store import reading, records


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


def test_which_runs_are_read(uri: str, tmp_path: Path) -> None:
    client = MlflowClient(uri)
    one, other, gone = (client.create_experiment(name, artifact_location=str(tmp_path / name)) for name in "abc")
    made = {}
    for name, experiment, start, trial in [
        ("late", one, 9_000, "t1"),
        ("early", one, 3_000, "t2"),
        ("deleted", one, 1_000, "t3"),
        ("elsewhere", other, 2_000, "t4"),
        ("lost", gone, 4_000, "t5"),
    ]:
        run = client.create_run(experiment, start_time=start, tags={"retable.trial": trial}, run_name=name)
        made[name] = run.info.run_id
    client.set_terminated(made["early"], "FINISHED", end_time=5_500)
    client.delete_run(made["deleted"])
    client.delete_experiment(gone)

    found = reading.runs(uri, ["a", "c", "d"])
    assert [(r.name, r.experiment, r.started, r.ended) for r in found] == [
        ("early", "a", 3.0, 5.5),
        ("late", "a", 9.0, None),
    ]
    assert [r.name for r in reading.runs(uri, ["a", "b"], running=True)] == ["elsewhere", "late"]
    assert [r.name for r in reading.runs(uri, ["a", "b"], trial="t2")] == ["early"]
    assert reading.runs(uri, ["b"], trial="t2") == reading.runs(uri, ["a"], trial="t3") == []
    assert reading.attempted(uri, ["a", "c"]) == {"t1", "t2"} and reading.attempted(uri, ["b"]) == {"t4"}
    early = made["early"]
    assert [r.id for r in reading.starting_with(uri, early[:20])] == [early]
    assert reading.starting_with(uri, early[1:]) == reading.starting_with(uri, made["deleted"]) == []
    assert reading.starting_with(uri, "%") == reading.starting_with(uri, "_" * 32) == []


def test_experiments_that_hold_runs_and_their_seeds(uri: str, tmp_path: Path) -> None:
    client = MlflowClient(uri)
    full, bare, _, gone = (client.create_experiment(name, artifact_location=str(tmp_path / name)) for name in "zaex")
    for seed in ("11", "2", "2"):
        client.log_batch(client.create_run(full).info.run_id, params=[Param("seed", seed), Param("lr", "-5")])
    client.create_run(bare)
    client.create_run(gone)
    client.delete_experiment(gone)
    found = reading.experiments(uri)
    assert list(found) == ["z", "a"]  # in order of creation
    assert (found["z"].id, found["z"].seeds, found["z"].first_seed) == (full, 2, 2)
    assert (found["a"].id, found["a"].seeds, found["a"].first_seed) == (bare, 0, 0)


def test_one_value_a_step_the_last_by_time(uri: str) -> None:
    client = MlflowClient(uri)
    run = client.create_run("0").info.run_id
    points = [("a", 1.0, 50, 0), ("a", 2.0, 10, 0), ("a", 3.0, 20, 2), ("a", 4.0, 30, 1), ("b", 5.0, 1, 3)]
    client.log_batch(run, metrics=[Metric(*point) for point in points])
    assert reading.curves(uri, [run], "a") == [(run, 0, 1.0), (run, 1, 4.0), (run, 2, 3.0)]
    large = records.LARGEST
    client.log_batch(run, metrics=[Metric("large", large, 1, 1), Metric("less", math.nextafter(large, 0), 1, 1)])
    last = reading.metrics(uri, [run])[run]
    assert last["large"] == math.inf and last["less"] == math.nextafter(large, 0) and last["b"] == 5.0


def test_more_runs_than_one_query_takes(uri: str, tmp_path: Path) -> None:
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        for i in range(1203):
            row = (f"{i:032}", f"r{i}", "RUNNING", i, "active", 0)
            database.execute(
                "INSERT INTO runs (run_uuid, name, status, start_time, lifecycle_stage, experiment_id) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )
            tag = "INSERT INTO tags (run_uuid, key, value) VALUES (?, 'retable.trial', ?)"
            database.execute(tag, (row[0], f"t{i}"))
            database.execute("INSERT INTO params (run_uuid, key, value) VALUES (?, 'lr', ?)", (row[0], str(i)))
    database.close()
    found = reading.runs(uri, ["Default"])
    assert [r.tags["retable.trial"] for r in found] == [f"t{i}" for i in range(1203)]
    params = reading.params(uri, [r.id for r in found])
    assert [params[r.id]["lr"] for r in found] == [str(i) for i in range(1203)]
