"""Reading over HTTP says exactly what reading the server's database says."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, ViewType
from servers import MlflowServer

from retable.bench.store import reading

EXPERIMENTS = ("grid", "search", "none of this name", "deleted")


@pytest.fixture(scope="module")
def filled(server: MlflowServer) -> tuple[str, str, list[str]]:
    """The server's URI, its database's, and the ids of all runs that are not deleted."""
    client = MlflowClient(server.uri)
    ids = []
    for n, name in enumerate(("grid", "search", "deleted")):
        experiment = client.create_experiment(name)
        for i in range(3):
            tags = {"retable.trial": f"{name}{i % 2}", "odd": "ünicode\n'\"%", "retable.code": "abc"} if i else {}
            run = client.create_run(experiment, start_time=1_000_000 + 100 * n + 7 * i, tags=tags, run_name=f"r{i}")
            points = [Metric("loss/total", (i + 1) / 3 * step, 100 - step, step) for step in (0, 1, 2, 5)]
            points += [Metric("loss/total", 9.5, 1000, 5), Metric("loss/total", -1e-300, 2000, 1)]
            odd = {"nan": math.nan, "inf": math.inf, "low": -math.inf, "tiny": 5e-324, "large": 1.5e308, "zero": -0.0}
            points += [Metric(key, value, 1, step) for key, value in odd.items() for step in (0, 3)]
            points += [Metric("turned", value, step, step) for step, value in enumerate([1.0, math.nan, math.inf])]
            params = [Param("lr", "0.1"), Param("long", "x" * 3000), Param("text", "ä 'b' \"c\"")]
            client.log_batch(run.info.run_id, metrics=points, params=params if i else [])
            if i == 1:
                client.set_terminated(run.info.run_id, "FINISHED", end_time=2_000_123)
            if i == 2 and name == "search":
                client.delete_run(run.info.run_id)
            elif name != "deleted":
                ids.append(run.info.run_id)
        if name == "deleted":
            client.delete_experiment(experiment)
    return server.uri, f"sqlite:///{server.database}", ids


def same(a: Any, b: Any) -> None:
    """Equal, NaN to NaN and -0.0 to -0.0 too."""
    assert repr(a) == repr(b)


@pytest.mark.parametrize(
    "ask",
    [
        lambda uri: reading.runs(uri, EXPERIMENTS),
        lambda uri: reading.runs(uri, ["search"]),
        lambda uri: reading.runs(uri, EXPERIMENTS, trial="grid1"),
        lambda uri: reading.runs(uri, EXPERIMENTS, trial="nobody"),
        lambda uri: reading.runs(uri, EXPERIMENTS, running=True),
        lambda uri: reading.runs(uri, ["grid"], trial="grid0", running=True),
        lambda uri: reading.runs(uri, []),
    ],
)
def test_runs(filled: tuple[str, str, list[str]], ask: Callable[[str], Any]) -> None:
    over_http, database, _ = filled

    def told(uri: str) -> list[Any]:
        found = ask(uri)
        ours = {r.id: dict(sorted(r.tags.items())) for r in found}
        return [(r.id, r.experiment, r.name, r.status, r.started, r.ended, r.artifact_uri, ours[r.id]) for r in found]

    same(told(over_http), told(database))


def test_there_is_something_to_read(filled: tuple[str, str, list[str]]) -> None:
    over_http, _, ids = filled
    found = reading.runs(over_http, EXPERIMENTS)
    assert [r.id for r in found] == ids and len(ids) == 5
    assert [r.ended for r in found] == [None, 2000.123, None, None, 2000.123]
    assert [r.id for r in reading.runs(over_http, EXPERIMENTS, trial="grid1")] == [ids[1]]
    assert [r.status for r in reading.runs(over_http, EXPERIMENTS, running=True)] == ["RUNNING"] * 3


def test_what_was_attempted(filled: tuple[str, str, list[str]]) -> None:
    over_http, database, _ = filled
    assert reading.attempted(over_http, EXPERIMENTS) == {"grid0", "grid1", "search1"}
    assert reading.attempted(database, EXPERIMENTS) == {"grid0", "grid1", "search1"}
    assert reading.attempted(over_http, []) == reading.attempted(database, []) == set()


def test_metrics_params_and_curves(filled: tuple[str, str, list[str]]) -> None:
    over_http, database, ids = filled
    for listed in (False, True):  # a run that was listed when it had finished is not asked for again
        if listed:
            reading.runs(over_http, EXPERIMENTS)
        ours, theirs = reading.metrics(over_http, ids), reading.metrics(database, ids)
        same({i: sorted(ours[i].items()) for i in ids}, {i: sorted(theirs[i].items()) for i in ids})
        assert reading.params(over_http, ids) == reading.params(database, ids)
    assert math.isnan(ours[ids[0]]["nan"]) and ours[ids[0]]["inf"] == math.inf == -ours[ids[0]]["low"]
    assert ours[ids[0]]["loss/total"] == 9.5 and ours[ids[0]]["turned"] == math.inf
    assert len(reading.params(over_http, ids)[ids[1]]["long"]) == 3000
    for metric in ("loss/total", "nan", "inf", "low", "tiny", "large", "zero", "turned", "never logged"):
        same(sorted(reading.curves(over_http, ids, metric)), sorted(reading.curves(database, ids, metric)))
    expected = [(0, 0.0), (1, -1e-300), (2, 2 / 3), (5, 9.5)]
    assert reading.curves(over_http, [ids[0]], "loss/total") == [(ids[0], s, v) for s, v in expected]
    assert len(reading.curves(over_http, ids, "loss/total")) == 4 * len(ids)


def test_a_run_by_its_id(filled: tuple[str, str, list[str]], tmp_path: Path) -> None:
    over_http, database, ids = filled
    for run in ids:
        ours, theirs = reading.starting_with(over_http, run), reading.starting_with(database, run)
        assert [r.id for r in ours] == [run] and ours == theirs
        assert ours[0] in reading.runs(over_http, EXPERIMENTS)
    client = MlflowClient(over_http)
    search = client.get_experiment_by_name("search").experiment_id
    deleted = next(r.info.run_id for r in client.search_runs([search], run_view_type=ViewType.DELETED_ONLY))
    for wanted in ("0" * 32, "zz", "%", "_" * 32, deleted):
        assert reading.starting_with(over_http, wanted) == reading.starting_with(database, wanted) == []
    assert [r.id for r in reading.starting_with(database, ids[0][:12])] == [ids[0]]
    assert set(ids) <= {r.id for r in reading.starting_with(database, "")}
